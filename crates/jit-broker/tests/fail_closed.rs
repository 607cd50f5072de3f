//! With a store that fails at the k-th call, for every k: no secret without its record, no intent without its outcome.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs, reason = "tests may panic")]

mod support;

use std::{sync::Arc, time::Duration};

use jit_core::*;
use jit_issuer::CredentialIssuer;
use jit_store::AppendRequest;
use jit_testkit::{Calls, Fault, MemoryTarget, Step, Trouble};
use support::*;

/// A whole case, up to the first error; the secret if one was released.
async fn whole_case(world: &World) -> Result<Option<CredentialId>, jit_broker::BrokerError> {
    let asked = request("alice", "database:prod/orders", "read");
    let case = world.broker.submit(&key("k"), asked).await?.case;
    if world.broker.case(case).await?.phase() == Phase::AwaitingApprovals {
        world.approve(case, "bob", "sre").await?;
    }
    let issued = world.issue(case, &person("alice").id()).await?;
    assert!(issued.secret.is_some());
    Ok(Some(issued.descriptor.id))
}

/// After recovery every intent has its outcome, every case is closed, and nothing lives on at the target.
async fn recover(world: &World, what: &str) {
    world.backend.heal(Calls::All);
    let broker = world.restarted().await;
    for _ in 0..6 {
        world.clock.advance(HOUR);
        let swept = broker.sweep().await.unwrap();
        assert_eq!(swept.failed, 0, "{what}");
    }
    let size = broker.log().size().await.unwrap();
    let indexes: Vec<u64> = (0..size).collect();
    for record in broker.log().records(&indexes).await.unwrap() {
        if let StreamId::Case(id) = record.record().header().stream {
            let case = broker.case(id).await.unwrap();
            assert!(!case.credentials().values().any(CaseCredential::is_unresolved), "{what}: {id} has an open intent");
            assert!(case.is_closed(), "{what}: {id} is {:?}", case.phase());
        }
    }
    assert!(world.effects.repeated().is_empty(), "{what}: minted twice");
    support::assert_invariants(broker.log(), world.clock.now().at).await;
}

/// Runs the case with one failing call after another, until none is left to fail.
async fn for_every_call(
    calls: Calls,
    fault: Fault,
    stays_down: bool,
    issuer: impl Fn() -> Arc<dyn CredentialIssuer>,
) -> u64 {
    let mut k = 1;
    loop {
        let what = format!("call {k} of {calls:?}, {fault:?}, stays down: {stays_down}");
        let world = World::with_issuer(issuer()).await;
        if stays_down {
            world.backend.fail_from(k, calls, fault);
        } else {
            world.backend.fail_at(k, calls, fault);
        }
        let released = whole_case(&world).await.ok().flatten();
        let fell = world.backend.counted() >= k;
        world.backend.heal(Calls::All);
        if let Some(credential) = released {
            // The record of a released secret is in the log, under a checkpoint that is in the anchor.
            let lookup = Lookup::new(LookupFamily::Credential, credential);
            let case = world.broker.find(&lookup, 1).await.unwrap()[0];
            let records = world.broker.log().stream(&StreamId::Case(case)).await.unwrap();
            let issued = records.iter().find(|r| r.record().header().kind == Kind::CredentialIssued);
            let issued = issued.unwrap_or_else(|| panic!("{what}: released without a record"));
            let anchor = std::fs::read(world.anchor.path().join("checkpoint")).unwrap();
            let anchored = world.broker.log().trust().verify(&anchor).unwrap();
            assert!(issued.index() < anchored.checkpoint().size(), "{what}: released before it was anchored");
        }
        recover(&world, &what).await;
        if !fell {
            return k;
        }
        k += 1;
    }
}

