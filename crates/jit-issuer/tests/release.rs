//! A secret is released by the record of its own issuance alone, and is nowhere before or besides.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "tests may panic"
)]

use jit_core::{Command, CredentialId, Kind, code};
use jit_issuer::{
    CredentialIssuer, MAX_SECRET, MintAuthorization, MintError, Minted, Minting, Prepared, RecordMismatch, Sealed,
    SecretError,
};
use jit_testkit::{Canary, CaseSetup, EffectCounter, Effects, MemoryTarget, RecordedCase, Step, Trouble};
use zeroize::Zeroizing;

const SECRET: &[u8] = b"canary-3f8a51c2d97e";

fn case(seed: u64) -> RecordedCase {
    RecordedCase::approved(CaseSetup { seed, ..CaseSetup::default() })
}

fn target() -> MemoryTarget {
    MemoryTarget::new().with_secret(Some(SECRET))
}

async fn mint(issuer: &dyn CredentialIssuer, authorization: &MintAuthorization) -> Minted {
    let Minting::Done(minted) = issuer.mint(authorization).await.unwrap() else { panic!("prepared") };
    minted
}

async fn prepare(issuer: &dyn CredentialIssuer, authorization: &MintAuthorization) -> Prepared {
    let Minting::Prepared(prepared) = issuer.mint(authorization).await.unwrap() else { panic!("done") };
    prepared
}

fn seal(authorization: &MintAuthorization) -> Sealed {
    authorization.seal(Zeroizing::new(SECRET.to_vec())).unwrap()
}

#[tokio::test]
async fn the_record_of_its_issuance_opens_a_secret() {
    let (issuer, mut case) = (target(), case(1));
    let minted = mint(&issuer, &case.authorize(&issuer)).await;
    let issued = case.issued(&minted.descriptor);
    let sealed = minted.secret.unwrap();
    assert_eq!(sealed.credential(), minted.descriptor.id);
    assert_eq!(sealed.open(&issued).unwrap().expose(), SECRET);
}

#[tokio::test]
async fn the_intent_opens_nothing() {
    let (issuer, mut case) = (target(), case(1));
    let intended = case.intend(&issuer);
    let sealed = seal(&MintAuthorization::new(case.case(), &intended).unwrap());
    let mismatch = RecordMismatch::Kind { expected: Kind::CredentialIssued, found: Kind::CredentialIntended };
    assert_eq!(sealed.open(&intended).unwrap_err(), mismatch);
}

#[tokio::test]
async fn the_issuance_of_another_case_or_log_opens_nothing() {
    let issuer = target();
    let mut theirs = case(2);
    let minted = mint(&issuer, &theirs.authorize(&issuer)).await;
    let issued = theirs.issued(&minted.descriptor);
    let refused = seal(&case(1).authorize(&issuer)).open(&issued).unwrap_err();
    assert!(matches!(refused, RecordMismatch::Stream { .. }), "{refused}");

    let elsewhere = CaseSetup { origin: "log.example/other".to_owned(), ..CaseSetup::default() };
    let refused = seal(&RecordedCase::approved(elsewhere).authorize(&issuer)).open(&issued).unwrap_err();
    assert!(matches!(refused, RecordMismatch::Log { .. }), "{refused}");
}

#[tokio::test]
async fn the_issuance_of_another_credential_of_the_case_opens_nothing() {
    let (issuer, mut case) = (target(), case(1));
    let first = case.authorize(&issuer);
    let sealed = seal(&first);
    case.record(Command::MintFailed { credential: first.credential(), cause: code!("told_to_fail") });
    let minted = mint(&issuer, &case.authorize(&issuer)).await;
    let issued = case.issued(&minted.descriptor);
    assert_eq!(sealed.open(&issued).unwrap_err(), RecordMismatch::Credential { expected: first.credential() });
}

#[tokio::test]
async fn an_issuance_that_does_not_follow_from_its_intent_opens_nothing() {
    let (issuer, mut case) = (target(), case(1));
    let intended = case.intend(&issuer);
    let authorization = MintAuthorization::new(case.case(), &intended).unwrap();
    let minted = mint(&issuer, &authorization).await;
    let mut refs = intended.header().refs.clone();
    refs.cause = Some(case.case().request().unwrap().leaf);
    let forged = case.forge(jit_core::CredentialIssued { descriptor: minted.descriptor }.into(), refs);
    assert_eq!(
        minted.secret.unwrap().open(&forged).unwrap_err(),
        RecordMismatch::Cause { credential: authorization.credential() }
    );
}

