//! What nobody has established is on record as what it is, in one list, and leaves it only when it is established.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs, reason = "tests may panic")]

mod support;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use jit_broker::{Alarm, BrokerError, Irrevocable, UnsettledState};
use jit_core::*;
use jit_testkit::{MemoryTarget, Step, Trouble};
use support::*;

async fn over(target: MemoryTarget) -> (World, Arc<MemoryTarget>) {
    let target = Arc::new(target);
    (World::with_issuer(target.clone()).await, target)
}

#[derive(Default)]
struct Heard(Mutex<Vec<Irrevocable>>);

impl Alarm for Heard {
    fn irrevocable(&self, credential: &Irrevocable) {
        self.0.lock().unwrap().push(credential.clone());
    }
}

/// Lets every retry fall due, one after the other.
async fn sweep_for(world: &World, times: u32) {
    for _ in 0..times {
        world.clock.advance(Duration::from_secs(4500));
        assert_eq!(world.broker.sweep().await.unwrap().failed, 0);
        tokio::time::advance(Duration::from_secs(60)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_revocation_that_fails_for_good_is_irrevocable_an_alarm_and_tried_again_on_demand() {
    let (mut world, target) = over(MemoryTarget::new().without_expiry()).await;
    let heard = Arc::new(Heard::default());
    world.broker = world.rebuilt(|builder| builder.alarm(heard.clone())).await;
    let (case, credential) = world.active("k", "alice", "database:prod/orders").await;
    assert_eq!(world.unsettled().await, []);
    target.troubles(Step::Revoke, Trouble::Failed, u32::MAX);
    world.broker.terminate(&key("t"), case, person("alice").id(), None).await.unwrap();
    assert_eq!(world.unsettled().await, [(case, UnsettledState::Failed)]);
    assert!(heard.0.lock().unwrap().is_empty());

    let attempts = async || {
        let known = world.broker.case(case).await.unwrap();
        (known.credentials()[&credential].attempts, known.credentials()[&credential].revocation.clone())
    };
    sweep_for(&world, 20).await;
    assert_eq!(attempts().await, (12, RevocationState::Irrevocable), "bounded");
    assert_eq!(world.unsettled().await, [(case, UnsettledState::Irrevocable)]);
    let alarms = heard.0.lock().unwrap().clone();
    assert_eq!((alarms.len(), alarms[0].credential, alarms[0].attempts, alarms[0].until), (1, credential, 12, None));
    assert!(!world.broker.case(case).await.unwrap().is_closed(), "never called done");
    assert_eq!(target.working(), [credential]);
    let records = world.kinds(case).await.len();
    sweep_for(&world, 3).await;
    assert_eq!(world.kinds(case).await.len(), records, "nothing is tried unasked");

    // Asked for, it is tried again: in vain once, then with success.
    let root = person("root").id();
    let retry = async |k: &str| world.broker.retry_revocation(&key(k), case, credential, root.clone(), None).await;
    retry("1").await.unwrap();
    assert_eq!(attempts().await, (13, RevocationState::Failed));
    let refused = retry("2").await;
    assert!(matches!(refused, Err(BrokerError::Refused { refusal: Refusal::Credential(_), .. })), "{refused:?}");
    target.troubles(Step::Revoke, Trouble::Failed, 0);
    sweep_for(&world, 1).await;
    assert_eq!((world.unsettled().await, target.working()), (vec![], vec![]));
    assert!(world.broker.case(case).await.unwrap().is_closed());
    world.assert_invariants().await;
}

#[tokio::test(start_paused = true)]
async fn a_target_that_never_answers_is_unknown_each_time_and_irrevocable_at_last() {
    let (world, target) = over(MemoryTarget::new()).await;
    let asked =
        request_within("alice", "database:prod/orders", "read", window(Duration::ZERO, HOUR * 4)).build().unwrap();
    let case = world.approved("k", asked).await;
    let credential = world.issue(case, &person("alice").id()).await.unwrap().descriptor.id;
    target.troubles(Step::Revoke, Trouble::Hangs, u32::MAX);
    target.troubles(Step::Reconcile, Trouble::LostBefore, u32::MAX);
    world.broker.terminate(&key("t"), case, person("alice").id(), None).await.unwrap();
    assert_eq!(world.unsettled().await, [(case, UnsettledState::Unknown)]);
    let end = world.end(case).await;
    assert_eq!(end.ending.residual.credentials[0].until, Some(start().saturating_add(HOUR * 4)));
    // Its own end settles it, whatever the target says.
    for _ in 0..40 {
        world.clock.advance(Duration::from_secs(600));
        world.broker.sweep().await.unwrap();
        tokio::time::advance(Duration::from_secs(60)).await;
        let known = world.broker.case(case).await.unwrap();
        assert!(known.credentials()[&credential].revocation != RevocationState::Confirmed);
        if world.clock.now().at < start().saturating_add(HOUR * 4) {
            assert_eq!(world.unsettled().await.len(), 1);
        }
    }
    assert_eq!(world.unsettled().await, []);
    assert_eq!(world.kinds(case).await.iter().filter(|k| *k == "credential.expired").count(), 1);
    assert!(world.broker.case(case).await.unwrap().is_closed());
    world.assert_invariants().await;
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_to_a_revocation_is_found_out_and_not_called_failed() {
    let (world, target) = over(MemoryTarget::new()).await;
    let (case, _) = world.active("k", "alice", "database:prod/orders").await;
    target.trouble(Step::Revoke, Trouble::LostAfter);
    world.broker.terminate(&key("t"), case, person("alice").id(), None).await.unwrap();
    assert_eq!(world.unsettled().await, [(case, UnsettledState::Unknown)]);
    world.clock.advance(Duration::from_secs(120));
    world.broker.sweep().await.unwrap();
    let kinds = world.kinds(case).await;
    assert!(
        kinds.ends_with(&["revocation.unknown", "revocation.reconciled", "case.closed"].map(str::to_owned)),
        "{kinds:?}"
    );
    assert!(!kinds.contains(&"revocation.failed".to_owned()));
    assert_eq!(world.unsettled().await, []);
    world.assert_invariants().await;
}

#[tokio::test(start_paused = true)]
async fn a_mint_that_is_late_or_lost_is_unknown_until_it_is_found_and_taken_back() {
    for trouble in [Trouble::Hangs, Trouble::LostAfter, Trouble::LostBefore] {
        let (world, target) = over(MemoryTarget::new()).await;
        target.trouble(Step::Mint, trouble);
        let case = world.approved("k", request("alice", "database:prod/orders", "read")).await;
        let lost = world.issue(case, &person("alice").id()).await;
        assert!(matches!(lost, Err(BrokerError::MintUnknown(_))), "{trouble:?}: {lost:?}");
        assert_eq!(world.unsettled().await, [(case, UnsettledState::MintUnknown)]);
        world.clock.advance(Duration::from_secs(120));
        world.broker.sweep().await.unwrap();
        assert_eq!((world.unsettled().await, target.working()), (vec![], vec![]), "{trouble:?}");
        world.assert_invariants().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_not_intended_is_never_released_and_goes() {
    let longer: fn(&mut CredentialDescriptor) = |d| {
        d.window = Window::new(d.window.start(), d.window.end().saturating_add(HOUR)).unwrap();
    };
    let other: fn(&mut CredentialDescriptor) = |d| d.subject = person("mallory").id();
    for twist in [longer, other] {
        let (world, target) = over(MemoryTarget::new().twisted(twist)).await;
        let case = world.approved("k", request("alice", "database:prod/orders", "read")).await;
        target.troubles(Step::Revoke, Trouble::Failed, 1);
        let refused = world.issue(case, &person("alice").id()).await;
        assert!(matches!(refused, Err(BrokerError::NotReleased { .. })), "{refused:?}");
        let kinds = world.kinds(case).await;
        assert!(!kinds.contains(&"credential.issued".to_owned()), "{kinds:?}");
        // It stands at the target, and the list says so until it is gone.
        assert_eq!((target.working().len(), world.unsettled().await), (1, vec![(case, UnsettledState::MintUnknown)]));
        world.clock.advance(Duration::from_secs(120));
        world.broker.sweep().await.unwrap();
        assert_eq!((target.working(), world.unsettled().await), (vec![], vec![]));
        world.assert_invariants().await;
    }
}

#[tokio::test]
async fn what_cannot_be_recalled_is_listed_until_it_dies_by_itself_and_is_no_alarm() {
    let mut world = World::new().await;
    let heard = Arc::new(Heard::default());
    world.broker = world.rebuilt(|builder| builder.alarm(heard.clone())).await;
    let (case, credential) = world.active("k", "alice", "database:prod/orders").await;
    let (other, _) = world.active("l", "alice", "database:prod/billing").await;
    for (k, ended) in [("t", case), ("u", other)] {
        world.broker.terminate(&key(k), ended, person("alice").id(), None).await.unwrap();
    }
    // In pages of one.
    let first = world.broker.unsettled(None, 1).await.unwrap();
    let second = world.broker.unsettled(first.next, 1).await.unwrap();
    let listed: Vec<_> = first.found.iter().chain(&second.found).collect();
    assert_eq!(listed.len(), 2);
    let one = listed.iter().find(|u| u.case == case).unwrap();
    assert_eq!((one.credential, one.state, one.attempts), (credential, UnsettledState::Irrevocable, 1));
    assert_eq!((one.ended, one.until), (Some(start()), Some(start().saturating_add(HOUR))));
    assert_eq!(one.subject, person("alice").id());
    assert!(heard.0.lock().unwrap().is_empty());
    world.clock.advance(HOUR);
    world.broker.sweep().await.unwrap();
    assert_eq!(world.unsettled().await, []);
    world.assert_invariants().await;
}

#[tokio::test(start_paused = true)]
async fn an_end_that_was_followed_is_left_alone_until_its_case_can_be_closed() {
    let world = World::new().await;
    for n in 0..3 {
        let (case, _) = world.active(&format!("k{n}"), "alice", &format!("database:prod/{n}")).await;
        world.broker.terminate(&key("t"), case, person("alice").id(), None).await.unwrap();
    }
    assert_eq!(world.broker.sweep().await.unwrap().done, 3);
    let size = world.broker.log().size().await.unwrap();
    for _ in 0..5 {
        // Longer than any lease of a sweep.
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(world.broker.sweep().await.unwrap().done, 0, "nothing can be done before they die");
    }
    assert_eq!((world.unsettled().await.len(), world.broker.log().size().await.unwrap()), (3, size));
    world.clock.advance(HOUR);
    world.broker.sweep().await.unwrap();
    assert_eq!(world.unsettled().await, []);
    assert_eq!(world.broker.log().due(None, world.clock.now().at, 10).await.unwrap(), [], "and nothing stays due");
    world.assert_invariants().await;
}
