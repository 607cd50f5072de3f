//! Every decision of a bundle is made again, and the answer says exactly what came of it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "tests may panic"
)]

mod support;

use std::sync::Arc;

use jit_audit::{Bundle, Examination, Replayed, VerifyOptions, replay};
use jit_core::{Engine, EvaluationPurpose, Version};
use jit_policy::{PolicyEngine, ReplayVerdict};
use support::{Plan, TableEngine, World, engine};

fn replayed(world: &World, bundle: &Bundle, engines: &[Arc<dyn PolicyEngine>]) -> Vec<Replayed> {
    let examination = Examination::new(&bundle.to_bytes().unwrap(), Some(&world.trust), &VerifyOptions::default());
    replay(&examination, engines)
}

fn table(version: &str) -> Arc<dyn PolicyEngine> {
    Arc::new(TableEngine(Engine { version: Version::new(version).unwrap(), ..engine() }))
}

#[tokio::test]
async fn every_decision_comes_out_the_same() {
    let world = World::new().await;
    for (name, plan, decisions) in [("a", Plan::Denied, 1), ("b", Plan::Granted, 2)] {
        let bundle = world.bundle(world.run(name, plan).await).await;
        let replayed = replayed(&world, &bundle, &[table("1.0.0")]);
        assert_eq!(replayed.len(), decisions);
        assert!(replayed.iter().all(Replayed::is_identical), "{replayed:?}");
        assert_eq!(replayed[0].purpose, Some(EvaluationPurpose::Request));
        assert!(replayed[0].to_string().ends_with(": Identical"), "{}", replayed[0]);
    }
}

#[tokio::test]
async fn what_stands_in_the_way_is_named() {
    let world = World::new().await;
    let case = world.run("a", Plan::Denied).await;
    let bundle = world.bundle(case).await;
    let verdict =
        |bundle: &Bundle, engines: &[Arc<dyn PolicyEngine>]| replayed(&world, bundle, engines)[0].verdict.clone();

    assert!(matches!(verdict(&bundle, &[]), ReplayVerdict::EngineUnavailable { .. }));
    let ReplayVerdict::EngineDiffers { result, .. } = verdict(&bundle, &[table("2.0.0")]) else {
        panic!("same version")
    };
    assert_eq!(*result, ReplayVerdict::Identical);

    let withheld = world.bundle_without(case, &["input"]).await;
    assert_eq!(verdict(&withheld, &[table("1.0.0")]), ReplayVerdict::InputMissing);

    let mut unwritten = bundle.clone();
    unwritten.policies.clear();
    assert_eq!(verdict(&unwritten, &[table("1.0.0")]), ReplayVerdict::SnapshotMissing);

    let mut other = bundle.clone();
    let document = support::snapshot("permit everything").to_bytes().unwrap();
    other.policies.insert(world.policy(), jit_core::canonical::Value::parse(&document).unwrap());
    assert_eq!(verdict(&other, &[table("1.0.0")]), ReplayVerdict::SnapshotTampered);

    let mut altered = bundle;
    let at = altered.records.iter().position(|record| record.header.contains("policy.evaluated")).unwrap();
    let text = String::from_utf8(altered.records[at].fields.as_ref().unwrap().to_bytes().unwrap()).unwrap();
    let text = text.replace("[\"write\"]", "[\"read\"]");
    altered.records[at].fields = Some(jit_core::canonical::Value::parse(text.as_bytes()).unwrap());
    assert_eq!(verdict(&altered, &[table("1.0.0")]), ReplayVerdict::InputTampered);
}
