//! That a revoked token's bit is turned, by whoever knows the evidence, and that introspection answers as the evidence stands.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "tests may panic"
)]

mod support;

use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use jit_core::{
    Command, CredentialId, EndBy, ExternalDigest, ExternalId, HolderKey, Identity, Issuer, IssuerName, PrincipalId,
    Record, Recorded, RevocationOutcome, SystemName, Timestamp, code,
};
use jit_issuer::{
    CredentialIssuer as _, Observed, ReconcileQuery, RevokeAuthorization, RevokeOutcome, UseBinding,
    jwt::{JwtIssuer, KeySchedule, LIST_LEN, StatusListError},
    key::KeyAlgorithm,
};
use jit_testkit::{CaseSetup, RecordedCase};
use serde_json::json;
use support::{issuer, part, release, seconds, time};

const TTL: u32 = 300;

fn with_lists() -> JwtIssuer {
    let base = ExternalId::new("https://access.example.org/status").unwrap();
    issuer(KeyAlgorithm::EcdsaP256Sha256, 1).with_status_lists(base, seconds(TTL)).with_leeway_s(60)
}

/// The bits of a list, from its token.
async fn bits(issuer: &JwtIssuer, list: u64, now: Timestamp) -> Vec<u64> {
    issuer.status_lists().unwrap().followed_to(now);
    let token = issuer.status_list(list, now).await.unwrap().unwrap();
    let lst = part(&token, 1)["status_list"]["lst"].as_str().unwrap().to_owned();
    let bytes = miniz_oxide::inflate::decompress_to_vec_zlib(&BASE64URL_NOPAD.decode(lst.as_bytes()).unwrap()).unwrap();
    assert_eq!(bytes.len() as u64, LIST_LEN / 8);
    (0..LIST_LEN).filter(|at| bytes[usize::try_from(at / 8).unwrap()] >> (at % 8) & 1 == 1).collect()
}

fn end(case: &mut RecordedCase) {
    let by = EndBy::Other(PrincipalId::Identity(Identity::new("idp.example", "u-security").unwrap()));
    case.record(Command::End { by, cause: code!("incident"), reason: None });
}

fn record(recorded: &Recorded, case: &RecordedCase) -> Record {
    case.log().records()[usize::try_from(recorded.index()).unwrap()].clone()
}

#[tokio::test]
async fn a_revoked_tokens_bit_is_turned_and_only_its() {
    let issuer = with_lists();
    let now = CaseSetup::default().window.start();
    let mut case = RecordedCase::approved(CaseSetup::default());
    let intended = case.intend(&issuer);
    let (minted, _, token) = release(&issuer, &mut case, &intended).await;
    let descriptor = minted.descriptor;
    let idx = intended.index();
    let status = json!({"status_list": {"idx": idx, "uri": "https://access.example.org/status/0"}});
    assert_eq!(part(&token, 1)["status"], status);
    assert_eq!(descriptor.serial.as_str(), format!("status_list:0/{idx}"));
    assert!(descriptor.capabilities.can_revoke && descriptor.capabilities.can_confirm);
    assert_eq!(bits(&issuer, 0, now).await, Vec::<u64>::new());

    end(&mut case);
    let revocation = case.intend_revocation(descriptor.id);
    let authorization = RevokeAuthorization::recorded(case.case(), &revocation).unwrap();
    let honoured_by = revocation.header().at.saturating_add(Duration::from_secs(u64::from(TTL) * 2 + 60));
    for _ in 0..2 {
        let outcome = issuer.revoke(&authorization, &descriptor).await.unwrap();
        assert_eq!(outcome, RevokeOutcome::Listed { honoured_by });
    }
    assert_eq!(bits(&issuer, 0, now).await, [idx]);
    assert_eq!(issuer.status_lists().unwrap().with_revoked(), [0]);
    assert_eq!(bits(&issuer, 1, now).await, Vec::<u64>::new());
    let query = |id: CredentialId| ReconcileQuery::new(id, case.case().credentials()[&descriptor.id].intended.clone());
    assert_eq!(issuer.reconcile(&query(descriptor.id)).await, Ok(Observed::Gone));
    assert_eq!(issuer.reconcile(&query(CredentialId::v8([1; 16]))).await, Ok(Observed::NeverExisted));

    let dead = descriptor.dies_at().unwrap();
    assert_eq!(bits(&issuer, 0, dead).await, Vec::<u64>::new(), "a dead token needs no bit");
    assert!(issuer.status_lists().unwrap().with_revoked().is_empty());
}

#[tokio::test]
async fn lists_are_rebuilt_from_the_evidence() {
    let now = CaseSetup::default().window.start();
    let mut case = RecordedCase::approved(CaseSetup::default());
    let intended = case.intend(&with_lists());
    let (minted, issued, _) = release(&with_lists(), &mut case, &intended).await;
    end(&mut case);
    let revocation = case.intend_revocation(minted.descriptor.id);

    let after_a_restart = with_lists();
    let lists = after_a_restart.status_lists().unwrap();
    lists.apply(&record(&intended, &case)).unwrap();
    lists.apply(&record(&issued, &case)).unwrap();
    assert!(lists.with_revoked().is_empty());
    for _ in 0..2 {
        lists.apply(&record(&revocation, &case)).unwrap();
        assert_eq!(bits(&after_a_restart, 0, now).await, [intended.index()]);
    }

    let name = IssuerName::new("another").unwrap();
    let (iss, audience) = (Issuer::new(support::ISS).unwrap(), ExternalId::new(support::AUDIENCE).unwrap());
    let keys = KeySchedule::new(support::key(KeyAlgorithm::Ed25519, 1)).unwrap();
    let other = JwtIssuer::new(name, iss, audience, keys)
        .with_status_lists(ExternalId::new("https://else.example.org").unwrap(), seconds(1));
    for recorded in [&issued, &revocation] {
        other.status_lists().unwrap().apply(&record(recorded, &case)).unwrap();
    }
    assert!(other.status_lists().unwrap().with_revoked().is_empty(), "another issuer's token");
}

