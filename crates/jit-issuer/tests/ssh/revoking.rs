//! A certificate that was taken back opens nothing new; what it opened goes on, and the issuer says so.

use std::{
    fs,
    io::{Read as _, Write as _},
    process::Stdio,
};

use jit_core::{CredentialDescriptor, Timestamp, code};
use jit_issuer::{
    CredentialIssuer as _, Observed, ReconcileQuery, RevokeAuthorization, RevokeError, RevokeOutcome,
    key::KeyAlgorithm,
    ssh::{KEPT_AFTER_END, KrlFile, KrlPublisher, PublishError, Revocations, SshIssuer},
};
use jit_testkit::CaseSetup;
use tempfile::TempDir;

use crate::{
    issuing::{Released, issuer, issuer_for, now, release, setup},
    openssh::{Sshd, listed, revoked},
};

pub(crate) async fn revoke(issuer: &SshIssuer, released: &mut Released) -> Result<RevokeOutcome, RevokeError> {
    let intended = released.case.intend_revocation(released.descriptor.id);
    let authorization = RevokeAuthorization::recorded(released.case.case(), &intended).unwrap();
    issuer.revoke(&authorization, &released.descriptor).await
}

fn down(descriptor: &CredentialDescriptor, at: Timestamp) -> RevokeAuthorization {
    RevokeAuthorization::store_down(code!("test"), at, descriptor)
}

fn query(released: &Released) -> ReconcileQuery {
    let id = released.descriptor.id;
    ReconcileQuery::new(id, released.case.case().credentials()[&id].intended.clone())
}

#[tokio::test]
async fn sshd_refuses_a_revoked_certificate_and_an_open_session_goes_on() {
    let sshd = Sshd::start(issuer().authority());
    let issuer = issuer().with_revocations(Revocations::new(KrlFile::new(sshd.krl()), 1, now(), []));
    let capabilities = issuer.capabilities();
    assert!(capabilities.can_revoke && capabilities.can_confirm && !capabilities.cuts_sessions);
    let mut released = release(&issuer, setup()).await;
    let other = release(&issuer, CaseSetup { seed: 2, ..setup() }).await;
    assert_eq!(issuer.reconcile(&query(&released)).await, Ok(Observed::NeverExisted));

    let key = sshd.keep(&released, None);
    let mut session = sshd
        .client(&key, "echo open; read line; echo $line")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = [0; 5];
    session.stdout.as_mut().unwrap().read_exact(&mut said).unwrap();
    assert_eq!(&said, b"open\n");

    assert_eq!(revoke(&issuer, &mut released).await, Ok(RevokeOutcome::Revoked { finding: code!("krl_published") }));
    assert_eq!(issuer.reconcile(&query(&released)).await, Ok(Observed::Gone));
    let attempt = sshd.login_with(&key, "true");
    assert!(!attempt.accepted && attempt.stderr.contains("Permission denied"), "{}", attempt.stderr);
    assert_eq!(sshd.lines("revoked by file").len(), 1, "{}", sshd.log());
    assert!(sshd.login(&other, "true").accepted, "another certificate is untouched");

    session.stdin.take().unwrap().write_all(b"still here\n").unwrap();
    let output = session.wait_with_output().unwrap();
    assert_eq!(output.stdout, b"still here\n", "the session was cut, which the capabilities deny");

    let again = issuer.revoke(&down(&released.descriptor, now()), &released.descriptor).await;
    assert_eq!(again, Ok(RevokeOutcome::AlreadyGone));
}

