//! Approving, denying, and the refusals of participants' acts.

use std::collections::BTreeSet;

use crate::{
    approval::ApprovalMethod,
    case::{
        Case, MAX_REFUSALS, Phase,
        command::{Approve, Context, Decided},
        refusal::Refusal,
    },
    code,
    event::{ApprovalRecorded, CommandRefused, Event, GrantApproved, GrantDenied},
    principal::{Principal, PrincipalId},
    text::{Code, GroupName, Prose},
};

impl Case {
    pub(super) fn approve(&self, act: &Approve, context: &Context) -> Decided {
        match self.try_approve(act, context) {
            Ok(events) => Decided::done(events),
            Err(refusal) => self.refused_act(act.approver.id(), code!("approve"), refusal),
        }
    }

    fn try_approve(&self, act: &Approve, context: &Context) -> Result<Vec<Event>, Refusal> {
        self.may_judge(&act.approver, &act.group, &act.member_of)?;
        let (Some(request), Some(first)) = (&self.request, self.first_decision()) else {
            return Err(Refusal::Phase(self.phase()));
        };
        let Some(approved) = self.approved_window(context.now) else {
            return Err(Refusal::NotDue(request.submitted.requested.end()));
        };
        if self.approval_content(&act.approver).as_ref() != Some(&act.content) {
            return Err(Refusal::Content);
        }
        let quorum = first.decision.obligations.approvals();
        let mut given: Vec<GroupName> = self.counting_approvals().filter_map(|a| a.approval.group.clone()).collect();
        if !quorum.is_some_and(|q| q.missing(&given).any(|(group, _)| *group == act.group)) {
            return Err(Refusal::GroupNotAsked(act.group.clone()));
        }
        given.push(act.group.clone());
        let conditions = first.decision.obligations.conditions().to_vec();
        let mut events: Vec<Event> = vec![
            ApprovalRecorded {
                approver: act.approver.id(),
                method: ApprovalMethod::QuorumMember,
                group: Some(act.group.clone()),
                request: request.leaf,
                scope: request.submitted.scope.clone(),
                approved: request.submitted.requested,
                conditions: conditions.clone(),
                comment: act.comment.clone(),
                authentication: act.authentication.clone(),
                signature: act.signature.clone(),
            }
            .into(),
        ];
        if quorum.is_some_and(|q| q.is_met(&given)) {
            events.push(
                GrantApproved {
                    recipient: request.submitted.recipient.clone(),
                    scope: request.submitted.scope.clone(),
                    approved,
                    conditions,
                    entitlement: context.entitlement,
                }
                .into(),
            );
        }
        Ok(events)
    }

    pub(super) fn deny(
        &self,
        by: &Principal,
        group: &GroupName,
        member_of: &BTreeSet<GroupName>,
        reason: Option<&Prose>,
    ) -> Decided {
        match self.may_judge(by, group, member_of) {
            Ok(()) => Decided::done([GrantDenied {
                by: Some(by.id()),
                cause: code!("denied_by_approver"),
                reason: reason.cloned(),
            }
            .into()]),
            Err(refusal) => self.refused_act(by.id(), code!("deny"), refusal),
        }
    }

    /// Whether somebody may approve or deny for a group now.
    fn may_judge(&self, by: &Principal, group: &GroupName, member_of: &BTreeSet<GroupName>) -> Result<(), Refusal> {
        if self.phase() != Phase::AwaitingApprovals {
            return Err(Refusal::Phase(self.phase()));
        }
        let id = by.id();
        if matches!(by, Principal::Rule { .. } | Principal::Agent(_)) {
            return Err(Refusal::NotAPerson);
        }
        if !member_of.contains(group) {
            return Err(Refusal::NotAMember { by: id, group: group.clone() });
        }
        if self.barred().contains(&id) {
            return Err(Refusal::Interested(id));
        }
        if self.counting_approvals().any(|a| a.approval.approver == id) {
            return Err(Refusal::ApprovedAlready(id));
        }
        let quorum = self.first_decision().and_then(|d| d.decision.obligations.approvals());
        if quorum.is_some_and(|q| q.names(group)) { Ok(()) } else { Err(Refusal::GroupNotAsked(group.clone())) }
    }

    /// Refuses a participant's act, on the record if the case still takes records.
    pub(super) fn refused_act(&self, by: PrincipalId, act: Code, refusal: Refusal) -> Decided {
        if self.closed || self.head.is_none() || self.refusals >= MAX_REFUSALS {
            return Decided::refused(refusal);
        }
        let record = CommandRefused { by, act, code: refusal.code() };
        Decided::done([record.into()]).but(refusal)
    }
}
