//! Running a recorded decision again, and saying exactly what came of it.

use std::sync::Arc;

use jit_core::{
    Decision, Engine, PolicyDigest,
    canonical::{self, Value},
};

use crate::{
    engine::{LoadError, PolicyEngine},
    evaluator::Evaluator,
    input::CanonicalInput,
    snapshot::SnapshotDocument,
};

/// What is left of a recorded input.
#[derive(Debug, Clone, Copy)]
pub enum RecordedInput<'a> {
    /// It is there, and its commitment held.
    Present(&'a Value),
    /// It was erased, withheld or never recorded.
    Missing,
    /// It is not what the record commits to.
    Tampered,
}

/// What running a decision again showed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReplayVerdict {
    /// The same decision, byte for byte.
    Identical,
    /// The same outcome, but another core.
    SameOutcomeDifferentCore {
        /// Where the canonical decisions first differ (RFC 6901).
        pointer: String,
    },
    /// Another outcome.
    Diverged {
        /// Where the canonical decisions first differ (RFC 6901).
        pointer: String,
    },
    /// The input is not there.
    InputMissing,
    /// The input is not what was recorded, or not an input.
    InputTampered,
    /// The snapshot is not there.
    SnapshotMissing,
    /// The snapshot is not the one that the decision cites, or no longer loads.
    SnapshotTampered,
    /// No engine of this name is at hand.
    EngineUnavailable {
        /// The engine that decided.
        want: Engine,
        /// The engines at hand.
        have: Vec<Engine>,
    },
    /// The engine at hand is another version; what it decides is beside it.
    EngineDiffers {
        /// The engine that decided.
        want: Engine,
        /// The engine that decided now.
        have: Engine,
        /// How its decision compares, engine versions aside.
        result: Box<ReplayVerdict>,
    },
}

impl ReplayVerdict {
    /// Whether the same decision came out, byte for byte, of the same engine.
    #[must_use]
    pub fn is_identical(&self) -> bool {
        *self == Self::Identical
    }
}

/// Runs a recorded decision again. `snapshot` are the bytes kept under the digest that it cites.
#[must_use]
pub fn replay(
    recorded: &Decision,
    input: RecordedInput<'_>,
    snapshot: Option<&[u8]>,
    engines: &[Arc<dyn PolicyEngine>],
) -> ReplayVerdict {
    let input = match input {
        RecordedInput::Missing => return ReplayVerdict::InputMissing,
        RecordedInput::Tampered => return ReplayVerdict::InputTampered,
        RecordedInput::Present(value) => match CanonicalInput::from_value(value) {
            Ok(input) => input,
            Err(_) => return ReplayVerdict::InputTampered,
        },
    };
    let Some(snapshot) = snapshot else { return ReplayVerdict::SnapshotMissing };
    let Some(document) = cited(recorded.policy, snapshot) else { return ReplayVerdict::SnapshotTampered };
    let want = &recorded.engine;
    let mut named = engines.iter().filter(|e| e.descriptor().name == want.name);
    let exact = named.clone().find(|e| e.descriptor() == want);
    let Some(engine) = exact.or_else(|| named.next()) else {
        let have = engines.iter().map(|e| e.descriptor().clone()).collect();
        return ReplayVerdict::EngineUnavailable { want: want.clone(), have };
    };
    let loaded = match engine.load(document.bundle()) {
        Ok(loaded) => loaded,
        // The snapshot is intact, and written for a language that the engine at hand does not speak.
        Err(LoadError::OtherEngine { .. }) => {
            return ReplayVerdict::EngineUnavailable { want: want.clone(), have: vec![engine.descriptor().clone()] };
        }
        Err(_) => return ReplayVerdict::SnapshotTampered,
    };
    let mut again = Evaluator::new(loaded).evaluate(&input);
    let have = engine.descriptor().clone();
    again.engine = want.clone();
    let result = compare(recorded, &again);
    if have == *want {
        result
    } else {
        ReplayVerdict::EngineDiffers { want: want.clone(), have, result: Box::new(result) }
    }
}

fn cited(digest: PolicyDigest, snapshot: &[u8]) -> Option<SnapshotDocument> {
    SnapshotDocument::parse(snapshot).ok().filter(|document| document.digest() == digest)
}

fn compare(recorded: &Decision, again: &Decision) -> ReplayVerdict {
    let (Ok(a), Ok(b)) = (canonical::to_value(recorded), canonical::to_value(again)) else {
        return ReplayVerdict::Diverged { pointer: String::new() };
    };
    match difference(&a, &b) {
        None => ReplayVerdict::Identical,
        Some(pointer) if recorded.outcome == again.outcome => ReplayVerdict::SameOutcomeDifferentCore { pointer },
        Some(pointer) => ReplayVerdict::Diverged { pointer },
    }
}

/// The JSON pointer of the first difference; recursion is bounded by the depth of canonical JSON.
fn difference(a: &Value, b: &Value) -> Option<String> {
    let below = |step: &str, a: &Value, b: &Value| difference(a, b).map(|rest| format!("/{step}{rest}"));
    match (a, b) {
        (Value::Object(x), Value::Object(y)) => {
            let escaped = |name: &str| name.replace('~', "~0").replace('/', "~1");
            let mine = x.iter().find_map(|(name, value)| match y.get(name) {
                Some(other) => below(&escaped(name), value, other),
                None => Some(format!("/{}", escaped(name))),
            });
            mine.or_else(|| {
                y.iter().find(|(name, _)| x.get(name).is_none()).map(|(name, _)| format!("/{}", escaped(name)))
            })
        }
        (Value::Array(x), Value::Array(y)) => {
            let shared = x.iter().zip(y).enumerate().find_map(|(i, (a, b))| below(&i.to_string(), a, b));
            shared.or_else(|| (x.len() != y.len()).then(|| format!("/{}", x.len().min(y.len()))))
        }
        (a, b) => (a != b).then(String::new),
    }
}
