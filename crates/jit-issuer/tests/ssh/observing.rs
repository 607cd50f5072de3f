//! The line of sshd's log is joined back to the case, and no other line is.

use jit_core::{ExternalDigest, GrantId, LeafHash, RecordId, SystemName, Timestamp};
use jit_issuer::{
    CredentialReason, UseBinding,
    observation::{MAX_SSHD_LINE, SshdLineError, SshdLogin, UnknownAuthority},
};
use proptest::prelude::*;

const FINGERPRINT: &str = "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

fn reason() -> CredentialReason {
    CredentialReason {
        grant: GrantId::v8([1; 16]),
        decision: RecordId::v8([2; 16]),
        evidence: LeafHash::from_bytes([3; 32]),
    }
}

fn message() -> String {
    format!(
        "Accepted publickey for deploy from 2001:db8::7 port 50022 ssh2: ED25519-CERT {FINGERPRINT} ID {} (serial 18446744073709551615) CA ECDSA {FINGERPRINT}",
        reason()
    )
}

fn parse(message: &str) -> Result<SshdLogin, SshdLineError> {
    SshdLogin::from_message(message, Timestamp::EPOCH)
}

#[test]
fn the_line_gives_all_that_it_says() {
    let login = parse(&message()).unwrap();
    assert_eq!(login.reason, reason());
    assert_eq!((login.serial, login.port), (u64::MAX, 50022));
    assert_eq!((login.user.as_str(), login.source.to_string()), ("deploy", "2001:db8::7".to_owned()));
    assert_eq!(
        (login.key, login.authority),
        (ExternalDigest::from_bytes([0; 32]), ExternalDigest::from_bytes([0; 32]))
    );

    let system = SystemName::new("sshd:web-1").unwrap();
    let used = login.observed(system.clone(), &[login.authority]).unwrap();
    assert_eq!(used.binding, UseBinding::Reason(reason()));
    let event = used.event;
    assert_eq!((event.system, event.occurred_at, event.act.as_str()), (system.clone(), Timestamp::EPOCH, "login"));
    assert_eq!(
        event.detail.unwrap().as_str(),
        "login as deploy from 2001:db8::7 port 50022 with certificate serial 18446744073709551615"
    );
    let later = SshdLogin::from_message(&message(), Timestamp::from_micros(1).unwrap()).unwrap();
    assert_ne!(event.line, later.observed(system.clone(), &[login.authority]).unwrap().event.line);
    assert_eq!(login.observed(system, &[]), Err(UnknownAuthority { serial: u64::MAX }));
    let zone = message().replace("2001:db8::7", "fe80::1%eth0");
    assert_eq!(parse(&zone).unwrap().source.to_string(), "fe80::1");
}

#[test]
fn a_line_of_syslog_gives_its_time() {
    for tag in ["sshd[1]:", "sshd-session[4194304]:", "sshd-auth[7]:"] {
        let line = format!("2026-11-02T11:05:00.25+01:00 web-1 {tag} {}\n", message());
        let login = SshdLogin::from_syslog(&line).unwrap();
        assert_eq!(login.at.to_string(), "2026-11-02T10:05:00.250000Z");
    }
    let with = |at: &str, tag: &str| SshdLogin::from_syslog(&format!("{at} web-1 {tag} {}", message()));
    assert_eq!(with("2026-11-02T11:05:00", "sshd[1]:"), Err(SshdLineError::Malformed { part: "time" }));
    let at = "2026-11-02T11:05:00Z";
    for tag in ["su[1]:", "sshd:", "sshd[x]:", "sshd[]:", "sshd[1]", "xsshd[1]:"] {
        assert_eq!(with(at, tag), Err(SshdLineError::Unrelated), "{tag}");
    }
    // A time without year, as older configurations write it.
    assert!(SshdLogin::from_syslog(&format!("Nov  2 11:05:00 web-1 sshd[1]: {}", message())).is_err());
}