#[tokio::test]
async fn a_list_says_whose_it_is_and_how_long_it_may_be_used() {
    let issuer = with_lists();
    issuer.status_lists().unwrap().followed_to(time("2026-11-02T10:00:00Z"));
    let token = issuer.status_list(3, time("2026-11-02T10:00:00.5Z")).await.unwrap().unwrap();
    assert_eq!(part(&token, 0)["typ"], "statuslist+jwt");
    let claims = part(&token, 1);
    let iat = time("2026-11-02T10:00:00Z").unix_seconds();
    assert_eq!(claims["sub"], "https://access.example.org/status/3");
    assert_eq!((&claims["iat"], &claims["exp"], &claims["ttl"]), (&json!(iat), &json!(iat + 300), &json!(300)));
    assert_eq!(claims["status_list"]["bits"], 1);
    assert_eq!(support::issuer(KeyAlgorithm::Ed25519, 1).status_list(0, Timestamp::EPOCH).await, Ok(None));
}

/// Its list would let in again what another process has turned down.
#[tokio::test]
async fn a_process_that_does_not_follow_the_log_publishes_nothing() {
    let issuer = with_lists();
    let now = time("2026-11-02T10:00:00Z");
    let never = StatusListError::Behind { followed_to: None };
    assert_eq!(never.to_string(), "status lists are behind: the log was followed by nobody here");
    assert_eq!(issuer.status_list(0, now).await, Err(never));
    let lists = issuer.status_lists().unwrap();
    lists.followed_to(now);
    let later = now.saturating_add(Duration::from_secs(TTL.into()));
    assert!(issuer.status_list(0, later).await.is_ok());
    let behind = Err(StatusListError::Behind { followed_to: Some(now) });
    assert_eq!(issuer.status_list(0, later.saturating_add(Duration::from_micros(1))).await, behind);
    lists.followed_to(now.saturating_sub(Duration::from_secs(1)));
    assert!(issuer.status_list(0, later).await.is_ok(), "it knows what it knew");
}

#[tokio::test]
async fn introspection_answers_as_the_evidence_stands() {
    let issuer = with_lists();
    let holder_key = Some(HolderKey::Certificate(ExternalDigest::from_bytes([7; 32])));
    let mut case = RecordedCase::approved(CaseSetup { holder_key, ..CaseSetup::default() });
    let start = CaseSetup::default().window.start();
    let unknown = CredentialId::v8([1; 16]);
    let inactive = json!({"active": false});
    let answer = |case: &RecordedCase, id, at| serde_json::to_value(issuer.introspect(case.case(), id, at)).unwrap();
    assert_eq!(answer(&case, unknown, start), inactive);

    let intended = case.intend(&issuer);
    let id = intended.header().refs.credential.unwrap();
    assert_eq!(answer(&case, id, start), inactive, "only intended");
    let (minted, _, token) = release(&issuer, &mut case, &intended).await;
    let mut said = part(&token, 1);
    said["active"] = json!(true);
    said["token_type"] = json!("Bearer");
    assert_eq!(answer(&case, id, start), said);
    let window = minted.descriptor.window;
    assert!(issuer.introspect(case.case(), id, window.end().saturating_sub(Duration::from_micros(1))).is_active());
    assert_eq!(answer(&case, id, window.end()), inactive, "expired");

    // The question is evidence of a use, by whom its asker knows.
    let system = || SystemName::new("orders-api").unwrap();
    let presenter = Identity::new("idp.example", "u-7").map(PrincipalId::Identity).unwrap();
    let used = issuer.introspect(case.case(), id, start).observed(system(), Some(presenter.clone())).unwrap();
    assert_eq!((used.binding, used.event.occurred_at), (UseBinding::Credential(id), start));
    assert_eq!((used.event.act.as_str(), used.event.by), ("token_introspected", Some(presenter)));
    assert_eq!(issuer.introspect(case.case(), id, window.end()).observed(system(), None), None);
    assert_eq!(answer(&case, id, start.saturating_sub(Duration::from_secs(1))), inactive, "not yet valid");
    assert!(
        !support::issuer(KeyAlgorithm::Ed25519, 1)
            .with_max_ttl(seconds(1))
            .introspect(case.case(), unknown, start)
            .is_active()
    );

    end(&mut case);
    assert_eq!(answer(&case, id, start), inactive, "the grant has ended");
    case.intend_revocation(id);
    let outcome = RevocationOutcome::Confirmed { finding: code!("status_list") };
    case.record(Command::Revocation { credential: id, outcome });
    assert_eq!(answer(&case, id, start), inactive, "revoked");
}
