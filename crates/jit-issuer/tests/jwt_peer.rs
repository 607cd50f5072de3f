//! PyJWT, which shares no code with this workspace, verifies our tokens from the published key set, and refuses the bad ones.
//!
//! Needs a Python that has `scripts/python-requirements.txt`; `scripts/test` installs one and names it in `JIT_TEST_PYTHON`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "tests may panic"
)]

use std::{
    collections::BTreeMap,
    env,
    io::Write as _,
    num::NonZeroU32,
    process::{Command, Stdio},
};

use data_encoding::BASE64URL_NOPAD;
use jit_core::{ExternalId, Issuer, IssuerName, Seconds, Timestamp, Window};
use jit_issuer::{
    CredentialIssuer, Minting,
    jwt::{JwtIssuer, JwtKey},
};
use jit_testkit::{CaseSetup, RecordedCase};
use serde_json::{Value, json};

const ISS: &str = "https://access.example.org";
const AUDIENCE: &str = "https://orders.example.org";

/// Verifies each token as a resource server would, and answers its claims or the name of the error.
const VERIFIER: &str = r#"
import json, sys, jwt
work = json.load(sys.stdin)
keys = {key.key_id: key for key in jwt.PyJWKSet.from_dict(work["jwks"]).keys}
def verify(token, audience, issuer):
    try:
        kid = jwt.get_unverified_header(token)["kid"]
        if kid not in keys:
            return {"error": "UnknownKey"}
        return {"claims": jwt.decode(token, key=keys[kid], algorithms=["EdDSA"], audience=audience, issuer=issuer,
                                     options={"require": ["exp", "nbf", "iat", "iss", "aud", "sub", "jti"]})}
    except jwt.PyJWTError as error:
        return {"error": type(error).__name__}
json.dump({name: verify(**given) for name, given in work["tokens"].items()}, sys.stdout)
"#;

fn verify(issuer: &JwtIssuer, tokens: &BTreeMap<&str, Value>) -> Value {
    let python = env::var_os("JIT_TEST_PYTHON").unwrap_or_else(|| "python3".into());
    let mut child = Command::new(&python)
        .args(["-c", VERIFIER])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("{python:?}: {e}; install Python 3, or name one in JIT_TEST_PYTHON"));
    let work = json!({"jwks": issuer.jwks(), "tokens": tokens}).to_string();
    let written = child.stdin.take().unwrap().write_all(work.as_bytes());
    let output = child.wait_with_output().unwrap();
    assert!(
        output.status.success() && written.is_ok(),
        "{python:?} cannot run PyJWT; run scripts/test, or `pip install -r scripts/python-requirements.txt` for a Python \
         named in JIT_TEST_PYTHON"
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

fn issuer(seed: u8) -> JwtIssuer {
    JwtIssuer::new(
        IssuerName::new("orders-api").unwrap(),
        Issuer::new(ISS).unwrap(),
        ExternalId::new(AUDIENCE).unwrap(),
        JwtKey::from_seed([seed; 32]),
    )
    .with_max_ttl(Seconds::new(NonZeroU32::MAX))
}

/// Windows lie so far apart that the verifier's clock does not matter.
fn token(issuer: &JwtIssuer, start: &str, end: &str) -> String {
    let time = |text: &str| Timestamp::parse_rfc3339(text).unwrap();
    let window = Window::new(time(start), time(end)).unwrap();
    let mut case = RecordedCase::approved(CaseSetup { window, ..CaseSetup::default() });
    let authorization = case.authorize(issuer);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let Minting::Done(minted) = runtime.block_on(issuer.mint(&authorization)).unwrap() else { panic!("prepared") };
    let issued = case.issued(&minted.descriptor);
    let secret = minted.secret.unwrap().open(&issued).unwrap();
    String::from_utf8(secret.expose().to_vec()).unwrap()
}

/// The token with one part changed.
fn with_part(token: &str, n: usize, change: impl FnOnce(Vec<u8>) -> Vec<u8>) -> String {
    let mut parts: Vec<String> = token.split('.').map(str::to_owned).collect();
    let bytes = BASE64URL_NOPAD.decode(parts[n].as_bytes()).unwrap();
    parts[n] = BASE64URL_NOPAD.encode(&change(bytes));
    parts.join(".")
}

#[test]
fn pyjwt_accepts_our_tokens_and_refuses_bad_ones() {
    let issuer = issuer(7);
    let good = token(&issuer, "2020-01-01T00:00:00Z", "2120-01-01T00:00:00Z");
    let replace = |from: &'static str, to: &'static str| {
        move |bytes: Vec<u8>| {
            let text = String::from_utf8(bytes).unwrap();
            assert!(text.contains(from), "{text}");
            text.replace(from, to).into_bytes()
        }
    };
    let flip = |mut bytes: Vec<u8>| {
        bytes[0] ^= 1;
        bytes
    };
    let expect = |token: String| json!({"token": token, "audience": AUDIENCE, "issuer": ISS});
    let tokens = BTreeMap::from([
        ("good", expect(good.clone())),
        ("expired", expect(token(&issuer, "2020-01-01T00:00:00Z", "2020-01-01T01:00:00Z"))),
        ("not yet valid", expect(token(&issuer, "2110-01-01T00:00:00Z", "2120-01-01T00:00:00Z"))),
        ("wider scope", expect(with_part(&good, 1, replace("\"read\"", "\"drop\"")))),
        ("other algorithm", expect(with_part(&good, 0, replace("EdDSA", "none")))),
        ("other signature", expect(with_part(&good, 2, flip))),
        ("other key", expect(token(&self::issuer(8), "2020-01-01T00:00:00Z", "2120-01-01T00:00:00Z"))),
        ("other audience", json!({"token": good, "audience": "https://else.example.org", "issuer": ISS})),
        ("other issuer", json!({"token": good, "audience": AUDIENCE, "issuer": "https://else.example.org"})),
    ]);
    let answers = verify(&issuer, &tokens);
    let errors: BTreeMap<&str, &str> = answers
        .as_object()
        .unwrap()
        .iter()
        .filter_map(|(name, answer)| Some((name.as_str(), answer["error"].as_str()?)))
        .collect();
    assert_eq!(
        errors,
        BTreeMap::from([
            ("expired", "ExpiredSignatureError"),
            ("not yet valid", "ImmatureSignatureError"),
            ("wider scope", "InvalidSignatureError"),
            ("other algorithm", "InvalidAlgorithmError"),
            ("other signature", "InvalidSignatureError"),
            ("other key", "UnknownKey"),
            ("other audience", "InvalidAudienceError"),
            ("other issuer", "InvalidIssuerError"),
        ])
    );
    let claims = &answers["good"]["claims"];
    assert_eq!(claims["sub"], "idp.example|u-1042");
    let evidence = claims["authorization_details"][0]["evidence"]["digest"].as_str().unwrap();
    assert!(evidence.starts_with("sha256:"), "{evidence}");
}