#[test]
fn a_line_that_somebody_else_chose_is_no_login() {
    let genuine = message();
    let malformed = |part| Err(SshdLineError::Malformed { part });
    let unrelated = [
        String::new(),
        "Accepted password for deploy from 192.0.2.7 port 50022 ssh2".to_owned(),
        // A login with a plain key, and names that a client chose.
        format!("Accepted publickey for deploy from 192.0.2.7 port 50022 ssh2: ED25519 {FINGERPRINT}"),
        format!("Invalid user {genuine} from 198.51.100.6 port 4"),
        format!("Failed publickey for invalid user x from y {genuine}"),
        format!(" {genuine}"),
    ];
    for line in &unrelated {
        assert_eq!(parse(line), Err(SshdLineError::Unrelated), "{line}");
    }
    let id = reason().to_string();
    for other in
        [genuine.replace(&id, "alice@laptop"), genuine.replace(&id, &id.to_uppercase()), genuine.replace(&id, "")]
    {
        assert_eq!(parse(&other), Err(SshdLineError::OtherKeyId), "{other}");
    }
    for (from, to, part) in [
        ("2001:db8::7", "UNKNOWN", "source address"),
        ("port 50022", "port 65536", "port"),
        ("port 50022", "port +1", "port"),
        ("for deploy", "for a b", "user"),
        ("serial 18446744073709551615", "serial 18446744073709551616", "serial number"),
        ("serial 18446744073709551615", "serial ", "serial number"),
        ("CA ECDSA SHA256:A", "CA ECDSA MD5:A", "authority"),
    ] {
        assert_eq!(parse(&genuine.replace(from, to)), malformed(part), "{to}");
    }
    // Nothing may follow: the line ends with the authority.
    assert_eq!(parse(&format!("{genuine} from 198.51.100.6")), malformed("authority"));
    assert_eq!(parse(&"x".repeat(MAX_SSHD_LINE + 1)), Err(SshdLineError::TooLong));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Any text, and any text in any place of a genuine line: never a panic, and what is accepted says what the genuine line says.
    #[test]
    fn hostile_lines_are_refused_or_say_the_truth(
        noise in "\\PC{0,80}|[ -~]{0,80}|( from | port | ssh2: | ID | \\(serial |\\) CA |%|SHA256:|\\[|\\]:|sshd){0,8}",
        at in 0_usize..400,
        cut in 0_usize..400,
    ) {
        let _ = parse(&noise);
        let _ = SshdLogin::from_syslog(&noise);
        let genuine = message();
        let at = at.min(genuine.len());
        let end = (at + cut).min(genuine.len());
        let changed = format!("{}{noise}{}", &genuine[..at], &genuine[end..]);
        let _ = SshdLogin::from_syslog(&changed);
        if let Ok(login) = parse(&changed) {
            prop_assert!(changed.starts_with("Accepted publickey for ") && changed.len() <= MAX_SSHD_LINE);
            prop_assert!(changed.contains(&login.reason.to_string()));
            prop_assert!(!login.user.as_str().contains(' '));
        }
    }

    #[test]
    fn any_login_is_read_back(user in "[a-z_][a-z0-9_-]{0,31}", source: std::net::IpAddr, port: u16, serial: u64, ids: [u8; 16], leaf: [u8; 32]) {
        let reason = CredentialReason { grant: GrantId::v8(ids), decision: RecordId::v8(ids), evidence: LeafHash::from_bytes(leaf) };
        let line = format!(
            "Accepted publickey for {user} from {source} port {port} ssh2: RSA-CERT {FINGERPRINT} ID {reason} (serial {serial}) CA ED25519 {FINGERPRINT}"
        );
        let login = parse(&line).unwrap();
        prop_assert_eq!((login.user.as_str(), login.source, login.port, login.serial, login.reason), (&*user, source, port, serial, reason));
    }
}
