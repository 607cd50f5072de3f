//! PyJWT and the `jose` package of Node.js, which share no code with this workspace, verify our tokens from the published key set,
//! read the status lists, and refuse the bad ones.
//!
//! Needs a Python that has `scripts/python-requirements.txt`, and Node.js with a folder that has the packages of `scripts/node`;
//! `scripts/test` installs both and names them in `JIT_TEST_PYTHON` and `JIT_TEST_NODE`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "tests may panic"
)]

mod support;

use std::{
    collections::BTreeMap,
    env,
    io::Write as _,
    process::{Command, Stdio},
};

use data_encoding::BASE64URL_NOPAD;
use jit_core::{ExternalId, HolderKey, Principal, SubjectPublicKey, Timestamp};
use jit_issuer::{
    CredentialIssuer as _, RevokeAuthorization, RevokeOutcome,
    jwt::{JwtIssuer, KeySchedule, Profile},
    key::{KeyAlgorithm, SigningKey as _},
};
use jit_testkit::{CaseSetup, RecordedCase};
use serde_json::{Value, json};
use support::{ALGORITHMS, AUDIENCE, ISS, issuer, issuer_with, key, seconds, time, token, window};

const PYJWT: &str = r#"
import base64, json, sys, zlib, jwt
work = json.load(sys.stdin)
keys = {key.key_id: key for key in jwt.PyJWKSet.from_dict(work["jwks"]).keys}
ALGORITHMS = ["EdDSA", "ES256", "RS256"]
def read(token, typ, required, **expected):
    header = jwt.get_unverified_header(token)
    if header["kid"] not in keys:
        raise ValueError("other key")
    if header["typ"] != typ:
        raise ValueError("other type")
    return jwt.decode(token, key=keys[header["kid"]], algorithms=ALGORITHMS, options={"require": required}, **expected)
