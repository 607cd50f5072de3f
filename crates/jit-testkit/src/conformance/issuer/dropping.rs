//! Calls whose future is dropped leave what can be found out and put right.

use std::time::Duration;

use jit_core::{CredentialDescriptor, ExternalDigest, ExternalId, code};
use jit_issuer::{MintAuthorization, Minting, Observed, RevokeAuthorization};

use super::{
    super::polls::give_up,
    Subject,
    subject::{Live, revoke},
};
use crate::RecordedCase;

/// A mint awaits less often than this.
const MOST_POLLS: usize = 60;

pub(super) async fn a_dropped_mint_leaves_all_or_nothing(subject: Subject) {
    for polls in 1..MOST_POLLS {
        let mut case = subject.case(polls as u64);
        let authorization = case.authorize(subject.issuer());
        let minted = give_up(polls, Duration::ZERO, subject.issuer().mint(&authorization)).await;
        let fast = minted.is_some();
        drop(minted);
        put_right(&subject, &case, &authorization).await;
        if fast {
            break;
        }
    }
    let live = subject.mint(&mut subject.case(1000)).await;
    assert_ne!(subject.opens(&live).await, Some(false), "after dropped mints, none works");
}

pub(super) async fn a_dropped_commit_leaves_all_or_nothing(subject: Subject) {
    for polls in 1..MOST_POLLS {
        let mut case = subject.case(polls as u64);
        let authorization = case.authorize(subject.issuer());
        let minting = subject.issuer().mint(&authorization).await.expect("an authorised mint succeeds");
        let Minting::Prepared(prepared) = minting else { return };
        let recorded = case.prepared(prepared.descriptor());
        let fast = give_up(polls, Duration::ZERO, subject.issuer().commit(prepared, &recorded)).await.is_some();
        put_right(&subject, &case, &authorization).await;
        if fast {
            break;
        }
    }
}

pub(super) async fn a_dropped_revocation_is_made_again(subject: Subject) {
    for polls in 1..MOST_POLLS {
        let live = subject.mint(&mut subject.case(polls as u64)).await;
        let Live { descriptor, .. } = &live;
        let start = descriptor.window.start();
        let authorization = RevokeAuthorization::store_down(code!("conformance"), start, descriptor);
        let fast = give_up(polls, Duration::ZERO, subject.issuer().revoke(&authorization, descriptor)).await.is_some();
        revoke(&*subject.another_process().await, descriptor).await;
        if subject.issuer().capabilities().can_revoke {
            assert_ne!(subject.opens(&live).await, Some(true), "it works after it was taken back again");
        }
        if fast {
            break;
        }
    }
}

/// What a recovering process does with a mint that nobody finished: find out, and take back what is there.
async fn put_right(subject: &Subject, case: &RecordedCase, authorization: &MintAuthorization) {
    let id = authorization.credential();
    if let Ok(Observed::Exists(found)) = subject.look(case, id).await {
        assert_eq!(found.id, id, "it was found under another id");
        revoke(&*subject.another_process().await, &found).await;
        let found = subject.look(case, id).await;
        assert!(!matches!(found, Ok(Observed::Exists(_))), "it was taken back, and reconcile answers {found:?}");
    }
    let listed = subject.list().await.unwrap_or_default();
    assert!(listed.iter().all(|found| found.credential != Some(id)), "what nobody released is listed");
    let nobodys = CredentialDescriptor {
        id,
        issuer: authorization.issuer().clone(),
        fingerprint: ExternalDigest::from_bytes([0; 32]),
        serial: ExternalId::new(id.to_string()).expect("a serial"),
        subject: authorization.subject().clone(),
        window: authorization.issued(),
        capabilities: authorization.capabilities().clone(),
    };
    assert_ne!(subject.opens_without_secret(&nobodys).await, Some(true), "what nobody released works");
}
