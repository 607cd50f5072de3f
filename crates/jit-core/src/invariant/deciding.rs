//! INV-11 and INV-12: decisions cite a published policy, and fail closed.

use super::{
    finding::{Reason, Report},
    id::InvariantId::{Inv11, Inv12},
    view::{CaseStream, pick},
};
use crate::{
    decision::Outcome,
    event::{Event, Kind},
};

pub(super) fn needs(kind: &Kind) -> bool {
    *kind == Kind::PolicyEvaluated
}

/// INV-11. `refs.policy` of `policy.evaluated` is the decision's, a `policy.published` with that digest stands before it in
/// the log, and its text was retrieved.
pub(super) fn snapshots(case: &CaseStream<'_>, report: &mut Report) {
    let retrieved = case.view.history.snapshots.as_ref();
    for (entry, evaluated) in case.events(pick!(Event::PolicyEvaluated)) {
        let policy = evaluated.decision.policy;
        if entry.refs().policy != Some(policy) {
            report.violated(Inv11, &[entry], "the record names another policy than its decision");
        } else if case.view.published(policy).is_none_or(|published| published >= entry.index) {
            if case.view.is_whole() {
                report.violated(Inv11, &[entry], "the policy was not published before the decision");
            } else {
                report.not_provable(
                    Inv11,
                    Reason::OtherStream,
                    Some(entry),
                    "the publication of the policy is not here",
                );
            }
        } else if retrieved.is_some_and(|known| !known.contains(&policy)) {
            report.violated(Inv11, &[entry], "the text of the policy cannot be retrieved");
        } else if retrieved.is_none() {
            report.not_provable(Inv11, Reason::SnapshotsNotGiven, Some(entry), "nobody said whether the text is there");
        }
    }
}

/// INV-12. `policy.evaluated` with errors does not permit, and one without a usable answer says what went wrong.
pub(super) fn failing_closed(case: &CaseStream<'_>, report: &mut Report) {
    for (entry, evaluated) in case.events(pick!(Event::PolicyEvaluated)) {
        let decision = &evaluated.decision;
        if decision.outcome == Outcome::Permit && !decision.errors.is_empty() {
            report.violated(Inv12, &[entry], "the evaluation failed and permits all the same");
        }
        if decision.outcome == Outcome::Indeterminate && decision.errors.is_empty() {
            report.violated(Inv12, &[entry], "there is no usable answer, and the record does not say why");
        }
    }
}
