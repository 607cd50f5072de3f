//! Tokens that other people's code made: PyJWT, and the `jose` package of Node.js.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "shared by several test binaries, which may panic"
)]

use std::{
    collections::BTreeMap,
    env,
    io::Write as _,
    process::{Command, Stdio},
};

use jit_core::{ExternalId, Issuer, Timestamp};
use jit_identity::{JwtSvids, KeySet, Rules, TokenIssuer};
use serde::Deserialize;
use serde_json::{Value, json};

pub const ISSUER: &str = "https://idp.example";
pub const AUDIENCE: &str = "access-broker";

pub fn now() -> Timestamp {
    "2026-11-23T09:00:00.000000Z".parse().unwrap()
}

/// So many seconds from now, as tokens write it.
pub fn at(offset: i64) -> i64 {
    now().unix_seconds() + offset
}

/// A token to be made.
#[derive(Clone)]
pub struct Wanted {
    pub name: String,
    pub alg: &'static str,
    pub key: &'static str,
    pub header: Value,
    pub payload: String,
}

/// A token with the header it usually has.
pub fn wanted(name: &str, alg: &'static str, key: &'static str, claims: &Value) -> Wanted {
    let header = json!({ "kid": key, "typ": "JWT" });
    Wanted { name: name.to_owned(), alg, key, header, payload: claims.to_string() }
}

impl Wanted {
    /// Changes members of its header.
    pub fn header(mut self, members: Value) -> Self {
        self.header.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        self
    }

    /// Leaves a member of its header out.
    pub fn without(mut self, member: &str) -> Self {
        self.header.as_object_mut().unwrap().remove(member);
        self
    }
}

/// Claims with some of them changed; `null` takes one away.
pub fn but(claims: &Value, changes: &Value) -> Value {
    let mut claims = claims.as_object().unwrap().clone();
    claims.extend(changes.as_object().unwrap().clone());
    claims.retain(|_, value| !value.is_null());
    Value::Object(claims)
}

/// The claims of an id token.
pub fn id_claims() -> Value {
    json!({ "iss": ISSUER, "sub": "u-1042", "aud": AUDIENCE, "iat": at(-10), "nbf": at(-10), "exp": at(300), "jti": "t-1" })
}

/// The claims of a transaction token with an actor.
pub fn transaction_claims() -> Value {
    let act = json!({ "sub": "refund-bot", "iss": "https://agents.example", "act": { "sub": "u-2001" } });
    let more = json!({ "txn": "txn-97", "scope": "orders.refund", "req_wl": "spiffe://example.org/gateway",
        "tctx": { "order": "42", "amount": 12.5 }, "rctx": { "req_ip": "192.0.2.7" }, "act": act });
    but(&id_claims(), &more)
}

/// The claims of a JWT-SVID.
pub fn svid_claims() -> Value {
    json!({ "sub": "spiffe://example.org/agents/refund", "aud": [AUDIENCE], "exp": at(300) })
}

/// What a maker answers.
#[derive(Deserialize)]
pub struct Made {
    pub jwks: Value,
    pub tokens: BTreeMap<String, String>,
}

impl Made {
    pub fn keys(&self) -> KeySet {
        KeySet::parse(self.jwks.to_string().as_bytes()).unwrap()
    }

    pub fn issuer(&self) -> TokenIssuer {
        TokenIssuer::new(Issuer::new(ISSUER).unwrap(), audience(), self.keys())
            .with_actors_of(Issuer::new("https://agents.example").unwrap())
            .with_workloads_of("example.org".parse().unwrap())
    }

    pub fn svids(&self) -> JwtSvids {
        JwtSvids::new("example.org".parse().unwrap(), audience(), self.keys()).with_rules(Rules::default())
    }

    pub fn token(&self, name: &str) -> &str {
        self.tokens.get(name).unwrap_or_else(|| panic!("no token {name}"))
    }
}

pub fn audience() -> ExternalId {
    ExternalId::new(AUDIENCE).unwrap()
}

pub fn pyjwt(wanted: &[Wanted]) -> Made {
    let mut command = Command::new(env::var_os("JIT_TEST_PYTHON").unwrap_or_else(|| "python3".into()));
    command.args(["-c", include_str!("pyjwt.py")]);
    let needed = "Python with PyJWT and cryptography is needed: run scripts/test, or `python3 -m pip install -r \
                  scripts/python-requirements.txt` in an environment whose interpreter is named in JIT_TEST_PYTHON";
    made(command, wanted, needed)
}

pub fn jose(wanted: &[Wanted]) -> Made {
    let mut command = Command::new("node");
    if let Some(folder) = env::var_os("JIT_TEST_NODE") {
        command.current_dir(folder);
    }
    // Node.js 18, which Debian has, hides what later ones show.
    command.args(["--experimental-global-webcrypto", "--input-type=module", "-e", include_str!("jose.mjs")]);
    let needed = "Node.js and jose are needed: run scripts/test, or `apt-get install nodejs npm`, then `npm ci` in a copy of \
                  scripts/node that is named in JIT_TEST_NODE";
    made(command, wanted, needed)
}

fn made(mut command: Command, wanted: &[Wanted], needed: &str) -> Made {
    let wanted: Vec<Value> = wanted
        .iter()
        .map(|w| json!({ "name": w.name, "alg": w.alg, "key": w.key, "header": w.header, "payload": w.payload }))
        .collect();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{error}; {needed}"));
    let written = child.stdin.take().unwrap().write_all(json!({ "wanted": wanted }).to_string().as_bytes());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && written.is_ok(), "{needed}");
    serde_json::from_slice(&output.stdout).unwrap()
}
