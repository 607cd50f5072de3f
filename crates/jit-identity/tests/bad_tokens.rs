//! Every bad token is refused with an error of its own, and nothing that is not exactly a token verifies.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "tests may panic"
)]

mod peers;

use std::{collections::BTreeSet, fmt::Debug, sync::OnceLock};

use data_encoding::BASE64URL_NOPAD;
use jit_core::MAX_CHAIN;
use jit_identity::{Algorithm, KeySet, MAX_TOKEN_BYTES, Rules, TokenError, Verified};
use peers::{Made, Wanted, at, but, id_claims, now, pyjwt, svid_claims, transaction_claims, wanted};
use proptest::prelude::*;
use serde_json::{Value, json};

/// As what a token is presented.
#[derive(Clone, Copy, Debug)]
enum As {
    Id,
    IdWithNonce,
    Access,
    Transaction,
    Svid,
    Github,
    Gitlab,
    Kubernetes,
}

fn content<T>(verified: Result<Verified<T>, TokenError>) -> Result<(), TokenError> {
    verified.map(drop)
}

fn verify(made: &Made, kind: As, token: &str) -> Result<(), TokenError> {
    let issuer = made.issuer();
    match kind {
        As::Id => content(issuer.id_token(token, None, now())),
        As::IdWithNonce => content(issuer.id_token(token, Some("n-0S6"), now())),
        As::Access => content(issuer.access_token(token, now())),
        As::Transaction => content(issuer.transaction_token(token, now())),
        As::Svid => content(made.svids().verify(token, now())),
        As::Github => content(issuer.github_actions(token, now())),
        As::Gitlab => content(issuer.gitlab_ci(token, now())),
        As::Kubernetes => content(issuer.kubernetes(token, now())),
    }
}

fn seconds(offset: i64) -> jit_core::Timestamp {
    jit_core::Timestamp::from_micros(at(offset) * 1_000_000).unwrap()
}

fn id(changes: &Value) -> Wanted {
    wanted("", "ES256", "p256", &but(&id_claims(), changes))
}

fn raw(payload: &str) -> Wanted {
    Wanted { payload: payload.to_owned(), ..id(&json!({})) }
}

fn transaction(changes: &Value) -> Wanted {
    wanted("", "ES256", "p256", &but(&transaction_claims(), changes)).header(json!({ "typ": "txntoken+jwt" }))
}

fn svid(changes: &Value) -> Wanted {
    wanted("", "ES256", "svid", &but(&svid_claims(), changes))
}

/// So many actors, each acting through the next.
fn actors(count: usize) -> Value {
    (0..count).fold(Value::Null, |inner, n| {
        let act = json!({ "sub": format!("a-{n}") });
        if inner.is_null() { act } else { but(&act, &json!({ "act": inner })) }
    })
}

