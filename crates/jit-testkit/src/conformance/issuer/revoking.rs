//! What is taken back is dead, and what cannot be taken back is not said to be.

use jit_core::{CredentialDescriptor, IssuerName, code};
use jit_issuer::{RevokeAuthorization, RevokeError, RevokeOutcome};

use super::{
    Subject,
    subject::{Live, revoke},
};

/// Checks an outcome against what the issuer says of itself, and against its target.
async fn judge(subject: &Subject, live: &Live, outcome: &RevokeOutcome) {
    let capabilities = subject.issuer().capabilities();
    match outcome {
        RevokeOutcome::Revoked { .. } | RevokeOutcome::AlreadyGone => {
            assert!(capabilities.can_revoke, "it cannot revoke, and answers {outcome:?}");
            assert_ne!(subject.opens(live).await, Some(true), "it works after {outcome:?}");
        }
        RevokeOutcome::Partial { sessions_left } => {
            assert!(*sessions_left > 0, "no session is left, and the outcome is partial");
            assert!(!capabilities.cuts_sessions, "it says that it cuts sessions, and left {sessions_left}");
            assert_ne!(subject.opens(live).await, Some(true), "it opens new sessions after {outcome:?}");
        }
        RevokeOutcome::Listed { honoured_by } => {
            assert!(capabilities.can_revoke, "it cannot revoke, and answers {outcome:?}");
            assert!(*honoured_by > live.descriptor.window.start(), "a list from before is used for a while");
        }
        RevokeOutcome::CannotRevoke { until } => {
            assert!(!capabilities.can_revoke, "it says that it can revoke, and answers {outcome:?}");
            assert_eq!(*until, live.descriptor.dies_at(), "it does not die when its descriptor says");
        }
        other => panic!("an outcome that this suite does not know: {other:?}"),
    }
}

pub(super) async fn what_is_taken_back_is_dead(subject: Subject) {
    let mut case = subject.case(1);
    let live = subject.mint(&mut case).await;
    let other = subject.mint(&mut subject.case(2)).await;
    let intended = case.intend_revocation(live.descriptor.id);
    let authorization = RevokeAuthorization::recorded(case.case(), &intended).expect("a recorded intent");
    let outcome = subject.issuer().revoke(&authorization, &live.descriptor).await;
    let outcome = outcome.expect("an authorised revocation is answered");
    assert_ne!(outcome, RevokeOutcome::AlreadyGone, "it was dead before");
    judge(&subject, &live, &outcome).await;
    assert_ne!(subject.opens(&other).await, Some(false), "another credential was taken back with it");
}

pub(super) async fn taking_back_twice_is_no_error(subject: Subject) {
    let live = subject.mint(&mut subject.case(1)).await;
    let first = subject.revoke(&live.descriptor).await;
    let second = subject.revoke(&live.descriptor).await;
    assert!(second == RevokeOutcome::AlreadyGone || second == first, "first {first:?}, then {second:?}");
    judge(&subject, &live, &second).await;
}

pub(super) async fn another_process_takes_back(subject: Subject) {
    let live = subject.mint(&mut subject.case(1)).await;
    let outcome = revoke(&*subject.another_process().await, &live.descriptor).await;
    judge(&subject, &live, &outcome).await;
}

async fn refuses(subject: &Subject, authorization: &RevokeAuthorization, descriptor: &CredentialDescriptor) {
    match subject.issuer().revoke(authorization, descriptor).await {
        Err(RevokeError::Refused { .. }) => {}
        answer => panic!("asked to revoke what it may not, it answers {answer:?}"),
    }
}

pub(super) async fn an_authorisation_is_for_one_credential(subject: Subject) {
    let live = subject.mint(&mut subject.case(1)).await;
    let other = subject.mint(&mut subject.case(2)).await;
    let start = other.descriptor.window.start();
    let authorization = RevokeAuthorization::store_down(code!("conformance"), start, &other.descriptor);
    refuses(&subject, &authorization, &live.descriptor).await;
    for live in [live, other] {
        assert_ne!(subject.opens(&live).await, Some(false), "it was taken back all the same");
    }
}

pub(super) async fn what_another_issuer_minted_is_refused(subject: Subject) {
    let live = subject.mint(&mut subject.case(1)).await;
    let elsewhere = IssuerName::new("another-issuer").expect("a name");
    let descriptor = CredentialDescriptor { issuer: elsewhere, ..live.descriptor.clone() };
    let start = descriptor.window.start();
    let authorization = RevokeAuthorization::store_down(code!("conformance"), start, &descriptor);
    refuses(&subject, &authorization, &descriptor).await;
    assert_ne!(subject.opens(&live).await, Some(false), "it was taken back all the same");
}
