//! What cannot be expressed or enforced is refused before anything is intended, and again when it is minted.

use std::sync::Arc;

use async_trait::async_trait;
use jit_core::{Action, Code, Enforcement, PrincipalId, RuleId, Scope, Window, canonical::Value, code};
use jit_issuer::{
    CredentialIssuer as _, MintError, MintPlan, PlanRefused,
    key::{KeyAlgorithm, LocalKey},
    ssh::{HolderKeys, Login, LoginError, Logins, MAX_COMMAND, MAX_NETWORKS, SshIssuer, SshKeyError, SshPublicKey},
};
use jit_testkit::{CaseSetup, RecordedCase, SeededEntropy};

use crate::issuing::{action, authority, condition, issuer_for, setup, text};

async fn refusal(issuer: &SshIssuer, setup: CaseSetup) -> Option<Code> {
    let mut case = RecordedCase::approved(setup);
    let plan = MintPlan::new(case.case().grant().unwrap(), case.case().grant().unwrap().approved.approved);
    let planned = issuer.preflight(&plan).await;
    if let Err(PlanRefused { cause }) = &planned
        && let Ok(intended) = case.try_intend(issuer)
    {
        let authorization = jit_issuer::MintAuthorization::new(case.case(), &intended).unwrap();
        let refused = issuer.mint(&authorization).await.expect_err("minted what was refused");
        assert_eq!(refused.code(), *cause);
    }
    planned.err().map(|refused| refused.cause)
}

#[tokio::test]
async fn a_condition_that_sshd_cannot_enforce_is_refused() {
    let issuer = issuer_for("deploy", KeyAlgorithm::Ed25519);
    let many = |n: usize| Value::Array((0..n).map(|i| text(&format!("10.0.{i}.0/24"))).collect());
    let cases = [
        ("source_address", text("192.0.2.0/24"), None),
        ("source_address", text("::/0"), None),
        ("source_address", many(MAX_NETWORKS), None),
        ("source_address", many(MAX_NETWORKS + 1), Some(code!("source_address_invalid"))),
        ("source_address", many(0), Some(code!("source_address_invalid"))),
        ("source_address", text("192.0.2.1/24"), Some(code!("source_address_invalid"))),
        ("source_address", text("192.0.2.0/33"), Some(code!("source_address_invalid"))),
        ("source_address", text("192.0.2.0/+8"), Some(code!("source_address_invalid"))),
        ("source_address", text("192.0.2.0/24,!192.0.2.1"), Some(code!("source_address_invalid"))),
        ("source_address", text("*"), Some(code!("source_address_invalid"))),
        ("source_address", text(""), Some(code!("source_address_invalid"))),
        ("source_address", Value::Bool(true), Some(code!("source_address_invalid"))),
        ("force_command", text("internal-sftp"), None),
        ("force_command", text(&"x".repeat(MAX_COMMAND)), None),
        ("force_command", text(&"x".repeat(MAX_COMMAND + 1)), Some(code!("force_command_invalid"))),
        ("force_command", text(" "), Some(code!("force_command_invalid"))),
        ("force_command", text("true\nfalse"), Some(code!("force_command_invalid"))),
        ("force_command", Value::Array(vec![text("true")]), Some(code!("force_command_invalid"))),
        ("verify_required", Value::Bool(true), Some(code!("condition_not_enforceable"))),
        ("read_only", Value::Bool(true), Some(code!("condition_not_enforceable"))),
    ];
    for (id, value, expected) in cases {
        for enforcement in [Enforcement::Issuer, Enforcement::Target] {
            let conditions = vec![condition(id, value.clone(), enforcement)];
            let refused = refusal(&issuer, CaseSetup { conditions, ..setup() }).await;
            assert_eq!(refused, expected, "{id} {value:?}");
        }
        for enforcement in [Enforcement::Broker, Enforcement::Advisory] {
            let conditions = vec![condition(id, value.clone(), enforcement)];
            assert_eq!(refusal(&issuer, CaseSetup { conditions, ..setup() }).await, None, "{id}");
        }
    }
}

