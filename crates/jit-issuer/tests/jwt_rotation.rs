//! That keys follow one another without a moment in which a living token has no published key.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "tests may panic"
)]

mod support;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use jit_core::{Timestamp, Window, code};
use jit_issuer::{
    CredentialIssuer as _, MintError,
    jwt::{JwtIssuer, KeySchedule, ScheduleError},
    key::{KeyAlgorithm, KeyError, SigningError, SigningKey},
};
use jit_testkit::{CaseSetup, RecordedCase};
use proptest::prelude::*;
use serde_json::json;
use support::{issuer_with, key, part, seconds, time, token};

const KIND: KeyAlgorithm = KeyAlgorithm::Ed25519;

fn kid(seed: u8) -> String {
    key(KIND, seed).public().thumbprint().to_string()
}

fn kids(issuer: &JwtIssuer, at: Timestamp) -> Vec<String> {
    let document = serde_json::to_value(issuer.jwks(at)).unwrap();
    document["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_next_key_is_published_before_and_the_last_one_after_its_use() {
    let schedule = KeySchedule::new(key(KIND, 1)).unwrap();
    let schedule = schedule.with_next(key(KIND, 2), time("2026-11-02T10:00:00Z"), seconds(3600)).unwrap();
    let issuer = issuer_with(schedule).with_max_ttl(seconds(600)).with_leeway_s(60);
    let [first, second] = [kid(1), kid(2)];
    for (at, shown) in [
        ("2026-11-02T09:59:59Z", vec![&first]),
        ("2026-11-02T10:00:00Z", vec![&first, &second]),
        ("2026-11-02T10:59:59Z", vec![&first, &second]),
        ("2026-11-02T11:00:00Z", vec![&second, &first]),
        ("2026-11-02T11:11:00Z", vec![&second, &first]),
        ("2026-11-02T11:11:01Z", vec![&second]),
    ] {
        assert_eq!(kids(&issuer, time(at)).iter().collect::<Vec<_>>(), shown, "{at}");
    }
}

#[test]
fn a_schedule_goes_forward_with_new_keys_only() {
    let schedule = || KeySchedule::new(key(KIND, 1)).unwrap();
    let (noon, hour) = (time("2026-11-02T12:00:00Z"), seconds(3600));
    assert!(matches!(schedule().with_next(key(KIND, 1), noon, hour), Err(ScheduleError::Twice(_))));
    let two = schedule().with_next(key(KIND, 2), noon, hour).unwrap();
    let again = two.clone().with_next(key(KIND, 3), noon, hour);
    assert!(matches!(again, Err(ScheduleError::NotLater { from, before }) if from == before));
    two.with_next(key(KIND, 3), noon, seconds(3601)).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whenever a token is signed: its key was published a lead before, and is published until the token is dead.
    #[test]
    fn every_living_token_has_a_published_key(
        gaps in prop::collection::vec((1_u32..5_000, 1_u32..5_000), 1..4),
        signed in 0_u32..20_000,
        fraction in 0_i64..1_000_000,
        max in 1_u32..4_000,
        leeway in 0_u32..600,
    ) {
        let zero = time("2026-11-02T00:00:00Z");
        let after = |s: u32| zero.saturating_add(Duration::from_secs(s.into()));
        let mut schedule = KeySchedule::new(key(KIND, 0)).unwrap();
        let (mut from, mut leads) = (0, vec![0]);
        for ((wait, lead), seed) in gaps.into_iter().zip(1..) {
            schedule = schedule.with_next(key(KIND, seed), after(from + wait), seconds(lead)).unwrap();
            from += wait + lead;
            leads.push(lead);
        }
        let issuer = issuer_with(schedule).with_max_ttl(seconds(max)).with_leeway_s(leeway);
        let start = Timestamp::from_micros(after(signed).as_micros() + fraction).unwrap();
        let window = Window::new(start, start.saturating_add(Duration::from_secs(100_000))).unwrap();
        let mut case = RecordedCase::approved(CaseSetup { window, ..CaseSetup::default() });
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (minted, token) = runtime.block_on(token(&issuer, &mut case));
        let kid = part(&token, 0)["kid"].as_str().unwrap().to_owned();
        let lead = (0_u8..).zip(&leads).find(|(seed, _)| self::kid(*seed) == kid).map(|(_, lead)| *lead).unwrap();
        prop_assert!(kids(&issuer, start.saturating_sub(Duration::from_secs(lead.into()))).contains(&kid));
        let last = minted.descriptor.dies_at().unwrap().saturating_sub(Duration::from_micros(1));
        prop_assert!(kids(&issuer, last).contains(&kid));
    }
}

#[test]
fn the_key_set_says_how_each_key_verifies() {
    let schedule = KeySchedule::new(key(KeyAlgorithm::RsaPkcs1Sha256, 1)).unwrap();
    let schedule = schedule.with_next(key(KeyAlgorithm::EcdsaP256Sha256, 2), Timestamp::EPOCH, seconds(1)).unwrap();
    let document = serde_json::to_value(issuer_with(schedule).jwks(Timestamp::EPOCH)).unwrap();
    let [rsa, ec] = [&document["keys"][0], &document["keys"][1]];
    assert_eq!(
        (&rsa["kty"], &rsa["alg"], &rsa["use"], &rsa["e"]),
        (&json!("RSA"), &json!("RS256"), &json!("sig"), &json!("AQAB"))
    );
    assert_eq!((&ec["kty"], &ec["alg"], &ec["crv"]), (&json!("EC"), &json!("ES256"), &json!("P-256")));
    assert!(ec["x"].is_string() && ec["y"].is_string() && ec.get("n").is_none());
}

/// A key elsewhere that gives no signature, or no good one.
#[derive(Debug)]
struct Elsewhere(Arc<dyn SigningKey>, Result<Vec<u8>, SigningError>);

#[async_trait]
impl SigningKey for Elsewhere {
    fn algorithm(&self) -> KeyAlgorithm {
        self.0.algorithm()
    }
    fn public_key(&self) -> &[u8] {
        self.0.public_key()
    }
    async fn sign(&self, _: &[u8]) -> Result<Vec<u8>, SigningError> {
        self.1.clone()
    }
}

#[tokio::test]
async fn a_key_that_does_not_sign_mints_nothing() {
    for (answer, cause) in [
        (Err(SigningError::Unavailable { cause: code!("key_service_down") }), code!("key_service_down")),
        (Ok(vec![0; 63]), code!("signature_malformed")),
    ] {
        let issuer = issuer_with(KeySchedule::new(Arc::new(Elsewhere(key(KIND, 1), answer))).unwrap());
        let mut case = RecordedCase::approved(CaseSetup::default());
        let failed = issuer.mint(&case.authorize(&issuer)).await.unwrap_err();
        assert_eq!(failed, MintError::Failed { cause });
    }
}

/// A key whose two halves do not belong together.
#[derive(Debug)]
struct Confused(Arc<dyn SigningKey>);

#[async_trait]
impl SigningKey for Confused {
    fn algorithm(&self) -> KeyAlgorithm {
        KeyAlgorithm::RsaPkcs1Sha256
    }
    fn public_key(&self) -> &[u8] {
        self.0.public_key()
    }
    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SigningError> {
        self.0.sign(message).await
    }
}

#[test]
fn a_key_of_two_algorithms_is_refused() {
    let refused = KeySchedule::new(Arc::new(Confused(key(KIND, 1)))).unwrap_err();
    assert!(matches!(refused, KeyError::OtherAlgorithm(KeyAlgorithm::RsaPkcs1Sha256)));
}
