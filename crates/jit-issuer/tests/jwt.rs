//! What a token says, that it never outlives its grant, and what its issuer admits it cannot do.
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

use jit_core::{
    AgentMode, Code, Condition, Delegation, Enforcement, ExternalDigest, Identity, PrincipalId, RuleId, Timestamp,
    Window, canonical::Value, code,
};
use jit_issuer::{
    CredentialIssuer, MintAuthorization, MintError, MintPlan, Minting, ObserveError, Observed, PlanRefused,
    ReconcileQuery, RevokeAuthorization, RevokeError, RevokeOutcome,
    jwt::{JwtIssuer, KeySchedule},
    key::LocalKey,
};
use jit_testkit::{Canary, CaseSetup, MemoryTarget, RecordedCase};
use proptest::prelude::*;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use support::{agent, issuer_with, part, release, seconds, time, token};

const SEED: [u8; 32] = *b"a seed that must be seen nowhere";

fn issuer() -> JwtIssuer {
    issuer_with(keys())
}

fn keys() -> KeySchedule {
    KeySchedule::new(Arc::new(LocalKey::from_ed25519_seed(SEED))).unwrap()
}

#[tokio::test]
async fn a_token_says_who_what_when_and_where_the_evidence_is() {
    let issuer = issuer();
    let start = time("2026-11-02T10:00:00.000001Z");
    let window = Window::new(start, time("2026-11-02T10:30:00.999999Z")).unwrap();
    let mut case = RecordedCase::approved(CaseSetup { window, ..CaseSetup::default() });
    let (minted, token) = token(&issuer, &mut case).await;
    let id = minted.descriptor.id;
    let decision = case.case().decisions().last().unwrap().id;
    let leaf = case.case().credentials()[&id].intended_leaf;
    let grant = case.case().grant_id();
    assert_eq!(
        part(&token, 1),
        json!({
            "iss": "https://access.example.org",
            "aud": "https://orders.example.org",
            "sub": "idp.example|u-1042",
            "iat": 1_793_613_601, "nbf": 1_793_613_601, "exp": 1_793_615_400,
            "jti": id, "txn": grant,
            "authorization_details": [{
                "type": "https://access.example.org/grant/v1",
                "grant_id": grant, "decision_id": decision,
                "actions": ["read"], "resource": "database:prod/orders",
                "evidence": {"alg": "sha-256", "digest": leaf.to_string(), "log": "log.example/test"},
            }],
        })
    );
    assert!(leaf.to_string().starts_with("sha256:"));
    let jwks = serde_json::to_value(issuer.jwks(Timestamp::EPOCH)).unwrap();
    assert_eq!(part(&token, 0), json!({"alg": "EdDSA", "typ": "JWT", "kid": jwks["keys"][0]["kid"]}));

    assert_eq!(minted.descriptor.window, window.whole_seconds().unwrap());
    assert_eq!(minted.descriptor.serial.as_str(), id.to_string());
    assert_eq!(minted.descriptor.fingerprint, ExternalDigest::from_bytes(Sha256::digest(&token).into()));
    assert_eq!(minted.descriptor.capabilities, issuer.capabilities());
}

#[tokio::test]
async fn a_token_for_an_agent_names_everyone_it_acts_for() {
    let person = |subject: &str| PrincipalId::Identity(Identity::new("idp.example", subject).unwrap());
    let delegation = Delegation::new(person("u-1"), vec![person("a-planner")]).unwrap();
    let requester = agent(AgentMode::OnBehalfOf(delegation));
    let mut case = RecordedCase::approved(CaseSetup { requester, ..CaseSetup::default() });
    let (minted, token) = token(&issuer(), &mut case).await;
    let claims = part(&token, 1);
    assert_eq!(claims["sub"], "spiffe://example.org/agents/helper");
    assert_eq!(minted.descriptor.subject.to_string(), claims["sub"]);
    assert_eq!(
        claims["act"],
        json!({"sub": "idp.example|a-7", "act": {"sub": "idp.example|a-planner", "act": {"sub": "idp.example|u-1"}}})
    );

    let requester = agent(AgentMode::Autonomous);
    let mut case = RecordedCase::approved(CaseSetup { requester, ..CaseSetup::default() });
    assert!(part(&support::token(&issuer(), &mut case).await.1, 1).get("act").is_none());
}