def status(uri, idx):
    claims = read(work["lists"][uri], "statuslist+jwt", ["sub", "iat", "exp"])
    if claims["sub"] != uri or claims["status_list"]["bits"] != 1:
        raise ValueError("other list")
    lst = claims["status_list"]["lst"]
    bits = zlib.decompress(base64.urlsafe_b64decode(lst + "=" * (-len(lst) % 4)))
    return bits[idx // 8] >> (idx % 8) & 1
NAMES = {jwt.ExpiredSignatureError: "expired", jwt.ImmatureSignatureError: "not yet valid", jwt.InvalidSignatureError: "signature",
         jwt.InvalidAlgorithmError: "algorithm", jwt.InvalidAudienceError: "aud", jwt.InvalidIssuerError: "iss"}
def verify(token, typ, audience, issuer):
    try:
        claims = read(token, typ, ["exp", "nbf", "iat", "iss", "aud", "sub", "jti"], audience=audience, issuer=issuer)
        if "status" in claims and status(**claims["status"]["status_list"]):
            raise ValueError("revoked")
        return {"claims": claims}
    except jwt.PyJWTError as error:
        return {"error": NAMES.get(type(error), repr(error))}
    except ValueError as error:
        return {"error": str(error)}
json.dump({name: verify(**given) for name, given in work["tokens"].items()}, sys.stdout)
"#;

const JOSE: &str = r#"
import { readFileSync } from "node:fs";
import { inflateSync } from "node:zlib";
import { base64url, calculateJwkThumbprint, createLocalJWKSet, errors, jwtVerify } from "jose";
const work = JSON.parse(readFileSync(0, "utf8"));
const keys = createLocalJWKSet(work.jwks);
const algorithms = ["EdDSA", "ES256", "RS256"];
const read = (token, expected) => jwtVerify(token, keys, { algorithms, ...expected });
async function status(uri, idx) {
  const { payload } = await read(work.lists[uri], { typ: "statuslist+jwt", subject: uri, requiredClaims: ["iat", "exp"] });
  const bits = inflateSync(base64url.decode(payload.status_list.lst));
  return (bits[idx >> 3] >> (idx & 7)) & 1;
}
function name(error) {
  if (error instanceof errors.JWTExpired) return "expired";
  if (error instanceof errors.JWTClaimValidationFailed)
    return { nbf: "not yet valid", typ: "other type" }[error.claim] ?? error.claim;
  if (error instanceof errors.JWSSignatureVerificationFailed) return "signature";
  if (error instanceof errors.JOSEAlgNotAllowed) return "algorithm";
  if (error instanceof errors.JWKSNoMatchingKey) return "other key";
  return error.message;
}
async function verify({ token, typ, audience, issuer }) {
  try {
    const requiredClaims = ["exp", "nbf", "iat", "iss", "aud", "sub", "jti"];
    const { payload } = await read(token, { typ, audience, issuer, requiredClaims });
    const place = payload.status?.status_list;
    if (place && (await status(place.uri, place.idx))) throw new Error("revoked");
    if (payload.cnf && payload.cnf.jkt !== (await calculateJwkThumbprint(work.holder))) throw new Error("other holder");
    return { claims: payload };
  } catch (error) {
    return { error: name(error) };
  }
}
const answers = {};
for (const [name, given] of Object.entries(work.tokens)) answers[name] = await verify(given);
process.stdout.write(JSON.stringify(answers));
"#;

/// What PyJWT answers.
fn pyjwt(work: &Value) -> Value {
    let python = env::var_os("JIT_TEST_PYTHON").unwrap_or_else(|| "python3".into());
    let mut command = Command::new(&python);
    command.args(["-c", PYJWT]);
    answers(
        command,
        work,
        "PyJWT is needed: run scripts/test, or `pip install -r scripts/python-requirements.txt` for a Python named in JIT_TEST_PYTHON",
    )
}

/// What `jose` answers.
fn jose(work: &Value) -> Value {
    let mut command = Command::new("node");
    if let Some(folder) = env::var_os("JIT_TEST_NODE") {
        command.current_dir(folder);
    }
    // Node.js 18, which Debian has, hides what later ones show.
    command.args(["--experimental-global-webcrypto", "--input-type=module", "-e", JOSE]);
    answers(
        command,
        work,
        "Node.js and jose are needed: run scripts/test, or `apt-get install nodejs npm`, then `npm ci` in a copy of scripts/node that \
         is named in JIT_TEST_NODE",
    )
}

fn answers(mut command: Command, work: &Value, needed: &str) -> Value {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{error}; {needed}"));
    let written = child.stdin.take().unwrap().write_all(work.to_string().as_bytes());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && written.is_ok(), "{needed}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A window so wide that the verifier's clock does not matter.
fn now() -> CaseSetup {
    CaseSetup { window: window("2020-01-01T00:00:00Z", "2100-01-01T00:00:00Z"), ..CaseSetup::default() }
}

fn long(issuer: JwtIssuer) -> JwtIssuer {
    issuer.with_max_ttl(seconds(u32::MAX))
}

fn minted(issuer: &JwtIssuer, setup: CaseSetup) -> String {
    block_on(token(issuer, &mut RecordedCase::approved(setup))).1
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn keys(issuers: &[&JwtIssuer], at: Timestamp) -> Value {
    let mut keys = BTreeMap::new();
    for issuer in issuers {
        let document = serde_json::to_value(issuer.jwks(at)).unwrap();
        for key in document["keys"].as_array().unwrap() {
            keys.insert(key["kid"].to_string(), key.clone());
        }
    }
    json!({"keys": Vec::from_iter(keys.into_values())})
}

fn expect(token: &str, typ: &str) -> Value {
    json!({"token": token, "typ": typ, "audience": AUDIENCE, "issuer": ISS})
}

fn errors(answers: &Value) -> BTreeMap<&str, &str> {
    let refused = answers.as_object().unwrap().iter();
    refused.filter_map(|(name, answer)| Some((name.as_str(), answer["error"].as_str()?))).collect()
}

/// The token with one part changed.
fn with_part(token: &str, n: usize, change: impl FnOnce(Vec<u8>) -> Vec<u8>) -> String {
    let mut parts: Vec<String> = token.split('.').map(str::to_owned).collect();
    let bytes = BASE64URL_NOPAD.decode(parts[n].as_bytes()).unwrap();
    parts[n] = BASE64URL_NOPAD.encode(&change(bytes));
    parts.join(".")
}

#[test]
fn peers_accept_our_tokens_of_every_algorithm_and_profile() {
    let client = ExternalId::new("access-portal").unwrap();
    let workload = || Principal::Workload { spiffe_id: "spiffe://example.org/ns/prod/deployer".parse().unwrap() };
    let mut tokens = BTreeMap::new();
    let mut issuers = Vec::new();
    for algorithm in ALGORITHMS {
        let plain = long(issuer(algorithm, 7));
        tokens.insert(format!("{algorithm:?} plain"), expect(&minted(&plain, now()), "JWT"));
        let access = long(issuer(algorithm, 8)).with_profile(Profile::AccessToken { client: client.clone() }).unwrap();
        tokens.insert(format!("{algorithm:?} access"), expect(&minted(&access, now()), "at+jwt"));
        issuers.extend([plain, access]);
        if let Ok(svid) = long(issuer(algorithm, 9)).with_profile(Profile::JwtSvid) {
            let setup = CaseSetup { requester: workload(), ..now() };
            tokens.insert(format!("{algorithm:?} svid"), expect(&minted(&svid, setup), "JWT"));
            issuers.push(svid);
        }
    }
    let holder = key(KeyAlgorithm::EcdsaP256Sha256, 3);
    let holder_key = Some(HolderKey::PublicKey(SubjectPublicKey::from_der(holder.public_key()).unwrap()));
    tokens.insert("bound".to_owned(), expect(&minted(&issuers[0], CaseSetup { holder_key, ..now() }), "JWT"));
    // The published form of a key is also how its holder shows it.
    let holder = serde_json::to_value(issuer(KeyAlgorithm::EcdsaP256Sha256, 3).jwks(Timestamp::EPOCH)).unwrap();
    let jwks = keys(&Vec::from_iter(&issuers), Timestamp::EPOCH);
    let work = json!({"jwks": jwks, "lists": {}, "tokens": tokens, "holder": holder["keys"][0]});
    assert_eq!(tokens.len(), 9);
    for answers in [pyjwt(&work), jose(&work)] {
        assert_eq!(errors(&answers), BTreeMap::new());
        let sub = |name: &str| answers[name]["claims"]["sub"].as_str().unwrap().to_owned();
        assert_eq!(sub("EcdsaP256Sha256 plain"), "idp.example|u-1042");
        assert_eq!(sub("RsaPkcs1Sha256 svid"), "spiffe://example.org/ns/prod/deployer");
        assert_eq!(answers["Ed25519 access"]["claims"]["client_id"], "access-portal");
        let evidence = &answers["Ed25519 plain"]["claims"]["authorization_details"][0]["evidence"]["digest"];
        assert!(evidence.as_str().unwrap().starts_with("sha256:"), "{evidence}");
        assert!(answers["bound"]["claims"]["cnf"]["jkt"].is_string());
    }
    let work = json!({"jwks": jwks, "lists": {}, "tokens": tokens, "holder": jwks["keys"][0]});
    assert_eq!(errors(&jose(&work)), BTreeMap::from([("bound", "other holder")]));
}

#[test]
fn peers_refuse_bad_tokens() {
    let issuer = long(issuer(KeyAlgorithm::Ed25519, 7));
    let setup = |start, end| CaseSetup { window: window(start, end), ..CaseSetup::default() };
    let good = minted(&issuer, now());
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
    let plain = |token: String| expect(&token, "JWT");
    let other_key = minted(&long(support::issuer(KeyAlgorithm::Ed25519, 8)), now());
    let tokens = BTreeMap::from([
        ("good", plain(good.clone())),
        ("expired", plain(minted(&issuer, setup("2020-01-01T00:00:00Z", "2020-01-01T01:00:00Z")))),
        ("not yet valid", plain(minted(&issuer, setup("2119-01-01T00:00:00Z", "2119-01-01T01:00:00Z")))),
        ("wider scope", plain(with_part(&good, 1, replace("\"read\"", "\"drop\"")))),
        ("other algorithm", plain(with_part(&good, 0, replace("EdDSA", "none")))),
        ("other signature", plain(with_part(&good, 2, flip))),
        ("other key", plain(other_key)),
        ("other type", expect(&good, "at+jwt")),
        ("other audience", json!({"token": good, "typ": "JWT", "audience": "https://else.example.org", "issuer": ISS})),
        (
            "other issuer",
            json!({"token": good, "typ": "JWT", "audience": AUDIENCE, "issuer": "https://else.example.org"}),
        ),
    ]);
    let work = json!({"jwks": keys(&[&issuer], Timestamp::EPOCH), "lists": {}, "tokens": tokens});
    for answers in [pyjwt(&work), jose(&work)] {
        assert_eq!(
            errors(&answers),
            BTreeMap::from([
                ("expired", "expired"),
                ("not yet valid", "not yet valid"),
                ("wider scope", "signature"),
                ("other algorithm", "algorithm"),
                ("other signature", "signature"),
                ("other key", "other key"),
                ("other type", "other type"),
                ("other audience", "aud"),
                ("other issuer", "iss"),
            ])
        );
    }
}

#[test]
fn peers_turn_a_revoked_token_down() {
    let issuers = ALGORITHMS.map(|algorithm| {
        let base = ExternalId::new(format!("https://access.example.org/status/{algorithm:?}")).unwrap();
        long(issuer(algorithm, 7)).with_status_lists(base, seconds(u32::MAX))
    });
    let (mut tokens, mut lists) = (BTreeMap::new(), BTreeMap::new());
    for (issuer, revoke) in issuers.iter().zip([true, true, false]) {
        let mut case = RecordedCase::approved(now());
        let (minted, token) = block_on(token(issuer, &mut case));
        if revoke {
            let intended = case.intend_revocation(minted.descriptor.id);
            let authorization = RevokeAuthorization::recorded(case.case(), &intended).unwrap();
            let outcome = block_on(issuer.revoke(&authorization, &minted.descriptor)).unwrap();
            assert!(matches!(outcome, RevokeOutcome::Listed { .. }));
        }
        let at = time("2020-01-01T00:00:00Z");
        issuer.status_lists().unwrap().followed_to(at);
        let list = block_on(issuer.status_list(0, at)).unwrap().unwrap();
        lists.insert(support::part(&list, 1)["sub"].as_str().unwrap().to_owned(), list);
        tokens.insert(support::part(&token, 0)["alg"].as_str().unwrap().to_owned(), expect(&token, "JWT"));
    }
    let jwks = keys(&issuers.each_ref(), Timestamp::EPOCH);
    let work = json!({"jwks": jwks, "lists": lists, "tokens": tokens});
    for answers in [pyjwt(&work), jose(&work)] {
        assert_eq!(errors(&answers), BTreeMap::from([("EdDSA", "revoked"), ("ES256", "revoked")]));
        assert_eq!(answers["RS256"]["claims"]["sub"], "idp.example|u-1042");
    }
}

#[test]
fn peers_follow_a_rotation_of_keys() {
    let schedule = KeySchedule::new(key(KeyAlgorithm::RsaPkcs1Sha256, 1)).unwrap();
    let next = key(KeyAlgorithm::EcdsaP256Sha256, 2);
    let schedule = schedule.with_next(next, time("2020-06-01T00:00:00Z"), seconds(86_400)).unwrap();
    let issuer = long(issuer_with(schedule));
    let setup = |start| CaseSetup { window: window(start, "2100-01-01T00:00:00Z"), ..CaseSetup::default() };
    let tokens = BTreeMap::from([
        ("before", expect(&minted(&issuer, setup("2020-06-01T23:00:00Z")), "JWT")),
        ("after", expect(&minted(&issuer, setup("2020-06-02T00:00:00Z")), "JWT")),
    ]);
    for (published, refused) in [
        ("2020-05-31T00:00:00Z", BTreeMap::from([("after", "other key")])),
        ("2020-06-01T00:00:00Z", BTreeMap::new()),
        ("2020-06-03T00:00:00Z", BTreeMap::new()),
    ] {
        let work = json!({"jwks": issuer.jwks(time(published)), "lists": {}, "tokens": tokens});
        for answers in [pyjwt(&work), jose(&work)] {
            assert_eq!(errors(&answers), refused, "keys of {published}");
        }
    }
}
