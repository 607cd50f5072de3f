//! What `data.jit.decision` must be: `{"effect":"permit"|"deny","rules":[{"id"}],"obligations":[{"type","properties"}]}`, nothing
//! less and nothing besides. Sets count as arrays.

use std::collections::BTreeSet;

use jit_core::{
    Code, DeterminingRule, Effect, EvaluationError, RuleId,
    canonical::{self, Int, Object, Value as Canonical},
    code,
};
use regorus::{Value, coverage::Report};
use serde::Deserialize;

use super::RegoSnapshot;
use crate::engine::{RawEvaluation, RawObligation};

/// How many rules, and how many obligations, a decision may name.
const MAX_NAMED: usize = 1024;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    effect: AnswerEffect,
    rules: Vec<AnswerRule>,
    obligations: Vec<AnswerObligation>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum AnswerEffect {
    Permit,
    Deny,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AnswerRule {
    id: RuleId,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AnswerObligation {
    #[serde(rename = "type")]
    kind: Code,
    properties: serde_json::Value,
}

/// Reads a decision. A rule that it names must be one of the snapshot's, and must have been evaluated.
pub(super) fn read(snapshot: &RegoSnapshot, answer: &Value, coverage: &Report) -> RawEvaluation {
    if *answer == Value::Undefined {
        return RawEvaluation::failed(code!("decision_undefined"));
    }
    let Some(value) = canonical(answer, 0) else { return RawEvaluation::failed(code!("decision_value")) };
    let Ok(answer) = canonical::from_value::<Answer>(&value) else {
        return RawEvaluation::failed(code!("decision_shape"));
    };
    if answer.rules.len() > MAX_NAMED || answer.obligations.len() > MAX_NAMED {
        return RawEvaluation::failed(code!("decision_shape"));
    }
    let (permitted, effect) = match answer.effect {
        AnswerEffect::Permit => (true, Effect::Permit),
        AnswerEffect::Deny => (false, Effect::Forbid),
    };
    let mut found = RawEvaluation { permitted, ..RawEvaluation::default() };
    for rule in answer.rules.into_iter().map(|rule| rule.id).collect::<BTreeSet<_>>() {
        let site = match snapshot.site(&rule, coverage) {
            Ok(site) => Some(site),
            Err(code) => {
                found.errors.push(EvaluationError { code, rule: Some(rule.clone()) });
                None
            }
        };
        found.determining.push(DeterminingRule { rule, effect, site });
    }
    for AnswerObligation { kind, properties } in answer.obligations {
        let Ok(properties) = canonical::to_value(&properties) else {
            return RawEvaluation::failed(code!("decision_value"));
        };
        found.obligations.push(RawObligation { kind, properties });
    }
    found
}

/// The canonical form: booleans, integers, strings, and arrays and objects of them.
fn canonical(value: &Value, depth: usize) -> Option<Canonical> {
    if depth > canonical::MAX_DEPTH {
        return None;
    }
    Some(match value {
        Value::Bool(bool) => Canonical::Bool(*bool),
        Value::Number(number) => Canonical::Int(Int::new(number.as_i64()?).ok()?),
        Value::String(text) => Canonical::text(text.to_string()).ok()?,
        Value::Array(items) => Canonical::Array(items.iter().map(|v| canonical(v, depth + 1)).collect::<Option<_>>()?),
        Value::Set(items) => {
            Canonical::Array(items.iter_sorted().map(|v| canonical(v, depth + 1)).collect::<Option<_>>()?)
        }
        Value::Object(members) => {
            let mut object = Object::new();
            for (key, value) in members.iter_sorted() {
                object.insert(key.as_string().ok()?.to_string(), canonical(value, depth + 1)?).ok()?;
            }
            Canonical::Object(object)
        }
        Value::Null | Value::Undefined => return None,
    })
}
