//! Certificates taken back by a list, as OpenSSL reads it.

use std::{
    num::NonZeroU32,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use jit_core::{Command, EndBy, Seconds, Timestamp, code};
use jit_issuer::{
    CredentialIssuer, RevokeAuthorization, RevokeError, RevokeOutcome,
    key::{KeyAlgorithm, LocalKey, SigningError, SigningKey},
    x509::{Authority, CrlError, CrlFile, CrlReason, Published, Revocation, X509Issuer},
};
use jit_testkit::RecordedCase;
use tempfile::tempdir;
use tokio::sync::Barrier;

use super::{
    certificate::verify,
    minted::{END, Released, START, issuer, release, seeded, setup},
    pki::{P256, Pki, STANDARD},
};

const LIFETIME_S: u32 = 600;

fn file(path: &Path) -> CrlFile {
    CrlFile::new(path, Seconds::new(NonZeroU32::new(LIFETIME_S).unwrap()))
}

fn revoking(path: &Path, seed: u64) -> X509Issuer {
    seeded(STANDARD.authority(), seed).with_crl(file(path)).unwrap()
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_micros(i64::try_from(seconds * 1_000_000).unwrap()).unwrap()
}

/// What OpenSSL says of the certificate under the list.
fn check(released: &Released, list: &Path, at: u64) -> Result<String, String> {
    verify(&STANDARD, released, at, &["-crl_check", "-CRLfile", list.to_str().unwrap()])
}

fn shown(list: &Path) -> String {
    STANDARD.openssl(&["crl", "-in", list.to_str().unwrap(), "-noout", "-text"])
}

fn end(case: &mut RecordedCase) {
    let by = EndBy::Holder(case.case().grant().unwrap().approved.recipient.clone());
    case.record(Command::End { by, cause: code!("no_longer_needed"), reason: None });
}

#[tokio::test]
async fn a_certificate_on_the_list_is_refused_and_another_is_not() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("mesh.crl");
    let issuer = revoking(&path, 11);
    let capabilities = issuer.capabilities();
    assert!(capabilities.can_revoke && !capabilities.can_confirm && !capabilities.cuts_sessions);
    let mut one = release(&issuer, setup(1)).await;
    let other = release(&issuer, setup(2)).await;

    let published = issuer.publish_crl(at(START)).await.unwrap();
    assert_eq!(published, Published { number: START * 1_000_000, entries: 0, this_update: at(START) });
    check(&one, &path, START + 10).unwrap();
    assert!(shown(&path).contains("No Revoked Certificates."), "{}", shown(&path));

    end(&mut one.case);
    let authorization = one.end_of_certificate();
    let outcome = issuer.revoke(&authorization, &one.minted.descriptor).await.unwrap();
    // The list from before may be used until it has run out.
    let honoured_by = at(START + u64::from(LIFETIME_S) + 1);
    assert_eq!(outcome, RevokeOutcome::Listed { honoured_by });
    let refused = check(&one, &path, START + 10).unwrap_err();
    assert!(refused.contains("certificate revoked"), "{refused}");
    check(&other, &path, START + 10).unwrap();
    let ended = check(&other, &path, START + u64::from(LIFETIME_S) + 10).unwrap_err();
    assert!(ended.contains("CRL has expired"), "{ended}");

    let text = shown(&path);
    for part in [
        format!("Serial Number: {}", one.minted.descriptor.serial),
        "Cessation Of Operation".to_owned(),
        "Revocation Date: Nov  2 10:00:00 2026 GMT".to_owned(),
        "Last Update: Nov  2 10:00:00 2026 GMT".to_owned(),
        "Next Update: Nov  2 10:10:00 2026 GMT".to_owned(),
        "X509v3 Authority Key Identifier".to_owned(),
    ] {
        assert!(text.contains(&part), "{part}: {text}");
    }
    let verified = STANDARD.try_openssl(&["crl", "-in", path.to_str().unwrap(), "-noout", "-CAfile", "issuing.pem"]);
    assert!(String::from_utf8_lossy(&verified.stderr).contains("verify OK"), "{verified:?}");

    // Idempotent, and the list stays as it was.
    let before = std::fs::read(&path).unwrap();
    let again = issuer.revoke(&authorization, &one.minted.descriptor).await.unwrap();
    assert_eq!(again, RevokeOutcome::Listed { honoured_by });
    assert_eq!(std::fs::read(&path).unwrap(), before);
    let later = RevokeAuthorization::store_down(code!("test"), honoured_by, &one.minted.descriptor);
    assert_eq!(issuer.revoke(&later, &one.minted.descriptor).await.unwrap(), RevokeOutcome::AlreadyGone);
    assert_eq!(std::fs::read(&path).unwrap(), before);
    let misplaced = issuer.revoke(&authorization, &other.minted.descriptor).await.unwrap_err();
    assert_eq!(misplaced, RevokeError::Refused { cause: code!("other_credential") });
}

