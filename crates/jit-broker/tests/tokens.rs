//! Tokens in a broker's hands: bound to the key named at the claim, taken back by status list, and found again from a log line.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs, reason = "tests may panic")]

mod support;

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use data_encoding::BASE64URL_NOPAD;
use jit_broker::BrokerError;
use jit_core::*;
use jit_issuer::{
    CredentialIssuer as _,
    jwt::{JwtIssuer, KeySchedule},
    key::{KeyAlgorithm, LocalKey, SigningKey as _},
};
use jit_store::Cursor;
use jit_testkit::{MemoryTarget, SeededEntropy};
use support::*;

const TTL: u32 = 120;

fn es256() -> Arc<LocalKey> {
    Arc::new(LocalKey::generate(KeyAlgorithm::EcdsaP256Sha256, &SeededEntropy::new(9)).unwrap())
}

fn with_lists() -> Arc<JwtIssuer> {
    let name = IssuerName::new("orders-api").unwrap();
    let iss = Issuer::new("https://access.example.org").unwrap();
    let audience = ExternalId::new("https://orders.example.org").unwrap();
    let issuer = JwtIssuer::new(name, iss, audience, KeySchedule::new(es256()).unwrap()).with_leeway_s(0);
    let base = ExternalId::new("https://access.example.org/status").unwrap();
    Arc::new(issuer.with_status_lists(base, Seconds::new(NonZeroU32::new(TTL).unwrap())))
}

fn claims(token: &[u8]) -> serde_json::Value {
    let part = token.split(|byte| *byte == b'.').nth(1).unwrap();
    serde_json::from_slice(&BASE64URL_NOPAD.decode(part).unwrap()).unwrap()
}

fn holder() -> HolderKey {
    HolderKey::PublicKey(SubjectPublicKey::from_der(es256().public_key()).unwrap())
}

#[tokio::test]
async fn a_token_is_bound_to_the_key_named_when_it_was_claimed_and_leads_back_to_its_case() {
    let world = World::new().await;
    let case = world.approved("k", request("alice", "database:prod/orders", "read")).await;
    let alice = person("alice").id();
    let issued = world.broker.issue_bound(&key("i"), case, &alice, world.issuer_name(), &holder()).await.unwrap();
    let claims = claims(issued.secret.unwrap().expose());
    assert_eq!(claims["cnf"]["jkt"], es256().public().thumbprint().to_string());

    for (family, claim) in [(LookupFamily::Credential, "jti"), (LookupFamily::Grant, "txn")] {
        let lookup = Lookup::new(family, claims[claim].as_str().unwrap());
        let found = world.broker.log().find(&lookup, 0, 100).await.unwrap();
        assert_eq!(found[0].record().header().refs.request, Some(case), "{claim}");
    }
    let records = world.broker.log().stream(&StreamId::Case(case)).await.unwrap();
    let intended = records.iter().find_map(|record| match record.record().event() {
        Ok(Event::CredentialIntended(intended)) => Some(intended),
        _ => None,
    });
    assert_eq!(intended.unwrap().holder_key, Some(holder()));
    let digest = &claims["authorization_details"][0]["evidence"]["digest"];
    assert!(records.iter().any(|record| *digest == record.record().leaf().to_string()));
    world.assert_invariants().await;
}

#[tokio::test]
async fn who_cannot_bind_is_not_asked_to_mint() {
    let world = World::with_issuer(Arc::new(MemoryTarget::new())).await;
    let case = world.approved("k", request("alice", "database:prod/orders", "read")).await;
    let alice = person("alice").id();
    let refused = world.broker.issue_bound(&key("i"), case, &alice, world.issuer_name(), &holder()).await;
    assert!(matches!(refused, Err(BrokerError::NotMintable { .. })), "{refused:?}");
    assert!(!world.kinds(case).await.contains(&"credential.intended".to_owned()));
}

#[tokio::test]
async fn a_revoked_token_is_dead_once_no_older_list_is_valid_and_not_before() {
    let issuer = with_lists();
    let world = World::with_issuer(issuer.clone()).await;
    let case = world.approved("k", request("alice", "database:prod/orders", "read")).await;
    let issued = world.issue(case, &person("alice").id()).await.unwrap();
    let id = issued.descriptor.id;
    let list = || async { issuer.status_lists().unwrap().with_revoked() };
    assert!(list().await.is_empty());
    assert!(issuer.introspect(&world.broker.case(case).await.unwrap(), id, start()).is_active());

    world.broker.revoke(&key("e"), case, person("bob").id(), code!("incident"), None).await.unwrap();
    assert_eq!(list().await, [0]);
    assert!(!issuer.introspect(&world.broker.case(case).await.unwrap(), id, start()).is_active());
    let last = |kinds: Vec<String>| kinds.last().cloned().unwrap();
    assert_eq!(last(world.kinds(case).await), "revocation.unknown");
    let honoured = Duration::from_secs(u64::from(TTL) * 2);
    world.clock.advance(honoured - Duration::from_secs(1));
    world.broker.sweep().await.unwrap();
    assert_eq!(last(world.kinds(case).await), "revocation.unknown");
    assert!(!world.broker.case(case).await.unwrap().is_closed());

    world.clock.advance(Duration::from_secs(1));
    world.broker.sweep().await.unwrap();
    let kinds = world.kinds(case).await;
    assert!(kinds.ends_with(&["revocation.reconciled".to_owned(), "case.closed".to_owned()]), "{kinds:?}");
    assert!(!world.broker.case(case).await.unwrap().credentials()[&id].may_live());
    world.assert_invariants().await;

    let elsewhere = with_lists();
    let mut after = Cursor::default();
    loop {
        let changes = world.broker.log().changes(after, 10).await.unwrap();
        for record in &changes.records {
            elsewhere.status_lists().unwrap().apply(record.record()).unwrap();
        }
        if changes.records.is_empty() {
            break;
        }
        after = changes.next;
    }
    assert_eq!(elsewhere.status_lists().unwrap().with_revoked(), [0], "another process knows the same from the log");
    assert_eq!(elsewhere.capabilities(), issuer.capabilities());
}
