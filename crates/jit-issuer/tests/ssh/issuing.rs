//! Issuers for tests, and what they hand over.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use jit_core::{
    Action, Code, Condition, CredentialDescriptor, Enforcement, IssuerName, Scope, Timestamp, Window, canonical::Value,
};
use jit_issuer::{
    CredentialIssuer, MintAuthorization, Minting,
    key::{KeyAlgorithm, LocalKey, SigningKey},
    ssh::{Login, Logins, SshIssuer},
};
use jit_testkit::{CaseSetup, RecordedCase, SeededEntropy};

/// Whoever runs the tests: the only account that an unprivileged sshd can log in to.
pub(crate) fn me() -> String {
    crate::openssh::output("id", ["-un"]).trim().to_owned()
}

pub(crate) fn authority(algorithm: KeyAlgorithm) -> Arc<dyn SigningKey> {
    Arc::new(LocalKey::generate(algorithm, &SeededEntropy::new(11)).unwrap())
}

/// An issuer that lets `login` on `host:prod` be this account.
pub(crate) fn issuer_for(account: &str, algorithm: KeyAlgorithm) -> SshIssuer {
    let logins = Logins::new().with(action(), "host:prod".parse().unwrap(), Login::new(account).unwrap());
    let entropy = Arc::new(SeededEntropy::new(12));
    SshIssuer::new(IssuerName::new("hosts").unwrap(), authority(algorithm), logins, entropy).unwrap()
}

pub(crate) fn issuer() -> SshIssuer {
    issuer_for(&me(), KeyAlgorithm::Ed25519)
}

pub(crate) fn action() -> Action {
    Action::new("login").unwrap()
}

pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Timestamp::from_micros(since.as_micros().try_into().unwrap()).unwrap()
}

/// A window around, before or after the present, from and to so many seconds from now.
pub(crate) fn window(from: i64, to: i64) -> Window {
    let at = |s: i64| Timestamp::from_micros(now().as_micros() + s * 1_000_000).unwrap();
    Window::new(at(from), at(to)).unwrap()
}

/// A case for `login` on one host, now.
pub(crate) fn setup() -> CaseSetup {
    let scope = Scope::new("host:prod/web-1".parse().unwrap(), [action()]).unwrap();
    CaseSetup { scope, window: window(-60, 3600), ..CaseSetup::default() }
}

pub(crate) fn condition(id: &str, value: Value, enforcement: Enforcement) -> Condition {
    Condition { id: Code::new(id).unwrap(), value, enforcement }
}

pub(crate) fn text(text: &str) -> Value {
    Value::text(text).unwrap()
}

/// What its holder gets, and the case behind it.
pub(crate) struct Released {
    pub(crate) descriptor: CredentialDescriptor,
    pub(crate) secret: String,
    pub(crate) case: RecordedCase,
}

impl Released {
    /// The private key, if there is one, and the line of the certificate.
    pub(crate) fn parts(&self) -> (Option<String>, String) {
        let mut lines: Vec<&str> = self.secret.lines().collect();
        let certificate = lines.pop().unwrap().to_owned();
        let private = (!lines.is_empty()).then(|| lines.iter().map(|line| format!("{line}\n")).collect());
        (private, certificate)
    }
}

/// Mints and releases, as a broker does.
pub(crate) async fn release(issuer: &SshIssuer, setup: CaseSetup) -> Released {
    let mut case = RecordedCase::approved(setup);
    let intended = case.intend(issuer);
    let authorization = MintAuthorization::new(case.case(), &intended).unwrap();
    let Minting::Done(minted) = issuer.mint(&authorization).await.unwrap() else { panic!("prepared") };
    let issued = case.issued(&minted.descriptor);
    let secret = minted.secret.unwrap().open(&issued).unwrap();
    Released { descriptor: minted.descriptor, secret: String::from_utf8(secret.expose().to_vec()).unwrap(), case }
}

/// Descriptors of many credentials, in one clock.
pub(crate) fn serials(seed: u64, count: usize) -> BTreeMap<jit_core::CredentialId, jit_issuer::ssh::SshSerial> {
    let entropy = SeededEntropy::new(seed);
    let id = || {
        let random = jit_core::random_bytes(&entropy).unwrap();
        jit_core::CredentialId::v7(Timestamp::EPOCH.saturating_add(Duration::from_secs(seed)), random)
    };
    (0..count).map(|_| id()).map(|id| (id, jit_issuer::ssh::SshSerial::of(id))).collect()
}