#[tokio::test]
async fn a_restarted_issuer_publishes_what_evidence_says_was_revoked() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("krl");
    let first = issuer().with_revocations(Revocations::new(KrlFile::new(&file), 1, now(), []));
    let mut revoked_before = release(&first, setup()).await;
    let mut revoked_after = release(&first, CaseSetup { seed: 2, ..setup() }).await;
    let alive = release(&first, CaseSetup { seed: 3, ..setup() }).await;
    revoke(&first, &mut revoked_before).await.unwrap();
    drop(first);

    let evidence = [revoked_before.descriptor.clone()];
    let second = issuer().with_revocations(Revocations::new(KrlFile::new(&file), 5, now(), &evidence));
    assert_eq!(second.reconcile(&query(&revoked_before)).await, Ok(Observed::NeverExisted), "nothing is published yet");
    second.publish_revocations(now()).unwrap();
    assert_eq!(second.reconcile(&query(&revoked_before)).await, Ok(Observed::Gone));
    revoke(&second, &mut revoked_after).await.unwrap();
    let certificates = [&revoked_before, &revoked_after, &alive].map(|released| released.parts().1);
    let krl = fs::read(&file).unwrap();
    assert_eq!(revoked(&krl, &certificates.each_ref().map(String::as_str)), [true, true, false]);
    assert!(listed(&krl).contains("# KRL version 7\n"), "{}", listed(&krl));
}

#[tokio::test]
async fn a_certificate_leaves_the_list_when_no_clock_can_take_it_for_valid() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("krl");
    let issuer = issuer().with_revocations(Revocations::new(KrlFile::new(&file), 1, now(), []));
    let mut released = release(&issuer, setup()).await;
    revoke(&issuer, &mut released).await.unwrap();
    let certificate = released.parts().1;
    let last = released.descriptor.window.end().saturating_add(KEPT_AFTER_END);
    let just_before = last.saturating_sub(std::time::Duration::from_micros(1));
    for (at, listed) in [(just_before, true), (last, false)] {
        issuer.publish_revocations(at).unwrap();
        assert_eq!(revoked(&fs::read(&file).unwrap(), &[&certificate]), [listed]);
    }
}

#[tokio::test]
async fn a_former_authority_revokes_too() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("krl");
    let former = issuer_for("deploy", KeyAlgorithm::EcdsaP256Sha256);
    let released = release(&former, setup()).await;
    let revocations =
        Revocations::new(KrlFile::new(&file), 1, now(), []).with_former_authority(former.authority().clone());
    let issuer = issuer_for("deploy", KeyAlgorithm::Ed25519).with_revocations(revocations);
    issuer.revoke(&down(&released.descriptor, now()), &released.descriptor).await.unwrap();
    assert_eq!(revoked(&fs::read(&file).unwrap(), &[&released.parts().1]), [true]);
}

#[tokio::test]
async fn a_list_that_cannot_be_published_is_no_revocation() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("krl");
    let issuer = issuer().with_revocations(Revocations::new(KrlFile::new(&file), 1, now(), []));
    let released = release(&issuer, setup()).await;
    let descriptor = &released.descriptor;
    let another = release(&issuer, CaseSetup { seed: 2, ..setup() }).await;
    let refused = issuer.revoke(&down(&another.descriptor, now()), descriptor).await;
    assert_eq!(refused, Err(RevokeError::Refused { cause: code!("other_credential") }));

    fs::create_dir(file.with_extension("new")).unwrap();
    let failed = issuer.revoke(&down(descriptor, now()), descriptor).await;
    assert_eq!(failed, Err(RevokeError::Failed { cause: code!("krl_not_written") }));
    assert_eq!(issuer.reconcile(&query(&released)).await, Ok(Observed::NeverExisted));
    fs::remove_dir(file.with_extension("new")).unwrap();
    issuer.revoke(&down(descriptor, now()), descriptor).await.unwrap();

    // What somebody else writes there is gone with the next list, and what was revoked is not.
    KrlFile::new(&file).publish(b"another list").unwrap();
    issuer.revoke(&down(&another.descriptor, now()), &another.descriptor).await.unwrap();
    let certificates = [&released, &another].map(|released| released.parts().1);
    assert_eq!(revoked(&fs::read(&file).unwrap(), &certificates.each_ref().map(String::as_str)), [true, true]);
}