/// What is presented, as what, and why it is refused.
fn table() -> Vec<(&'static str, As, Wanted, TokenError)> {
    use TokenError as E;
    let twice = id_claims().to_string().replacen('{', "{\"sub\":\"u-1\",", 1);
    let looped = json!({ "sub": "bot", "act": { "sub": "helper", "act": { "sub": "bot" } } });
    let foreign = json!({ "sub": "bot", "iss": "https://evil.example" });
    let elsewhere = json!({ "sub": "spiffe://example.com/a" });
    let to_subject = json!({ "sub": "bot", "act": { "sub": "u-1042" } });
    let expired = |at| E::Expired { at: seconds(at) };
    let mut table = vec![
        // The signature.
        ("none", As::Id, Wanted { alg: "none", ..id(&json!({})) }, E::Unsigned),
        ("shared secret", As::Id, Wanted { alg: "HS256", ..id(&json!({})) }, E::Algorithm),
        ("RS256 with a P-256 key", As::Id, Wanted { alg: "RS256", key: "rsa", ..id(&json!({})) }, E::WrongKey),
        ("unknown key", As::Id, id(&json!({})).header(json!({ "kid": "k-9" })), E::UnknownKey),
        ("no key named", As::Id, id(&json!({})).without("kid"), E::NoKeyId),
        ("signed by a stranger", As::Id, Wanted { key: "stranger", ..id(&json!({})) }, E::Signature),
        ("the key of workloads", As::Id, wanted("", "ES256", "svid", &id_claims()), E::WrongKey),
        ("blank key id", As::Id, id(&json!({})).header(json!({ "kid": "" })), E::Header),
        // The header.
        ("another type", As::Id, id(&json!({})).header(json!({ "typ": "at+jwt" })), E::Type { expected: "JWT" }),
        ("id as transaction", As::Transaction, id(&json!({})), E::Type { expected: "txntoken+jwt" }),
        ("transaction as id", As::Id, transaction(&json!({})), E::Type { expected: "JWT" }),
        (
            "no type",
            As::Transaction,
            transaction(&json!({})).header(json!({ "typ": "" })),
            E::Type { expected: "txntoken+jwt" },
        ),
        ("id as access token", As::Access, id(&json!({})), E::Type { expected: "at+jwt" }),
        ("critical", As::Id, id(&json!({})).header(json!({ "crit": ["exp"], "exp": 1 })), E::Header),
        ("its own key", As::Id, id(&json!({})).header(json!({ "jwk": { "kty": "EC" } })), E::Header),
        ("key elsewhere", As::Id, id(&json!({})).header(json!({ "jku": "https://evil.example" })), E::Header),
        ("certificate", As::Id, id(&json!({})).header(json!({ "x5c": ["AA"] })), E::Header),
        ("nested", As::Id, id(&json!({})).header(json!({ "cty": "JWT" })), E::Nested),
        ("svid with more headers", As::Svid, svid(&json!({})).header(json!({ "x5t": "AA" })), E::Header),
        // Issuer and audience.
        ("no issuer", As::Id, id(&json!({ "iss": null })), E::Missing("iss")),
        ("another issuer", As::Id, id(&json!({ "iss": "https://idp.example/" })), E::Issuer),
        (
            "another issuer's transaction",
            As::Transaction,
            transaction(&json!({ "iss": "https://evil.example" })),
            E::Issuer,
        ),
        ("no audience", As::Id, id(&json!({ "aud": null })), E::Missing("aud")),
        ("another audience", As::Id, id(&json!({ "aud": "access-broker-2" })), E::Audience),
        ("other audiences", As::Id, id(&json!({ "aud": ["a", "b"] })), E::Audience),
        ("no audience in the list", As::Id, id(&json!({ "aud": [] })), E::Audience),
        ("audience that is no text", As::Id, id(&json!({ "aud": [7] })), E::Claim("aud")),
        ("several without a party", As::Id, id(&json!({ "aud": ["access-broker", "b"] })), E::Missing("azp")),
        ("another party", As::Id, id(&json!({ "azp": "b" })), E::Audience),
        // Time.
        ("expired", As::Id, id(&json!({ "exp": at(-31) })), expired(-31)),
        ("expired to the second", As::Id, id(&json!({ "exp": at(-30) })), expired(-30)),
        ("no expiry", As::Id, id(&json!({ "exp": null })), E::Missing("exp")),
        ("expiry as text", As::Id, id(&json!({ "exp": "soon" })), E::Claim("exp")),
        ("expiry with a fraction", As::Id, id(&json!({ "exp": 1.5e9 + 0.5 })), E::Claim("exp")),
        ("expiry beyond time", As::Id, id(&json!({ "exp": i64::MAX })), E::Claim("exp")),
        ("expiry before time", As::Id, id(&json!({ "exp": i64::MIN })), E::Claim("exp")),
        ("expires before it is issued", As::Id, id(&json!({ "exp": at(-20), "iat": at(-15) })), E::Claim("exp")),
        ("not yet valid", As::Id, id(&json!({ "nbf": at(31) })), E::NotYetValid { at: seconds(31) }),
        ("from the future", As::Id, id(&json!({ "iat": at(31) })), E::IssuedInFuture { at: seconds(31) }),
        ("never issued", As::Id, id(&json!({ "iat": null })), E::Missing("iat")),
        ("too old", As::Id, id(&json!({ "iat": at(-3631) })), E::TooOld),
        ("svid without expiry", As::Svid, svid(&json!({ "exp": null })), E::Missing("exp")),
        ("svid that lives too long", As::Svid, svid(&json!({ "exp": at(3631) })), E::TooOld),
        // Content.
        ("a member twice", As::Id, raw(&twice), E::Repeated),
        ("no object", As::Id, raw("[]"), E::Malformed),
        ("no json", As::Id, raw("u-1042"), E::Malformed),
        ("no subject", As::Id, id(&json!({ "sub": null })), E::Missing("sub")),
        ("subject that cannot be kept", As::Id, id(&json!({ "sub": "Alice Example" })), E::Claim("sub")),
        ("a workload as a person", As::Id, id(&json!({ "sub": "spiffe://example.org/a" })), E::Claim("sub")),
        ("actor in an id token", As::Id, id(&json!({ "act": { "sub": "bot" } })), E::Claim("act")),
        ("no nonce", As::IdWithNonce, id(&json!({})), E::Nonce),
        ("another nonce", As::IdWithNonce, id(&json!({ "nonce": "n-0S7" })), E::Nonce),
        ("no transaction", As::Transaction, transaction(&json!({ "txn": null })), E::Missing("txn")),
        ("no scope", As::Transaction, transaction(&json!({ "scope": null })), E::Missing("scope")),
        ("no requesting workload", As::Transaction, transaction(&json!({ "req_wl": null })), E::Missing("req_wl")),
        ("context that is no object", As::Transaction, transaction(&json!({ "tctx": "x" })), E::Claim("tctx")),
        ("chain too deep", As::Transaction, transaction(&json!({ "act": actors(MAX_CHAIN + 1) })), E::ChainTooDeep),
        ("chain that loops", As::Transaction, transaction(&json!({ "act": looped })), E::ChainLoop),
        ("chain back to its subject", As::Transaction, transaction(&json!({ "act": to_subject })), E::ChainLoop),
        ("chain of no objects", As::Transaction, transaction(&json!({ "act": "bot" })), E::Claim("act")),
        ("actor of a foreign issuer", As::Transaction, transaction(&json!({ "act": foreign })), E::NotItsOwn),
        ("actor of a foreign domain", As::Transaction, transaction(&json!({ "act": elsewhere.clone() })), E::NotItsOwn),
        (
            "subject of a foreign domain",
            As::Access,
            transaction(&but(&json!({ "act": null }), &elsewhere)).header(json!({ "typ": "at+jwt" })),
            E::NotItsOwn,
        ),
        ("actor without a name", As::Transaction, transaction(&json!({ "act": { "iss": "x" } })), E::Claim("act")),
        ("another trust domain", As::Svid, svid(&json!({ "sub": "spiffe://example.org.evil/a" })), E::TrustDomain),
        (
            "another kind of svid",
            As::Svid,
            svid(&json!({})).header(json!({ "typ": "wit+jwt" })),
            E::Type { expected: "JWT" },
        ),
        ("svid of no workload", As::Svid, svid(&json!({ "sub": "u-1042" })), E::Claim("sub")),
        (
            "svid with Ed25519",
            As::Svid,
            Wanted { alg: "EdDSA", key: "ed25519", ..svid(&json!({})) }.header(json!({ "kid": "ed25519" })),
            E::WrongKey,
        ),
        ("id token as GitHub's", As::Github, id(&json!({})), E::Missing("repository_id")),
        ("id token as GitLab's", As::Gitlab, id(&json!({})), E::Missing("project_id")),
        ("id token as Kubernetes'", As::Kubernetes, id(&json!({})), E::Missing("kubernetes.io")),
        (
            "another account",
            As::Kubernetes,
            id(&json!({ "sub": "system:serviceaccount:shop:admin", "kubernetes.io":
            { "namespace": "shop", "serviceaccount": { "name": "web", "uid": "1" } } })),
            E::Claim("sub"),
        ),
    ];
    for (n, (name, _, wanted, _)) in table.iter_mut().enumerate() {
        wanted.name = format!("{n} {name}");
    }
    table
}

