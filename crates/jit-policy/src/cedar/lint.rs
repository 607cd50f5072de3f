//! What looks wrong in Cedar policies that load: by Cedar's type checker, and by their syntax trees.

use std::{collections::BTreeMap, sync::Arc};

use cedar_policy::{
    ValidationMode, ValidationWarning, Validator,
    pst::{
        ActionConstraint, BinaryOp, Clause, Expr, Literal, PrincipalConstraint, ResourceConstraint, Template, UnaryOp,
        Var,
    },
};
use jit_core::{Effect, RuleId, code};

use super::{
    CedarEngine, annotations,
    explain::conjuncts,
    load::{self, Loaded},
};
use crate::{
    bundle::PolicyBundle,
    engine::LoadError,
    lint::{LintFinding, LintKind},
};

impl CedarEngine {
    /// Looks for what is wrong in policies that load: rules that can fail when evaluated, rules that can never decide anything,
    /// obligations and annotations without effect, permissions without any limit, and texts that mislead the eye. Sorted.
    ///
    /// It does not find everything. Whether a rule can ever apply is asked of Cedar's type checker, which knows types and not
    /// values: `context.now < 5 && context.now > 5` passes. A rule is found to be covered by another only where their
    /// conditions are written alike. Attributes of entities that an input may lack are seen where they hang on `principal` and
    /// `resource`, not below `context`.
    ///
    /// # Errors
    /// [`LoadError`] if the policies do not load.
    pub fn lint(&self, bundle: &PolicyBundle) -> Result<Vec<LintFinding>, LoadError> {
        self.check_target(bundle)?;
        // As deep as policies go is how deep their trees are walked.
        load::on_own_stack(bundle, |loaded| findings(&loaded))
    }
}

fn findings(loaded: &Loaded) -> Vec<LintFinding> {
    let mut found: Vec<LintFinding> = type_checked(loaded);
    let bodies: BTreeMap<&RuleId, Template> =
        loaded.rules.keys().filter_map(|rule| Some((rule, body(loaded, rule)?))).collect();
    for (rule, body) in &bodies {
        let Some(effect) = loaded.rules.get(*rule).map(|known| known.effect) else { continue };
        found.extend(failures(body).map(|detail| finding(rule, LintKind::CanFail, detail)));
        found.extend(without_effect(loaded, rule, body));
        if effect == Effect::Permit {
            found.extend(unlimited(loaded, rule, body));
            let covering = bodies.iter().find(|(other, forbid)| {
                loaded.rules.get(**other).is_some_and(|known| known.effect == Effect::Forbid) && covers(forbid, body)
            });
            found.extend(covering.map(|(other, _)| {
                finding(rule, LintKind::Unreachable, format!("rule {other} forbids everything that it permits"))
            }));
        }
    }
    found.extend(twins(loaded));
    found.sort();
    found.dedup();
    found
}

fn finding(rule: &RuleId, kind: LintKind, detail: impl Into<String>) -> LintFinding {
    LintFinding { rule: rule.clone(), kind, detail: detail.into() }
}

fn body(loaded: &Loaded, rule: &RuleId) -> Option<Template> {
    let id = cedar_policy::PolicyId::new(rule.as_str());
    Some(loaded.policies.policy(&id)?.to_pst().ok()?.body().clone())
}

/// What Cedar's validator warns of.
fn type_checked(loaded: &Loaded) -> Vec<LintFinding> {
    let validated = Validator::new(loaded.schema.clone()).validate(&loaded.policies, ValidationMode::Strict);
    let warning = |warning: &ValidationWarning| {
        let rule = RuleId::new(AsRef::<str>::as_ref(warning.policy_id())).ok()?;
        Some(match warning {
            ValidationWarning::ImpossiblePolicy(_) => {
                finding(&rule, LintKind::Unreachable, "by the types of the schema its condition is never true")
            }
            ValidationWarning::InvalidActionApplication(_) => {
                finding(&rule, LintKind::Unreachable, "no action of its scope applies to its principals and resources")
            }
            other => finding(&rule, LintKind::Misleading, other.to_string()),
        })
    };
    validated.validation_warnings().filter_map(warning).collect()
}

/// Why evaluating a rule can fail though it passes validation.
fn failures(body: &Template) -> impl Iterator<Item = String> {
    let why = |expr: &Expr| match expr {
        Expr::BinaryOp { op: BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul, .. } => {
            Some(format!("`{expr}` fails where the number does not fit into 64 bits"))
        }
        Expr::UnaryOp { op: UnaryOp::Neg, expr: of } if !matches!(**of, Expr::Literal(_)) => {
            Some(format!("`{expr}` fails where the number does not fit into 64 bits"))
        }
        Expr::BinaryOp { op: BinaryOp::Offset | BinaryOp::DurationSince, .. } => {
            Some(format!("`{expr}` fails where the moment cannot be written"))
        }
        Expr::GetAttr { expr: of, .. } if hangs_on_an_entity(of) => {
            Some(format!("`{expr}` fails where the input does not have `{of}` as an entity"))
        }
        _ => None,
    };
    let exprs = body.clauses().iter().map(|(Clause::When(expr) | Clause::Unless(expr))| expr);
    let found: Vec<String> = exprs.flat_map(|expr| collect(expr, &why)).collect();
    found.into_iter()
}

