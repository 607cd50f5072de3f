//! Tokens of every kind, made by PyJWT, by `jose` and step by step with openssl, verify, and give what they say.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "tests may panic"
)]

mod peers;

use std::{fs, process::Command};

use data_encoding::{BASE64URL_NOPAD, HEXLOWER_PERMISSIVE};
use jit_core::{AgentMode, Identity, Issuer, Principal, PrincipalId};
use jit_identity::{KeySet, TokenIssuer};
use peers::{
    AUDIENCE, ISSUER, Made, at, audience, but, id_claims, jose, now, pyjwt, svid_claims, transaction_claims, wanted,
};
use serde_json::{Value, json};

fn identity(issuer: &str, subject: &str) -> Identity {
    Identity::new(issuer, subject).unwrap()
}

fn github() -> Value {
    but(
        &id_claims(),
        &json!({ "sub": "repo:acme/shop:ref:refs/heads/main", "repository": "acme/shop", "repository_id": "74",
            "repository_owner_id": "65", "workflow_ref": "acme/shop/.github/workflows/deploy.yml@refs/heads/main",
            "sha": "6113728f27ae82c7b1a177c8d03f9e96e0adf246", "run_id": "1658821493", "event_name": "push", "actor_id": "12",
            "environment": "prod" }),
    )
}

fn gitlab() -> Value {
    but(
        &id_claims(),
        &json!({ "sub": "project_path:acme/shop:ref_type:branch:ref:main", "project_path": "acme/shop", "project_id": "20",
            "pipeline_id": "574", "job_id": "302", "ref_protected": "true", "user_id": "1", "user_login": "sample" }),
    )
}

fn kubernetes() -> Value {
    but(
        &id_claims(),
        &json!({ "sub": "system:serviceaccount:shop:deployer", "jti": null, "aud": [AUDIENCE], "kubernetes.io": {
            "namespace": "shop", "serviceaccount": { "name": "deployer", "uid": "a087d5a0-e1dd-43ec-93ac-f13d89cd13af" },
            "pod": { "name": "deployer-1", "uid": "31d1bc37-0b8a-4c5e-8b8e-7d0d4b1c8b5f" }, "warnafter": at(3607) } }),
    )
}

/// One of each kind, all signed with P-256, and an id token under each algorithm.
fn every_kind() -> Vec<peers::Wanted> {
    let access = but(&transaction_claims(), &json!({ "client_id": "console", "txn": null, "req_wl": null }));
    let mut all = vec![
        wanted("access", "ES256", "p256", &access).header(json!({ "typ": "application/at+JWT" })),
        wanted("transaction", "ES256", "p256", &transaction_claims()).header(json!({ "typ": "txntoken+jwt" })),
        wanted("svid", "ES256", "svid", &svid_claims()),
        wanted("github", "ES256", "p256", &github()).header(json!({ "x5t": "example" })),
        wanted("gitlab", "ES256", "p256", &gitlab()),
        wanted("kubernetes", "ES256", "p256", &kubernetes()).without("typ"),
    ];
    let by_algorithm = [("ES256", "p256"), ("ES384", "p384"), ("EdDSA", "ed25519"), ("PS256", "rsa")];
    all.extend(by_algorithm.map(|(alg, key)| wanted(alg, alg, key, &id_claims())));
    all
}

