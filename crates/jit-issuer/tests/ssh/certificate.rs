//! `ssh-keygen -L` shows what we said.

use jit_core::{Enforcement, IssuerName, PrincipalId, Scope, Timestamp, Window, canonical::Value};
use jit_issuer::{
    CredentialIssuer as _, CredentialReason,
    key::KeyAlgorithm,
    ssh::{Login, Logins, SshIssuer, SshPermission, SshSerial},
};
use jit_testkit::{CaseSetup, SeededEntropy};
use proptest::prelude::*;
use sha2::{Digest as _, Sha256};
use std::sync::Arc;

use crate::{
    issuing::{action, authority, condition, issuer_for, release, setup, text},
    openssh::shown,
};

fn at(text: &str) -> Timestamp {
    Timestamp::parse_rfc3339(text).unwrap()
}

#[tokio::test]
async fn a_certificate_says_who_what_when_and_where_the_evidence_is() {
    for (algorithm, name) in [(KeyAlgorithm::Ed25519, "ED25519"), (KeyAlgorithm::EcdsaP256Sha256, "ECDSA")] {
        let issuer =
            issuer_for("deploy", algorithm).with_permissions([SshPermission::Pty, SshPermission::PortForwarding]);
        let window = Window::new(at("2026-11-02T10:00:00.000001Z"), at("2026-11-02T10:30:00.999999Z")).unwrap();
        let released = release(&issuer, CaseSetup { window, ..setup() }).await;
        let id = released.descriptor.id;
        let case = released.case.case();
        let reason = CredentialReason {
            grant: case.grant_id(),
            decision: case.decisions().last().unwrap().id,
            evidence: case.credentials()[&id].intended_leaf,
        };
        let (_, certificate) = released.parts();
        let lines = shown(&certificate);
        // `ssh-keygen` shows local time.
        let local = |t: &str| crate::openssh::output("date", ["-d", t, "+%Y-%m-%dT%H:%M:%S"]).trim().to_owned();
        let (from, to) = (local("2026-11-02T10:00:01Z"), local("2026-11-02T10:30:00Z"));
        let rest = [
            format!("Key ID: \"{reason}\""),
            format!("Serial: {}", SshSerial::of(id)),
            format!("Valid: from {from} to {to}"),
            "Principals:".to_owned(),
            "deploy".to_owned(),
            "Critical Options: (none)".to_owned(),
            "Extensions:".to_owned(),
            "permit-port-forwarding".to_owned(),
            "permit-pty".to_owned(),
        ];
        assert_eq!(lines[0], "Type: ssh-ed25519-cert-v01@openssh.com user certificate");
        assert!(lines[1].starts_with("Public key: ED25519-CERT SHA256:"), "{}", lines[1]);
        assert!(
            lines[2].starts_with(&format!("Signing CA: {name} {} ", issuer.authority().fingerprint())),
            "{}",
            lines[2]
        );
        assert_eq!(lines[3..], rest);
        assert!(reason.to_string().len() <= 256);

        assert_eq!(released.descriptor.window, window.whole_seconds().unwrap());
        assert_eq!(released.descriptor.serial.as_str(), SshSerial::of(id).to_string());
        assert_eq!(released.descriptor.capabilities, issuer.capabilities());
        let blob = data_encoding::BASE64.decode(certificate.split(' ').nth(1).unwrap().as_bytes()).unwrap();
        assert_eq!(released.descriptor.fingerprint.as_bytes()[..], Sha256::digest(blob)[..]);
        assert!(certificate.ends_with(&format!(" {id}")));
    }
}

#[tokio::test]
async fn a_certificate_carries_the_conditions_that_sshd_enforces() {
    let networks = Value::Array(vec![text("192.0.2.0/24"), text("2001:db8::/32"), text("198.51.100.7")]);
    let conditions = vec![
        condition("advice", text("x"), Enforcement::Advisory),
        condition("checked_before", text("x"), Enforcement::Broker),
        condition("force_command", text("/usr/bin/rsync --server"), Enforcement::Issuer),
        condition("source_address", networks, Enforcement::Target),
    ];
    let released = release(&issuer_for("deploy", KeyAlgorithm::Ed25519), CaseSetup { conditions, ..setup() }).await;
    let lines = shown(&released.parts().1);
    assert_eq!(
        lines[8..],
        [
            "Critical Options:",
            "force-command /usr/bin/rsync --server",
            "source-address 192.0.2.0/24,198.51.100.7,2001:db8::/32",
            "Extensions: (none)"
        ]
    );
}

#[tokio::test]
async fn a_grant_gives_the_logins_of_all_its_actions() {
    let resource = |text: &str| text.parse().unwrap();
    let other = |text: &str| jit_core::Action::new(text).unwrap();
    let login = |text: &str| Login::new(text).unwrap();
    let subject = jit_core::Principal::human(jit_core::Identity::new("idp.example", "u-1042").unwrap()).id();
    let stranger: PrincipalId = PrincipalId::Workload("spiffe://example.org/x".parse().unwrap());
    let logins = Logins::new()
        .with(action(), resource("host:prod"), login("deploy"))
        .with(other("administer"), resource("host:prod/web-1"), login("root@web-1"))
        .with(other("administer"), resource("host:prod/web-2"), login("root@web-2"))
        .with_subject(subject, action(), resource("host:prod/web-1"), login("u1042"))
        .with_subject(stranger, action(), resource("host:prod/web-1"), login("x"));
    let entropy = Arc::new(SeededEntropy::new(1));
    let name = IssuerName::new("hosts").unwrap();
    let issuer = SshIssuer::new(name, authority(KeyAlgorithm::Ed25519), logins, entropy).unwrap();
    let scope = Scope::new(resource("host:prod/web-1"), [action(), other("administer")]).unwrap();
    let released = release(&issuer, CaseSetup { scope, ..setup() }).await;
    let lines = shown(&released.parts().1);
    let first = lines.iter().position(|line| line == "Principals:").unwrap();
    assert_eq!(lines[first + 1..first + 4], ["deploy", "root@web-1", "u1042"]);
    assert_eq!(lines[first + 4], "Critical Options: (none)");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Whatever the window, the issuer's limit and the end of the key: a certificate works within all of them, to the second.
    #[test]
    fn a_certificate_never_outlives_its_grant(
        start in 0_i64..4_000_000_000_000_000,
        length in 1_i64..20_000_000_000,
        max in 1_u32..20_000,
        key_end in proptest::option::of(-5_000_000_i64..20_000_000_000),
    ) {
        let at = |micros| Timestamp::from_micros(micros).unwrap();
        let window = Window::new(at(start), at(start + length)).unwrap();
        let key_end = key_end.map(|end| at((start + end).max(0)));
        let max = jit_core::Seconds::new(std::num::NonZeroU32::new(max).unwrap());
        let mut issuer = issuer_for("deploy", KeyAlgorithm::Ed25519).with_max_ttl(max);
        if let Some(end) = key_end {
            issuer = issuer.with_not_after(end);
        }
        match issuer.fit(window) {
            Some(fit) => {
                prop_assert!(fit.is_within(&window));
                prop_assert!(fit.duration() <= max.to_duration());
                prop_assert!(key_end.is_none_or(|end| fit.end() <= end));
                prop_assert_eq!(fit.whole_seconds(), Some(fit));
            }
            None => {
                let shortest = window.end().min(key_end.unwrap_or(Timestamp::MAX));
                prop_assert!(shortest.since(window.start()) < std::time::Duration::from_secs(2));
            }
        }
    }
}
