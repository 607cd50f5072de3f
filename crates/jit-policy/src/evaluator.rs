//! From what an engine says to a decision that is evidence. Engines cannot go around it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use jit_core::{
    Code, Decision, DeterminingRule, Effect, Engine, EvaluationError, Obligation, Obligations, Outcome, RuleId,
    RuleSite,
    canonical::{self, Object, Value},
    code,
};

use crate::{
    ancestry,
    engine::{PolicySnapshot, RawEvaluation, RawObligation},
    explain::RuleExplanation,
    input::CanonicalInput,
    snapshot::SnapshotDocument,
};

/// Evaluates inputs against one snapshot, and fails closed: an error of any kind, an unknown rule, an unknown or
/// contradictory obligation, a permit without a permitting rule and entities more entangled than
/// [`MAX_ANCESTRY`](crate::MAX_ANCESTRY) are all indeterminate, and say which (INV-12).
///
/// It sorts and merges whatever the engine gives, so the same snapshot and input give the same decision, byte for byte.
#[derive(Clone)]
pub struct Evaluator {
    snapshot: Arc<dyn PolicySnapshot>,
    /// What the snapshot said it is, once: a decision cites what was put in force, whatever is said later.
    document: Arc<SnapshotDocument>,
    engine: Engine,
}

impl Evaluator {
    /// An evaluator of this snapshot.
    #[must_use]
    pub fn new(snapshot: Arc<dyn PolicySnapshot>) -> Self {
        let document = Arc::new(snapshot.document().clone());
        let engine = snapshot.engine().clone();
        Self { snapshot, document, engine }
    }

    /// The snapshot, as decisions cite it and stores keep it.
    #[must_use]
    pub fn document(&self) -> &SnapshotDocument {
        &self.document
    }

    /// The snapshot itself.
    #[must_use]
    pub fn snapshot(&self) -> &Arc<dyn PolicySnapshot> {
        &self.snapshot
    }

    /// Evaluates an input.
    #[must_use]
    pub fn evaluate(&self, input: &CanonicalInput) -> Decision {
        let raw = if ancestry::is_bounded(&input.parts().entities) {
            self.snapshot.evaluate(input)
        } else {
            RawEvaluation::failed(code!("too_many_ancestors"))
        };
        let mut errors: BTreeSet<EvaluationError> = raw.errors.iter().cloned().collect();
        if !input.parts().unavailable.is_empty() {
            errors.insert(failure(code!("fact_unavailable")));
        }
        let determining = each_once(&raw.determining);
        for rule in determining.iter().map(|d| &d.rule).chain(raw.errors.iter().filter_map(|e| e.rule.as_ref())) {
            if !self.document().manifest().has_rule(rule) {
                errors.insert(EvaluationError { code: code!("unknown_rule"), rule: Some(rule.clone()) });
            }
        }
        errors.extend(contradiction(&raw, &determining));
        let obligations = match merged(&raw.obligations) {
            Ok(obligations) => obligations,
            Err(code) => {
                errors.insert(failure(code));
                Obligations::default()
            }
        };
        let outcome = match (errors.is_empty(), raw.permitted) {
            (false, _) => Outcome::Indeterminate,
            (true, true) => Outcome::Permit,
            (true, false) => Outcome::Deny,
        };
        Decision {
            outcome,
            policy: self.document().digest(),
            engine: self.engine.clone(),
            default_applied: determining.is_empty() && errors.is_empty(),
            determining: determining.into_iter().collect(),
            errors: errors.into_iter().collect(),
            // What is not permitted demands nothing.
            obligations: if outcome == Outcome::Permit { obligations } else { Obligations::default() },
        }
    }

    /// How every rule looks at an input; none looks at what is too entangled to be evaluated.
    pub(crate) fn explain(&self, input: &CanonicalInput) -> Vec<RuleExplanation> {
        if ancestry::is_bounded(&input.parts().entities) { self.snapshot.explain(input) } else { Vec::new() }
    }
}

impl fmt::Debug for Evaluator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Evaluator").field("policy", &self.document().digest()).finish_non_exhaustive()
    }
}

/// The rules, each once: what determined two actions was evaluated twice, and has the lines of both.
fn each_once(found: &[DeterminingRule]) -> BTreeSet<DeterminingRule> {
    let mut rules: BTreeMap<(&RuleId, Effect), Option<RuleSite>> = BTreeMap::new();
    for DeterminingRule { rule, effect, site } in found {
        let known = rules.entry((rule, *effect)).or_default();
        match (known.as_mut(), site) {
            (Some(known), Some(site)) if known.file == site.file => known.lines.extend(&site.lines),
            // A rule stands in one file; whoever says two is heard once, whatever the order.
            _ => *known = known.take().max(site.clone()),
        }
    }
    let once = |((rule, effect), site): ((&RuleId, Effect), _)| DeterminingRule { rule: rule.clone(), effect, site };
    rules.into_iter().map(once).collect()
}

fn failure(code: Code) -> EvaluationError {
    EvaluationError { code, rule: None }
}

/// An outcome that its own rules do not support.
fn contradiction(raw: &RawEvaluation, determining: &BTreeSet<DeterminingRule>) -> Option<EvaluationError> {
    let says = |effect| determining.iter().any(|d| d.effect == effect);
    let forbidding: Option<RuleId> = determining.iter().find(|d| d.effect == Effect::Forbid).map(|d| d.rule.clone());
    match raw.permitted {
        true if !says(Effect::Permit) => Some(failure(code!("permit_without_rule"))),
        false if says(Effect::Permit) => Some(failure(code!("deny_by_permit"))),
        true if forbidding.is_some() => {
            Some(EvaluationError { code: code!("permit_despite_forbid"), rule: forbidding })
        }
        _ => None,
    }
}

/// Reads and merges obligations; a type or shape that is not known denies.
fn merged(raw: &[RawObligation]) -> Result<Obligations, Code> {
    let mut all = Vec::with_capacity(raw.len());
    for obligation in raw {
        all.push(read(obligation).ok_or(code!("unknown_obligation"))?);
    }
    Obligations::merge(all).map_err(|_| code!("obligation_conflict"))
}

fn read(raw: &RawObligation) -> Option<Obligation> {
    let mut object = Object::new();
    object.insert("type", Value::text(raw.kind.as_str()).ok()?).ok()?;
    object.insert("properties", raw.properties.clone()).ok()?;
    let read = canonical::from_value(&Value::Object(object)).ok()?;
    match &read {
        // One that nobody can enforce, because nobody knows what it means, would be met by anything.
        Obligation::Condition(condition) if !condition.is_well_formed() => None,
        _ => Some(read),
    }
}
