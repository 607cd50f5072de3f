//! Only a pending, approved, live intent of its own case authorises a mint; only a pending revocation a revocation.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "tests may panic"
)]

use std::time::Duration;

use jit_core::{
    Action, ApprovalVoided, Command, CredentialId, CredentialIntended, EndBy, Identity, Kind, PrincipalId, Recorded,
    Refs, RevocationOutcome, Scope, Window, code,
};
use jit_issuer::{
    AuthorizationError, CredentialIssuer, MintAuthorization, Minted, Minting, RecordMismatch, RevokeAuthorization,
    RevokeBasis,
};
use jit_testkit::{CaseSetup, MemoryTarget, RecordedCase};

fn case() -> RecordedCase {
    RecordedCase::approved(CaseSetup::default())
}

async fn mint(issuer: &MemoryTarget, authorization: &MintAuthorization) -> Minted {
    match issuer.mint(authorization).await.unwrap() {
        Minting::Done(minted) => minted,
        Minting::Prepared(_) => panic!("prepared"),
    }
}

#[test]
fn an_authorization_says_what_the_intent_says() {
    let issuer = MemoryTarget::new();
    let mut case = case();
    let intended = case.intend(&issuer);
    let authorization = MintAuthorization::new(case.case(), &intended).unwrap();
    let decision = case.case().decisions().last().unwrap();
    let grant = case.case().grant().unwrap();
    assert_eq!(authorization.evidence(), intended.leaf());
    assert_eq!(Some(authorization.credential()), intended.header().refs.credential);
    assert_eq!(authorization.case(), case.case().id());
    assert_eq!(authorization.grant(), grant.id);
    assert_eq!(authorization.decision(), decision.id);
    assert_eq!(Some(decision.leaf), intended.header().refs.decision);
    assert_eq!(*authorization.subject(), grant.approved.recipient);
    assert_eq!(*authorization.scope(), grant.approved.scope);
    assert_eq!(authorization.issued(), grant.approved.approved);
    assert_eq!(authorization.issuer(), issuer.name());
    assert_eq!(*authorization.capabilities(), issuer.capabilities());
}

#[test]
fn another_kind_of_record_authorizes_nothing() {
    let issuer = MemoryTarget::new();
    let mut case = case();
    let intended = case.intend(&issuer);
    let decision = case.record(Command::MintFailed {
        credential: intended.header().refs.credential.unwrap(),
        cause: code!("told_to_fail"),
    });
    let refused = MintAuthorization::new(case.case(), &decision[0]).unwrap_err();
    let mismatch = RecordMismatch::Kind { expected: Kind::CredentialIntended, found: Kind::CredentialFailed };
    assert_eq!(refused, AuthorizationError::Record(mismatch));
}

#[test]
fn an_intent_of_another_case_or_log_authorizes_nothing() {
    let issuer = MemoryTarget::new();
    let mut other = RecordedCase::approved(CaseSetup { seed: 2, ..CaseSetup::default() });
    let refused = MintAuthorization::new(case().case(), &other.intend(&issuer)).unwrap_err();
    assert!(matches!(refused, AuthorizationError::Record(RecordMismatch::Stream { .. })), "{refused}");

    let elsewhere = CaseSetup { origin: "log.example/other".to_owned(), ..CaseSetup::default() };
    let refused =
        MintAuthorization::new(case().case(), &RecordedCase::approved(elsewhere).intend(&issuer)).unwrap_err();
    assert!(matches!(refused, AuthorizationError::Record(RecordMismatch::Log { .. })), "{refused}");
}

#[test]
fn an_intent_that_the_case_does_not_hold_authorizes_nothing() {
    let issuer = MemoryTarget::new();
    let mut case = case();
    let before = case.case().clone();
    let intended = case.intend(&issuer);
    let refused = MintAuthorization::new(&before, &intended).unwrap_err();
    assert_eq!(refused, AuthorizationError::NotPending(intended.header().id));
}

#[tokio::test]
async fn an_intent_with_an_outcome_authorizes_nothing() {
    let issuer = MemoryTarget::new();
    let mut case = case();
    let intended = case.intend(&issuer);
    let minted = mint(&issuer, &MintAuthorization::new(case.case(), &intended).unwrap()).await;
    case.issued(&minted.descriptor);
    let refused = MintAuthorization::new(case.case(), &intended).unwrap_err();
    assert_eq!(refused, AuthorizationError::NotPending(intended.header().id));
}

#[test]
fn a_grant_that_ended_meanwhile_authorizes_nothing() {
    let issuer = MemoryTarget::new();
    let mut case = case();
    let intended = case.intend(&issuer);
    let holder = case.case().grant().unwrap().approved.recipient.clone();
    case.record(Command::End { by: EndBy::Holder(holder), cause: code!("given_back"), reason: None });
    let refused = MintAuthorization::new(case.case(), &intended).unwrap_err();
    assert_eq!(refused, AuthorizationError::NoLiveGrant(case.case().id()));
}

/// Folding does not judge, so the records of a writer that skipped `decide` fold too. They authorise nothing all the same.
mod forged {
    use super::*;

    /// A case with one more intent, like an honest one but for the change.
    fn forge(change: impl FnOnce(&mut CredentialIntended, &mut Refs)) -> (RecordedCase, Recorded) {
        let mut case = case();
        let honest = case.intend(&MemoryTarget::new());
        let mut refs = honest.header().refs.clone();
        let credential = refs.credential.unwrap();
        case.record(Command::MintFailed { credential, cause: code!("told_to_fail") });
        let mut event = case.case().credentials()[&credential].intended.clone();
        refs.credential = Some(CredentialId::v8([5; 16]));
        change(&mut event, &mut refs);
        let recorded = case.forge(event.into(), refs);
        (case, recorded)
    }