#[tokio::test]
async fn without_a_list_a_certificate_is_not_taken_back() {
    let issuer = issuer(STANDARD.authority()).with_leeway_s(30);
    assert!(!issuer.capabilities().can_revoke);
    let mut released = release(&issuer, setup(1)).await;
    let authorization = released.end_of_certificate();
    let outcome = issuer.revoke(&authorization, &released.minted.descriptor).await.unwrap();
    assert_eq!(outcome, RevokeOutcome::CannotRevoke { until: Some(at(END + 30)) });
    assert!(matches!(issuer.publish_crl(at(START)).await, Err(CrlError::NotConfigured)));
}

#[tokio::test]
async fn an_expired_certificate_needs_no_list() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("mesh.crl");
    let issuer = revoking(&path, 11);
    let released = release(&issuer, setup(1)).await;
    let late = RevokeAuthorization::store_down(code!("not_recorded"), at(END), &released.minted.descriptor);
    assert_eq!(issuer.revoke(&late, &released.minted.descriptor).await.unwrap(), RevokeOutcome::AlreadyGone);
    assert!(!path.exists());
}

#[tokio::test]
async fn the_list_outlives_the_process_and_comes_back_from_evidence() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("mesh.crl");
    let mut released = release(&revoking(&path, 11), setup(1)).await;
    let authorization = released.end_of_certificate();
    let descriptor = released.minted.descriptor.clone();
    revoking(&path, 11).revoke(&authorization, &descriptor).await.unwrap();

    let next = revoking(&path, 12).publish_crl(at(START + 1)).await.unwrap();
    assert_eq!((next.entries, next.number), (1, (START + 1) * 1_000_000));
    check(&released, &path, START + 10).unwrap_err();
    // Two lists within one moment, and one by a clock that was set back.
    for (seconds, made) in [(START + 1, START + 1), (START, START + 1)] {
        let again = revoking(&path, 12).publish_crl(at(seconds)).await.unwrap();
        assert!(again.number > next.number && again.this_update == at(made), "{again:?}");
    }

    std::fs::remove_file(&path).unwrap();
    let evidence = || Revocation::new(&descriptor, at(START), Some(CrlReason::KeyCompromise)).unwrap();
    let rebuilt = seeded(STANDARD.authority(), 12).with_crl(file(&path).with_revoked([evidence()])).unwrap();
    let list = rebuilt.publish_crl(at(START + 2)).await.unwrap();
    assert!(list.entries == 1 && list.number > next.number + 2);
    assert!(shown(&path).contains("Key Compromise"));
    check(&released, &path, START + 10).unwrap_err();

    // Of a certificate that ended, the list made next after its end still tells, the one after that does not.
    for (seconds, entries) in [(END + 1, 1), (END + 2, 0)] {
        assert_eq!(rebuilt.publish_crl(at(seconds)).await.unwrap().entries, entries);
    }
    let late = folder.path().join("late.crl");
    let rebuilt = seeded(STANDARD.authority(), 12).with_crl(file(&late).with_revoked([evidence()])).unwrap();
    assert_eq!(rebuilt.publish_crl(at(END + 1)).await.unwrap().entries, 0);
}

#[tokio::test]
async fn a_lost_file_comes_back_with_the_next_list() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("mesh.crl");
    let issuer = revoking(&path, 11);
    let mut released = release(&issuer, setup(1)).await;
    let authorization = released.end_of_certificate();
    issuer.revoke(&authorization, &released.minted.descriptor).await.unwrap();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(issuer.publish_crl(at(START + 1)).await.unwrap().entries, 1);
    check(&released, &path, START + 10).unwrap_err();
}

/// A key whose first two signatures wait for one another.
#[derive(Debug)]
struct Meeting {
    key: LocalKey,
    both: Barrier,
    signed: AtomicUsize,
}

#[async_trait::async_trait]
impl SigningKey for Meeting {
    fn algorithm(&self) -> KeyAlgorithm {
        self.key.algorithm()
    }

    fn public_key(&self) -> &[u8] {
        self.key.public_key()
    }

    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SigningError> {
        if self.signed.fetch_add(1, Ordering::SeqCst) < 2 {
            self.both.wait().await;
        }
        self.key.sign(message).await
    }
}

