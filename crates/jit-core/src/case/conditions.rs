//! The conditions of a grant: what was reported about each, what they keep from being minted, and the review that one asks for.

use std::collections::BTreeMap;

use crate::{
    case::{
        Case,
        command::{Decided, Step},
        refusal::Refusal,
    },
    code, condition,
    digest::LeafHash,
    event::{ConditionReported, Event},
    obligation::{Condition, Enforcement},
    principal::PrincipalId,
    text::Code,
};

/// What was last reported about a condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportedCondition {
    /// The leaf of the report.
    pub leaf: LeafHash,
    /// Whether it was enforced.
    pub enforced: bool,
    /// Who says so.
    pub by: PrincipalId,
}

impl Case {
    /// The conditions of the grant, each with what was last reported about it; none without a grant.
    pub fn conditions(&self) -> impl Iterator<Item = (&Condition, Option<&ReportedCondition>)> {
        let all = self.grant.iter().flat_map(|grant| &grant.approved.conditions);
        all.map(|condition| (condition, self.reported.get(&condition.id)))
    }

    /// The conditions that were last reported as not enforced.
    pub fn conditions_not_enforced(&self) -> impl Iterator<Item = (&Condition, &ReportedCondition)> {
        let reported = self.conditions().filter_map(|(condition, reported)| Some((condition, reported?)));
        reported.filter(|(_, reported)| !reported.enforced)
    }

    /// The conditions that the broker enforces before it mints, and that nobody has reported as enforced. A review is enforced
    /// by the obligation that it opens.
    pub fn conditions_unmet(&self) -> impl Iterator<Item = &Condition> {
        let broker = |condition: &&Condition| {
            condition.enforcement == Enforcement::Broker && condition.id != condition::POST_REVIEW
        };
        let enforced = |reported: Option<&ReportedCondition>| reported.is_some_and(|reported| reported.enforced);
        self.conditions()
            .filter(move |(_, reported)| !enforced(*reported))
            .map(|(condition, _)| condition)
            .filter(broker)
    }

    pub(super) fn report_condition(&self, by: &PrincipalId, id: &Code, enforced: bool) -> Decided {
        if !self.conditions().any(|(condition, _)| condition.id == *id) {
            return Decided::refused(Refusal::NoSuchCondition(id.clone()));
        }
        Decided::done([ConditionReported { condition: id.clone(), enforced, by: by.clone() }.into()])
    }

    /// Adds the obligation to review the access, if this approves a grant on whose condition it is.
    pub(super) fn with_review(&self, mut decided: Decided) -> Decided {
        let review =
            decided.steps.iter().find_map(|step| {
                let Event::GrantApproved(approved) = &step.event else { return None };
                let within = approved.conditions.iter().find_map(Condition::as_post_review)?;
                Some(self.open_obligation(
                    code!("post_review"),
                    approved.approved.end().saturating_add(within.to_duration()),
                ))
            });
        decided.steps.extend(review.map(|event| Step { event, about: None }));
        decided
    }

    pub(super) fn fold_report(&mut self, leaf: LeafHash, report: &ConditionReported) {
        let reported = ReportedCondition { leaf, enforced: report.enforced, by: report.by.clone() };
        self.reported.insert(report.condition.clone(), reported);
    }
}

/// What was last reported, by condition.
pub(super) type Reported = BTreeMap<Code, ReportedCondition>;