fn all_verify(made: &Made) {
    let issuer = made.issuer();
    for (alg, code) in [("ES256", "es256"), ("ES384", "es384"), ("EdDSA", "ed25519"), ("PS256", "ps256")] {
        let verified = issuer.id_token(made.token(alg), None, now()).unwrap();
        assert_eq!(verified.content().principal(), Principal::human(identity(ISSUER, "u-1042")), "{alg}");
        assert_eq!(verified.facts().algorithm.as_str(), code);
        assert_eq!(verified.token().claims.as_str(), id_claims().to_string(), "byte for byte");
        assert!(!format!("{verified:?}").contains("u-1042"));
    }

    let transaction = issuer.transaction_token(made.token("transaction"), now()).unwrap();
    let facts = transaction.facts().transaction.clone().unwrap();
    assert_eq!((facts.txn.as_str(), facts.scope.as_str()), ("txn-97", "orders.refund"));
    assert!(transaction.token().claims.as_str().contains(r#""amount":12.5"#));
    assert_eq!(transaction.content().reference.id.as_str(), "txn-97");
    let access = issuer.access_token(made.token("access"), now()).unwrap();
    assert_eq!(access.content().client.as_str(), "console");
    for (facts, mode, presenter) in [
        (transaction.facts(), transaction.on_behalf_of(), transaction.presenter()),
        (access.facts(), access.on_behalf_of(), access.presenter()),
    ] {
        let bot = identity("https://agents.example", "refund-bot");
        assert_eq!(facts.actors[0], PrincipalId::Identity(bot.clone()));
        assert_eq!(presenter.unwrap().value, bot);
        let AgentMode::OnBehalfOf(delegation) = mode.unwrap().unwrap().value else { panic!() };
        assert_eq!(*delegation.principal(), PrincipalId::Identity(identity(ISSUER, "u-1042")));
        assert_eq!(delegation.through(), [PrincipalId::Identity(identity(ISSUER, "u-2001"))]);
    }

    let svid = made.svids().verify(made.token("svid"), now()).unwrap();
    let spiffe_id = "spiffe://example.org/agents/refund".parse().unwrap();
    assert_eq!(svid.content().principal(), Principal::Workload { spiffe_id });
    assert_eq!(svid.presenter().unwrap().value, identity("spiffe://example.org", "spiffe://example.org/agents/refund"));
    assert_eq!(svid.facts().issued, None);

    let github = issuer.github_actions(made.token("github"), now()).unwrap();
    assert_eq!(github.content().reference.id.as_str(), "74/runs/1658821493");
    assert_eq!(github.content().environment.as_ref().unwrap().as_str(), "prod");
    let service = Principal::Service { identity: identity(ISSUER, "repo:acme/shop:ref:refs/heads/main") };
    assert_eq!(github.content().principal(), service);
    let gitlab = issuer.gitlab_ci(made.token("gitlab"), now()).unwrap();
    assert_eq!(gitlab.content().reference.id.as_str(), "20/jobs/302");
    assert!(gitlab.content().protected && gitlab.content().environment.is_none());
    let kubernetes = issuer.kubernetes(made.token("kubernetes"), now()).unwrap();
    assert_eq!(kubernetes.content().name.as_str(), "deployer");
    assert!(kubernetes.content().pod.is_some());
}

#[test]
fn those_of_pyjwt_verify() {
    all_verify(&pyjwt(&every_kind()));
}

#[test]
fn those_of_jose_verify() {
    all_verify(&jose(&every_kind()));
}

#[test]
fn one_signed_step_by_step_with_openssl_verifies() {
    let folder = tempfile::tempdir().unwrap();
    let openssl = |args: &[&str]| {
        let output = Command::new("openssl").args(args).current_dir(folder.path()).output();
        let output = output.expect("openssl is needed: run scripts/test, or `apt-get install openssl`");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    openssl(&["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:3072", "-out", "key.pem"]);
    let b64 = |bytes: &[u8]| BASE64URL_NOPAD.encode(bytes);
    let header = json!({ "alg": "RS256", "kid": "by-hand", "typ": "JWT" }).to_string();
    let signed = format!("{}.{}", b64(header.as_bytes()), b64(id_claims().to_string().as_bytes()));
    fs::write(folder.path().join("signed"), &signed).unwrap();
    let signature = openssl(&["dgst", "-sha256", "-sign", "key.pem", "signed"]);
    let modulus = String::from_utf8(openssl(&["rsa", "-in", "key.pem", "-noout", "-modulus"])).unwrap();
    let modulus = modulus.trim().strip_prefix("Modulus=").unwrap();
    let n = b64(&HEXLOWER_PERMISSIVE.decode(modulus.as_bytes()).unwrap());
    let jwks = json!({ "keys": [{ "kty": "RSA", "kid": "by-hand", "n": n, "e": "AQAB" }] });

    let keys = KeySet::parse(jwks.to_string().as_bytes()).unwrap();
    let issuer = TokenIssuer::new(Issuer::new(ISSUER).unwrap(), audience(), keys);
    let token = format!("{signed}.{}", b64(&signature));
    let verified = issuer.id_token(&token, None, now()).unwrap();
    assert_eq!(verified.facts().algorithm.as_str(), "rs256");
    fs::write(folder.path().join("token"), &token).unwrap();
    let digest = String::from_utf8(openssl(&["dgst", "-sha256", "-r", "token"])).unwrap();
    assert!(digest.starts_with(verified.facts().digest.to_string().strip_prefix("sha256:").unwrap()));
}

#[test]
fn an_exchanging_service_names_the_people_of_the_identity_provider() {
    let claims = but(&transaction_claims(), &json!({ "iss": null }));
    let made = pyjwt(&[wanted("t", "ES256", "p256", &claims).header(json!({ "typ": "txntoken+jwt" }))]);
    let exchange = TokenIssuer::new(Issuer::new("https://tokens.example").unwrap(), audience(), made.keys())
        .with_subjects_of(Issuer::new(ISSUER).unwrap())
        .with_actors_of(Issuer::new("https://agents.example").unwrap());
    let verified = exchange.transaction_token(made.token("t"), now()).unwrap();
    assert_eq!(verified.facts().issuer.as_str(), "https://tokens.example");
    assert_eq!(verified.facts().subject, PrincipalId::Identity(identity(ISSUER, "u-1042")));
}