#[tokio::test]
async fn processes_that_share_a_list_lose_nothing_of_one_another() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("mesh.crl");
    let key = LocalKey::from_file(STANDARD.path("issuing.key")).unwrap();
    let key = Arc::new(Meeting { key, both: Barrier::new(2), signed: AtomicUsize::new(0) });
    let chain = STANDARD.read("issuing.pem") + &STANDARD.read("middle.pem");
    let process = || {
        let authority = Authority::new(Arc::clone(&key) as _, "example.org".parse().unwrap(), &chain).unwrap();
        seeded(authority, 12).with_crl(file(&path)).unwrap()
    };
    let minting = revoking(&path, 11);
    let mut released = [release(&minting, setup(1)).await, release(&minting, setup(2)).await];
    let authorizations = released.each_mut().map(Released::end_of_certificate);
    let (one, two) = (process(), process());
    // Both have read that there is no list when both sign the first.
    let (first, second) = tokio::join!(
        one.revoke(&authorizations[0], &released[0].minted.descriptor),
        two.revoke(&authorizations[1], &released[1].minted.descriptor),
    );
    let listed = RevokeOutcome::Listed { honoured_by: at(START + u64::from(LIFETIME_S) + 1) };
    assert_eq!((first.unwrap(), second.unwrap()), (listed.clone(), listed));
    assert_eq!(key.signed.load(Ordering::SeqCst), 3, "one of them had to begin again");
    for released in &released {
        check(released, &path, START + 10).unwrap_err();
    }
    assert_eq!(one.publish_crl(at(START + 1)).await.unwrap().entries, 2);
}

#[tokio::test]
async fn a_file_of_another_authority_is_left_alone() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("mesh.crl");
    let other = Pki::new();
    other.root("issuing", P256);
    let theirs = issuer(other.try_authority("issuing", &["issuing"]).unwrap()).with_crl(file(&path)).unwrap();
    theirs.publish_crl(at(START)).await.unwrap();
    let refused = seeded(STANDARD.authority(), 1).with_crl(file(&path)).unwrap_err();
    assert!(matches!(refused, CrlError::OtherFile(_)), "{refused}");
    std::fs::write(&path, "not a list").unwrap();
    assert!(matches!(theirs.publish_crl(at(START)).await, Err(CrlError::OtherFile(_))));
    assert_eq!(std::fs::read(&path).unwrap(), b"not a list");

    other.ca("without_lists", "issuing", P256, "without_lists");
    let authority = other.try_authority("without_lists", &["without_lists"]).unwrap();
    let refused = issuer(authority).with_crl(file(&folder.path().join("other.crl"))).unwrap_err();
    assert!(matches!(refused, CrlError::NotAllowed), "{refused}");
}

/// A key that fails, or gives what is no signature, once the authority is set up.
#[derive(Debug)]
struct Broken {
    key: LocalKey,
    answer: Result<Vec<u8>, SigningError>,
}

#[async_trait::async_trait]
impl SigningKey for Broken {
    fn algorithm(&self) -> KeyAlgorithm {
        self.key.algorithm()
    }

    fn public_key(&self) -> &[u8] {
        self.key.public_key()
    }

    async fn sign(&self, _: &[u8]) -> Result<Vec<u8>, SigningError> {
        self.answer.clone()
    }
}

#[tokio::test]
async fn what_was_not_published_was_not_taken_back() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("mesh.crl");
    let mut released = release(&revoking(&path, 11), setup(1)).await;
    let descriptor = released.minted.descriptor.clone();
    let authorization = released.end_of_certificate();
    for (answer, cause) in [
        (Err(SigningError::Unavailable { cause: code!("key_service_down") }), code!("key_service_down")),
        (Ok(vec![1; 64]), code!("signature_malformed")),
        (Ok(Vec::new()), code!("signature_malformed")),
    ] {
        let key = LocalKey::from_file(STANDARD.path("issuing.key")).unwrap();
        let key = Arc::new(Broken { key, answer });
        let chain = STANDARD.read("issuing.pem") + &STANDARD.read("middle.pem");
        let authority = Authority::new(key, "example.org".parse().unwrap(), &chain).unwrap();
        let issuer = seeded(authority, 11).with_crl(file(&path)).unwrap();
        let failed = issuer.revoke(&authorization, &descriptor).await.unwrap_err();
        assert_eq!(failed, RevokeError::Failed { cause: cause.clone() });
        let mut case = RecordedCase::approved(setup(3));
        assert_eq!(issuer.mint(&case.authorize(&issuer)).await.unwrap_err().code(), cause);
    }
    assert!(!path.exists());

    let nowhere = folder.path().join("missing/mesh.crl");
    let failed = revoking(&nowhere, 11).revoke(&authorization, &descriptor).await.unwrap_err();
    assert_eq!(failed, RevokeError::Failed { cause: code!("crl_not_accessible") });
    let mut other = descriptor.clone();
    other.serial = jit_core::ExternalId::new("42").unwrap();
    let refused = revoking(&path, 11).revoke(&authorization, &other).await.unwrap_err();
    assert_eq!(refused, RevokeError::Refused { cause: code!("other_credential") });
    assert!(released.minted.descriptor.window.duration() > Duration::ZERO);
}
