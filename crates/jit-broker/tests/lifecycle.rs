//! From request to end, on record at every step.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs, reason = "tests may panic")]

mod support;

use std::time::Duration;

use jit_broker::BrokerError;
use jit_core::*;
use support::*;

#[tokio::test]
async fn a_person_is_approved_by_another_and_access_ends_by_itself() {
    let world = World::new().await;
    let case = world.approved("k", request("alice", "database:prod/orders", "read")).await;
    let issued = world.issue(case, &person("alice").id()).await.unwrap();
    assert!(issued.secret.is_some());
    assert_eq!(issued.descriptor.window.end(), start().saturating_add(HOUR));
    assert!(world.broker.case(case).await.unwrap().is_active(start()));

    world.clock.advance(HOUR);
    // Not active at the end of the window, before anything has swept.
    assert!(!world.broker.case(case).await.unwrap().is_active(start().saturating_add(HOUR)));
    let swept = world.broker.sweep().await.unwrap();
    assert_eq!((swept.failed, world.broker.sweep().await.unwrap().done), (0, 0));
    assert_eq!(
        world.kinds(case).await,
        [
            "request.submitted",
            "policy.evaluated",
            "policy.evaluated",
            "approval.recorded",
            "grant.approved",
            "policy.evaluated",
            "credential.intended",
            "credential.issued",
            "grant.activated",
            "grant.expired",
            "credential.expired",
            "case.closed",
        ]
    );
    world.assert_invariants().await;
}

#[tokio::test]
async fn a_sweep_that_comes_days_late_says_since_when_access_had_ended() {
    let world = World::new().await;
    let case = world.approved("k", request("alice", "database:prod/orders", "read")).await;
    let _ = world.issue(case, &person("alice").id()).await.unwrap();
    world.clock.advance(HOUR * 24 * 9);
    world.broker.sweep().await.unwrap();
    let case = world.broker.case(case).await.unwrap();
    let end = case.grant().unwrap().end.clone().unwrap();
    assert_eq!((end.kind, end.ending.requested_end), (Kind::GrantExpired, start().saturating_add(HOUR)));
    assert!(case.is_closed());
}

#[tokio::test]
async fn a_rule_approves_on_the_same_records_as_a_person() {
    let world = World::new().await;
    let submitted = world.broker.submit(&key("k"), deployment()).await.unwrap();
    assert_eq!(submitted.phase, Phase::Approved);
    let case = world.broker.case(submitted.case).await.unwrap();
    let approval = &case.approvals()[0].approval;
    assert_eq!(approval.approver, PrincipalId::Rule(RuleId::new("deployers").unwrap()));
    assert_eq!(approval.method, ApprovalMethod::Rule);
    let _ = world.issue(submitted.case, &deployment().requester().id()).await.unwrap();
    world.assert_invariants().await;
}

#[tokio::test]
async fn what_the_policy_forbids_or_does_not_permit_is_denied_with_its_rule() {
    let world = World::new().await;
    for (k, asked, cause) in [
        ("forbidden", request("alice", "database:prod/payroll", "read"), "forbidden"),
        ("no rule", request("alice", "database:test/orders", "read"), "no_rule_permits"),
        ("not a member", request("mallory", "database:prod/orders", "read"), "no_rule_permits"),
        (
            "too long",
            request_within("alice", "database:prod/orders", "read", window(Duration::ZERO, HOUR * 5)).build().unwrap(),
            "exceeds_max_duration",
        ),
    ] {
        let submitted = world.broker.submit(&key(k), asked).await.unwrap();
        assert_eq!(submitted.phase, Phase::Denied, "{k}");
        assert_eq!(
            world.kinds(submitted.case).await,
            ["request.submitted", "policy.evaluated", "grant.denied", "case.closed"]
        );
        let records = world.broker.log().stream(&StreamId::Case(submitted.case)).await.unwrap();
        let Event::GrantDenied(denied) = records[2].record().event().unwrap() else { panic!("{k}") };
        assert_eq!(denied.cause.as_str(), cause, "{k}");
    }
    world.assert_invariants().await;
}

