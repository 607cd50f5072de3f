//! What is minted is what was authorised, no more and for no longer.

use std::{collections::BTreeSet, time::Duration};

use futures_util::future::join_all;
use jit_core::Window;
use jit_issuer::{MintError, Minting};

use super::Subject;
use crate::{Canary, MemoryTarget};

pub(super) async fn name_and_capabilities_stay(subject: Subject) {
    let (name, capabilities) = (subject.issuer().name().clone(), subject.issuer().capabilities());
    let live = subject.mint(&mut subject.case(1)).await;
    subject.revoke(&live.descriptor).await;
    for issuer in [subject.issuer(), &*subject.another_process().await] {
        assert_eq!(*issuer.name(), name, "the name of the issuer changed");
        assert_eq!(issuer.capabilities(), capabilities, "the capabilities changed");
    }
    assert!(capabilities.min_ttl_s <= capabilities.max_ttl_s, "no life is long and short enough");
    assert!(capabilities.native_expiry || capabilities.can_revoke, "what it mints never ends");
}

pub(super) async fn what_fits_lies_within(subject: Subject) {
    let issuer = subject.issuer();
    let max = Duration::from_secs(issuer.capabilities().max_ttl_s.into());
    let start = subject.case(1).case().grant().expect("a grant").approved.approved.start();
    let mut fitted = 0;
    for micros in [0_u64, 1, 499_999, 999_999] {
        for millis in [1_u64, 999, 1_000, 1_001, 59_500, 3_600_000, 86_400_001, 40_000_000_000] {
            let from = start.saturating_add(Duration::from_micros(micros));
            let Ok(window) = Window::new(from, from.saturating_add(Duration::from_millis(millis))) else { continue };
            let Some(fit) = issuer.fit(window) else { continue };
            fitted += 1;
            assert!(fit.is_within(&window), "{fit:?} is not within {window:?}");
            assert!(fit.duration() <= max, "{fit:?} lasts longer than the longest life");
            assert_eq!(issuer.fit(fit), Some(fit), "what was fitted does not fit");
        }
    }
    assert!(fitted > 0, "no window fits");
}

pub(super) async fn a_credential_is_as_authorised(subject: Subject) {
    let mut case = subject.case(1);
    let authorization = case.authorize(subject.issuer());
    let descriptor = subject.finish(&mut case, &authorization).await.descriptor;
    assert_eq!(descriptor.id, authorization.credential(), "another id");
    assert_eq!(descriptor.issuer, *subject.issuer().name(), "another issuer");
    assert_eq!(descriptor.subject, *authorization.subject(), "another subject");
    assert_eq!(descriptor.capabilities, subject.issuer().capabilities(), "other capabilities");
    assert!(descriptor.window.is_within(&authorization.issued()), "a window beyond what was authorised");
}

pub(super) async fn every_credential_has_a_name_of_its_own(subject: Subject) {
    let mut case = subject.case(1);
    let mut names = BTreeSet::new();
    for live in [
        subject.mint(&mut case).await,
        subject.mint(&mut subject.case(2)).await,
        subject.mint(&mut subject.case(3)).await,
    ] {
        assert!(names.insert(live.descriptor.serial.as_str().to_owned()), "two credentials of one name");
    }
}

pub(super) async fn what_another_issuer_may_mint_is_refused(subject: Subject) {
    let other = MemoryTarget::new().named("another-issuer");
    let authorization = subject.case(1).authorize(&other);
    match subject.issuer().mint(&authorization).await {
        Err(MintError::Refused { .. }) => {}
        answer => panic!("asked to mint for another issuer, it answers {answer:?}"),
    }
    assert_eq!(subject.list().await.unwrap_or_default(), [], "it minted for another issuer");
}

pub(super) async fn a_secret_is_sealed_and_shown_nowhere(subject: Subject) {
    let mut case = subject.case(1);
    let authorization = case.authorize(subject.issuer());
    let minting = subject.issuer().mint(&authorization).await.expect("an authorised mint succeeds");
    let mut shown = format!("{minting:?}");
    let minted = match minting {
        Minting::Done(minted) => minted,
        Minting::Prepared(prepared) => {
            let recorded = case.prepared(prepared.descriptor());
            subject.issuer().commit(prepared, &recorded).await.expect("a recorded commit succeeds")
        }
    };
    shown.push_str(&format!("{minted:?} {:?}", minted.descriptor));
    let issued = case.issued(&minted.descriptor);
    let Some(secret) = minted.secret.map(|sealed| sealed.open(&issued).expect("its record opens it")) else { return };
    shown.push_str(&format!("{secret:?}"));
    assert!(secret.expose().len() >= 16, "a secret of less than 16 bytes can be guessed");
    Canary::new(secret.expose()).assert_absent("debug output", shown);
}

pub(super) async fn a_released_credential_opens_its_target(subject: Subject) {
    let live = subject.mint(&mut subject.case(1)).await;
    assert_ne!(subject.opens(&live).await, Some(false), "it does not work");
}

pub(super) async fn many_are_minted_at_once(subject: Subject) {
    let cases: Vec<_> = (0..8).map(|seed| subject.case(seed)).collect();
    let subject = &subject;
    let minting = cases.into_iter().map(|mut case| async move { subject.mint(&mut case).await });
    let lives = join_all(minting).await;
    let names: BTreeSet<_> = lives.iter().map(|live| live.descriptor.serial.as_str()).collect();
    assert_eq!(names.len(), lives.len(), "two credentials of one name");
    for live in &lives {
        assert_ne!(subject.opens(live).await, Some(false), "one of many does not work");
    }
}
