//! A target whose clock is five minutes off judges by it, and sees the window that is on record.

use std::time::Duration;

use jit_core::Timestamp;
use jit_issuer::ssh::{KrlFile, Revocations};
use jit_testkit::CaseSetup;

use crate::{
    issuing::{Released, issuer, now, release, setup, window},
    openssh::{Sshd, output, shown},
    revoking::revoke,
};

const SKEW_S: u32 = 300;

#[tokio::test]
async fn sshd_five_minutes_off_judges_the_recorded_window_by_its_own_clock() {
    let slow_is_declared = issuer().with_leeway_s(SKEW_S);
    // From and to so many seconds from now, and whether a server lets in whose clock is ahead, or behind.
    let cases = [
        ((-900, 3600), [true, true]),
        ((120, 3600), [true, false]),
        ((-900, 120), [false, true]),
        ((-900, -120), [false, true]),
        ((-900, -420), [false, false]),
        ((420, 3600), [false, false]),
    ];
    let servers = [i64::from(SKEW_S), -i64::from(SKEW_S)]
        .map(|ahead| Sshd::start_with_clock_off_by(slow_is_declared.authority(), ahead));
    for ((from, to), expected) in cases {
        let released = release(&slow_is_declared, CaseSetup { window: window(from, to), ..setup() }).await;
        let recorded = released.descriptor.window;
        assert!(recorded.is_within(&released.case.case().grant().unwrap().approved.approved));
        assert_eq!(seen(&released), format!("Valid: from {} to {}", local(recorded.start()), local(recorded.end())));
        for (server, accepted) in servers.iter().zip(expected) {
            assert_eq!(server.login(&released, "true").accepted, accepted, "{from} {to}: {}", server.log());
        }
        // The record does not call it dead before the slowest clock that was declared does.
        let dies_at = released.descriptor.dies_at().unwrap();
        assert_eq!(dies_at, recorded.end().saturating_add(Duration::from_secs(SKEW_S.into())));
    }
    let [ahead, behind] = &servers;
    assert_eq!((ahead.lines("expired").len(), ahead.lines("not yet valid").len()), (3, 1), "{}", ahead.log());
    assert_eq!((behind.lines("expired").len(), behind.lines("not yet valid").len()), (1, 2), "{}", behind.log());
}

#[tokio::test]
async fn a_revocation_needs_no_clock_of_the_target() {
    for ahead in [i64::from(SKEW_S), -i64::from(SKEW_S)] {
        let sshd = Sshd::start_with_clock_off_by(issuer().authority(), ahead);
        let issuer = issuer().with_revocations(Revocations::new(KrlFile::new(sshd.krl()), 1, now(), []));
        let mut released = release(&issuer, CaseSetup { window: window(-900, 3600), ..setup() }).await;
        assert!(sshd.login(&released, "true").accepted, "{}", sshd.log());
        revoke(&issuer, &mut released).await.unwrap();
        assert!(!sshd.login(&released, "true").accepted, "{}", sshd.log());
    }
}

/// The line in which OpenSSH says when the certificate is valid.
fn seen(released: &Released) -> String {
    let (_, certificate) = released.parts();
    shown(&certificate).into_iter().find(|line| line.starts_with("Valid:")).unwrap()
}

/// As `ssh-keygen` shows it.
fn local(at: Timestamp) -> String {
    output("date", ["-d", &at.to_string(), "+%Y-%m-%dT%H:%M:%S"]).trim().to_owned()
}
