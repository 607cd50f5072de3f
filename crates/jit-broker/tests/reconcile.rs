//! What somebody changed at a target behind the broker's back is found, recorded, and put right.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs, reason = "tests may panic")]

mod support;

use std::sync::Arc;

use jit_core::*;
use jit_issuer::CredentialIssuer;
use jit_testkit::{MemoryTarget, Step, Trouble};
use support::*;

async fn over(target: MemoryTarget) -> (World, Arc<MemoryTarget>) {
    let target = Arc::new(target);
    (World::with_issuer(target.clone()).await, target)
}

async fn reconcile(world: &World) -> jit_broker::Reconciled {
    world.broker.reconcile(world.issuer_name(), start()).await.unwrap()
}

#[tokio::test]
async fn a_credential_that_is_gone_or_altered_ends_its_grant() {
    for target in [MemoryTarget::new(), MemoryTarget::new().shared()] {
        let (world, target) = over(target).await;
        let (gone, removed) = world.active("a", "alice", "database:prod/orders").await;
        let (altered, changed) = world.active("b", "alice", "database:prod/billing").await;
        let (kept, _) = world.active("c", "alice", "database:prod/stock").await;
        let nothing = reconcile(&world).await;
        assert_eq!((nothing.checked, nothing.modified.len(), nothing.orphans.len()), (3, 0, 0), "{nothing:?}");

        target.tamper_remove(removed);
        target.tamper_alter(changed, |d| d.subject = person("mallory").id());
        let mut found = reconcile(&world).await;
        found.modified.sort();
        let mut expected = vec![gone, altered];
        expected.sort();
        assert_eq!((found.checked, found.modified, found.orphans, found.unclear), (3, expected, vec![], vec![]));
        for (case, finding) in [(gone, "gone"), (altered, "altered")] {
            let records = world.broker.log().stream(&StreamId::Case(case)).await.unwrap();
            let said = records.iter().find_map(|r| match r.record().event().unwrap() {
                Event::GrantExternallyModified(e) => Some(e.finding),
                _ => None,
            });
            assert_eq!(said, Some(code(finding)));
            assert!(world.broker.case(case).await.unwrap().is_closed());
        }
        assert_eq!(world.broker.case(kept).await.unwrap().phase(), Phase::Activated);
        assert_eq!((target.names().len(), world.unsettled().await), (1, vec![]));
        assert_eq!(reconcile(&world).await.modified, []);
        world.assert_invariants().await;
    }
}

fn code(text: &str) -> Code {
    Code::new(text).unwrap()
}

#[tokio::test]
async fn what_no_record_explains_is_recorded_before_it_is_ended() {
    for target in [MemoryTarget::new(), MemoryTarget::new().shared()] {
        let (world, target) = over(target).await;
        let (_, live) = world.active("a", "alice", "database:prod/orders").await;
        target.plant("jit_stray");
        let shared = target.capabilities().class == CrashClass::RemoteShared;
        if !shared {
            // A target that answered twice made a second one.
            target.plant_copy(live, CredentialId::v8([9; 16]));
        }
        target.trouble(Step::EndOrphan, Trouble::Failed);
        let strays = if shared { 1 } else { 2 };
        let first = reconcile(&world).await;
        assert_eq!((first.orphans.len(), first.orphans_ended.len(), first.unclear.len()), (strays, strays - 1, 1));
        let second = reconcile(&world).await;
        assert_eq!((second.orphans.len(), second.orphans_ended.len(), second.unclear.len()), (1, 1, 0));
        assert_eq!(reconcile(&world).await.orphans, []);
        assert_eq!(target.working(), [live]);

        let size = world.broker.log().size().await.unwrap();
        let records = world.broker.log().records(&(0..size).collect::<Vec<_>>()).await.unwrap();
        let count = |kind: Kind| records.iter().filter(|r| r.record().header().kind == kind).count();
        assert_eq!((count(Kind::OrphanFound), count(Kind::OrphanEnded)), (strays, strays), "found once each");
        let name = ExternalId::new("jit_stray").unwrap();
        let story = world.broker.log().find(&Lookup::orphan(world.issuer_name(), &name), 0, 9).await.unwrap();
        assert_eq!(story[1].record().header().refs.cause, Some(story[0].record().leaf()));
        world.assert_invariants().await;
    }
}

#[tokio::test]
async fn a_revoked_credential_that_stands_again_is_an_orphan() {
    let (world, target) = over(MemoryTarget::new()).await;
    let (case, credential) = world.active("a", "alice", "database:prod/orders").await;
    target.plant_copy(credential, CredentialId::v8([8; 16]));
    world.broker.terminate(&key("t"), case, person("alice").id(), None).await.unwrap();
    target.revive(credential);
    let found = reconcile(&world).await;
    assert_eq!((found.orphans.len(), found.orphans_ended.len()), (2, 2), "{found:?}");
    assert_eq!(target.working(), []);
}

#[tokio::test(start_paused = true)]
async fn a_target_that_does_not_answer_changes_nothing() {
    let (world, target) = over(MemoryTarget::new()).await;
    let (case, _) = world.active("a", "alice", "database:prod/orders").await;
    target.trouble(Step::Reconcile, Trouble::Hangs);
    let found = reconcile(&world).await;
    assert_eq!((found.modified.len(), found.unclear), (0, vec![code("timed_out")]));
    assert_eq!(world.broker.case(case).await.unwrap().phase(), Phase::Activated);
}
