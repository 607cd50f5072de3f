//! Windows that open later, credentials that are renewed within them, and clocks that differ.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs, reason = "tests may panic")]

mod support;

use std::{sync::Arc, time::Duration};

use jit_broker::{Broker, BrokerError, Extension, Settings, Swept};
use jit_core::*;
use jit_policy::EntityDirectory;
use jit_testkit::{Calls, Fault, ManualClock, MemoryTarget, Step, Trouble};
use support::*;

fn tomorrow() -> Request {
    request_within("alice", "database:prod/orders", "read", window(HOUR * 24, HOUR)).build().unwrap()
}

/// The same world's broker, which mints unattended at this issuer.
async fn unattended(world: &World) -> Broker {
    let directory = EntityDirectory::parse(SystemName::new("directory").unwrap(), DIRECTORY.as_bytes()).unwrap();
    let directory = Arc::new(directory);
    let name = world.issuer_name().clone();
    let broker = Broker::builder(world.broker.log().clone(), directory.clone())
        .facts(directory)
        .issuer(world.effects.clone())
        .mint_unattended(move |_| Some(name.clone()))
        .build();
    broker.adopt(snapshot()).await.unwrap();
    broker
}

#[tokio::test]
async fn nothing_is_minted_before_a_window_opens_and_authority_is_judged_again_then() {
    let world = World::new().await;
    let case = world.approved("k", tomorrow()).await;
    let early = world.issue(case, &person("alice").id()).await;
    assert!(matches!(early, Err(BrokerError::Refused { refusal: Refusal::WindowNotOpen { .. }, .. })), "{early:?}");
    world.clock.advance(HOUR * 24 - Duration::from_micros(1));
    assert_eq!(world.broker.sweep().await.unwrap(), Swept::default());
    assert!(!world.broker.case(case).await.unwrap().is_active(world.clock.now().at));

    world.clock.advance(Duration::from_micros(1));
    assert_eq!(world.broker.sweep().await.unwrap(), Swept { done: 1, failed: 0 });
    assert!(world.broker.case(case).await.unwrap().is_active(world.clock.now().at));
    assert_eq!(world.kinds(case).await[5..], ["policy.evaluated", "grant.activated"]);
    assert!(world.effects.all().is_empty());
    // A secret needs somebody to hand it to: its holder asks for it.
    let issued = world.broker.issue(&key("now"), case, &person("alice").id(), world.issuer_name()).await.unwrap();
    assert_eq!(issued.descriptor.window, window(HOUR * 24, HOUR));
    assert_eq!(world.broker.sweep().await.unwrap(), Swept::default());
    world.clock.advance(HOUR);
    world.broker.sweep().await.unwrap();
    assert!(world.broker.case(case).await.unwrap().is_closed());
    world.assert_invariants().await;
}

#[tokio::test]
async fn the_holder_may_be_faster_than_the_sweep() {
    let world = World::new().await;
    let case = world.approved("k", tomorrow()).await;
    world.clock.advance(HOUR * 24);
    let _ = world.issue(case, &person("alice").id()).await.unwrap();
    assert_eq!(world.broker.sweep().await.unwrap(), Swept::default());
    assert_eq!(world.kinds(case).await.iter().filter(|k| *k == "grant.activated").count(), 1);
    world.assert_invariants().await;
}

#[tokio::test]
async fn a_sweep_that_comes_after_the_window_opens_nothing() {
    let world = World::new().await;
    let case = world.approved("k", tomorrow()).await;
    world.clock.advance(HOUR * 26);
    assert_eq!(world.broker.sweep().await.unwrap().failed, 0);
    assert_eq!(world.kinds(case).await[5..], ["grant.expired", "case.closed"]);
    world.assert_invariants().await;
}

#[tokio::test]
async fn a_policy_that_no_longer_permits_keeps_a_window_closed() {
    let world = World::new().await;
    let case = world.approved("k", tomorrow()).await;
    let stricter = RULES.replace("@jit_approvals(\"sre:1\")", "@jit_approvals(\"sre:2\")");
    world.broker.publish(snapshot_of(&stricter), person("policy-owner").id()).await.unwrap();
    world.clock.advance(HOUR * 24);
    assert_eq!(world.broker.sweep().await.unwrap().failed, 0);
    let expected = ["policy.evaluated", "approval.voided", "grant.eligibility_withdrawn", "case.closed"];
    assert_eq!(world.kinds(case).await[5..], expected);
    assert!(world.effects.all().is_empty());
}