#[tokio::test]
async fn processes_that_share_a_list_drop_nothing_of_one_another() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("krl");
    // Both begin before anything is revoked, and know of nothing.
    let process = |number| issuer().with_revocations(Revocations::new(KrlFile::new(&file), number, now(), []));
    let (first, second) = (process(1), process(1));
    let one = release(&first, setup()).await;
    let other = release(&second, CaseSetup { seed: 2, ..setup() }).await;
    let alive = release(&second, CaseSetup { seed: 3, ..setup() }).await;
    for (process, taken_back) in [(&first, &one), (&second, &other)] {
        let done = process.revoke(&down(&taken_back.descriptor, now()), &taken_back.descriptor).await;
        assert_eq!(done, Ok(RevokeOutcome::Revoked { finding: code!("krl_published") }));
    }
    first.publish_revocations(now()).unwrap();
    // One that has never published, and that nobody told what the records say.
    process(1).publish_revocations(now()).unwrap();
    let certificates = [&one, &other, &alive].map(|released| released.parts().1);
    let krl = fs::read(&file).unwrap();
    assert_eq!(revoked(&krl, &certificates.each_ref().map(String::as_str)), [true, true, false]);
    assert!(listed(&krl).contains("# KRL version 5\n"), "{}", listed(&krl));

    // Another authority would revoke under its own key alone.
    let others = Revocations::new(KrlFile::new(&file), 1, now(), []);
    let others = issuer_for("deploy", KeyAlgorithm::EcdsaP256Sha256).with_revocations(others);
    let refused = PublishError::NotPublished { cause: code!("krl_of_other_authority") };
    assert_eq!(others.publish_revocations(now()), Err(refused));
    // A new one revokes under the former key too, and the process with the former key alone publishes no more.
    let new = Revocations::new(KrlFile::new(&file), 1, now(), []).with_former_authority(first.authority().clone());
    let new = issuer_for("deploy", KeyAlgorithm::EcdsaP256Sha256).with_revocations(new);
    new.publish_revocations(now()).unwrap();
    assert!(first.publish_revocations(now()).is_err());
    let krl = fs::read(&file).unwrap();
    assert_eq!(revoked(&krl, &certificates.each_ref().map(String::as_str)), [true, true, false]);

    fs::write(directory.path().join("krl.entries"), "number 1\n").unwrap();
    let refused = PublishError::NotPublished { cause: code!("krl_entries_malformed") };
    assert_eq!(new.publish_revocations(now()), Err(refused));
    assert_eq!(fs::read(&file).unwrap(), krl, "the list is as it was");
}

#[test]
fn lists_that_are_published_at_once_hold_everything() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("krl");
    let entries: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4_u64)
            .map(|process| {
                let file = file.clone();
                scope.spawn(move || {
                    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                    runtime.block_on(async {
                        let list = Revocations::new(KrlFile::new(&file), 0, now(), []);
                        let issuer = issuer().with_revocations(list);
                        let mut revoked = Vec::new();
                        for n in 0..8 {
                            let released = release(&issuer, CaseSetup { seed: 100 + process * 8 + n, ..setup() }).await;
                            issuer.revoke(&down(&released.descriptor, now()), &released.descriptor).await.unwrap();
                            revoked.push(released.descriptor.serial.to_string());
                        }
                        revoked
                    })
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let krl = listed(&fs::read(&file).unwrap());
    for serial in &entries {
        assert!(krl.lines().any(|line| line.trim() == format!("serial: {serial}")), "{serial}: {krl}");
    }
    assert!(krl.contains("# KRL version 32\n"), "{krl}");
}

#[tokio::test]
async fn without_a_list_a_certificate_dies_by_itself() {
    let issuer = issuer();
    assert!(!issuer.capabilities().can_revoke && issuer.capabilities().native_expiry);
    let mut released = release(&issuer, setup()).await;
    let until = Some(released.descriptor.window.end());
    assert_eq!(revoke(&issuer, &mut released).await, Ok(RevokeOutcome::CannotRevoke { until }));
}