#[tokio::test]
async fn a_quorum_of_two_groups_needs_both_and_one_person_counts_once() {
    let world = World::new().await;
    let case = world.broker.submit(&key("k"), request("alice", "database:prod/orders", "write")).await.unwrap().case;
    assert_eq!(world.approve(case, "bob", "sre").await.unwrap(), Phase::AwaitingApprovals);
    let again = world.approve(case, "bob", "dba").await;
    assert!(matches!(again, Err(BrokerError::Refused { refusal: Refusal::ApprovedAlready(_), .. })), "{again:?}");
    assert_eq!(world.approve(case, "carol", "dba").await.unwrap(), Phase::Approved);
    world.assert_invariants().await;
}

#[tokio::test]
async fn the_requester_strangers_and_other_content_cannot_approve_and_it_is_on_record() {
    let world = World::new().await;
    let case = world.broker.submit(&key("k"), request("alice", "database:prod/orders", "read")).await.unwrap().case;
    let own = world.approve(case, "alice", "sre").await;
    assert!(matches!(own, Err(BrokerError::Refused { refusal: Refusal::Interested(_), .. })), "{own:?}");
    let stranger = world.approve(case, "mallory", "sre").await;
    assert!(matches!(stranger, Err(BrokerError::Refused { refusal: Refusal::NotAMember { .. }, .. })), "{stranger:?}");

    let approver = person("bob");
    let mut content = world.broker.case(case).await.unwrap().approval_content(&approver).unwrap();
    content.window = window(Duration::ZERO, HOUR * 2);
    let act = jit_broker::ApprovalAct {
        approver,
        group: group("sre"),
        content,
        comment: None,
        authentication: None,
        signature: None,
    };
    let other = world.broker.approve(&key("other"), case, act).await;
    assert!(matches!(other, Err(BrokerError::Refused { refusal: Refusal::Content, .. })), "{other:?}");
    let refused = world.kinds(case).await.iter().filter(|k| *k == "command.refused").count();
    assert_eq!(refused, 3);
    assert_eq!(world.approve(case, "bob", "sre").await.unwrap(), Phase::Approved);
    world.assert_invariants().await;
}

#[tokio::test]
async fn requests_end_by_withdrawal_denial_and_lapse() {
    let world = World::new().await;
    let submit =
        async |k| world.broker.submit(&key(k), request("alice", "database:prod/orders", "read")).await.unwrap();
    let (a, b, c) = (submit("a").await.case, submit("b").await.case, submit("c").await.case);
    let alice = person("alice").id();
    assert_eq!(world.broker.withdraw(&key("w"), a, alice, None).await.unwrap(), Phase::Withdrawn);
    let denied = world.broker.deny(&key("d"), b, person("bob"), group("sre"), None).await.unwrap();
    assert_eq!(denied, Phase::Denied);
    world.clock.advance(HOUR);
    world.broker.sweep().await.unwrap();
    assert_eq!(world.broker.case(c).await.unwrap().phase(), Phase::Lapsed);
    for case in [a, b, c] {
        assert_eq!(world.kinds(case).await.last().unwrap(), "case.closed");
    }
    world.assert_invariants().await;
}

