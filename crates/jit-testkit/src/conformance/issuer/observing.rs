//! What is at a target is found by its id, by a process that has never seen it.

use std::collections::BTreeSet;

use jit_core::{CrashClass, CredentialId};
use jit_issuer::{MintPlan, ObserveError, Observed};

use super::Subject;

fn keeps_state(subject: &Subject) -> bool {
    matches!(subject.issuer().capabilities().class, CrashClass::RemoteStateful | CrashClass::RemoteShared)
}

pub(super) async fn a_credential_is_found_by_its_id(subject: Subject) {
    let mut case = subject.case(1);
    let live = subject.mint(&mut case).await;
    match subject.look(&case, live.descriptor.id).await {
        Ok(Observed::Exists(found)) => {
            assert_eq!(found.id, live.descriptor.id, "it was found under another id");
            assert_eq!(found.serial, live.descriptor.serial, "it was found under another name");
            assert_eq!(found.subject, live.descriptor.subject, "it was found for another subject");
            assert!(found.window.is_within(&live.descriptor.window), "it was found with a longer life");
        }
        answer => assert!(!keeps_state(&subject), "the target keeps state, and reconcile answers {answer:?}"),
    }
}

pub(super) async fn what_was_never_minted_is_not_found(subject: Subject) {
    let mut case = subject.case(1);
    let authorization = case.authorize(subject.issuer());
    match subject.look(&case, authorization.credential()).await {
        Ok(Observed::NeverExisted | Observed::Gone) => {}
        Err(ObserveError::Unsupported) => assert!(!keeps_state(&subject), "the target keeps state"),
        answer => panic!("nothing was minted, and reconcile answers {answer:?}"),
    }
}

pub(super) async fn what_is_dead_is_not_found_alive(subject: Subject) {
    let mut case = subject.case(1);
    let live = subject.mint(&mut case).await;
    subject.revoke(&live.descriptor).await;
    if subject.issuer().capabilities().can_revoke {
        let found = subject.look(&case, live.descriptor.id).await;
        assert!(!matches!(found, Ok(Observed::Exists(_))), "it was taken back, and reconcile answers {found:?}");
    }
}

pub(super) async fn a_listing_has_what_lives(subject: Subject) {
    let mut expected = BTreeSet::new();
    for seed in 0..3 {
        expected.insert(subject.mint(&mut subject.case(seed)).await.descriptor.id);
    }
    let dead = subject.mint(&mut subject.case(3)).await;
    subject.revoke(&dead.descriptor).await;
    let Some(found) = subject.list().await else {
        assert!(!keeps_state(&subject), "the target keeps state and cannot list it");
        return;
    };
    let known: Vec<CredentialId> = found.iter().filter_map(|found| found.credential).collect();
    assert_eq!(known.len(), found.len(), "what is listed does not name its credential");
    assert_eq!(known.iter().copied().collect::<BTreeSet<_>>(), expected, "what is listed is not what lives");
    assert_eq!(known.len(), expected.len(), "something is listed twice");
}

pub(super) async fn looking_changes_nothing(subject: Subject) {
    let live = subject.mint(&mut subject.case(1)).await;
    let mut case = subject.case(2);
    let authorization = case.authorize(subject.issuer());
    let before = subject.list().await;
    let grant = case.case().grant().expect("a grant");
    let plan = MintPlan::new(grant, authorization.issued());
    assert_eq!(subject.issuer().preflight(&plan).await, Ok(()), "what can be minted is refused beforehand");
    let _ = subject.look(&case, authorization.credential()).await;
    assert_eq!(subject.list().await, before, "looking changed what is there");
    assert_ne!(subject.opens(&live).await, Some(false), "looking ended a credential");
    // Nor does it stand in the way of what was looked for.
    let live = subject.finish(&mut case, &authorization).await;
    assert_ne!(subject.opens(&live).await, Some(false), "what was looked for beforehand does not work");
}
