//! A real sshd lets in whom a certificate names, when it says, under its conditions, and nobody else.

use std::sync::Arc;

use async_trait::async_trait;
use jit_core::{Code, Enforcement, ExternalDigest, PrincipalId, SystemName};
use jit_issuer::{
    key::KeyAlgorithm,
    observation::SshdLogin,
    ssh::{HolderKeys, SshPublicKey, SshSerial},
};
use jit_testkit::CaseSetup;

use crate::{
    issuing::{condition, issuer, issuer_for, me, now, release, setup, text, window},
    openssh::{Sshd, output},
};

#[tokio::test]
async fn sshd_accepts_a_certificate_and_logs_the_case_behind_it() {
    for algorithm in [KeyAlgorithm::Ed25519, KeyAlgorithm::EcdsaP256Sha256] {
        let issuer = issuer_for(&me(), algorithm);
        let sshd = Sshd::start(issuer.authority());
        let released = release(&issuer, setup()).await;
        let attempt = sshd.login(&released, "echo came in");
        assert!(attempt.accepted, "{}{}", attempt.stderr, sshd.log());
        assert_eq!(attempt.stdout, "came in\n");

        let accepted = sshd.lines("Accepted publickey");
        let [line] = accepted.as_slice() else { panic!("{}", sshd.log()) };
        let at = now();
        let login = SshdLogin::from_message(line, at).unwrap();
        let case = released.case.case();
        assert_eq!(login.reason.grant, case.grant_id());
        assert_eq!(login.reason.decision, case.decisions().last().unwrap().id);
        assert_eq!(login.reason.evidence, case.credentials()[&released.descriptor.id].intended_leaf);
        assert_eq!(login.serial, SshSerial::of(released.descriptor.id).get());
        assert_eq!(login.authority, issuer.authority().digest());
        assert_eq!((login.user.as_str(), login.source.to_string().as_str()), (me().as_str(), "127.0.0.1"));
        let host = SystemName::new("host:web-1").unwrap();
        let event = login.observed(host.clone(), &[issuer.authority().digest()]).unwrap().event;
        assert_eq!((event.occurred_at, event.act.as_str()), (at, "login"));
        assert!(login.observed(host, &[ExternalDigest::from_bytes([0; 32])]).is_err());
    }
}

#[tokio::test]
async fn sshd_refuses_before_the_window_after_it_and_for_another_account() {
    let (mine, other) = (issuer(), issuer_for("somebody-else", KeyAlgorithm::Ed25519));
    let sshd = Sshd::start(mine.authority());
    let cases = [
        (&mine, window(300, 3600), "not yet valid"),
        (&mine, window(-3600, -1), "expired"),
        (&other, window(-60, 3600), "name is not a listed principal"),
    ];
    for (issuer, window, why) in cases {
        let released = release(issuer, CaseSetup { window, ..setup() }).await;
        let attempt = sshd.login(&released, "true");
        assert!(!attempt.accepted, "{why}");
        assert!(attempt.stderr.contains("Permission denied"), "{}", attempt.stderr);
        assert_eq!(sshd.lines(why).len(), 1, "{why}: {}", sshd.log());
    }
    assert!(sshd.lines("Accepted").is_empty());
}

#[tokio::test]
async fn sshd_enforces_the_networks_of_a_grant() {
    let issuer = issuer();
    let sshd = Sshd::start(issuer.authority());
    for (network, accepted) in [("192.0.2.0/24", false), ("127.0.0.0/8", true)] {
        let conditions = vec![condition("source_address", text(network), Enforcement::Issuer)];
        let released = release(&issuer, CaseSetup { conditions, ..setup() }).await;
        assert_eq!(sshd.login(&released, "true").accepted, accepted, "{}", sshd.log());
    }
    assert_eq!(sshd.lines("not from a permitted source address").len(), 1, "{}", sshd.log());
}

#[tokio::test]
async fn sshd_runs_the_command_of_a_grant_and_no_other() {
    let issuer = issuer();
    let sshd = Sshd::start(issuer.authority());
    let conditions = vec![condition("force_command", text("echo only this; echo and that"), Enforcement::Target)];
    let released = release(&issuer, CaseSetup { conditions, ..setup() }).await;
    let attempt = sshd.login(&released, "echo something else");
    assert_eq!((attempt.accepted, attempt.stdout.as_str()), (true, "only this\nand that\n"), "{}", attempt.stderr);
}

struct Registered(SshPublicKey);

#[async_trait]
impl HolderKeys for Registered {
    async fn key_of(&self, subject: &PrincipalId) -> Result<Option<SshPublicKey>, Code> {
        Ok((subject.to_string() == "idp.example|u-1042").then(|| self.0.clone()))
    }
}

#[tokio::test]
async fn a_holder_keeps_the_private_key_and_gets_a_certificate_alone() {
    let sshd = Sshd::start(issuer().authority());
    for kind in ["ed25519", "ecdsa", "rsa"] {
        let own = sshd.path().join(format!("own-{kind}"));
        let bits = if kind == "rsa" { "2048" } else { "256" };
        output("ssh-keygen", ["-q", "-t", kind, "-b", bits, "-N", "", "-f", own.to_str().unwrap()]);
        let public = std::fs::read_to_string(own.with_extension("pub")).unwrap();
        let key = SshPublicKey::from_openssh(&public).unwrap();
        assert_eq!(key.to_openssh().split(' ').nth(1), public.split(' ').nth(1));
        let issuer = issuer().with_holder_keys(Arc::new(Registered(key)));
        let released = release(&issuer, setup()).await;
        assert_eq!(released.secret.lines().count(), 1);
        let private = std::fs::read_to_string(&own).unwrap();
        let kept = sshd.keep(&released, Some(&private));
        let attempt = sshd.login_with(&kept, "true");
        assert!(attempt.accepted, "{kind}: {}{}", attempt.stderr, sshd.log());
    }
}
