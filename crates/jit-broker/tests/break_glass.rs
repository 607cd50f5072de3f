//! Emergencies: somebody is told, somebody else reviews, and what is late is listed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests may panic"
)]

mod support;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use jit_broker::{Announcer, BrokerError, Emergency, Settings, Unannounced};
use jit_core::*;
use support::*;

/// Fails so many times, then tells.
struct Pager {
    channel: Code,
    failing: AtomicU32,
    told: Mutex<Vec<Emergency>>,
}

impl Pager {
    fn new(failing: u32) -> Arc<Self> {
        Arc::new(Self { channel: code!("pager"), failing: AtomicU32::new(failing), told: Mutex::default() })
    }
}

#[async_trait]
impl Announcer for Pager {
    fn channel(&self) -> &Code {
        &self.channel
    }

    async fn announce(&self, emergency: &Emergency) -> Result<(), Unannounced> {
        let fails = |left: u32| left.checked_sub(1);
        if self.failing.fetch_update(Ordering::SeqCst, Ordering::SeqCst, fails).is_ok() {
            return Err(Unannounced(code!("unreachable")));
        }
        self.told.lock().unwrap().push(emergency.clone());
        Ok(())
    }
}

/// Never answers.
struct Silent(Code);

#[async_trait]
impl Announcer for Silent {
    fn channel(&self) -> &Code {
        &self.0
    }

    async fn announce(&self, _: &Emergency) -> Result<(), Unannounced> {
        std::future::pending().await
    }
}

/// Waits until the case says so; what was spawned runs meanwhile.
async fn until(world: &World, case: CaseId, holds: impl Fn(&Case) -> bool) -> Case {
    for _ in 0..10_000 {
        let read = world.broker.case(case).await.unwrap();
        if holds(&read) {
            return read;
        }
        tokio::task::yield_now().await;
    }
    panic!("it never came to that");
}

fn task(case: &Case, name: &str) -> ObligationId {
    *case.obligations().iter().find(|(_, o)| o.task.as_str() == name).unwrap().0
}

#[tokio::test]
async fn an_emergency_is_told_once_its_record_is_durable() {
    let mut world = World::new().await;
    let pager = Pager::new(0);
    world.broker = world.rebuilt(|builder| builder.announcer(pager.clone())).await;
    let case = world.broker.submit(&key("k"), emergency()).await.unwrap().case;
    until(&world, case, |case| case.announcement() == Some(Announcement::Delivered)).await;
    let told = pager.told.lock().unwrap().clone();
    assert_eq!((told.len(), told[0].case, told[0].declared.severity), (1, case, Severity::Critical));
    // Nobody is told of what is no emergency.
    world.broker.submit(&key("k2"), deployment()).await.unwrap();
    tokio::task::yield_now().await;
    assert_eq!(pager.told.lock().unwrap().len(), 1);
    // A sweep has nothing left to tell.
    world.clock.advance(HOUR);
    world.broker.sweep().await.unwrap();
    assert_eq!(pager.told.lock().unwrap().len(), 1);
    world.assert_invariants().await;
}

