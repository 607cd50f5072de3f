//! The instruments see what they are there to see, and nothing else.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "tests may panic"
)]

use std::{fs, time::Duration};

use data_encoding::{BASE64, BASE64URL_NOPAD, HEXLOWER, HEXUPPER};
use jit_core::{Command, EndBy, Entropy as _, code};
use jit_issuer::{
    CredentialIssuer, MintError, Minting, ObserveError, Observed, ReconcileQuery, RevokeAuthorization, RevokeError,
    RevokeOutcome,
};
use jit_testkit::{Canary, CaseSetup, MemoryTarget, RecordedCase, SeededEntropy, Step, Trouble};

const SECRET: &[u8] = b"canary-3f8a51c2d97e";

#[test]
fn a_canary_is_found_in_every_spelling_wherever_it_begins() {
    let canary = Canary::new(SECRET);
    for before in ["", "a", "ab", "abc", "abcd"] {
        for after in ["", "z", "zy", "zyx"] {
            let text = [before.as_bytes(), SECRET, after.as_bytes()].concat();
            assert_eq!(canary.find(&text), Some("verbatim"));
            assert_eq!(canary.find(HEXLOWER.encode(&text)), Some("hex"));
            assert_eq!(canary.find(HEXUPPER.encode(&text)), Some("upper-case hex"));
            assert_eq!(canary.find(format!("{text:?}")), Some("numbers"));
            assert!(canary.find(format!("{text:?}").replace(' ', "")).is_some());
            assert!(canary.find(BASE64.encode(&text)).is_some(), "{before}…{after}");
            assert!(canary.find(BASE64URL_NOPAD.encode(&text)).is_some(), "{before}…{after}");
        }
    }
    let innocent = [b"canary-3f8b51c2d97e".as_slice(), &SECRET[1..], b" "].concat();
    for text in [innocent.clone(), HEXLOWER.encode(&innocent).into(), BASE64.encode(&innocent).into()] {
        assert_eq!(canary.find(text), None);
    }
}

#[test]
#[should_panic(expected = "the log line has the secret (hex)")]
fn a_planted_canary_stops_the_test() {
    Canary::new(SECRET).assert_absent("the log line", format!("token {}", HEXLOWER.encode(SECRET)));
}

#[test]
fn a_canary_is_found_in_files_and_their_names() {
    let directory = tempfile::tempdir().unwrap();
    let below = directory.path().join("below");
    fs::create_dir(&below).unwrap();
    fs::write(directory.path().join("innocent"), "nothing").unwrap();
    let canary = Canary::new(SECRET);
    assert!(canary.files(directory.path()).is_empty());
    fs::write(below.join("content"), [b"\0\xff", SECRET].concat()).unwrap();
    fs::write(below.join(std::str::from_utf8(SECRET).unwrap()), "").unwrap();
    let found: Vec<_> = canary.files(directory.path()).into_iter().map(|(path, _)| path).collect();
    assert_eq!(found, [below.join(std::str::from_utf8(SECRET).unwrap()), below.join("content")]);
}

#[test]
fn the_same_setup_gives_the_same_records() {
    let leaf = |seed| {
        let mut case = RecordedCase::approved(CaseSetup { seed, ..CaseSetup::default() });
        case.intend(&MemoryTarget::new()).leaf()
    };
    assert_eq!(leaf(1), leaf(1));
    assert_ne!(leaf(1), leaf(2));
    let bytes = |seed| {
        let mut bytes = [0; 33];
        SeededEntropy::new(seed).fill(&mut bytes).unwrap();
        bytes
    };
    assert_eq!(bytes(1), bytes(1));
    assert_ne!(bytes(1), bytes(2));
}

fn case() -> RecordedCase {
    RecordedCase::approved(CaseSetup::default())
}

fn query(case: &RecordedCase) -> ReconcileQuery {
    let (id, credential) = case.case().credentials().last_key_value().unwrap();
    ReconcileQuery::new(*id, credential.intended.clone())
}

#[tokio::test]
async fn an_answer_that_is_lost_is_found_out() {
    let target = MemoryTarget::new();
    for (trouble, found) in [(Trouble::LostBefore, false), (Trouble::LostAfter, true)] {
        let mut case = case();
        let authorization = case.authorize(&target);
        target.trouble(Step::Mint, trouble);
        assert!(matches!(target.mint(&authorization).await, Err(MintError::Unknown { .. })));
        target.trouble(Step::Reconcile, Trouble::LostAfter);
        assert!(matches!(target.reconcile(&query(&case)).await, Err(ObserveError::Unknown { .. })));
        let observed = target.reconcile(&query(&case)).await.unwrap();
        assert_eq!(matches!(observed, Observed::Exists(_)), found, "{observed:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_target_that_hangs_has_acted() {
    let target = MemoryTarget::new();
    let mut case = case();
    let authorization = case.authorize(&target);
    target.trouble(Step::Mint, Trouble::Hangs);
    tokio::time::timeout(Duration::from_secs(10), target.mint(&authorization)).await.unwrap_err();
    assert_eq!(target.working(), [authorization.credential()]);
    let found = target.list(authorization.issued().start(), None).await.unwrap();
    assert_eq!(found.found[0].credential, Some(authorization.credential()));
}

#[tokio::test]
async fn a_target_takes_back_once() {
    let target = MemoryTarget::new();
    let mut case = case();
    let Minting::Done(minted) = target.mint(&case.authorize(&target)).await.unwrap() else { panic!("prepared") };
    case.issued(&minted.descriptor);
    let holder = case.case().grant().unwrap().approved.recipient.clone();
    case.record(Command::End { by: EndBy::Holder(holder), cause: code!("given_back"), reason: None });
    let intended = case.intend_revocation(minted.descriptor.id);
    let authorization = RevokeAuthorization::recorded(case.case(), &intended).unwrap();
    target.trouble(Step::Revoke, Trouble::Failed);
    let failed = target.revoke(&authorization, &minted.descriptor).await.unwrap_err();
    assert_eq!(failed, RevokeError::Failed { cause: code!("told_to_fail") });
    assert_eq!(target.working(), [minted.descriptor.id]);
    let first = target.revoke(&authorization, &minted.descriptor).await.unwrap();
    assert_eq!(first, RevokeOutcome::Revoked { finding: code!("removed") });
    let second = target.revoke(&authorization, &minted.descriptor).await.unwrap();
    assert_eq!(second, RevokeOutcome::AlreadyGone);
    assert_eq!(target.reconcile(&query(&case)).await.unwrap(), Observed::Gone);
}

#[tokio::test]
async fn what_is_abandoned_is_gone() {
    let target = MemoryTarget::new().preparing();
    let mut case = case();
    let Minting::Prepared(prepared) = target.mint(&case.authorize(&target)).await.unwrap() else { panic!("done") };
    target.abandon(prepared).await.unwrap();
    assert_eq!(target.reconcile(&query(&case)).await.unwrap(), Observed::NeverExisted);
}