#[tokio::test(start_paused = true)]
async fn no_failing_commit_releases_a_secret_or_loses_an_intent() {
    for fault in [Fault::Before, Fault::LostBefore, Fault::LostAfter] {
        for stays_down in [false, true] {
            let tried = for_every_call(Calls::Commits, fault, stays_down, jwt).await;
            assert!(tried > 4, "{tried} commits in a whole case");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn no_failing_call_of_any_kind_releases_a_secret_or_loses_an_intent() {
    let tried = for_every_call(Calls::All, Fault::Before, true, jwt).await;
    assert!(tried > 20, "{tried} calls in a whole case");
}

#[tokio::test(start_paused = true)]
async fn a_target_with_state_and_two_steps_is_left_with_nothing_unrecorded() {
    for fault in [Fault::Before, Fault::LostAfter] {
        let issuer = || Arc::new(MemoryTarget::new().preparing()) as Arc<dyn CredentialIssuer>;
        assert!(for_every_call(Calls::Commits, fault, true, issuer).await > 5);
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_down_takes_no_append_and_says_so() {
    let world = World::new().await;
    world.backend.fail_from(1, Calls::All, Fault::Before);
    assert!(whole_case(&world).await.is_err());
    assert!(world.effects.all().is_empty());
    assert!(world.broker.log().append(AppendRequest::new()).await.is_err());
    world.backend.heal(Calls::All);
    assert!(whole_case(&world).await.unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn an_issuer_in_trouble_is_recorded_as_what_it_is_and_found_out() {
    for (step, trouble) in [
        (Step::Mint, Trouble::Failed),
        (Step::Mint, Trouble::LostBefore),
        (Step::Mint, Trouble::LostAfter),
        (Step::Mint, Trouble::Hangs),
    ] {
        let target = Arc::new(MemoryTarget::new());
        target.trouble(step, trouble);
        let world = World::with_issuer(target.clone()).await;
        let what = format!("{step:?} {trouble:?}");
        let case = world.approved("k", request("alice", "database:prod/orders", "read")).await;
        assert!(world.issue(case, &person("alice").id()).await.is_err(), "{what}");
        // Long before the credential would expire by itself, it is found and taken back.
        world.clock.advance(Duration::from_secs(120));
        world.broker.sweep().await.unwrap();
        assert_eq!(target.working(), [], "{what}");
        recover(&world, &what).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_revocation_that_fails_is_tried_again_and_never_called_done() {
    let target = Arc::new(MemoryTarget::new());
    target.trouble(Step::Revoke, Trouble::Failed);
    let world = World::with_issuer(target.clone()).await;
    let case = world.approved("k", request("alice", "database:prod/orders", "read")).await;
    let alice = person("alice").id();
    let issued = world.issue(case, &alice).await.unwrap();
    world.broker.terminate(&key("e"), case, alice, None).await.unwrap();
    assert!(!world.kinds(case).await.contains(&"revocation.confirmed".to_owned()));
    world.clock.advance(Duration::from_secs(60));
    world.broker.sweep().await.unwrap();
    assert!(world.kinds(case).await.contains(&"revocation.confirmed".to_owned()));
    assert!(!target.working().contains(&issued.descriptor.id));
    world.assert_invariants().await;
}

/// What a target makes of what it was authorised to mint.
type Twist = fn(&mut CredentialDescriptor);

#[tokio::test(start_paused = true)]
async fn a_credential_that_is_not_as_intended_is_never_released_and_taken_back() {
    let twists: [(&str, Twist); 6] = [
        ("a longer life", |d| d.window = Window::new(d.window.start(), d.window.end().saturating_add(HOUR)).unwrap()),
        ("an earlier start", |d| d.window = Window::new(start(), d.window.end()).unwrap()),
        ("another subject", |d| d.subject = person("mallory").id()),
        ("other capabilities", |d| d.capabilities.leeway_s = 300),
        ("another issuer", |d| d.issuer = IssuerName::new("elsewhere").unwrap()),
        ("another id", |d| d.id = CredentialId::v8([7; 16])),
    ];
    for (what, twist) in twists {
        // Taken back at once; or not, so that the sweep has to find it.
        for fails in [false, true] {
            let target = Arc::new(MemoryTarget::new().twisted(twist));
            if fails {
                target.trouble(Step::Revoke, Trouble::Failed);
            }
            let world = World::with_issuer(target.clone()).await;
            let case = issue_in_vain(&world, what).await;
            assert!(world.kinds(case).await.contains(&"credential.unknown".to_owned()), "{what}");
            assert_eq!(target.working().len(), usize::from(fails), "{what}");
            world.clock.advance(Duration::from_secs(60));
            world.broker.sweep().await.unwrap();
            assert_eq!(target.working(), [], "{what}");
            let kinds = world.kinds(case).await;
            assert!(kinds.contains(&"credential.reconciled".to_owned()), "{what}: {kinds:?}");
            assert_eq!(kinds.contains(&"revocation.confirmed".to_owned()), fails, "{what}: {kinds:?}");
            recover(&world, what).await;
        }
        let target = Arc::new(MemoryTarget::new().twisted(twist).preparing());
        let world = World::with_issuer(target.clone()).await;
        let case = issue_in_vain(&world, what).await;
        assert!(world.kinds(case).await.contains(&"credential.failed".to_owned()), "{what}: abandoned");
        assert_eq!(target.working(), [], "{what}");
        recover(&world, what).await;
    }
}

/// Issues for an approved grant a little late; nothing comes of it.
async fn issue_in_vain(world: &World, what: &str) -> CaseId {
    let case = world.approved("k", request("alice", "database:prod/orders", "read")).await;
    world.clock.advance(Duration::from_secs(5));
    assert!(world.issue(case, &person("alice").id()).await.is_err(), "{what}");
    let kinds = world.kinds(case).await;
    let released = |kind: &String| kind == "credential.issued" || kind == "grant.activated";
    assert!(!kinds.iter().any(released), "{what}: {kinds:?}");
    case
}

#[tokio::test(start_paused = true)]
async fn a_target_that_does_not_answer_keeps_no_other_case_waiting() {
    let target = Arc::new(MemoryTarget::new());
    target.trouble(Step::Mint, Trouble::LostAfter);
    let world = World::with_issuer(target.clone()).await;
    let stuck = world.approved("k", request("alice", "database:prod/orders", "read")).await;
    assert!(world.issue(stuck, &person("alice").id()).await.is_err());
    let other = world.approved("o", request("dave", "database:prod/orders", "read")).await;
    let issued = world.issue(other, &person("dave").id()).await.unwrap();
    target.trouble(Step::Reconcile, Trouble::Hangs);
    world.clock.advance(HOUR * 3);
    world.broker.sweep().await.unwrap();
    let ended = world.broker.case(other).await.unwrap();
    assert_eq!(ended.phase(), Phase::Ended);
    assert!(ended.credentials()[&issued.descriptor.id].expired);
    // The lease on what was not found out runs out.
    tokio::time::sleep(Duration::from_secs(31)).await;
    recover(&world, "a target that does not answer").await;
}

#[tokio::test(start_paused = true)]
async fn an_end_lists_a_credential_that_is_being_minted() {
    let target = Arc::new(MemoryTarget::new());
    target.trouble(Step::Mint, Trouble::Hangs);
    let world = Arc::new(World::with_issuer(target.clone()).await);
    let alice = person("alice").id();
    let case = world.approved("k", request("alice", "database:prod/orders", "read")).await;
    let (issuing, by) = (world.clone(), alice.clone());
    let issuing = tokio::spawn(async move { issuing.issue(case, &by).await.is_err() });
    while target.working().is_empty() {
        tokio::task::yield_now().await;
    }
    world.broker.terminate(&key("e"), case, alice, None).await.unwrap();
    let ended = world.broker.case(case).await.unwrap();
    let residual = &ended.grant().unwrap().end.as_ref().unwrap().ending.residual;
    assert_eq!(residual.credentials.iter().map(|c| c.credential).collect::<Vec<_>>(), target.working());
    assert!(issuing.await.unwrap());
    recover(&world, "a mint under way at the end").await;
}

#[tokio::test]
async fn a_closed_log_is_an_error_and_not_somebody_who_was_faster() {
    let world = World::new().await;
    let (case, _) = world.active("k", "alice", "database:prod/orders").await;
    let (log, entropy) = (world.broker.log(), Arc::new(jit_testkit::SeededEntropy::new(9)));
    let recorder = Recorder::new(log.origin().clone(), WriterId::v8([1; 16]), world.clock.clone(), entropy);
    let closed = LogClosed { cause: code!("moved") }.into();
    let draft = recorder.draft(StreamId::Gov, closed, Refs::default(), class("governance"), world.clock.now());
    let _ = log.append(jit_store::AppendRequest::new().draft(draft.unwrap())).await.unwrap();
    let ending = async { world.broker.terminate(&key("e"), case, person("alice").id(), None).await };
    let ended = tokio::time::timeout(std::time::Duration::from_secs(5), ending).await.expect("an answer");
    let closed =
        matches!(ended, Err(jit_broker::BrokerError::Append(jit_store::AppendError::Closed { stream: StreamId::Gov })));
    assert!(closed, "{ended:?}");
}