/// Good tokens, and a table of bad ones, signed once.
fn made() -> &'static Made {
    static MADE: OnceLock<Made> = OnceLock::new();
    MADE.get_or_init(|| {
        let named = |name: &str, wanted: Wanted| Wanted { name: name.to_owned(), ..wanted };
        let mut all: Vec<Wanted> = table().into_iter().map(|(_, _, wanted, _)| wanted).collect();
        all.push(named("id", id(&json!({ "nonce": "n-0S6" }))));
        all.push(named("rsa", Wanted { alg: "RS256", key: "rsa", ..id(&json!({})) }.header(json!({ "kid": "rsa" }))));
        all.push(named(
            "ed25519",
            Wanted { alg: "EdDSA", key: "ed25519", ..id(&json!({})) }.header(json!({ "kid": "ed25519" })),
        ));
        let workload = json!({ "act": { "sub": "spiffe://example.org/agents/refund" } });
        all.push(named("workload", transaction(&workload)));
        all.push(named("deep", transaction(&json!({ "act": actors(MAX_CHAIN) }))));
        all.push(named(
            "edge",
            id(&json!({ "exp": at(-29), "nbf": at(30), "iat": at(-3630), "aud": ["access-broker"] })),
        ));
        pyjwt(&all)
    })
}

fn refused<T: Debug>(name: &str, answer: &Result<T, TokenError>, expected: &TokenError) {
    match answer {
        Ok(_) => panic!("{name}: verified"),
        Err(error) => assert_eq!(error, expected, "{name}"),
    }
}