    fn refused(change: impl FnOnce(&mut CredentialIntended, &mut Refs)) -> AuthorizationError {
        let (case, recorded) = forge(change);
        MintAuthorization::new(case.case(), &recorded).unwrap_err()
    }

    #[test]
    fn an_unchanged_one_would_be_accepted() {
        let (case, recorded) = forge(|_, _| {});
        MintAuthorization::new(case.case(), &recorded).unwrap();
    }

    #[test]
    fn an_intent_that_another_replaced() {
        let mut case = case();
        let first = case.intend(&MemoryTarget::new());
        let refs = first.header().refs.clone();
        let event = case.case().credentials()[&refs.credential.unwrap()].intended.clone();
        let second = case.forge(event.into(), refs);
        let error = MintAuthorization::new(case.case(), &first).unwrap_err();
        assert_eq!(error, AuthorizationError::NotPending(first.header().id));
        assert_eq!(MintAuthorization::new(case.case(), &second).unwrap().evidence(), second.leaf());
    }

    #[test]
    fn beyond_the_window() {
        let error = refused(|event, _| {
            let late = event.issued.end().saturating_add(Duration::from_secs(1));
            event.issued = Window::new(event.issued.start(), late).unwrap();
        });
        assert!(matches!(error, AuthorizationError::BeyondGrant(_)), "{error}");
    }

    #[test]
    fn beyond_the_scope() {
        let error = refused(|event, _| {
            let actions = ["read", "write"].map(|a| Action::new(a).unwrap());
            event.scope = Scope::new(event.scope.resource().clone(), actions).unwrap();
        });
        assert!(matches!(error, AuthorizationError::BeyondGrant(_)), "{error}");
    }

    #[test]
    fn for_somebody_else() {
        let error = refused(|event, _| {
            event.subject = PrincipalId::Identity(Identity::new("idp.example", "u-mallory").unwrap());
        });
        assert!(matches!(error, AuthorizationError::BeyondGrant(_)), "{error}");
    }

    #[test]
    fn without_a_decision() {
        let error = refused(|_, refs| refs.decision = None);
        assert!(matches!(error, AuthorizationError::NotPermitted(_)), "{error}");
    }

    #[test]
    fn without_naming_the_grant() {
        let error = refused(|_, refs| refs.approved_by = None);
        assert!(matches!(error, AuthorizationError::NotApproved(_)), "{error}");
    }

    #[test]
    fn after_its_approvals_were_voided() {
        let (mut case, recorded) = forge(|_, _| {});
        case.forge(ApprovalVoided { cause: code!("no_longer_permitted") }.into(), Refs::default());
        let error = MintAuthorization::new(case.case(), &recorded).unwrap_err();
        assert!(matches!(error, AuthorizationError::NotApproved(_)), "{error}");
    }
}

#[tokio::test]
async fn a_recorded_revocation_authorizes_once() {
    let issuer = MemoryTarget::new();
    let mut case = case();
    let minted = mint(&issuer, &case.authorize(&issuer)).await;
    let id = minted.descriptor.id;
    let issued = case.issued(&minted.descriptor);
    assert!(matches!(
        RevokeAuthorization::recorded(case.case(), &issued).unwrap_err(),
        AuthorizationError::Record(RecordMismatch::Kind { .. })
    ));
    let intended = case.intend_revocation(id);
    let authorization = RevokeAuthorization::recorded(case.case(), &intended).unwrap();
    assert_eq!(authorization.credential(), id);
    assert_eq!(*authorization.basis(), RevokeBasis::Recorded(intended.leaf()));
    issuer.revoke(&authorization, &minted.descriptor).await.unwrap();
    let outcome = RevocationOutcome::Confirmed { finding: code!("removed") };
    case.record(Command::Revocation { credential: id, outcome });
    assert_eq!(
        RevokeAuthorization::recorded(case.case(), &intended).unwrap_err(),
        AuthorizationError::NotPending(intended.header().id)
    );
}

#[tokio::test]
async fn a_revocation_intended_in_another_case_authorizes_nothing() {
    let issuer = MemoryTarget::new();
    let mut case = case();
    let minted = mint(&issuer, &case.authorize(&issuer)).await;
    case.issued(&minted.descriptor);
    let intended = case.intend_revocation(minted.descriptor.id);
    let other = RecordedCase::approved(CaseSetup { seed: 2, ..CaseSetup::default() });
    let refused = RevokeAuthorization::recorded(other.case(), &intended).unwrap_err();
    assert!(matches!(refused, AuthorizationError::Record(RecordMismatch::Stream { .. })), "{refused}");
}

#[tokio::test]
async fn a_credential_is_taken_back_while_the_store_is_down() {
    let issuer = MemoryTarget::new();
    let mut case = case();
    let minted = mint(&issuer, &case.authorize(&issuer)).await;
    let authorization =
        RevokeAuthorization::store_down(code!("not_recorded"), minted.descriptor.window.start(), &minted.descriptor);
    assert_eq!((authorization.at(), authorization.end()), (minted.descriptor.window.start(), None));
    assert_eq!(*authorization.basis(), RevokeBasis::StoreDown { reason: code!("not_recorded") });
    issuer.revoke(&authorization, &minted.descriptor).await.unwrap();
    assert!(issuer.working().is_empty());
}
