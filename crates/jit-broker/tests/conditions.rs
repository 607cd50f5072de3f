//! Conditions: demanded by a rule, shown to approvers, kept before minting, reported, and reviewed afterwards.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs, reason = "tests may panic")]

mod support;

use jit_audit::{Problem, SelfCheck, SelfCheckState};
use jit_broker::BrokerError;
use jit_core::*;
use support::*;

const RULES: &str = r#"
@id("guarded") @jit_approvals("sre:1") @jit_max_duration("4h") @jit_requires("mfa, session_recording")
permit(principal in Jit::Group::"oncall", action == Jit::Action::"read", resource in Jit::Resource::"database:prod");

@id("reviewed") @jit_max_duration("1h") @jit_post_review("24h")
permit(principal in Jit::Group::"deployers", action == Jit::Action::"deploy", resource);

@id("networks-a") @jit_max_duration("1h") @jit_source_address("10.0.0.0/8 at issuer") @jit_notify("sre-leads at advisory")
permit(principal, action == Jit::Action::"write", resource);
@id("networks-b") @jit_source_address("10.7.0.0/16, 192.0.2.0/24") @jit_notify("security at advisory")
permit(principal, action == Jit::Action::"write", resource in Jit::Resource::"database:prod");
@id("networks-c") @jit_source_address("198.51.100.0/24")
permit(principal, action == Jit::Action::"write", resource in Jit::Resource::"database:prod/elsewhere");
"#;

async fn world() -> World {
    let world = World::new().await;
    world.broker.publish(snapshot_of(RULES), person("policy-owner").id()).await.unwrap();
    world
}

fn refusal<T: std::fmt::Debug>(result: Result<T, BrokerError>) -> Refusal {
    match result {
        Err(BrokerError::Refused { refusal, .. }) => refusal,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_the_broker_enforces_is_reported_before_anything_is_minted() {
    let world = world().await;
    let case = world.approved("k", request("alice", "database:prod/orders", "read")).await;
    let alice = person("alice").id();
    let gateway = PrincipalId::Workload("spiffe://example.org/login".parse().unwrap());
    let report = async |k: &str, condition: Code, enforced| {
        world.broker.report_condition(&key(k), case, condition, enforced, gateway.clone()).await
    };
    assert_eq!(refusal(world.issue(case, &alice).await), Refusal::ConditionUnmet(condition::MFA));
    assert_eq!(refusal(report("no", code!("x_other"), true).await), Refusal::NoSuchCondition(code!("x_other")));
    report("failed", condition::MFA, false).await.unwrap();
    assert_eq!(refusal(world.issue(case, &alice).await), Refusal::ConditionUnmet(condition::MFA));
    report("passed", condition::MFA, true).await.unwrap();
    // What the target enforces is not waited for.
    let _ = world.broker.issue(&key("issue-2"), case, &alice, world.issuer_name()).await.unwrap();
    let state = world.broker.case(case).await.unwrap();
    let told: Vec<_> = state.conditions().map(|(c, r)| (c.id.clone(), r.map(|r| r.enforced))).collect();
    assert_eq!(told, [(condition::MFA, Some(true)), (condition::SESSION_RECORDING, None)]);
    // Repeated under its key nothing more is written.
    let before = world.kinds(case).await.len();
    report("passed", condition::MFA, true).await.unwrap();
    assert_eq!(world.kinds(case).await.len(), before);
    world.assert_invariants().await;
}

#[tokio::test]
async fn a_condition_that_is_not_enforced_is_found() {
    let world = world().await;
    let case = world.approved("k", request("alice", "database:prod/orders", "read")).await;
    let by = PrincipalId::Workload("spiffe://example.org/proxy".parse().unwrap());
    let report = async |k: &str, enforced| {
        let recording = condition::SESSION_RECORDING;
        world.broker.report_condition(&key(k), case, recording, enforced, by.clone()).await.unwrap();
    };
    report("1", true).await;
    assert_eq!(world.broker.case(case).await.unwrap().conditions_not_enforced().count(), 0);
    report("2", false).await;
    let state = world.broker.case(case).await.unwrap();
    let failed: Vec<_> = state.conditions_not_enforced().map(|(c, r)| (c.id.clone(), r.by.clone())).collect();
    assert_eq!(failed, [(condition::SESSION_RECORDING, by.clone())]);
    let clock = world.clock.clone();
    let mut check = SelfCheck::new(world.broker.log().clone(), clock, SelfCheckState::default());
    let found = check.pass().await.unwrap().problems;
    assert!(
        matches!(&found[..], [Problem::NotEnforced { case: of, condition, .. }] if *of == case && *condition == condition::SESSION_RECORDING),
        "{found:?}"
    );
    world.assert_invariants().await;
}

#[tokio::test]
async fn a_review_is_due_after_the_window_and_only_another_person_does_it() {
    let world = world().await;
    let submitted = world.broker.submit(&key("k"), deployment()).await.unwrap();
    assert_eq!(submitted.phase, Phase::Approved);
    let case = world.broker.case(submitted.case).await.unwrap();
    let (id, open) = case.obligations().iter().next().unwrap();
    let due = start().saturating_add(HOUR * 25);
    assert_eq!((open.task.clone(), open.due, open.closed), (code!("post_review"), due, false));
    let _ = world.issue(submitted.case, &deployment().requester().id()).await.unwrap();
    world.clock.advance(HOUR);
    world.broker.sweep().await.unwrap();
    assert!(!world.broker.case(submitted.case).await.unwrap().is_closed(), "the review is open");
    let close = async |k: &str, by: Principal| {
        let text = Some(Prose::new("as planned").unwrap());
        world.broker.close_obligation(&key(k), submitted.case, *id, by, code!("in_order"), text).await
    };
    assert!(close("own", deployment().requester().clone()).await.is_err());
    close("review", person("bob")).await.unwrap();
    world.broker.sweep().await.unwrap();
    assert!(world.broker.case(submitted.case).await.unwrap().is_closed());
    world.assert_invariants().await;
}

#[tokio::test]
async fn demands_of_several_rules_are_met_together_or_denied() {
    let world = world().await;
    let conditions = async |k: &str, resource: &str| {
        let submitted = world.broker.submit(&key(k), request("alice", resource, "write")).await.unwrap();
        let case = world.broker.case(submitted.case).await.unwrap();
        let texts = |c: &Condition| format!("{} {}", c.id, String::from_utf8(c.value.to_bytes().unwrap()).unwrap());
        (submitted.phase, case.conditions().map(|(c, _)| texts(c)).collect::<Vec<_>>())
    };
    let (phase, both) = conditions("both", "database:prod/orders").await;
    assert_eq!(phase, Phase::Approved);
    assert_eq!(both, [r#"notification ["security","sre-leads"]"#, r#"source_address ["10.7.0.0/16"]"#]);
    let (phase, _) = conditions("none", "database:prod/elsewhere").await;
    assert_eq!(phase, Phase::Denied, "no network is in all of them");
    world.assert_invariants().await;
}
