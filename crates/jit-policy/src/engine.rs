//! What an engine adapter implements: loading a bundle, and evaluating an input. Both traits are small on purpose; everything
//! that makes a decision evidence is done by the [`Evaluator`](crate::Evaluator).

use std::sync::Arc;

use jit_core::{Code, DeterminingRule, Effect, Engine, EvaluationError, RuleId, canonical::Value};

use crate::{
    bundle::{BundleError, FilePath, PolicyBundle},
    explain::RuleExplanation,
    input::CanonicalInput,
    snapshot::SnapshotDocument,
};

/// A bundle does not become a snapshot.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The bundle is for another engine or language version.
    #[error("bundle is for {want}, this engine is {have}")]
    OtherEngine {
        /// What the bundle asks for.
        want: String,
        /// What this is.
        have: String,
    },
    /// There is no schema, or it does not parse.
    #[error("schema: {reason}")]
    Schema {
        /// What is wrong.
        reason: String,
    },
    /// A policy file does not parse.
    #[error("{path:?}: {reason}")]
    Parse {
        /// Which file.
        path: FilePath,
        /// What is wrong.
        reason: String,
    },
    /// The policies do not pass strict validation against the schema.
    #[error("policies do not pass strict validation: {reason}")]
    Validation {
        /// What is wrong.
        reason: String,
    },
    /// A construct in a policy file is not accepted.
    #[error("{path:?}:{line}: {reason}")]
    Construct {
        /// Which file.
        path: FilePath,
        /// In which line, counted from 1.
        line: u32,
        /// What is wrong.
        reason: String,
    },
    /// A file that is no policy, or data that does not read.
    #[error("{path:?}: {reason}")]
    Data {
        /// Which file.
        path: FilePath,
        /// What is wrong.
        reason: String,
    },
    /// No policy file has what is asked of the bundle.
    #[error("no rule makes {want}")]
    Entrypoint {
        /// The entrypoint.
        want: String,
    },
    /// More policy text, rules or nesting than is evaluated safely.
    #[error("{what}: more than {max}")]
    TooMuch {
        /// Of what.
        what: &'static str,
        /// The limit.
        max: usize,
    },
    /// There is no rule.
    #[error("bundle has no rule")]
    NoRule,
    /// A rule has no id of its own.
    #[error("{path:?}: a rule has no @id")]
    NoRuleId {
        /// Which file.
        path: FilePath,
    },
    /// Two rules have the same id.
    #[error("rule id {0} is used twice")]
    RepeatedRuleId(RuleId),
    /// A rule id is not a valid one.
    #[error("{path:?}: rule id is not valid: {reason}")]
    RuleId {
        /// Which file.
        path: FilePath,
        /// What is wrong.
        reason: String,
    },
    /// Templates are not supported.
    #[error("{path:?}: templates are not supported")]
    Template {
        /// Which file.
        path: FilePath,
    },
    /// An obligation of a rule is unknown or malformed.
    #[error("rule {rule}: {reason}")]
    Obligation {
        /// Which rule.
        rule: RuleId,
        /// What is wrong.
        reason: String,
    },
    /// The bundle itself is not usable.
    #[error(transparent)]
    Bundle(#[from] BundleError),
}

/// An obligation as an engine states it: its type and its properties, not yet understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawObligation {
    /// The type.
    pub kind: Code,
    /// The properties, in the shape of the type.
    pub properties: Value,
}

/// What an engine says. The order of its lists carries no meaning.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RawEvaluation {
    /// Whether the engine permits.
    pub permitted: bool,
    /// The rules that determined that.
    pub determining: Vec<DeterminingRule>,
    /// What went wrong, as stable codes.
    pub errors: Vec<EvaluationError>,
    /// What the determining rules demand.
    pub obligations: Vec<RawObligation>,
}

impl RawEvaluation {
    /// An evaluation that failed as a whole.
    #[must_use]
    pub fn failed(code: Code) -> Self {
        Self { errors: vec![EvaluationError { code, rule: None }], ..Self::default() }
    }

    /// This and what was found about another action of the same request: everything must be permitted, and what permits one
    /// action does not determine that another is denied.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let mut both = Self { permitted: self.permitted && other.permitted, ..Self::default() };
        for one in [self, other] {
            if one.permitted == both.permitted {
                both.determining.extend(one.determining);
                both.obligations.extend(one.obligations);
            }
            both.errors.extend(one.errors);
        }
        both
    }
}

/// One rule of a loaded policy, for people and comparisons. It is no part of any decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleForm {
    /// What it says when it applies.
    pub effect: Effect,
    /// Its text, as written.
    pub source: String,
    /// When it applies, so written that layout and comments make no difference.
    pub condition: String,
    /// What it demands.
    pub obligations: Vec<RawObligation>,
}

/// A loaded policy.
///
/// # Contract
///
/// 1. [`evaluate`](Self::evaluate) is pure: no clock, no I/O, no randomness. The same input gives the same evaluation, in every process.
/// 2. It does not fail: what goes wrong is in [`RawEvaluation::errors`], and then nothing is granted.
/// 3. [`document`](Self::document) names every rule that can determine an outcome.
pub trait PolicySnapshot: Send + Sync + 'static {
    /// Manifest and texts, as decisions cite them and stores keep them.
    fn document(&self) -> &SnapshotDocument;

    /// The engine that evaluates, as decisions record it.
    fn engine(&self) -> &Engine;

    /// Evaluates an input.
    fn evaluate(&self, input: &CanonicalInput) -> RawEvaluation;

    /// How every rule looks at every action of an input, for people; none if the engine cannot say, as by default.
    fn explain(&self, _input: &CanonicalInput) -> Vec<RuleExplanation> {
        Vec::new()
    }

    /// One of its rules, if the engine can tell rules apart. By default it cannot, and comparisons go by files.
    fn rule(&self, _rule: &RuleId) -> Option<RuleForm> {
        None
    }
}

/// A policy engine.
pub trait PolicyEngine: Send + Sync + 'static {
    /// What engine this is.
    fn descriptor(&self) -> &Engine;

    /// Loads a bundle, strictly: whatever could surprise at evaluation is refused now.
    ///
    /// # Errors
    /// [`LoadError`] naming the file or rule that is refused.
    fn load(&self, bundle: &PolicyBundle) -> Result<Arc<dyn PolicySnapshot>, LoadError>;
}