#[tokio::test]
async fn what_has_no_secret_is_minted_unattended_when_its_window_opens_and_when_that_is_extended() {
    let target = Arc::new(MemoryTarget::new().with_secret(None));
    let world = World::with_issuer(target.clone()).await;
    let broker = unattended(&world).await;
    let case = world.approved("k", tomorrow()).await;
    world.clock.advance(HOUR * 24);
    assert_eq!(broker.sweep().await.unwrap(), Swept { done: 1, failed: 0 });
    assert_eq!(target.working().len(), 1);
    let first = target.working()[0];

    let end = start().saturating_add(HOUR * 26);
    let why = Justification::new("INC-7 goes on").unwrap();
    let asked = broker.extend(&key("x"), case, person("alice").id(), end, why).await.unwrap();
    assert_eq!(asked, Extension::AwaitingApprovals);
    let content = broker.approval_content(case, &person("bob")).await.unwrap().unwrap();
    let (comment, authentication, signature) = (None, None, None);
    let approver = person("bob");
    let act = jit_broker::ApprovalAct { approver, group: group("sre"), content, comment, authentication, signature };
    broker.approve(&key("ax"), case, act).await.unwrap();
    let known = broker.case(case).await.unwrap();
    assert_eq!(target.working().len(), 1);
    assert_ne!(target.working()[0], first);
    assert_eq!(known.credentials()[&target.working()[0]].intended.issued.end(), end);
    assert_eq!(known.credentials()[&first].revocation, RevocationState::Confirmed);
    world.assert_invariants().await;
}

#[tokio::test]
async fn a_target_that_fails_at_the_opening_leaves_an_open_window_and_one_attempt() {
    let target = Arc::new(MemoryTarget::new().with_secret(None));
    let world = World::with_issuer(target.clone()).await;
    let broker = unattended(&world).await;
    let case = world.approved("k", tomorrow()).await;
    world.clock.advance(HOUR * 24);
    target.trouble(Step::Mint, Trouble::Failed);
    assert_eq!(broker.sweep().await.unwrap(), Swept { done: 1, failed: 0 });
    assert_eq!(broker.sweep().await.unwrap(), Swept::default());
    assert!(broker.case(case).await.unwrap().is_active(world.clock.now().at));
    assert_eq!(target.working(), []);
    // The holder can ask for what is missing.
    let _ = world.issue(case, &person("alice").id()).await.unwrap();
    assert_eq!(target.working().len(), 1);
    world.assert_invariants().await;
}

#[tokio::test]
async fn a_secret_that_nobody_asked_for_is_not_left_alive() {
    let target = Arc::new(MemoryTarget::new());
    let world = World::with_issuer(target.clone()).await;
    let broker = unattended(&world).await;
    let case = world.approved("k", tomorrow()).await;
    world.clock.advance(HOUR * 24);
    assert_eq!(broker.sweep().await.unwrap().failed, 0);
    assert_eq!(target.working(), []);
    assert!(broker.case(case).await.unwrap().is_active(world.clock.now().at));
    world.assert_invariants().await;
}

#[tokio::test]
async fn a_window_longer_than_credentials_last_takes_several_and_none_beyond_it() {
    // This target's credentials last a day at most.
    let target = Arc::new(MemoryTarget::new());
    let mut world = World::with_issuer(target.clone()).await;
    let days = EmergencyLimits { longest: HOUR * 36, ..EmergencyLimits::default() };
    let limits = RequestLimits { emergency: days, ..RequestLimits::default() };
    world.broker = world.rebuilt(|builder| builder.settings(Settings::default().limits(limits))).await;
    let alice = person("alice");
    let emergency = emergency().emergency().unwrap().clone();
    let long = window(Duration::ZERO, HOUR * 36);
    let asked =
        Request::break_glass(alice.clone(), scope("database:prod/orders", "admin"), long, emergency, class("access"));
    let case = world.broker.submit(&key("k"), asked.build().unwrap()).await.unwrap().case;
    let issue = async |k: &str| world.broker.issue(&key(k), case, &alice.id(), world.issuer_name()).await;
    assert_eq!(issue("1").await.unwrap().descriptor.window, window(Duration::ZERO, HOUR * 24));
    world.clock.advance(HOUR * 24);
    // Nothing has swept yet; the credential is dead all the same, and its key asks for nothing new.
    let repeated = issue("1").await;
    assert!(
        matches!(repeated, Err(BrokerError::Refused { refusal: Refusal::SecretNotRetained(_), .. })),
        "{repeated:?}"
    );
    assert_eq!(issue("2").await.unwrap().descriptor.window, window(HOUR * 24, HOUR * 12));
    let live = issue("3").await;
    assert!(matches!(live, Err(BrokerError::Refused { refusal: Refusal::SecretNotRetained(_), .. })), "{live:?}");
    world.clock.advance(HOUR * 6);
    let renewed = world.broker.renew(&key("4"), case, &alice.id(), world.issuer_name()).await.unwrap();
    assert_eq!(renewed.descriptor.window, window(HOUR * 30, HOUR * 6));
    world.clock.advance(HOUR * 6);
    let late = world.broker.renew(&key("5"), case, &alice.id(), world.issuer_name()).await;
    assert!(matches!(late, Err(BrokerError::Refused { .. })), "{late:?}");
    world.broker.sweep().await.unwrap();
    world.assert_invariants().await;
}