#[tokio::test]
async fn a_grant_without_login_is_refused() {
    let issuer = issuer_for("deploy", KeyAlgorithm::Ed25519);
    let resource = |text: &str| text.parse().unwrap();
    let administer = Action::new("administer").unwrap();
    let scopes = [
        Scope::new(resource("host:stage/web-1"), [action()]).unwrap(),
        Scope::new(resource("database:prod"), [action()]).unwrap(),
        // One action gives a login, the other none: the certificate would allow less than the grant says.
        Scope::new(resource("host:prod/web-1"), [action(), administer]).unwrap(),
    ];
    for scope in scopes {
        let refused = refusal(&issuer, CaseSetup { scope, ..setup() }).await;
        assert_eq!(refused, Some(code!("no_login_for_scope")));
    }
    // A grant wider than any entry.
    let narrow = Logins::new().with(action(), resource("host:prod/web-1/a"), Login::new("a").unwrap());
    let key = authority(KeyAlgorithm::Ed25519);
    let issuer = SshIssuer::new(issuer.name().clone(), key, narrow, Arc::new(SeededEntropy::new(1))).unwrap();
    assert_eq!(refusal(&issuer, setup()).await, Some(code!("no_login_for_scope")));
}

#[tokio::test]
async fn a_window_or_subject_that_no_certificate_can_have_is_refused() {
    let issuer = issuer_for("deploy", KeyAlgorithm::Ed25519);
    let case = RecordedCase::approved(setup());
    let start = setup().window.start();
    let instant = Window::new(start, start.saturating_add(std::time::Duration::from_micros(1))).unwrap();
    let plan = MintPlan::new(case.case().grant().unwrap(), instant);
    assert_eq!(issuer.preflight(&plan).await, Err(PlanRefused { cause: code!("window_not_expressible") }));
    let recipient = Some(PrincipalId::Rule(RuleId::new("r").unwrap()));
    assert_eq!(refusal(&issuer, CaseSetup { recipient, ..setup() }).await, Some(code!("subject_cannot_hold")));
}

struct Nobody(Result<Option<SshPublicKey>, Code>);

#[async_trait]
impl HolderKeys for Nobody {
    async fn key_of(&self, _subject: &PrincipalId) -> Result<Option<SshPublicKey>, Code> {
        self.0.clone()
    }
}

#[tokio::test]
async fn a_subject_without_registered_key_is_refused() {
    for (answer, cause) in [(Ok(None), code!("no_holder_key")), (Err(code!("directory_down")), code!("directory_down"))]
    {
        let issuer = issuer_for("deploy", KeyAlgorithm::Ed25519).with_holder_keys(Arc::new(Nobody(answer)));
        assert_eq!(refusal(&issuer, setup()).await, Some(cause));
    }
}

#[tokio::test]
async fn an_authorisation_for_another_issuer_is_refused() {
    let issuer = issuer_for("deploy", KeyAlgorithm::Ed25519);
    let mut case = RecordedCase::approved(setup());
    let authorization = case.authorize(&issuer);
    let other = issuer_for("deploy", KeyAlgorithm::Ed25519).with_leeway_s(1);
    let refused = other.mint(&authorization).await.unwrap_err();
    assert_eq!(refused, MintError::Refused { cause: code!("other_issuer_intended") });
}

#[test]
fn keys_and_names_that_openssh_would_not_take_do_not_construct() {
    for bad in ["", "-x", "a b", "a,b", "a\nb", "a\"b", "naïve", &"x".repeat(129)] {
        assert_eq!(Login::new(bad), Err(LoginError), "{bad}");
    }
    let dsa_and_worse = [
        "",
        "ssh-ed25519",
        "ssh-ed25519 AAAA",
        // 1024 bits.
        "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQDAu8Bxcp6WpsLpTyrRLCXIFkxd7p3a4mNzXy8FZ9cBaBWkzdxjWYUPkI2wMBBxL5PZdJvJGJzLFKd9rUE7BSRFbJwuVbHeOFwXCIgm0GdwqEsU9kBtD8xnhpLyUJM6IKqKr4Gm4UVcB8ZyxJwn5gVQ1wSgQ1ZsqZ2g0mFqqQ==",
        &"x".repeat(10_000),
    ];
    for bad in dsa_and_worse {
        assert_eq!(SshPublicKey::from_openssh(bad), Err(SshKeyError), "{bad}");
    }
    let rsa = crate::openssh::output("openssl", ["genpkey", "-algorithm", "RSA", "-quiet"]);
    let key = Arc::new(LocalKey::from_pkcs8_pem(&rsa).unwrap());
    let entropy = Arc::new(SeededEntropy::new(1));
    let issuer = SshIssuer::new(jit_core::IssuerName::new("hosts").unwrap(), key, Logins::new(), entropy);
    assert_eq!(issuer.unwrap_err(), SshKeyError);
}
