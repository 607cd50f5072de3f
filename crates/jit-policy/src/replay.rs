//! Running a recorded decision again, and saying exactly what came of it.

use std::{collections::BTreeMap, fmt, sync::Arc};

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

/// Runs a recorded decision again. `snapshot` are the bytes kept under the digest that it cites. For many decisions, use a
/// [`Replayer`], which loads each snapshot once.
#[must_use]
pub fn replay(
    recorded: &Decision,
    input: RecordedInput<'_>,
    snapshot: Option<&[u8]>,
    engines: &[Arc<dyn PolicyEngine>],
) -> ReplayVerdict {
    Replayer::new(engines.to_vec()).replay(recorded, input, || snapshot.map(<[u8]>::to_vec))
}

/// How many loaded snapshots a [`Replayer`] keeps.
const KEPT_SNAPSHOTS: usize = 64;

/// Runs many recorded decisions again, and loads each snapshot once.
///
/// ```
/// # fn example(decisions: Vec<(jit_core::Decision, jit_core::canonical::Value)>, bytes: &[u8]) {
/// use jit_policy::{RecordedInput, Replayer};
/// let mut replayer = Replayer::new(Vec::new());
/// for (decision, input) in &decisions {
///     let verdict = replayer.replay(decision, RecordedInput::Present(input), || Some(bytes.to_vec()));
///     assert!(verdict.is_identical());
/// }
/// # }
/// ```
pub struct Replayer {
    engines: Vec<Arc<dyn PolicyEngine>>,
    loaded: BTreeMap<PolicyDigest, Loaded>,
}

/// What became of a snapshot that some decision cites.
enum Loaded {
    Missing,
    Tampered,
    Document { document: Box<SnapshotDocument>, by: Vec<(Engine, Result<Evaluator, LoadFailure>)> },
}

/// Why an intact snapshot does not load.
#[derive(Clone, Copy)]
enum LoadFailure {
    OtherEngine,
    Refused,
}

impl Replayer {
    /// Runs decisions with these engines.
    #[must_use]
    pub fn new(engines: Vec<Arc<dyn PolicyEngine>>) -> Self {
        Self { engines, loaded: BTreeMap::new() }
    }

    /// Runs a recorded decision again. `snapshot` gives the bytes kept under the digest that it cites; it is asked once for
    /// each snapshot, and again only after many others.
    #[must_use]
    pub fn replay(
        &mut self,
        recorded: &Decision,
        input: RecordedInput<'_>,
        snapshot: impl FnOnce() -> Option<Vec<u8>>,
    ) -> ReplayVerdict {
        let input = match input {
            RecordedInput::Missing => return ReplayVerdict::InputMissing,
            RecordedInput::Tampered => return ReplayVerdict::InputTampered,
            RecordedInput::Present(value) => match CanonicalInput::from_value(value) {
                Ok(input) => input,
                Err(_) => return ReplayVerdict::InputTampered,
            },
        };
        if self.loaded.len() >= KEPT_SNAPSHOTS && !self.loaded.contains_key(&recorded.policy) {
            self.loaded.clear();
        }
        let loaded = self.loaded.entry(recorded.policy).or_insert_with(|| read(recorded.policy, snapshot()));
        let (document, by) = match loaded {
            Loaded::Missing => return ReplayVerdict::SnapshotMissing,
            Loaded::Tampered => return ReplayVerdict::SnapshotTampered,
            Loaded::Document { document, by } => (document, by),
        };
        let want = &recorded.engine;
        let mut named = self.engines.iter().filter(|e| e.descriptor().name == want.name);
        let exact = named.clone().find(|e| e.descriptor() == want);
        let Some(engine) = exact.or_else(|| named.next()) else {
            let have = self.engines.iter().map(|e| e.descriptor().clone()).collect();
            return ReplayVerdict::EngineUnavailable { want: want.clone(), have };
        };
        let have = engine.descriptor().clone();
        let mut again = match evaluator(by, engine.as_ref(), document) {
            Ok(evaluator) => evaluator.evaluate(&input),
            // The snapshot is intact, and written for a language that the engine at hand does not speak.
            Err(LoadFailure::OtherEngine) => {
                return ReplayVerdict::EngineUnavailable { want: want.clone(), have: vec![have] };
            }
            Err(LoadFailure::Refused) => return ReplayVerdict::SnapshotTampered,
        };
        again.engine = want.clone();
        let result = compare(recorded, &again);
        if have == *want {
            result
        } else {
            ReplayVerdict::EngineDiffers { want: want.clone(), have, result: Box::new(result) }
        }
    }
}

impl fmt::Debug for Replayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replayer").field("snapshots", &self.loaded.len()).finish_non_exhaustive()
    }
}

fn read(digest: PolicyDigest, snapshot: Option<Vec<u8>>) -> Loaded {
    let Some(snapshot) = snapshot else { return Loaded::Missing };
    match SnapshotDocument::parse(&snapshot) {
        Ok(document) if document.digest() == digest => {
            Loaded::Document { document: Box::new(document), by: Vec::new() }
        }
        _ => Loaded::Tampered,
    }
}

/// The snapshot as this engine loads it, loaded once.
fn evaluator(
    by: &mut Vec<(Engine, Result<Evaluator, LoadFailure>)>,
    engine: &dyn PolicyEngine,
    document: &SnapshotDocument,
) -> Result<Evaluator, LoadFailure> {
    if let Some((_, known)) = by.iter().find(|(by, _)| by == engine.descriptor()) {
        return known.clone();
    }
    let loaded = match engine.load(document.bundle()) {
        Ok(loaded) => Ok(Evaluator::new(loaded)),
        Err(LoadError::OtherEngine { .. }) => Err(LoadFailure::OtherEngine),
        Err(_) => Err(LoadFailure::Refused),
    };
    by.push((engine.descriptor().clone(), loaded.clone()));
    loaded
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
