//! That each profile keeps the rules of its standard, and that a token is bound to the key its holder named.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "tests may panic"
)]

mod support;

use std::collections::BTreeSet;

use data_encoding::BASE64URL_NOPAD;
use jit_core::{
    Action, AgentMode, Delegation, ExternalDigest, ExternalId, HolderKey, Identity, Principal, PrincipalId, Scope,
    SubjectPublicKey, code,
};
use jit_issuer::{
    CredentialIssuer as _, MintError, MintPlan, PlanRefused,
    jwt::{JwtIssuer, Profile, ProfileError},
    key::{KeyAlgorithm, SigningKey as _},
};
use jit_testkit::{CaseSetup, RecordedCase};
use serde_json::{Value, json};
use support::{ALGORITHMS, agent, issuer, key, part, token};

fn access_tokens() -> JwtIssuer {
    let client = ExternalId::new("access-portal").unwrap();
    issuer(KeyAlgorithm::RsaPkcs1Sha256, 1).with_profile(Profile::AccessToken { client }).unwrap()
}

fn svids() -> JwtIssuer {
    issuer(KeyAlgorithm::EcdsaP256Sha256, 1).with_profile(Profile::JwtSvid).unwrap()
}

fn names(object: &Value) -> BTreeSet<&str> {
    object.as_object().unwrap().keys().map(String::as_str).collect()
}

#[tokio::test]
async fn each_algorithm_is_named_in_the_header() {
    for (algorithm, alg) in ALGORITHMS.into_iter().zip(["EdDSA", "ES256", "RS256"]) {
        let issuer = issuer(algorithm, 1);
        let (_, token) = token(&issuer, &mut RecordedCase::approved(CaseSetup::default())).await;
        let kid = key(algorithm, 1).public().thumbprint().to_string();
        assert_eq!(part(&token, 0), json!({"alg": alg, "typ": "JWT", "kid": kid}));
    }
}

/// RFC 9068 section 2.
#[tokio::test]
async fn an_access_token_has_its_type_and_its_client() {
    let scope = |actions: &[&str]| {
        let actions = actions.iter().map(|action| Action::new(*action).unwrap());
        Scope::new("database:prod/orders".parse().unwrap(), actions).unwrap()
    };
    let mut case = RecordedCase::approved(CaseSetup { scope: scope(&["read", "write"]), ..CaseSetup::default() });
    let (_, person) = token(&access_tokens(), &mut case).await;
    assert_eq!(part(&person, 0)["typ"], "at+jwt");
    let claims = part(&person, 1);
    assert_eq!((&claims["client_id"], &claims["scope"]), (&json!("access-portal"), &json!("read write")));
    for required in ["iss", "exp", "aud", "sub", "client_id", "iat", "jti"] {
        assert!(names(&claims).contains(required), "{required}");
    }

    let requester = agent(AgentMode::Autonomous);
    let mut case = RecordedCase::approved(CaseSetup { requester, ..CaseSetup::default() });
    assert_eq!(part(&token(&access_tokens(), &mut case).await.1, 1)["client_id"], "idp.example|a-7");
}

/// JWT-SVID specification, sections 2 and 3.
#[tokio::test]
async fn a_jwt_svid_is_a_workloads_and_has_no_more_headers() {
    let spiffe_id = "spiffe://example.org/ns/prod/deployer".parse().unwrap();
    let requester = Principal::Workload { spiffe_id };
    let mut case = RecordedCase::approved(CaseSetup { requester, ..CaseSetup::default() });
    let (_, svid) = token(&svids(), &mut case).await;
    assert_eq!(names(&part(&svid, 0)), BTreeSet::from(["alg", "kid", "typ"]));
    assert_eq!(part(&svid, 0)["typ"], "JWT");
    let claims = part(&svid, 1);
    assert_eq!(claims["sub"], "spiffe://example.org/ns/prod/deployer");
    assert!(names(&claims).is_superset(&BTreeSet::from(["sub", "aud", "exp"])));
    let bundle = serde_json::to_value(svids().spiffe_bundle(support::time("2026-11-02T10:00:00Z"))).unwrap();
    assert_eq!(bundle["keys"][0]["use"], "jwt-svid");
    assert_eq!(bundle["keys"][0]["kid"], part(&svid, 0)["kid"]);

    let mut case = RecordedCase::approved(CaseSetup::default());
    let plan = MintPlan::new(case.case().grant().unwrap(), CaseSetup::default().window);
    let cause = code!("subject_not_workload");
    assert_eq!(svids().preflight(&plan).await, Err(PlanRefused { cause: cause.clone() }));
    let refused = svids().mint(&case.authorize(&svids())).await.unwrap_err();
    assert_eq!(refused, MintError::Refused { cause });
}

