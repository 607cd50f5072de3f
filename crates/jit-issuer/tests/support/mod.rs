//! What the tests of tokens share: an issuer, a token in its holder's hands, and a reader of its parts.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "shared by several test programs, which may panic"
)]

use std::{
    num::NonZeroU32,
    process::Command,
    sync::{Arc, OnceLock},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use data_encoding::BASE64URL_NOPAD;
use jit_core::{
    Agent, AgentBuild, AgentMode, ExternalDigest, ExternalId, Identity, InitiatingEvent, Issuer, IssuerName, ModelName,
    Principal, Recorded, Seconds, SystemName, Timestamp, Version, Window, code,
};
use jit_issuer::{
    CredentialIssuer as _, MintAuthorization, Minted, Minting,
    jwt::{JwtIssuer, KeySchedule},
    key::{KeyAlgorithm, LocalKey},
};
use jit_testkit::{RecordedCase, SeededEntropy};

pub const ISS: &str = "https://access.example.org";
pub const AUDIENCE: &str = "https://orders.example.org";
pub const ALGORITHMS: [KeyAlgorithm; 3] =
    [KeyAlgorithm::Ed25519, KeyAlgorithm::EcdsaP256Sha256, KeyAlgorithm::RsaPkcs1Sha256];

/// As OpenSSL makes it, once a process.
fn rsa_key() -> &'static str {
    static KEY: OnceLock<String> = OnceLock::new();
    KEY.get_or_init(|| {
        let args = ["genpkey", "-quiet", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"];
        let made = Command::new("openssl").args(args).output().expect("openssl is needed: apt-get install openssl");
        String::from_utf8(made.stdout).unwrap()
    })
}

/// A key of this algorithm; RSA keys are all the same.
pub fn key(algorithm: KeyAlgorithm, seed: u8) -> Arc<LocalKey> {
    Arc::new(match algorithm {
        KeyAlgorithm::RsaPkcs1Sha256 => LocalKey::from_pkcs8_pem(rsa_key()).unwrap(),
        _ => LocalKey::generate(algorithm, &SeededEntropy::new(seed.into())).unwrap(),
    })
}

/// An issuer that signs with one key.
pub fn issuer(algorithm: KeyAlgorithm, seed: u8) -> JwtIssuer {
    issuer_with(KeySchedule::new(key(algorithm, seed)).unwrap())
}

pub fn issuer_with(keys: KeySchedule) -> JwtIssuer {
    JwtIssuer::new(
        IssuerName::new("orders-api").unwrap(),
        Issuer::new(ISS).unwrap(),
        ExternalId::new(AUDIENCE).unwrap(),
        keys,
    )
}

pub fn seconds(n: u32) -> Seconds {
    Seconds::new(NonZeroU32::new(n).unwrap())
}

pub fn time(text: &str) -> Timestamp {
    Timestamp::parse_rfc3339(text).unwrap()
}

pub fn window(start: &str, end: &str) -> Window {
    Window::new(time(start), time(end)).unwrap()
}

/// The clock of the machine, for peers that have no other.
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Timestamp::from_micros(since.as_micros().try_into().unwrap()).unwrap()
}

/// An hour that began a minute ago.
pub fn window_now() -> Window {
    let start = now().saturating_sub(Duration::from_secs(60));
    Window::new(start, start.saturating_add(Duration::from_secs(3600))).unwrap()
}

/// Mints and releases, as a broker does.
pub async fn token(issuer: &JwtIssuer, case: &mut RecordedCase) -> (Minted, String) {
    let intended = case.intend(issuer);
    let (minted, _, token) = release(issuer, case, &intended).await;
    (minted, token)
}

/// As [`token`], for an intent on record; with the record of the issuance.
pub async fn release(issuer: &JwtIssuer, case: &mut RecordedCase, intended: &Recorded) -> (Minted, Recorded, String) {
    let authorization = MintAuthorization::new(case.case(), intended).unwrap();
    let Minting::Done(mut minted) = issuer.mint(&authorization).await.unwrap() else { panic!("prepared") };
    let issued = case.issued(&minted.descriptor);
    let secret = minted.secret.take().unwrap().open(&issued).unwrap();
    let token = String::from_utf8(secret.expose().to_vec()).unwrap();
    (minted, issued, token)
}

/// A part of a token: 0 is its header, 1 its claims.
pub fn part(token: &str, n: usize) -> serde_json::Value {
    let part = token.split('.').nth(n).unwrap();
    serde_json::from_slice(&BASE64URL_NOPAD.decode(part.as_bytes()).unwrap()).unwrap()
}

/// An agent that runs in a workload.
pub fn agent(mode: AgentMode) -> Principal {
    let identity = |subject: &str| Identity::new("idp.example", subject).unwrap();
    let build = AgentBuild { version: Version::new("7").unwrap(), model: ModelName::new("m-1").unwrap() };
    let event = InitiatingEvent {
        kind: code!("chat_message"),
        source: SystemName::new("chat").unwrap(),
        id: ExternalId::new("42").unwrap(),
        at: time("2026-11-02T09:59:00Z"),
        digest: ExternalDigest::from_bytes([4; 32]),
    };
    let workload = "spiffe://example.org/agents/helper".parse().unwrap();
    let task = ExternalId::new("T-9").unwrap();
    let agent = Agent::new(identity("a-7"), identity("u-owner"), build, mode, event, task, workload).unwrap();
    Principal::Agent(Box::new(agent))
}