#[test]
fn each_bad_token_has_its_own_error() {
    let made = made();
    for (_, kind, wanted, expected) in table() {
        refused(&wanted.name, &verify(made, kind, made.token(&wanted.name)), &expected);
    }
}

#[test]
fn what_is_good_to_the_second_verifies() {
    let made = made();
    assert_eq!(verify(made, As::IdWithNonce, made.token("id")), Ok(()));
    assert_eq!(verify(made, As::Id, made.token("edge")), Ok(()));
    assert_eq!(verify(made, As::Transaction, made.token("deep")), Ok(()));
    assert_eq!(verify(made, As::Transaction, made.token("workload")), Ok(()));
}

#[test]
fn what_is_no_compact_token_is_refused_before_anything_is_read() {
    let made = made();
    let good = made.token("id");
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let (header, payload) = signed.split_once('.').unwrap();
    let with = |header: &str| format!("{}.{payload}.{signature}", BASE64URL_NOPAD.encode(header.as_bytes()));
    for (name, token, expected) in [
        ("huge", format!("{good}{}", "A".repeat(MAX_TOKEN_BYTES)), TokenError::TooLarge),
        ("empty", String::new(), TokenError::Malformed),
        ("two parts", signed.to_owned(), TokenError::Malformed),
        ("four parts", format!("{good}.AA"), TokenError::Malformed),
        ("six parts", format!("{good}.AA.AA.AA"), TokenError::Malformed),
        ("encrypted", format!("{good}.AA.AA"), TokenError::Nested),
        ("padded", format!("{good}="), TokenError::Malformed),
        ("white space", format!(" {good}"), TokenError::Malformed),
        ("no signature", format!("{signed}."), TokenError::Signature),
        ("not ascii", format!("{header}.ä.{signature}"), TokenError::Signature),
        ("detached payload", with(r#"{"alg":"ES256","kid":"p256","b64":false}"#), TokenError::Header),
        ("compressed", with(r#"{"alg":"ES256","kid":"p256","zip":"DEF"}"#), TokenError::Header),
        ("encrypted header", with(r#"{"alg":"ES256","enc":"A128GCM"}"#), TokenError::Nested),
        ("header twice", with(r#"{"alg":"none","alg":"ES256","kid":"p256"}"#), TokenError::Repeated),
        ("no algorithm", with(r#"{"kid":"p256"}"#), TokenError::Malformed),
        ("None", with(r#"{"alg":"NoNe"}"#), TokenError::Unsigned),
    ] {
        refused(name, &verify(made, As::Id, &token), &expected);
    }
}

#[test]
fn rules_narrow_what_is_accepted() {
    let made = made();
    let rules = |algorithm| Rules::default().with_algorithms([algorithm]).unwrap();
    let only = |algorithm| made.issuer().with_rules(rules(algorithm)).id_token(made.token("rsa"), None, now());
    refused("another algorithm", &only(Algorithm::Es256), &TokenError::Algorithm);
    // The same key verifies PS256 too, but this signature is not of that kind.
    refused("an algorithm of the key", &only(Algorithm::Ps256), &TokenError::Algorithm);
    only(Algorithm::Rs256).unwrap();
    let strict = Rules::default().with_leeway(std::time::Duration::ZERO).unwrap();
    let answer = made.issuer().with_rules(strict).id_token(made.token("edge"), None, now());
    refused("no leeway", &answer, &TokenError::Expired { at: seconds(-29) });
}

#[test]
fn codes_are_distinct() {
    let errors: Vec<TokenError> = table().into_iter().map(|(.., error)| error).collect();
    let kinds: BTreeSet<String> = errors.iter().map(|e| format!("{:?}", std::mem::discriminant(e))).collect();
    let codes: BTreeSet<String> = errors.iter().map(|e| e.code().to_string()).collect();
    assert_eq!(kinds.len(), codes.len());
}

#[test]
fn every_single_bit_flip_of_a_valid_token_is_refused() {
    let made = made();
    let issuer = made.issuer();
    for name in ["id", "rsa", "ed25519"] {
        let token = made.token(name);
        assert!(issuer.id_token(token, None, now()).is_ok());
        let mut tried = 0;
        for at in 0..token.len() {
            for bit in 0..7 {
                let mut flipped = token.as_bytes().to_vec();
                flipped[at] ^= 1 << bit;
                let flipped = String::from_utf8(flipped).unwrap();
                assert!(issuer.id_token(&flipped, None, now()).is_err(), "{name}, byte {at}, bit {bit}: {flipped}");
                tried += 1;
            }
        }
        assert_eq!(tried, token.len() * 7);
    }
}

#[test]
fn a_key_set_with_a_bit_flipped_still_parses_or_is_refused() {
    let made = made();
    let good = made.jwks.to_string().into_bytes();
    let token = made.token("id");
    let mut refused = 0;
    let issuer = made.issuer();
    for at in 0..good.len() {
        let mut flipped = good.clone();
        flipped[at] ^= 1 << (at % 8);
        match KeySet::parse(&flipped) {
            Err(_) => refused += 1,
            // Where the flip is not in the key of the token, the token verifies; nowhere does anything panic.
            Ok(keys) => drop(issuer.clone().with_keys(keys).id_token(token, None, now())),
        }
    }
    assert!(refused > good.len() / 4, "{refused}");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn nothing_else_verifies_or_panics(
        header in "\\PC{0,60}", payload in "\\PC{0,60}", signature in proptest::collection::vec(any::<u8>(), 0..80),
        alg in prop::sample::select(vec!["ES256", "EdDSA", "RS256", "PS512", "none", "HS256", "x"]),
        kid in prop::sample::select(vec!["p256", "p384", "ed25519", "rsa", "svid", "?"]),
        proper in any::<bool>(), cut in 0usize..200,
    ) {
        let made = made();
        let header = if proper { json!({ "alg": alg, "kid": kid }).to_string() } else { header };
        let b64 = |bytes: &[u8]| BASE64URL_NOPAD.encode(bytes);
        let token = format!("{}.{}.{}", b64(header.as_bytes()), b64(payload.as_bytes()), b64(&signature));
        for kind in [As::Id, As::Access, As::Transaction, As::Svid, As::Github, As::Gitlab, As::Kubernetes] {
            prop_assert!(verify(made, kind, &token).is_err());
            prop_assert!(verify(made, kind, &payload).is_err());
        }
        prop_assert!(KeySet::parse(payload.as_bytes()).is_err());
        let good = made.token("id");
        prop_assert!(verify(made, As::Id, &good[..cut.min(good.len() - 1)]).is_err());
    }
}