#[tokio::test]
async fn a_token_carries_the_conditions_its_target_has_to_enforce() {
    let condition = |id: &str, enforcement| Condition {
        id: Code::new(id).unwrap(),
        value: Value::from(id == "target_side"),
        enforcement,
    };
    let conditions = vec![
        condition("advice", Enforcement::Advisory),
        condition("broker_side", Enforcement::Broker),
        condition("issuer_side", Enforcement::Issuer),
        condition("target_side", Enforcement::Target),
    ];
    let mut case = RecordedCase::approved(CaseSetup { conditions, ..CaseSetup::default() });
    let claims = part(&token(&issuer(), &mut case).await.1, 1);
    assert_eq!(
        claims["authorization_details"][0]["conditions"],
        json!([{"id": "issuer_side", "value": false}, {"id": "target_side", "value": true}])
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the window, the issuer's limit and the end of the key: a token works within all of them, to the second.
    #[test]
    fn a_token_never_outlives_its_grant(
        start in 0_i64..4_000_000_000_000_000,
        length in 1_i64..20_000_000_000,
        max in 1_u32..20_000,
        key_end in proptest::option::of(-5_000_000_i64..20_000_000_000),
    ) {
        let at = |micros| Timestamp::from_micros(micros).unwrap();
        let window = Window::new(at(start), at(start + length)).unwrap();
        let mut keys = keys();
        let key_end = key_end.map(|end| at((start + end).max(0)));
        if let Some(end) = key_end {
            keys = keys.with_end(end);
        }
        let issuer = issuer_with(keys).with_max_ttl(seconds(max));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut case = RecordedCase::approved(CaseSetup { window, ..CaseSetup::default() });
        let Ok(intended) = case.try_intend(&issuer) else {
            let shortest = window.end().min(key_end.unwrap_or(Timestamp::MAX));
            prop_assert!(shortest <= window.start() || shortest.since(window.start()) < Duration::from_secs(2));
            return Ok(());
        };
        let (minted, _, token) = runtime.block_on(release(&issuer, &mut case, &intended));
        let claims = part(&token, 1);
        let claim = |name: &str| at(claims[name].as_i64().unwrap() * 1_000_000);
        prop_assert!(claim("nbf") >= window.start() && claim("iat") >= window.start());
        prop_assert!(claim("exp") <= window.end());
        prop_assert!(claim("exp") > claim("nbf"));
        prop_assert!(claim("exp").since(claim("nbf")) <= Duration::from_secs(max.into()));
        prop_assert!(key_end.is_none_or(|end| claim("exp") <= end));
        prop_assert_eq!(minted.descriptor.window, Window::new(claim("nbf"), claim("exp")).unwrap());
        prop_assert_eq!(issuer.fit(minted.descriptor.window), Some(minted.descriptor.window));
    }
}

#[tokio::test]
async fn what_cannot_be_expressed_is_refused_before_anything_is_intended() {
    let start = time("2026-11-02T10:00:00.000001Z");
    let window = Window::new(start, time("2026-11-02T10:00:01.999999Z")).unwrap();
    assert_eq!(issuer().fit(window), None);
    let case = RecordedCase::approved(CaseSetup { window, ..CaseSetup::default() });
    let plan = MintPlan::new(case.case().grant().unwrap(), window);
    let refused = issuer().preflight(&plan).await.unwrap_err();
    assert_eq!(refused, PlanRefused { cause: code!("window_not_expressible") });
    let hour = CaseSetup::default().window;
    let plan = MintPlan::new(case.case().grant().unwrap(), hour);
    issuer().preflight(&plan).await.unwrap();
}

#[tokio::test]
async fn a_rule_cannot_hold_a_token() {
    let recipient = Some(PrincipalId::Rule(RuleId::new("on-call").unwrap()));
    let mut case = RecordedCase::approved(CaseSetup { recipient, ..CaseSetup::default() });
    let plan = MintPlan::new(case.case().grant().unwrap(), CaseSetup::default().window);
    assert_eq!(issuer().preflight(&plan).await.unwrap_err(), PlanRefused { cause: code!("subject_cannot_hold") });
    let refused = issuer().mint(&case.authorize(&issuer())).await.unwrap_err();
    assert_eq!(refused, MintError::Refused { cause: code!("subject_cannot_hold") });
}

#[tokio::test]
async fn an_authorization_for_another_issuer_mints_nothing() {
    let refusal = MintError::Refused { cause: code!("other_issuer_intended") };
    let mut case = RecordedCase::approved(CaseSetup::default());
    let elsewhere = case.authorize(&MemoryTarget::new());
    assert_eq!(issuer().mint(&elsewhere).await.unwrap_err(), refusal);
    let mut case = RecordedCase::approved(CaseSetup::default());
    let before_a_change = case.authorize(&issuer().with_leeway_s(5));
    assert_eq!(issuer().mint(&before_a_change).await.unwrap_err(), refusal);
}

#[tokio::test]
async fn minting_twice_gives_one_token() {
    let mut case = RecordedCase::approved(CaseSetup::default());
    let authorization = case.authorize(&issuer());
    let fingerprint = async |authorization: &MintAuthorization| {
        let Minting::Done(minted) = issuer().mint(authorization).await.unwrap() else { panic!("prepared") };
        minted.descriptor.fingerprint
    };
    assert_eq!(fingerprint(&authorization).await, fingerprint(&authorization).await);
}

#[tokio::test]
async fn a_token_is_not_taken_back_and_its_issuer_says_until_when_it_lives() {
    let issuer = issuer().with_leeway_s(30);
    let capabilities = issuer.capabilities();
    assert!(!capabilities.can_revoke && !capabilities.can_confirm && capabilities.native_expiry);
    let mut case = RecordedCase::approved(CaseSetup::default());
    let (minted, _) = token(&issuer, &mut case).await;
    let descriptor = minted.descriptor;
    let intended = case.intend_revocation(descriptor.id);
    let authorization = RevokeAuthorization::recorded(case.case(), &intended).unwrap();
    let until = Some(descriptor.window.end().saturating_add(Duration::from_secs(30)));
    for _ in 0..2 {
        assert_eq!(issuer.revoke(&authorization, &descriptor).await.unwrap(), RevokeOutcome::CannotRevoke { until });
    }
    let mut other = RecordedCase::approved(CaseSetup { seed: 2, ..CaseSetup::default() });
    let (other, _) = token(&issuer, &mut other).await;
    let refused = issuer.revoke(&authorization, &other.descriptor).await.unwrap_err();
    assert_eq!(refused, RevokeError::Refused { cause: code!("other_credential") });
}

#[tokio::test]
async fn a_token_that_was_never_released_never_existed() {
    let issuer = issuer();
    let mut case = RecordedCase::approved(CaseSetup::default());
    let authorization = case.authorize(&issuer);
    let intended = case.case().credentials()[&authorization.credential()].intended.clone();
    let query = ReconcileQuery::new(authorization.credential(), intended);
    assert_eq!(issuer.reconcile(&query).await, Ok(Observed::NeverExisted));
    assert_eq!(issuer.list(Timestamp::EPOCH, None).await, Err(ObserveError::Unsupported));
}

#[tokio::test]
async fn nothing_is_prepared() {
    let issuer = issuer();
    let target = MemoryTarget::new().preparing();
    let mut case = RecordedCase::approved(CaseSetup::default());
    let Minting::Prepared(prepared) = target.mint(&case.authorize(&target)).await.unwrap() else { panic!("done") };
    let recorded = case.prepared(prepared.descriptor());
    let refused = issuer.commit(prepared, &recorded).await.unwrap_err();
    assert_eq!(refused, MintError::Refused { cause: code!("never_prepares") });
}

#[tokio::test]
async fn neither_key_nor_token_shows() {
    let key = Canary::new(&SEED);
    let issuer = issuer();
    key.assert_absent("Debug of JwtIssuer", format!("{issuer:?}"));
    key.assert_absent("the JWKS", serde_json::to_vec(&issuer.jwks(Timestamp::EPOCH)).unwrap());
    let mut case = RecordedCase::approved(CaseSetup::default());
    let authorization = case.authorize(&issuer);
    let Minting::Done(minted) = issuer.mint(&authorization).await.unwrap() else { panic!("prepared") };
    let debug = format!("{minted:?}");
    let issued = case.issued(&minted.descriptor);
    let secret = minted.secret.unwrap().open(&issued).unwrap();
    let token = Canary::new(secret.expose());
    token.assert_absent("Debug of Minted", debug);
    token.assert_absent("Debug of Secret", format!("{secret:?}"));
    token.assert_absent("Debug of the case", format!("{:?}", case.case()));
    key.assert_absent("the token", secret.expose());
}
