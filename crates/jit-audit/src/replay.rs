//! Every decision of a bundle, made again from the policy text and the input that it recorded.

use std::{fmt, sync::Arc};

use jit_core::{Decision, EvaluationPurpose, Event, Kind, canonical::Value};
use jit_policy::{PolicyEngine, RecordedInput, ReplayVerdict};

use crate::{
    bundle::Bundle,
    verify::{Examination, ExaminedRecord, Place},
};

/// What came of making a decision again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replayed {
    /// The record of the decision.
    pub place: Place,
    /// Why the policy was asked, if the record shows it.
    pub purpose: Option<EvaluationPurpose>,
    /// What came of it.
    pub verdict: ReplayVerdict,
}

impl Replayed {
    /// Whether the same decision came out, byte for byte.
    #[must_use]
    pub fn is_identical(&self) -> bool {
        self.verdict.is_identical()
    }
}

impl fmt::Display for Replayed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, in_words(&self.verdict))
    }
}

/// Makes every decision of an examined bundle again, with the engines at hand. A decision whose record does not verify is
/// [`ReplayVerdict::InputTampered`], one that does not show its own core is [`ReplayVerdict::InputMissing`].
///
/// It proves nothing that the bundle does not prove: look at the verdict of the examination first.
#[must_use]
pub fn replay(examination: &Examination, engines: &[Arc<dyn PolicyEngine>]) -> Vec<Replayed> {
    let Some(bundle) = examination.bundle() else { return Vec::new() };
    let decisions = examination.records().iter().filter(|e| e.place().kind == Some(Kind::PolicyEvaluated));
    decisions.map(|examined| replay_one(bundle, examined, engines)).collect()
}

fn replay_one(bundle: &Bundle, examined: &ExaminedRecord, engines: &[Arc<dyn PolicyEngine>]) -> Replayed {
    let place = examined.place().clone();
    let (purpose, verdict) = match examined.sound().map(|record| record.event()) {
        None => (None, ReplayVerdict::InputTampered),
        Some(Ok(Event::PolicyEvaluated(e))) => (Some(e.purpose), again(bundle, &e.decision, e.input.as_ref(), engines)),
        Some(_) => (None, ReplayVerdict::InputMissing),
    };
    Replayed { place, purpose, verdict }
}

fn again(
    bundle: &Bundle,
    decision: &Decision,
    input: Option<&Value>,
    engines: &[Arc<dyn PolicyEngine>],
) -> ReplayVerdict {
    let input = input.map_or(RecordedInput::Missing, RecordedInput::Present);
    let snapshot = bundle.policies.get(&decision.policy).map(Value::to_bytes);
    match snapshot {
        Some(Err(_)) => ReplayVerdict::SnapshotTampered,
        Some(Ok(bytes)) => jit_policy::replay(decision, input, Some(&bytes), engines),
        None => jit_policy::replay(decision, input, None, engines),
    }
}

fn in_words(verdict: &ReplayVerdict) -> String {
    let at = |pointer: &str| if pointer.is_empty() { "as a whole".to_owned() } else { format!("at {pointer}") };
    match verdict {
        ReplayVerdict::Identical => "Identical".to_owned(),
        ReplayVerdict::SameOutcomeDifferentCore { pointer } => {
            format!("the same outcome, but another decision {}", at(pointer))
        }
        ReplayVerdict::Diverged { pointer } => format!("another outcome; the decisions differ {}", at(pointer)),
        ReplayVerdict::InputMissing => "cannot be made again: its input is not here".to_owned(),
        ReplayVerdict::InputTampered => "cannot be made again: its input is not what was recorded".to_owned(),
        ReplayVerdict::SnapshotMissing => "cannot be made again: its policy is not here".to_owned(),
        ReplayVerdict::SnapshotTampered => "cannot be made again: its policy is not the one it cites".to_owned(),
        ReplayVerdict::EngineUnavailable { want, .. } => {
            format!("cannot be made again here: no engine {} {}", want.name, want.version)
        }
        ReplayVerdict::EngineDiffers { want, have, result } => {
            format!("made again by {} {} instead of {}: {}", have.name, have.version, want.version, in_words(result))
        }
        _ => "an answer that this version does not know".to_owned(),
    }
}