#[test]
fn no_jwt_svid_is_signed_with_eddsa() {
    let refused = issuer(KeyAlgorithm::Ed25519, 1).with_profile(Profile::JwtSvid).unwrap_err();
    assert_eq!(refused, ProfileError { algorithm: KeyAlgorithm::Ed25519 });
}

#[tokio::test]
async fn a_token_is_bound_to_the_key_that_its_holder_named() {
    let holder = key(KeyAlgorithm::EcdsaP256Sha256, 9);
    let public_key = HolderKey::PublicKey(SubjectPublicKey::from_der(holder.public_key()).unwrap());
    let certificate = HolderKey::Certificate(ExternalDigest::from_bytes([7; 32]));
    for (holder_key, cnf) in [
        (public_key, json!({"jkt": holder.public().thumbprint().to_string()})),
        (certificate, json!({"x5t#S256": BASE64URL_NOPAD.encode(&[7; 32])})),
    ] {
        let holder_key = Some(holder_key);
        let mut case = RecordedCase::approved(CaseSetup { holder_key: holder_key.clone(), ..CaseSetup::default() });
        let (minted, bound) = token(&access_tokens(), &mut case).await;
        assert_eq!(part(&bound, 1)["cnf"], cnf);
        assert_eq!(case.case().credentials()[&minted.descriptor.id].intended.holder_key, holder_key);
    }
    let mut case = RecordedCase::approved(CaseSetup::default());
    assert!(part(&token(&access_tokens(), &mut case).await.1, 1).get("cnf").is_none());
}

#[tokio::test]
async fn a_key_that_cannot_be_used_is_refused() {
    let unusable = SubjectPublicKey::from_der([0x30, 0x01, 0x00]).unwrap();
    let holder_key = Some(HolderKey::PublicKey(unusable));
    let cause = code!("holder_key_unusable");
    let mut case = RecordedCase::approved(CaseSetup { holder_key: holder_key.clone(), ..CaseSetup::default() });
    let grant = case.case().grant().unwrap();
    let plan = MintPlan::new(grant, CaseSetup::default().window).with_holder_key(holder_key);
    assert_eq!(access_tokens().preflight(&plan).await, Err(PlanRefused { cause: cause.clone() }));
    let refused = access_tokens().mint(&case.authorize(&access_tokens())).await.unwrap_err();
    assert_eq!(refused, MintError::Refused { cause });
}

/// The page of the book shows this token, as it is.
#[tokio::test]
async fn the_documentation_shows_a_real_token() {
    let page = include_str!("../../../docs/issuer-jwt.md");
    let shown: Vec<Value> = page
        .split("```json\n")
        .skip(1)
        .map(|block| serde_json::from_str(block.split("```").next().unwrap()).unwrap_or(Value::Null))
        .collect();
    let principal = PrincipalId::Identity(Identity::new("idp.example", "u-1042").unwrap());
    let requester = agent(AgentMode::OnBehalfOf(Delegation::new(principal, Vec::new()).unwrap()));
    let holder = key(KeyAlgorithm::EcdsaP256Sha256, 9);
    let holder_key = Some(HolderKey::PublicKey(SubjectPublicKey::from_der(holder.public_key()).unwrap()));
    let client = ExternalId::new("access-portal").unwrap();
    let issuer = issuer(KeyAlgorithm::EcdsaP256Sha256, 1)
        .with_profile(Profile::AccessToken { client })
        .unwrap()
        .with_status_lists(ExternalId::new("https://access.example.org/status").unwrap(), support::seconds(300));
    let mut case = RecordedCase::approved(CaseSetup { requester, holder_key, ..CaseSetup::default() });
    let (_, token) = token(&issuer, &mut case).await;
    let raw = |n: usize| BASE64URL_NOPAD.decode(token.split('.').nth(n).unwrap().as_bytes()).unwrap();
    let written = [raw(0), raw(1)].map(|part| String::from_utf8(part).unwrap());
    // Ids and digests are another run's.
    let shape = |mut claims: Value| {
        let grant = &mut claims["authorization_details"][0];
        for id in ["grant_id", "decision_id"] {
            assert_eq!(grant[id].take().as_str().unwrap().len(), 36);
        }
        assert!(grant["evidence"]["digest"].take().as_str().unwrap().starts_with("sha256:"));
        let ids = ["jti", "txn"].map(|id| claims[id].take().as_str().unwrap().to_owned());
        assert!(claims["status"]["status_list"]["idx"].take().is_u64());
        (claims, ids)
    };
    let [header, claims] = <[Value; 2]>::try_from(shown).unwrap();
    let (claims, [jti, txn]) = shape(claims);
    assert_eq!(header, part(&token, 0), "the token is\n{}\n{}", written[0], written[1]);
    assert_eq!(claims, shape(part(&token, 1)).0, "the token is\n{}\n{}", written[0], written[1]);
    assert!(page.contains(&format!("jti={jti} txn={txn}")));
}