#[tokio::test]
async fn the_holder_gives_access_back_and_somebody_takes_it_away() {
    let world = World::new().await;
    let alice = person("alice").id();
    for (k, terminate) in [("terminated", true), ("revoked", false)] {
        let case = world.approved(k, request("alice", "database:prod/orders", "read")).await;
        let _ = world.issue(case, &alice).await.unwrap();
        let phase = if terminate {
            world.broker.terminate(&key("e"), case, alice.clone(), None).await
        } else {
            let bob = person("bob").id();
            world.broker.revoke(&key("e"), case, bob, code!("incident"), None).await
        };
        assert_eq!(phase.unwrap(), Phase::Ended);
        let now = world.broker.case(case).await.unwrap();
        let end = now.grant().unwrap().end.clone().unwrap();
        // A token cannot be taken back, and the record says until when it may live.
        assert_eq!(end.ending.residual.credentials[0].until, Some(start().saturating_add(HOUR)));
        assert!(world.kinds(case).await.contains(&"revocation.irrevocable".to_owned()));
        assert!(!now.is_closed());
    }
    world.clock.advance(HOUR);
    world.broker.sweep().await.unwrap();
    world.assert_invariants().await;
}

#[tokio::test]
async fn an_emergency_leaves_a_review_that_only_another_person_closes() {
    let world = World::new().await;
    let alice = person("alice");
    let case = world.broker.submit(&key("k"), emergency()).await.unwrap().case;
    let _ = world.issue(case, &alice.id()).await.unwrap();
    world.clock.advance(HOUR);
    world.broker.sweep().await.unwrap();
    let open = world.broker.case(case).await.unwrap();
    assert!(!open.is_closed());
    let task = |t: &str| *open.obligations().iter().find(|(_, o)| o.task.as_str() == t).unwrap().0;
    let (review, justification) = (task("review"), task("justification"));
    let text = Some(Prose::new("primary was down, INC-9").unwrap());
    let close = async |k: &str, what, by: Principal, text| {
        world.broker.close_obligation(&key(k), case, what, by, code!("in_order"), text).await
    };
    assert!(close("1", review, alice.clone(), text.clone()).await.is_err());
    assert!(close("2", justification, alice.clone(), None).await.is_err());
    close("3", justification, alice, text.clone()).await.unwrap();
    close("4", review, person("bob"), text).await.unwrap();
    assert!(world.broker.case(case).await.unwrap().is_closed());
    world.assert_invariants().await;
}

#[tokio::test]
async fn a_late_approval_leaves_the_rest_of_the_window() {
    let world = World::new().await;
    let case = world.broker.submit(&key("k"), request("alice", "database:prod/orders", "read")).await.unwrap().case;
    world.clock.advance(HOUR / 2);
    world.approve(case, "bob", "sre").await.unwrap();
    let issued = world.issue(case, &person("alice").id()).await.unwrap();
    assert_eq!(issued.descriptor.window, window(HOUR / 2, HOUR / 2));
    world.assert_invariants().await;
}

#[tokio::test]
async fn a_policy_that_no_longer_permits_ends_the_grant_at_issuance() {
    let world = World::new().await;
    let case = world.approved("k", request("alice", "database:prod/orders", "read")).await;
    let stricter = RULES.replace("@jit_approvals(\"sre:1\")", "@jit_approvals(\"sre:2\")");
    world.broker.publish(snapshot_of(&stricter), person("policy-owner").id()).await.unwrap();
    let refused = world.issue(case, &person("alice").id()).await;
    assert!(matches!(refused, Err(BrokerError::Refused { refusal: Refusal::NoLongerPermitted, .. })), "{refused:?}");
    let kinds = world.kinds(case).await;
    assert!(kinds.ends_with(&[
        "policy.evaluated".to_owned(),
        "approval.voided".to_owned(),
        "grant.eligibility_withdrawn".to_owned(),
        "case.closed".to_owned()
    ]));
    assert!(world.effects.all().is_empty());
}