#[test]
fn secrets_have_bounds() {
    let authorization = case(1).authorize(&target());
    let seal = |n: usize| authorization.seal(Zeroizing::new(vec![1; n]));
    assert_eq!(seal(0).unwrap_err(), SecretError::Empty(authorization.credential()));
    assert_eq!(seal(MAX_SECRET + 1).unwrap_err(), SecretError::TooLong(authorization.credential()));
    assert!(seal(MAX_SECRET).is_ok());
}

#[tokio::test]
async fn what_is_prepared_works_only_after_its_record() {
    let (issuer, mut case) = (target().preparing(), case(1));
    let prepared = prepare(&issuer, &case.authorize(&issuer)).await;
    assert!(issuer.working().is_empty());
    let recorded = case.prepared(prepared.descriptor());
    let id = prepared.descriptor().id;
    let minted = issuer.commit(prepared, &recorded).await.unwrap();
    assert_eq!(issuer.working(), [id]);
    let issued = case.issued(&minted.descriptor);
    assert_eq!(minted.secret.unwrap().open(&issued).unwrap().expose(), SECRET);
}

#[tokio::test]
async fn no_other_record_commits_what_is_prepared() {
    let (issuer, mut case) = (target().preparing(), case(1));
    let intended = case.intend(&issuer);
    let authorization = MintAuthorization::new(case.case(), &intended).unwrap();
    let prepared = prepare(&issuer, &authorization).await;
    let refused = issuer.commit(prepared, &intended).await.unwrap_err();
    assert_eq!(refused, MintError::Refused { cause: code!("not_recorded_as_prepared") });
    assert!(issuer.working().is_empty());

    let mut theirs = self::case(2);
    let other = prepare(&issuer, &theirs.authorize(&issuer)).await;
    let recorded = theirs.prepared(other.descriptor());
    let refused = prepare(&issuer, &authorization).await.authorized(&recorded).unwrap_err();
    assert!(matches!(refused, RecordMismatch::Stream { .. }), "{refused}");
}

#[tokio::test]
async fn the_record_of_a_preparation_does_not_release() {
    let (issuer, mut case) = (target().preparing(), case(1));
    let prepared = prepare(&issuer, &case.authorize(&issuer)).await;
    let recorded = case.prepared(prepared.descriptor());
    let minted = prepared.authorized(&recorded).unwrap();
    assert!(matches!(minted.secret.unwrap().open(&recorded).unwrap_err(), RecordMismatch::Kind { .. }));
}

#[tokio::test]
async fn a_secret_is_in_nothing_but_its_bytes() {
    let (issuer, mut case, canary) = (target(), case(1), Canary::new(SECRET));
    let intended = case.intend(&issuer);
    let authorization = MintAuthorization::new(case.case(), &intended).unwrap();
    let minted = mint(&issuer, &authorization).await;
    canary.assert_absent("Debug of Minted", format!("{minted:?}"));
    canary.assert_absent("Debug of MintAuthorization", format!("{authorization:?}"));
    let prepared = authorization.prepare(minted.descriptor.clone(), Some(seal(&authorization)));
    canary.assert_absent("Debug of Prepared", format!("{prepared:?}"));
    let issued = case.issued(&minted.descriptor);
    canary.assert_absent("the record", issued.header_bytes());
    let refused = seal(&authorization).open(&intended).unwrap_err();
    canary.assert_absent("Debug of RecordMismatch", format!("{refused:?} {refused}"));
    let secret = minted.secret.unwrap().open(&issued).unwrap();
    canary.assert_absent("Debug of Secret", format!("{secret:?} {secret:#?}"));
    // The instrument sees what is there to be seen.
    assert_eq!(canary.find(secret.expose()), Some("verbatim"));
}

#[tokio::test]
async fn effects_are_counted_where_they_may_have_happened() {
    let target = std::sync::Arc::new(target());
    let counter = EffectCounter::new(target.clone());
    let mut case = case(1);
    let first = case.authorize(&counter);
    target.trouble(Step::Mint, Trouble::Failed);
    counter.mint(&first).await.unwrap_err();
    assert_eq!(counter.on(first.credential()), Effects::default());
    target.trouble(Step::Mint, Trouble::LostAfter);
    assert!(matches!(counter.mint(&first).await, Err(MintError::Unknown { .. })));
    assert_eq!(counter.on(first.credential()).mints, 1);
    assert_eq!(target.working(), [first.credential()]);
    assert!(counter.repeated().is_empty());
    drop(mint(&counter, &first).await);
    assert_eq!(counter.repeated(), [first.credential()]);
    assert_eq!(counter.on(CredentialId::v8([0; 16])), Effects::default());
}
