//! How each rule looks at a request, requirement by requirement: each is put to Cedar as a policy of its own.

use std::{collections::BTreeSet, sync::Arc};

use cedar_policy::{
    Authorizer, Decision as CedarDecision, Entities, Policy, PolicySet, Request,
    pst::{
        self, ActionConstraint, BinaryOp, Clause, EntityOrSlot, Expr, Literal, PrincipalConstraint, ResourceConstraint,
        StaticPolicy, Template, Var,
    },
};
use jit_core::{Action, RuleId};

use super::{CedarSnapshot, request::Asked};
use crate::{
    entity::{EntityUid, kind},
    explain::{Met, Part, Requirement, RuleExplanation},
    input::CanonicalInput,
};

impl CedarSnapshot {
    pub(super) fn explain_here(&self, input: &CanonicalInput) -> Vec<RuleExplanation> {
        let Ok(given) = Asked::of(input, &self.vocabulary) else { return Vec::new() };
        let mut all = Vec::new();
        for action in &input.parts().actions {
            let Ok(request) = given.request(action) else { continue };
            let asked = Looked { request: &request, entities: &given.entities };
            all.extend(self.rules.keys().filter_map(|rule| self.explain_rule(rule, action, &asked)));
        }
        all
    }

    fn explain_rule(&self, rule: &RuleId, action: &Action, asked: &Looked<'_>) -> Option<RuleExplanation> {
        let known = self.rules.get(rule)?;
        let id = cedar_policy::PolicyId::new(rule.as_str());
        let body = self.policies.policy(&id)?.to_pst().ok()?.body().clone();
        let mut requirements = asked.scope(&body);
        for clause in body.clauses() {
            requirements.extend(asked.clause(clause));
        }
        Some(RuleExplanation { rule: rule.clone(), effect: known.effect, action: action.clone(), requirements })
    }
}

/// The request for one action, as Cedar sees it.
struct Looked<'a> {
    request: &'a Request,
    entities: &'a Entities,
}

impl Looked<'_> {
    fn scope(&self, body: &Template) -> Vec<Requirement> {
        let mut requirements = Vec::new();
        let (principal, action, resource) = (&body.principal, &body.action, &body.resource);
        let any = (PrincipalConstraint::Any, ActionConstraint::Any, ResourceConstraint::Any);
        if *principal != any.0 {
            let met = self.holds(policy(principal.clone(), any.1.clone(), any.2.clone(), None));
            let groups = match principal {
                PrincipalConstraint::In(EntityOrSlot::Entity(of))
                | PrincipalConstraint::IsIn(_, EntityOrSlot::Entity(of)) => group(of).into_iter().collect(),
                _ => BTreeSet::new(),
            };
            requirements.push(Requirement {
                part: Part::Principal,
                text: format!("principal {principal}"),
                met,
                groups,
            });
        }
        if *action != any.1 {
            let met = self.holds(policy(any.0.clone(), action.clone(), any.2.clone(), None));
            requirements.push(requirement(Part::Action, format!("action {action}"), met));
        }
        if *resource != any.2 {
            let met = self.holds(policy(any.0, any.1, resource.clone(), None));
            requirements.push(requirement(Part::Resource, format!("resource {resource}"), met));
        }
        requirements
    }

    /// What one clause asks for: each part of a conjunction by itself, which cannot be judged where a part before it guards it.
    fn clause(&self, clause: &Clause) -> Vec<Requirement> {
        let Clause::When(whole) = clause else {
            let met = self.holds_alone(clause.clone());
            return vec![requirement(Part::Condition, clause.to_string(), met)];
        };
        let mut before = false;
        let judge = |part: Arc<Expr>| {
            let met = match self.holds_alone(Clause::When(part.clone())) {
                Met::Failed if before => Met::NotReached,
                met => met,
            };
            before |= met != Met::Yes;
            let groups = named_groups(&part);
            Requirement { part: Part::Condition, text: part.to_string(), met, groups }
        };
        conjuncts(whole).into_iter().map(judge).collect()
    }

    fn holds_alone(&self, clause: Clause) -> Met {
        self.holds(policy(PrincipalConstraint::Any, ActionConstraint::Any, ResourceConstraint::Any, Some(clause)))
    }

    fn holds(&self, policy: Option<Policy>) -> Met {
        let Some(policies) = policy.and_then(|policy| PolicySet::from_policies([policy]).ok()) else {
            return Met::Failed;
        };
        let response = Authorizer::new().is_authorized(self.request, &policies, self.entities);
        match (response.diagnostics().errors().next(), response.decision()) {
            (Some(_), _) => Met::Failed,
            (None, CedarDecision::Allow) => Met::Yes,
            (None, CedarDecision::Deny) => Met::No,
        }
    }
}

fn requirement(part: Part, text: String, met: Met) -> Requirement {
    Requirement { part, text, met, groups: BTreeSet::new() }
}

/// A policy that permits where this alone is so.
fn policy(
    principal: PrincipalConstraint,
    action: ActionConstraint,
    resource: ResourceConstraint,
    clause: Option<Clause>,
) -> Option<Policy> {
    let id = pst::PolicyID("requirement".into());
    let template = Template::new(id, pst::Effect::Permit, principal, action, resource).try_with_clauses(clause).ok()?;
    Policy::from_pst(pst::Policy::Static(StaticPolicy::try_from(template).ok()?)).ok()
}

/// The parts of a conjunction, in order.
pub(super) fn conjuncts(expr: &Arc<Expr>) -> Vec<Arc<Expr>> {
    let (mut parts, mut open) = (Vec::new(), vec![expr.clone()]);
    while let Some(expr) = open.pop() {
        match &*expr {
            Expr::BinaryOp { op: BinaryOp::And, left, right } => open.extend([right.clone(), left.clone()]),
            _ => parts.push(expr),
        }
    }
    parts
}

/// The groups in which an expression looks for the principal.
fn named_groups(expr: &Expr) -> BTreeSet<EntityUid> {
    let of = |expr: &Expr| match expr {
        Expr::BinaryOp { op: BinaryOp::In, left, right } if **left == Expr::Var(Var::Principal) => match &**right {
            Expr::Literal(Literal::EntityUID(of)) => Some(group(of).into_iter().collect()),
            _ => None,
        },
        _ => None,
    };
    expr.reduce(
        &of,
        &|mut a: BTreeSet<EntityUid>, b| {
            a.extend(b);
            a
        },
        BTreeSet::new(),
    )
}

fn group(of: &pst::EntityUID) -> Option<EntityUid> {
    (of.ty.to_string() == "Jit::Group").then(|| EntityUid::new(kind::GROUP, of.eid.as_str()).ok()).flatten()
}
