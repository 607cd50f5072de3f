//! A policy that fails denies, and the record says what failed.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs, reason = "tests may panic")]

mod support;

use std::{collections::BTreeSet, sync::Arc};

use jit_core::{canonical::Value, *};
use jit_policy::{
    CanonicalInput, FilePath, PolicyBundle, PolicySnapshot, RawEvaluation, RawObligation, SnapshotDocument, Target,
};
use support::*;

/// What is recorded of a denied request: its decision.
async fn denied(world: &World, k: &str) -> Decision {
    let submitted = world.broker.submit(&key(k), request("alice", "database:prod/orders", "read")).await.unwrap();
    assert_eq!(submitted.phase, Phase::Denied);
    assert_eq!(
        world.kinds(submitted.case).await,
        ["request.submitted", "policy.evaluated", "grant.denied", "case.closed"]
    );
    let records = world.broker.log().stream(&StreamId::Case(submitted.case)).await.unwrap();
    let Event::PolicyEvaluated(evaluated) = records[1].record().event().unwrap() else { panic!() };
    let Event::GrantDenied(cause) = records[2].record().event().unwrap() else { panic!() };
    assert_eq!(cause.cause, code!("evaluation_failed"));
    evaluated.decision
}

#[tokio::test]
async fn a_forbid_whose_condition_fails_denies_on_record() {
    let world = World::new().await;
    let fails = format!(
        r#"{RULES} @id("overflow") forbid(principal, action, resource) when {{ context.now + 9223372036854775807 < 0 }};"#
    );
    world.broker.publish(snapshot_of(&fails), person("policy-owner").id()).await.unwrap();
    let decision = denied(&world, "k").await;
    assert_eq!(decision.outcome, Outcome::Indeterminate);
    let rule = Some(RuleId::new("overflow").unwrap());
    assert_eq!(decision.errors, [EvaluationError { code: code!("rule_error"), rule }]);
    world.assert_invariants().await;
}

/// A snapshot of somebody else's engine that permits, and demands something that nobody knows.
struct Demanding(SnapshotDocument, Engine);

impl PolicySnapshot for Demanding {
    fn document(&self) -> &SnapshotDocument {
        &self.0
    }

    fn engine(&self) -> &Engine {
        &self.1
    }

    fn evaluate(&self, _: &CanonicalInput) -> RawEvaluation {
        let properties = Value::parse(br#"{"of":"a priest"}"#).unwrap();
        RawEvaluation {
            permitted: true,
            determining: vec![DeterminingRule::new(RuleId::new("all").unwrap(), Effect::Permit)],
            errors: Vec::new(),
            obligations: vec![RawObligation { kind: code!("blessing"), properties }],
        }
    }
}

#[tokio::test]
async fn an_unknown_obligation_denies_on_record() {
    let world = World::new().await;
    let engine = Engine {
        name: code!("theirs"),
        version: Version::new("1").unwrap(),
        language: Version::new("1").unwrap(),
        adapter: Version::new("1").unwrap(),
    };
    let target = Target { engine: engine.name.clone(), language: engine.language.clone(), entrypoint: code!("decide") };
    let bundle = PolicyBundle::new(target, None, [(FilePath::new("rules").unwrap(), b"all".to_vec())]).unwrap();
    let document = SnapshotDocument::new(bundle, &BTreeSet::from([RuleId::new("all").unwrap()])).unwrap();
    world.broker.publish(Arc::new(Demanding(document, engine)), person("policy-owner").id()).await.unwrap();
    let decision = denied(&world, "k").await;
    assert_eq!(decision.outcome, Outcome::Indeterminate);
    assert_eq!(decision.errors, [EvaluationError { code: code!("unknown_obligation"), rule: None }]);
    world.assert_invariants().await;
}
