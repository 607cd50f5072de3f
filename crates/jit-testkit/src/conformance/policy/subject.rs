//! The engine that a case is about.

use std::{fmt, sync::Arc};

use jit_core::{Decision, DeterminingRule, Effect, RuleId, canonical};
use jit_policy::{Evaluator, LoadError, PolicyBundle, PolicyEngine, PolicySnapshot};

use super::{
    PolicyFactory, Sample,
    asking::{Asking, everything},
};

/// An engine, and its policies.
pub struct Subject {
    factory: Arc<dyn PolicyFactory>,
}

impl Subject {
    pub(super) fn new<F: PolicyFactory>(factory: Arc<F>) -> Self {
        Self { factory }
    }

    /// The engine as another process has it.
    pub(super) fn engine(&self) -> Arc<dyn PolicyEngine> {
        self.factory.engine()
    }

    pub(super) fn bundle(&self, sample: Sample) -> PolicyBundle {
        self.factory.bundle(sample)
    }

    pub(super) fn try_load(&self, sample: Sample) -> Result<Arc<dyn PolicySnapshot>, LoadError> {
        self.engine().load(&self.bundle(sample))
    }

    pub(super) fn load(&self, sample: Sample) -> Arc<dyn PolicySnapshot> {
        self.try_load(sample).unwrap_or_else(|error| panic!("{sample:?} does not load: {error}"))
    }

    pub(super) fn evaluator(&self, sample: Sample) -> Evaluator {
        Evaluator::new(self.load(sample))
    }

    /// What is decided by [`Sample::Access`].
    pub(super) fn decide(&self, asking: &Asking) -> Decision {
        self.evaluator(Sample::Access).evaluate(&asking.input())
    }

    /// The canonical bytes of decisions on everything, and the digests of what decided.
    pub(super) fn all_decisions(&self) -> String {
        let mut all = Vec::new();
        for sample in [Sample::Access, Sample::Stricter, Sample::Failing] {
            let evaluator = self.evaluator(sample);
            all.extend(everything().iter().map(|asking| text(&evaluator.evaluate(&asking.input()))));
        }
        all.join(" ")
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject").field("engine", self.engine().descriptor()).finish_non_exhaustive()
    }
}

pub(super) fn text(decision: &Decision) -> String {
    String::from_utf8(canonical::to_bytes(decision).expect("a decision is canonical")).expect("JSON is text")
}

/// The rules that determined a decision, wherever they stand.
pub(super) fn determining(decision: &Decision) -> Vec<(&str, Effect)> {
    decision.determining.iter().map(|DeterminingRule { rule, effect, .. }| (RuleId::as_str(rule), *effect)).collect()
}

/// The counts of the groups whose approval is demanded, in the order of their names, and the longest duration.
pub(super) fn demands(decision: &Decision) -> (Vec<(String, u16)>, Option<u32>) {
    let groups = decision.obligations.approvals().into_iter().flat_map(|quorum| quorum.groups());
    let groups = groups.map(|(group, count)| (group.to_string(), count.get())).collect();
    (groups, decision.obligations.max_duration().map(|seconds| seconds.get()))
}
