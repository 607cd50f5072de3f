//! What a policy decided: the outcome, the rules that determined it, and what it demands.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{
    canonical::Value,
    code,
    digest::PolicyDigest,
    obligation::Obligations,
    text::{Code, PolicyPath, RuleId, Version},
};

/// The outcome of an evaluation. Everything that is not `Permit` denies (INV-12).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Access may be given, once the obligations are met.
    Permit,
    /// A rule forbids, or no rule permits.
    Deny,
    /// The evaluation failed or gave no usable answer.
    Indeterminate,
}

/// What a rule says when it applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// It permits.
    Permit,
    /// It forbids.
    Forbid,
}

/// A rule that determined the outcome.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeterminingRule {
    /// The rule.
    pub rule: RuleId,
    /// What it says.
    pub effect: Effect,
    /// Where it stands, if the engine can tell which of its lines were evaluated.
    pub site: Option<RuleSite>,
}

impl DeterminingRule {
    /// A rule of an engine that does not say where it stands.
    #[must_use]
    pub fn new(rule: RuleId, effect: Effect) -> Self {
        Self { rule, effect, site: None }
    }
}

/// Where a rule stands in its snapshot, and which of its lines were evaluated.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleSite {
    /// The file.
    pub file: PolicyPath,
    /// The lines, counted from 1.
    pub lines: BTreeSet<u32>,
}

/// An error during evaluation, as a stable code. Messages of engines change between versions and are not evidence.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvaluationError {
    /// What went wrong.
    pub code: Code,
    /// The rule it happened in, if it was one.
    pub rule: Option<RuleId>,
}

/// The engine that evaluated. Belongs to each decision, so that a patch of the engine voids no approval.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Engine {
    /// Its name.
    pub name: Code,
    /// Its version.
    pub version: Version,
    /// The version of the policy language.
    pub language: Version,
    /// The version of the adapter between the engine and this project.
    pub adapter: Version,
}

/// The core of a recorded decision: the same snapshot and input give the same core, byte for byte.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// The outcome.
    pub outcome: Outcome,
    /// The snapshot that was evaluated.
    pub policy: PolicyDigest,
    /// The engine that evaluated it.
    pub engine: Engine,
    /// Whether no rule applied and the default denied.
    pub default_applied: bool,
    /// The rules that determined the outcome, sorted.
    pub determining: Vec<DeterminingRule>,
    /// What went wrong, sorted.
    pub errors: Vec<EvaluationError>,
    /// What must be met besides, merged.
    pub obligations: Obligations,
}

impl Decision {
    /// Whether access may be given once the obligations are met.
    #[must_use]
    pub fn permits(&self) -> bool {
        self.outcome == Outcome::Permit && self.errors.is_empty()
    }

    /// Whether a decision that an owner may approve says that the owner of the agent that asks may: it must, in so many words.
    #[must_use]
    pub(crate) fn lets_owner_approve(&self) -> bool {
        self.obligations.conditions().iter().any(|c| c.id == code!("owner_may_approve") && c.value == Value::Bool(true))
    }

    /// Why access is denied, as a code, when it is.
    #[must_use]
    pub(crate) fn denial(&self) -> Code {
        match (self.errors.is_empty(), self.determining.is_empty()) {
            (false, _) => code!("evaluation_failed"),
            (true, false) => code!("forbidden"),
            (true, true) => code!("no_rule_permits"),
        }
    }

    /// The rule that permitted, when one did: the approver of a grant that needs no person.
    #[must_use]
    pub fn permitting_rule(&self) -> Option<&RuleId> {
        self.determining.iter().find(|d| d.effect == Effect::Permit).map(|d| &d.rule)
    }
}

/// Why a policy was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum EvaluationPurpose {
    /// To decide on a request.
    Request,
    /// To see, before minting, that the request would still be permitted.
    Issuance,
    /// To decide on an extension.
    Extension,
    /// To see, when the last approval is given, that what was asked would still be permitted.
    Confirmation,
    /// To decide whether somebody may approve.
    Approval,
    /// To decide whether somebody may close a review.
    Review,
}