#[tokio::test]
async fn a_channel_that_fails_is_tried_again_and_each_failure_is_on_record() {
    let mut world = World::new().await;
    let pager = Pager::new(2);
    // What is rescheduled can be claimed again at once.
    let settings = Settings::default().lease(Duration::ZERO);
    world.broker = world.rebuilt(|builder| builder.announcer(pager.clone()).settings(settings)).await;
    let case = world.broker.submit(&key("k"), emergency()).await.unwrap().case;
    // Access does not wait for it.
    let _ = world.issue(case, &person("alice").id()).await.unwrap();
    for attempts in [1, 2] {
        until(&world, case, |case| case.announcement() == Some(Announcement::Pending { attempts })).await;
        world.clock.advance(Duration::from_secs(30));
        world.broker.sweep().await.unwrap();
    }
    assert_eq!(world.broker.case(case).await.unwrap().announcement(), Some(Announcement::Delivered));
    assert_eq!(pager.told.lock().unwrap().len(), 1);
    let kinds = world.kinds(case).await;
    assert_eq!(kinds.iter().filter(|k| *k == "break_glass.announced").count(), 3, "{kinds:?}");
    world.assert_invariants().await;
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_never_answers_keeps_nobody_waiting() {
    let mut world = World::new().await;
    world.broker = world.rebuilt(|builder| builder.announcer(Arc::new(Silent(code!("pager"))))).await;
    let case = world.broker.submit(&key("k"), emergency()).await.unwrap().case;
    let _ = world.issue(case, &person("alice").id()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    let read = until(&world, case, |case| case.announcement() != Some(Announcement::Pending { attempts: 0 })).await;
    assert_eq!(read.announcement(), Some(Announcement::Pending { attempts: 1 }));
    world.assert_invariants().await;
}

#[tokio::test]
async fn a_sweep_tells_what_a_broker_did_not_live_to_tell() {
    let mut world = World::new().await;
    world.broker = world.rebuilt(|builder| builder.announcer(Arc::new(Silent(code!("pager"))))).await;
    let case = world.broker.submit(&key("k"), emergency()).await.unwrap().case;
    // Another process, whose channel works.
    let pager = Pager::new(0);
    world.broker = world.rebuilt(|builder| builder.announcer(pager.clone())).await;
    world.clock.advance(Duration::from_secs(10));
    world.broker.sweep().await.unwrap();
    assert_eq!(world.broker.case(case).await.unwrap().announcement(), Some(Announcement::Delivered));
    assert_eq!(pager.told.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn what_is_late_is_recorded_once_and_listed_until_it_is_done() {
    let world = World::new().await;
    let alice = person("alice");
    let case = world.broker.submit(&key("k"), emergency()).await.unwrap().case;
    assert!(world.broker.overdue(None, 10).await.unwrap().found.is_empty());
    world.clock.advance(HOUR * 25);
    world.broker.sweep().await.unwrap();
    world.broker.sweep().await.unwrap();
    let kinds = world.kinds(case).await;
    assert_eq!(kinds.iter().filter(|k| *k == "obligation.overdue").count(), 2, "{kinds:?}");
    let found = world.broker.overdue(None, 10).await.unwrap().found;
    let mut tasks: Vec<&str> = found.iter().map(|o| o.task.as_str()).collect();
    tasks.sort_unstable();
    assert_eq!(tasks, ["justification", "review"]);
    assert!(found.iter().all(|o| o.case == case && o.requester == alice.id()));

    let read = world.broker.case(case).await.unwrap();
    let close = async |k: &str, what, by: Principal| {
        let text = Prose::new("the primary was down, INC-9").ok();
        world.broker.close_obligation(&key(k), case, what, by, code!("in_order"), text).await
    };
    close("1", task(&read, "justification"), alice).await.unwrap();
    assert_eq!(world.broker.overdue(None, 10).await.unwrap().found.len(), 1);
    close("2", task(&read, "review"), person("bob")).await.unwrap();
    assert!(world.broker.overdue(None, 10).await.unwrap().found.is_empty());
    assert!(world.broker.case(case).await.unwrap().is_closed());
    world.assert_invariants().await;
}

#[tokio::test]
async fn a_review_closed_late_says_that_it_was_late_without_any_sweep() {
    let world = World::new().await;
    let case = world.broker.submit(&key("k"), emergency()).await.unwrap().case;
    world.clock.advance(HOUR);
    world.broker.sweep().await.unwrap();
    world.clock.advance(HOUR * 25);
    let read = world.broker.case(case).await.unwrap();
    let text = Prose::new("in order").ok();
    let review = task(&read, "review");
    let close = async || {
        let text = text.clone();
        world.broker.close_obligation(&key("1"), case, review, person("bob"), code!("in_order"), text).await
    };
    close().await.unwrap();
    // Repeated under its key it has one effect.
    let size = world.broker.log().size().await.unwrap();
    close().await.unwrap();
    assert_eq!(world.broker.log().size().await.unwrap(), size);
    let kinds = world.kinds(case).await;
    assert!(kinds.iter().filter(|k| *k == "obligation.overdue").count() >= 1, "{kinds:?}");
}

#[tokio::test]
async fn only_somebody_whom_directory_and_policy_let_reviews() {
    let mut world = World::new().await;
    let rules = format!(
        "{RULES}
@id(\"dba-reviews\")
permit(principal is Jit::Human, action == Jit::Action::\"review\", resource)
when {{ context.break_glass && principal.subject == \"carol\" }};"
    );
    let settings = Settings::default().judged_by_policy().reviewers(group("dba"));
    world.broker = world.rebuilt(|builder| builder.settings(settings)).await;
    world.broker.publish(snapshot_of(&rules), person("policy-owner").id()).await.unwrap();
    let case = world.broker.submit(&key("k"), emergency()).await.unwrap().case;
    world.clock.advance(HOUR);
    world.broker.sweep().await.unwrap();
    let review = task(&world.broker.case(case).await.unwrap(), "review");
    let close = async |who: &str| {
        let answer = world
            .broker
            .close_obligation(&key(who), case, review, person(who), code!("in_order"), Prose::new("in order").ok())
            .await;
        match answer {
            Ok(_) => None,
            Err(BrokerError::Refused { refusal, .. }) => Some(refusal),
            Err(other) => panic!("{other:?}"),
        }
    };
    let id = |who: &str| person(who).id();
    assert_eq!(close("alice").await, Some(Refusal::Interested(id("alice"))));
    assert_eq!(close("zoe").await, Some(Refusal::NotAMember { by: id("zoe"), group: group("dba") }));
    // Bob is in the group; the policy lets Carol alone.
    assert_eq!(close("bob").await, Some(Refusal::NotEligible(id("bob"))));
    assert_eq!(close("carol").await, None);
    world.assert_invariants().await;
}