#[tokio::test]
async fn an_approval_after_the_end_is_refused() {
    let world = World::new().await;
    let case = world.broker.submit(&key("k"), request("alice", "database:prod/orders", "read")).await.unwrap().case;
    world.clock.advance(HOUR);
    let late = world.approve(case, "bob", "sre").await;
    assert!(matches!(late, Err(BrokerError::Refused { refusal: Refusal::WindowOver(_), .. })), "{late:?}");
    assert_eq!(world.broker.case(case).await.unwrap().phase(), Phase::Lapsed);
    world.assert_invariants().await;
}

/// A clock that is off, and says by how much it may be.
struct Skewed {
    right: Arc<ManualClock>,
    ahead: bool,
}

const SKEW: Duration = Duration::from_secs(300);

impl Clock for Skewed {
    fn now(&self) -> ClockReading {
        let right = self.right.now();
        let at = if self.ahead { right.at.saturating_add(SKEW) } else { right.at.saturating_sub(SKEW) };
        let error_us = u32::try_from(SKEW.as_micros()).unwrap();
        ClockReading { at, clock: ClockInfo { source: ClockSource::new("skewed").unwrap(), error_us } }
    }
}

#[tokio::test]
async fn clocks_five_minutes_off_neither_lengthen_nor_shift_a_window() {
    let minutes = |n: u64| Duration::from_secs(60 * n);
    let (asked, longer) = (window(minutes(30), minutes(60)), window(minutes(30), minutes(90)));
    // Who of a fast and a slow broker does which step.
    for steps in 0..16_u8 {
        let world = World::new().await;
        let fast = world.on_clock(Arc::new(Skewed { right: world.clock.clone(), ahead: true })).await;
        let slow = world.on_clock(Arc::new(Skewed { right: world.clock.clone(), ahead: false })).await;
        let who = |step: u8| if steps >> step & 1 == 0 { &fast } else { &slow };
        let alice = person("alice").id();
        let request = request_within("alice", "database:prod/orders", "read", asked).build().unwrap();
        let case = who(0).submit(&key("k"), request).await.unwrap().case;
        let approve = async |broker: &Broker, k: &str| {
            let approver = person("bob");
            let content = broker.approval_content(case, &approver).await.unwrap().unwrap();
            let (comment, authentication, signature) = (None, None, None);
            let act =
                jit_broker::ApprovalAct { approver, group: group("sre"), content, comment, authentication, signature };
            broker.approve(&key(k), case, act).await.unwrap()
        };
        approve(who(1), "a1").await;
        assert_eq!(who(0).case(case).await.unwrap().grant().unwrap().approved.approved, asked);
        // At the start by the right clock one of them is there already; a step later both are.
        world.clock.advance(minutes(30));
        assert_eq!(slow.sweep().await.unwrap(), Swept::default());
        let early = slow.issue(&key("early"), case, &alice, world.issuer_name()).await;
        assert!(matches!(early, Err(BrokerError::Refused { refusal: Refusal::WindowNotOpen { .. }, .. })), "{early:?}");
        world.clock.advance(minutes(5));
        let first = who(2).issue(&key("i"), case, &alice, world.issuer_name()).await.unwrap();
        assert!(first.descriptor.window.is_within(&asked));
        assert_eq!(first.descriptor.window.end(), asked.end());
        let why = Justification::new("INC-7 goes on").unwrap();
        let extension = who(3).extend(&key("x"), case, alice.clone(), longer.end(), why).await.unwrap();
        assert_eq!(extension, Extension::AwaitingApprovals);
        approve(who(0), "a2").await;
        let renewed = who(1).renew(&key("r"), case, &alice, world.issuer_name()).await.unwrap();
        assert!(renewed.descriptor.window.is_within(&longer));
        let known = fast.case(case).await.unwrap();
        assert_eq!(known.grant().unwrap().approved.approved, longer);
        // By the target's clock, whichever it is, nothing works outside of what was approved; the end is the approved one.
        world.clock.advance(minutes(90));
        let _ = (fast.sweep().await.unwrap(), slow.sweep().await.unwrap());
        let ended = fast.case(case).await.unwrap();
        let ending = ended.grant().unwrap().end.clone().unwrap().ending;
        assert_eq!((ending.planned_end, ending.requested_end), (longer.end(), longer.end()));
        assert_invariants(world.broker.log(), world.clock.now().at.saturating_add(SKEW)).await;
    }
}