#[tokio::test]
async fn a_request_that_may_not_be_made_is_refused_on_record_without_its_content() {
    let world = World::new().await;
    let past = request_within("alice", "database:prod/orders", "read", window(Duration::ZERO, HOUR)).build().unwrap();
    world.clock.advance(HOUR * 2);
    let refused = world.broker.submit(&key("k"), past.clone()).await;
    assert!(matches!(refused, Err(BrokerError::Refused { refusal: Refusal::Request(_), .. })), "{refused:?}");
    let again = world.broker.submit(&key("k"), past).await;
    assert!(matches!(again, Err(BrokerError::RefusedBefore { .. })), "{again:?}");
    let far = request_within("alice", "database:prod/orders", "read", window(HOUR * 24 * 365, HOUR)).build().unwrap();
    assert!(world.broker.submit(&key("far"), far).await.is_err());

    let before = world.broker.log().size().await.unwrap();
    for _ in 0..5 {
        world.broker.refuse(Some(person("alice").id()), code!("scope_empty"), class("access")).await.unwrap();
    }
    assert_eq!(world.broker.log().size().await.unwrap(), before + 1);
    world.clock.advance(Duration::from_secs(61));
    world.broker.refuse(Some(person("alice").id()), code!("scope_empty"), class("access")).await.unwrap();
    let last = world.broker.log().records(&[before + 1]).await.unwrap();
    let Event::RequestRefused(refused) = last[0].record().event().unwrap() else { panic!() };
    assert_eq!(refused.count, 5);
    world.assert_invariants().await;
}

#[tokio::test]
async fn a_restarted_broker_goes_on_from_what_the_store_holds() {
    let world = World::new().await;
    let case = world.approved("k", request("alice", "database:prod/orders", "read")).await;
    let _ = world.issue(case, &person("alice").id()).await.unwrap();
    let broker = world.restarted().await;
    world.clock.advance(HOUR);
    assert_eq!(broker.sweep().await.unwrap().failed, 0);
    assert!(broker.case(case).await.unwrap().is_closed());
    world.assert_invariants().await;
}

#[tokio::test(start_paused = true)]
async fn the_worker_sweeps_until_it_is_stopped() {
    let world = World::new().await;
    let case = world.approved("k", request("alice", "database:prod/orders", "read")).await;
    let _ = world.issue(case, &person("alice").id()).await.unwrap();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let worker = tokio::spawn({
        let broker = world.broker.clone();
        async move { broker.run(Duration::from_secs(10), stopped).await }
    });
    world.clock.advance(HOUR);
    // Time is paused: this passes as soon as everybody waits.
    tokio::time::advance(Duration::from_secs(11)).await;
    while !world.broker.case(case).await.unwrap().is_closed() {
        tokio::time::advance(Duration::from_secs(10)).await;
        tokio::task::yield_now().await;
    }
    stop.send(true).unwrap();
    worker.await.unwrap();
}

#[tokio::test]
async fn every_id_of_a_case_leads_to_it() {
    let world = World::new().await;
    let case = world.approved("k", request("alice", "database:prod/orders", "read")).await;
    let issued = world.issue(case, &person("alice").id()).await.unwrap();
    let known = world.broker.case(case).await.unwrap();
    let records = world.broker.log().stream(&StreamId::Case(case)).await.unwrap();
    let id_of = |kind: Kind| records.iter().find(|r| r.record().header().kind == kind).unwrap().record().header().id;
    for lookup in [
        Lookup::new(LookupFamily::Request, case),
        Lookup::new(LookupFamily::Decision, id_of(Kind::PolicyEvaluated)),
        Lookup::new(LookupFamily::Approval, id_of(Kind::ApprovalRecorded)),
        Lookup::new(LookupFamily::Grant, known.grant().unwrap().id),
        Lookup::new(LookupFamily::Credential, issued.descriptor.id),
        Lookup::new(LookupFamily::Fingerprint, issued.descriptor.fingerprint),
        Lookup::new(LookupFamily::Resource, "database:prod/orders"),
        Lookup::new(LookupFamily::Subject, person("alice").id()),
        Lookup::new(LookupFamily::Subject, person("bob").id()),
    ] {
        assert_eq!(world.broker.find(&lookup, 10).await.unwrap(), [case], "{lookup:?}");
    }
}