/// Whether this is an attribute of principal or resource, which may be an entity of its own.
fn hangs_on_an_entity(expr: &Expr) -> bool {
    match expr {
        Expr::GetAttr { expr, .. } => {
            matches!(**expr, Expr::Var(Var::Principal | Var::Resource)) || hangs_on_an_entity(expr)
        }
        _ => false,
    }
}

/// What is said of the outermost expressions of which something is said.
fn collect(expr: &Expr, why: &dyn Fn(&Expr) -> Option<String>) -> Vec<String> {
    expr.reduce(
        &|expr| why(expr).map(|text| vec![text]),
        &|mut a: Vec<String>, b| {
            a.extend(b);
            a
        },
        Vec::new(),
    )
}

/// The shortest window to which the condition of a rule limits it by itself, in seconds.
fn limit_in_condition(body: &Template) -> Option<i64> {
    let duration = |expr: &Expr| matches!(expr, Expr::GetAttr { expr, attr } if **expr == Expr::Var(Var::Context) && attr == "requested_duration");
    let limit = |expr: &Arc<Expr>| match &**expr {
        Expr::BinaryOp { op, left, right } => match (op, &**left, &**right) {
            (BinaryOp::LessEq, of, Expr::Literal(Literal::Long(n))) if duration(of) => Some(*n),
            (BinaryOp::Less, of, Expr::Literal(Literal::Long(n))) if duration(of) => n.checked_sub(1),
            (BinaryOp::GreaterEq, Expr::Literal(Literal::Long(n)), of) if duration(of) => Some(*n),
            (BinaryOp::Greater, Expr::Literal(Literal::Long(n)), of) if duration(of) => n.checked_sub(1),
            _ => None,
        },
        _ => None,
    };
    let whens = body.clauses().iter().filter_map(|clause| match clause {
        Clause::When(expr) => Some(expr),
        Clause::Unless(_) => None,
    });
    whens.flat_map(conjuncts).filter_map(|part| limit(&part)).min()
}

fn max_duration(loaded: &Loaded, rule: &RuleId) -> Option<i64> {
    let obligations = &loaded.rules.get(rule)?.obligations;
    obligations.iter().find(|o| o.kind == code!("max_duration")).and_then(|o| o.properties.as_int())
}

fn without_effect(loaded: &Loaded, rule: &RuleId, body: &Template) -> Vec<LintFinding> {
    let mut found = Vec::new();
    if let (Some(limit), Some(max)) = (limit_in_condition(body), max_duration(loaded, rule))
        && limit <= max
    {
        let detail = format!("@jit_max_duration allows {max} s, and the condition {limit} s at most");
        found.push(finding(rule, LintKind::NoEffect, detail));
    }
    for name in body.annotations.keys() {
        if annotations::is_known(name) {
            let detail = format!("@{name} demands nothing; @jit_{name} would");
            found.push(finding(rule, LintKind::NoEffect, detail));
        }
    }
    found
}

fn unlimited(loaded: &Loaded, rule: &RuleId, body: &Template) -> Option<LintFinding> {
    let approvals = loaded.rules.get(rule)?.obligations.iter().any(|o| o.kind == code!("approvals"));
    let limited = approvals || max_duration(loaded, rule).is_some() || limit_in_condition(body).is_some();
    let detail = "it permits without approval and for as long as is asked; give it @jit_approvals or @jit_max_duration";
    (!limited).then(|| finding(rule, LintKind::Unlimited, detail))
}

/// Whether a rule without condition applies wherever the other one does.
fn covers(forbid: &Template, permit: &Template) -> bool {
    let principal = forbid.principal == PrincipalConstraint::Any || forbid.principal == permit.principal;
    let resource = forbid.resource == ResourceConstraint::Any || forbid.resource == permit.resource;
    let action = match (&forbid.action, &permit.action) {
        (ActionConstraint::Any, _) => true,
        (ActionConstraint::In(all), ActionConstraint::Eq(one)) => all.contains(one),
        (ActionConstraint::In(all), ActionConstraint::In(some)) => some.iter().all(|one| all.contains(one)),
        (a, b) => a == b,
    };
    forbid.clauses().is_empty() && principal && action && resource
}

/// Rules that apply exactly when another of the same effect does.
fn twins(loaded: &Loaded) -> Vec<LintFinding> {
    let mut first: BTreeMap<(bool, &str), &RuleId> = BTreeMap::new();
    let mut found = Vec::new();
    for (rule, known) in &loaded.rules {
        let key = (known.effect == Effect::Permit, known.condition.as_str());
        match first.get(&key) {
            Some(other) => {
                let detail = format!("it applies exactly when rule {other} does");
                found.push(finding(rule, LintKind::NoEffect, detail));
            }
            None => {
                first.insert(key, rule);
            }
        }
    }
    found
}