/// A clock that moves on whenever it is read, as a real one does.
struct Moving(ManualClock);

impl Clock for Moving {
    fn now(&self) -> ClockReading {
        self.0.advance(Duration::from_millis(1));
        self.0.now()
    }
}

#[tokio::test]
async fn time_that_passes_between_computing_a_window_and_deciding_on_it_refuses_nothing() {
    let world = World::with_issuer(Arc::new(MemoryTarget::new())).await;
    let asked = window(Duration::ZERO, HOUR);
    let case = world.approved("k", request("alice", "database:prod/orders", "read")).await;
    let moving = world.on_clock(Arc::new(Moving(ManualClock::at(start())))).await;
    let issued = moving.issue(&key("i"), case, &person("alice").id(), world.issuer_name()).await.unwrap();
    assert!(issued.descriptor.window.is_within(&asked));
    let renewed = moving.renew(&key("r"), case, &person("alice").id(), world.issuer_name()).await.unwrap();
    assert!(renewed.descriptor.window.is_within(&asked));
    assert!(issued.descriptor.window.start() < renewed.descriptor.window.start());
    assert_invariants(moving.log(), start().saturating_add(Duration::from_secs(60))).await;
}

#[tokio::test]
async fn a_window_does_not_open_for_somebody_who_was_barred_meanwhile() {
    for mints in [false, true] {
        let target = Arc::new(MemoryTarget::new().with_secret(None));
        let world = World::with_issuer(target.clone()).await;
        let broker = if mints { unattended(&world).await } else { world.broker.clone() };
        let pending = world.broker.submit(&key("k"), tomorrow()).await.unwrap().case;
        // The bar is on record, and nothing else: somebody approves before what was asked for is denied.
        let (alice, root) = (person("alice").id(), person("root").id());
        world.backend.fail_from(2, Calls::Commits, Fault::Before);
        let cut_off = broker.offboard(&key("off"), &alice, root, code!("left"), None).await;
        assert!(cut_off.is_err() || !cut_off.unwrap().failed.is_empty());
        world.backend.heal(Calls::All);
        assert!(broker.bar(&alice).await.unwrap().is_some());
        world.approve(pending, "bob", "sre").await.unwrap();
        // Whoever is to end it is slow.
        let ending = broker.log().claim(world.clock.now().at, HOUR * 48, 10).await.unwrap();
        assert_eq!(ending.iter().map(|work| work.id().task).collect::<Vec<_>>(), [DueTask::EndMany]);
        world.clock.advance(HOUR * 24);
        assert_eq!(broker.sweep().await.unwrap().failed, 0);
        assert_eq!(world.end(pending).await.kind, Kind::GrantEligibilityWithdrawn);
        assert!(!world.kinds(pending).await.contains(&"grant.activated".to_owned()));
        assert_eq!(target.working(), []);
        world.assert_invariants().await;
    }
}

#[tokio::test]
async fn a_sweep_does_each_work_once_even_if_its_lease_is_over_before_the_rest_is_done() {
    let world = World::new().await;
    let alice = person("alice").id();
    let (case, _) = world.active("k", "alice", "database:prod/orders").await;
    // The token cannot be taken back, so that the end stays due until it expires.
    world.broker.terminate(&key("e"), case, alice, None).await.unwrap();
    let slow = world.on_clock(Arc::new(Slow(ManualClock::at(start())))).await;
    assert_eq!(slow.sweep().await.unwrap(), Swept { done: 1, failed: 0 });
    assert!(!slow.case(case).await.unwrap().is_closed());
}

/// A clock by which everything takes long.
struct Slow(ManualClock);

impl Clock for Slow {
    fn now(&self) -> ClockReading {
        self.0.advance(Duration::from_secs(16));
        self.0.now()
    }
}
