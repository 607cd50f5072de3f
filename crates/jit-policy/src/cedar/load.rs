//! Loading a bundle: every file parsed, every rule named, everything validated strictly against the schema.

use std::collections::BTreeMap;

use cedar_policy::{Effect as CedarEffect, Policy, PolicyId, PolicySet, Schema, ValidationMode, Validator};
use jit_core::{Effect, RuleId};

use super::{Rule, annotations, nesting};
use crate::{
    bundle::{FilePath, PolicyBundle},
    engine::LoadError,
};

/// What a bundle became.
pub(super) struct Loaded {
    pub(super) schema: Schema,
    pub(super) policies: PolicySet,
    pub(super) rules: BTreeMap<RuleId, Rule>,
    /// The stack that the rules may take when they are evaluated, in bytes.
    pub(super) stack: usize,
}

/// Loads a bundle and makes something of it, on a stack as large as its texts may take.
pub(super) fn on_own_stack<R>(bundle: &PolicyBundle, make: impl FnOnce(Loaded) -> R) -> Result<R, LoadError> {
    let mut most = 0;
    for (path, bytes) in bundle.files() {
        // What is no text does not get as far as the parser.
        let text = std::str::from_utf8(bytes).unwrap_or_default();
        if Some(path) == bundle.schema() {
            if nesting::brackets(text) > nesting::MAX_SCHEMA_NESTING {
                return Err(LoadError::TooMuch {
                    what: "nested brackets in the schema",
                    max: nesting::MAX_SCHEMA_NESTING,
                });
            }
            continue;
        }
        most = nesting::operators(text).max(most);
        if most > nesting::MAX_OPERATORS {
            return Err(LoadError::TooMuch { what: "operators and brackets in a rule", max: nesting::MAX_OPERATORS });
        }
    }
    stacker::grow(nesting::loading_stack(most), || Ok(make(load(bundle, nesting::evaluation_stack(most))?)))
}

fn load(bundle: &PolicyBundle, stack: usize) -> Result<Loaded, LoadError> {
    let schema_path = bundle.schema().ok_or_else(|| LoadError::Schema { reason: "bundle has none".to_owned() })?;
    let schema = schema(bundle, schema_path)?;
    let mut policies = PolicySet::new();
    let mut rules = BTreeMap::new();
    for (path, bytes) in bundle.files().filter(|(path, _)| *path != schema_path) {
        for policy in parse(path, bytes)? {
            let (id, rule) = rule(path, &policy)?;
            let named = policy.new_id(PolicyId::new(id.as_str()));
            policies.add(named).map_err(|_| LoadError::RepeatedRuleId(id.clone()))?;
            rules.insert(id, rule);
        }
    }
    if rules.is_empty() {
        return Err(LoadError::NoRule);
    }
    let validated = Validator::new(schema.clone()).validate(&policies, ValidationMode::Strict);
    if !validated.validation_passed() {
        let reasons: Vec<String> = validated.validation_errors().map(ToString::to_string).collect();
        return Err(LoadError::Validation { reason: reasons.join("; ") });
    }
    Ok(Loaded { schema, policies, rules, stack })
}

fn schema(bundle: &PolicyBundle, path: &FilePath) -> Result<Schema, LoadError> {
    let failed = |reason: String| LoadError::Schema { reason };
    let text = bundle.file(path).and_then(|b| std::str::from_utf8(b).ok());
    let text = text.ok_or_else(|| failed("it is not UTF-8".to_owned()))?;
    let (schema, _warnings) = Schema::from_cedarschema_str(text).map_err(|e| failed(e.to_string()))?;
    Ok(schema)
}

fn parse(path: &FilePath, bytes: &[u8]) -> Result<Vec<Policy>, LoadError> {
    let failed = |reason: String| LoadError::Parse { path: path.clone(), reason };
    let text = std::str::from_utf8(bytes).map_err(|_| failed("it is not UTF-8".to_owned()))?;
    let set: PolicySet = text.parse().map_err(|e: cedar_policy::ParseErrors| failed(e.to_string()))?;
    if set.templates().next().is_some() {
        return Err(LoadError::Template { path: path.clone() });
    }
    Ok(set.policies().cloned().collect())
}

fn rule(path: &FilePath, policy: &Policy) -> Result<(RuleId, Rule), LoadError> {
    let id = policy.annotation("id").ok_or_else(|| LoadError::NoRuleId { path: path.clone() })?;
    let id = RuleId::new(id).map_err(|e| LoadError::RuleId { path: path.clone(), reason: e.to_string() })?;
    let effect = match policy.effect() {
        CedarEffect::Permit => Effect::Permit,
        CedarEffect::Forbid => Effect::Forbid,
    };
    let refused = |reason: String| LoadError::Obligation { rule: id.clone(), reason };
    let mut obligations = Vec::new();
    for (name, text) in policy.annotations() {
        // A misspelt prefix must not lose an obligation, so everything that could be meant for us is.
        if !name.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("jit")) {
            continue;
        }
        let Some(name) = name.strip_prefix("jit_") else { return Err(refused(format!("@{name} is not known"))) };
        if effect == Effect::Forbid {
            return Err(refused(format!("a forbid demands nothing, so @jit_{name} has no effect")));
        }
        obligations.extend(annotations::obligations(name, text).map_err(refused)?);
    }
    let unreadable =
        |e: cedar_policy::PolicyToJsonError| LoadError::Parse { path: path.clone(), reason: e.to_string() };
    let condition = condition(policy.to_json().map_err(unreadable)?);
    Ok((id, Rule { effect, obligations, source: policy.to_string(), condition }))
}

/// The syntax tree of a policy without its annotations, whose texts do not say when it applies.
fn condition(mut tree: serde_json::Value) -> String {
    if let Some(members) = tree.as_object_mut() {
        members.remove("annotations");
        members.remove("effect");
    }
    tree.to_string()
}
