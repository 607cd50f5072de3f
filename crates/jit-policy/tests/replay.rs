//! Running a decision again, with every verdict there is.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs, reason = "tests may panic")]

mod support;

use std::sync::Arc;

use jit_core::{canonical::Value, *};
use jit_policy::*;
use support::*;

fn says(rules: &[&str]) -> RawEvaluation {
    let determining = rules.iter().map(|r| permit(r)).collect();
    RawEvaluation { permitted: !rules.is_empty(), determining, ..Default::default() }
}

fn engines(version: &str, rules: &[&str]) -> Vec<Arc<dyn PolicyEngine>> {
    vec![Arc::new(FixedEngine { engine: engine(version), says: says(rules) })]
}

fn recorded() -> (Decision, Value, Vec<u8>) {
    let input = input("db:prod/orders", &["read"]);
    let decision = fixed(says(&["a"])).evaluate(&input);
    (decision, input.as_value().clone(), document().to_bytes().unwrap())
}

#[test]
fn the_same_engine_input_and_snapshot_give_the_same_decision() {
    let (decision, input, snapshot) = recorded();
    let verdict = replay(&decision, RecordedInput::Present(&input), Some(&snapshot), &engines("1", &["a"]));
    assert_eq!(verdict, ReplayVerdict::Identical);
}

#[test]
fn another_decision_is_told_apart_by_its_first_difference() {
    let (decision, input, snapshot) = recorded();
    let run = |rules: &[&str]| replay(&decision, RecordedInput::Present(&input), Some(&snapshot), &engines("1", rules));
    let pointer = "/determining/0/rule".to_owned();
    assert_eq!(run(&["b"]), ReplayVerdict::SameOutcomeDifferentCore { pointer });
    assert!(matches!(run(&[]), ReplayVerdict::Diverged { .. }));
}

#[test]
fn another_version_of_the_engine_is_named_with_what_it_decides() {
    let (decision, input, snapshot) = recorded();
    let verdict = replay(&decision, RecordedInput::Present(&input), Some(&snapshot), &engines("2", &["a"]));
    let ReplayVerdict::EngineDiffers { want, have, result } = verdict else { panic!("{verdict:?}") };
    assert_eq!((want.version.as_str(), have.version.as_str(), *result), ("1", "2", ReplayVerdict::Identical));
    let none = replay(&decision, RecordedInput::Present(&input), Some(&snapshot), &[]);
    assert!(matches!(none, ReplayVerdict::EngineUnavailable { .. }));
}

#[test]
fn what_is_missing_or_changed_is_named() {
    let (decision, input, snapshot) = recorded();
    let engines = engines("1", &["a"]);
    let run = |input, snapshot: Option<&[u8]>| replay(&decision, input, snapshot, &engines);
    assert_eq!(run(RecordedInput::Missing, Some(&snapshot)), ReplayVerdict::InputMissing);
    assert_eq!(run(RecordedInput::Tampered, Some(&snapshot)), ReplayVerdict::InputTampered);
    let other = Value::parse(br#"{"schema":"jit.eval-input/1"}"#).unwrap();
    assert_eq!(run(RecordedInput::Present(&other), Some(&snapshot)), ReplayVerdict::InputTampered);
    assert_eq!(run(RecordedInput::Present(&input), None), ReplayVerdict::SnapshotMissing);
    for bit in 0..snapshot.len() * 8 {
        let mut flipped = snapshot.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(run(RecordedInput::Present(&input), Some(&flipped)), ReplayVerdict::SnapshotTampered, "bit {bit}");
    }
}

#[test]
fn a_changed_core_never_replays_as_identical() {
    let (decision, input, snapshot) = recorded();
    let engines = engines("1", &["a"]);
    for changed in [
        Decision { outcome: Outcome::Deny, ..decision.clone() },
        Decision { default_applied: true, ..decision.clone() },
        Decision { determining: vec![], ..decision.clone() },
    ] {
        assert!(!replay(&changed, RecordedInput::Present(&input), Some(&snapshot), &engines).is_identical());
    }
}

/// The engine at hand, which speaks another version of the language than the snapshot is written in.
struct OtherLanguage(Engine);

impl PolicyEngine for OtherLanguage {
    fn descriptor(&self) -> &Engine {
        &self.0
    }

    fn load(&self, bundle: &PolicyBundle) -> Result<Arc<dyn PolicySnapshot>, LoadError> {
        let want = format!("{}", bundle.target().language);
        Err(LoadError::OtherEngine { want, have: self.0.language.to_string() })
    }
}

#[test]
fn a_snapshot_in_a_language_that_no_engine_speaks_is_not_called_tampered() {
    let (decision, input, snapshot) = recorded();
    let newer = Engine { language: Version::new("2").unwrap(), ..engine("1") };
    let engines: Vec<Arc<dyn PolicyEngine>> = vec![Arc::new(OtherLanguage(newer.clone()))];
    let verdict = replay(&decision, RecordedInput::Present(&input), Some(&snapshot), &engines);
    assert_eq!(verdict, ReplayVerdict::EngineUnavailable { want: engine("1"), have: vec![newer] });
}
