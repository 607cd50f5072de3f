//! What is prepared opens nothing before its record.

use jit_issuer::{MintError, Minting, Prepared};

use super::{Subject, subject::Live};
use crate::RecordedCase;

pub(super) async fn only_who_prepares_says_so(subject: Subject) {
    let prepares = subject.issuer().capabilities().prepares;
    let authorization = subject.case(1).authorize(subject.issuer());
    let minting = subject.issuer().mint(&authorization).await.expect("an authorised mint succeeds");
    assert_eq!(matches!(minting, Minting::Prepared(_)), prepares, "it says that it prepares: {prepares}");
}

/// Prepares a credential, if the issuer does such a thing.
async fn prepare(subject: &Subject, case: &mut RecordedCase) -> Option<Prepared> {
    let authorization = case.authorize(subject.issuer());
    match subject.issuer().mint(&authorization).await.expect("an authorised mint succeeds") {
        Minting::Prepared(prepared) => Some(prepared),
        Minting::Done(_) => None,
    }
}

pub(super) async fn what_is_prepared_opens_nothing(subject: Subject) {
    let mut case = subject.case(1);
    let Some(prepared) = prepare(&subject, &mut case).await else { return };
    let descriptor = prepared.descriptor().clone();
    assert_ne!(subject.opens_without_secret(&descriptor).await, Some(true), "what is only prepared works");
    let recorded = case.prepared(&descriptor);
    let minted = subject.issuer().commit(prepared, &recorded).await.expect("a recorded commit succeeds");
    let issued = case.issued(&minted.descriptor);
    let secret = minted.secret.map(|sealed| sealed.open(&issued).expect("its record opens it"));
    let live = Live { descriptor: minted.descriptor, secret };
    assert_eq!(live.descriptor, descriptor, "something else was committed");
    assert_ne!(subject.opens(&live).await, Some(false), "what was committed does not work");
}

pub(super) async fn a_commit_needs_its_own_record(subject: Subject) {
    let (mut case, mut other) = (subject.case(1), subject.case(2));
    let (Some(prepared), Some(another)) = (prepare(&subject, &mut case).await, prepare(&subject, &mut other).await)
    else {
        return;
    };
    let descriptor = prepared.descriptor().clone();
    let anothers = other.prepared(another.descriptor());
    match subject.issuer().commit(prepared, &anothers).await {
        Err(MintError::Refused { .. }) => {}
        answer => panic!("asked to commit by the record of another credential, it answers {answer:?}"),
    }
    assert_ne!(subject.opens_without_secret(&descriptor).await, Some(true), "it was committed all the same");
    subject.revoke(&descriptor).await;
    subject.issuer().abandon(another).await.expect("what is prepared can be given up");
}

pub(super) async fn what_is_abandoned_is_gone(subject: Subject) {
    let mut case = subject.case(1);
    let Some(prepared) = prepare(&subject, &mut case).await else { return };
    let descriptor = prepared.descriptor().clone();
    subject.issuer().abandon(prepared).await.expect("what is prepared can be given up");
    let found = subject.look(&case, descriptor.id).await.expect("who prepares can be asked");
    assert!(!matches!(found, jit_issuer::Observed::Exists(_)), "what was given up is there");
    assert_ne!(subject.opens_without_secret(&descriptor).await, Some(true), "what was given up works");
    assert_eq!(subject.list().await.unwrap_or_default(), [], "what was given up is listed");
}
