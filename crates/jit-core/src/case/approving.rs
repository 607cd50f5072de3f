//! Approving, denying, and the refusals of participants' acts.

use std::collections::BTreeSet;

use crate::{
    approval::ApprovalMethod,
    case::{
        Case, MAX_REFUSALS,
        command::{Approve, Context, Decided},
        refusal::Refusal,
    },
    code,
    event::{ApprovalRecorded, CommandRefused, Event, ExtensionFailed, GrantApproved, GrantDenied, GrantExtended},
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
        let (Some(request), Some(asked)) = (&self.request, self.asked()) else {
            return Err(Refusal::Phase(self.phase()));
        };
        // A late approval leaves the rest of a request; an extension that is approved when the window is over is too late.
        let open = if asked.extends { self.grant.as_ref().map(|g| g.approved.approved) } else { Some(asked.window) };
        let Some(approved) = open.and_then(|open| open.remainder(context.now)) else {
            return Err(Refusal::WindowOver(open.unwrap_or(asked.window).end()));
        };
        let first = asked.decision;
        if self.approval_content(&act.approver).as_ref() != Some(&act.content) {
            return Err(Refusal::Content);
        }
        let quorum = first.decision.obligations.approvals();
        let mut given: Vec<GroupName> =
            self.approvals_for(first.leaf).filter_map(|a| a.approval.group.clone()).collect();
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
                request: asked.request,
                scope: request.submitted.scope.clone(),
                approved: asked.window,
                conditions: conditions.clone(),
                comment: act.comment.clone(),
                authentication: act.authentication.clone(),
                signature: act.signature.clone(),
            }
            .into(),
        ];
        let met = quorum.is_some_and(|q| q.is_met(&given));
        if met && asked.extends {
            events.push(GrantExtended { approved: asked.window }.into());
        } else if met {
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
            Ok(()) => {
                let (by, cause, reason) = (Some(by.id()), code!("denied_by_approver"), reason.cloned());
                if self.asked().is_some_and(|asked| asked.extends) {
                    return Decided::done([ExtensionFailed { by, cause, reason }.into()]);
                }
                Decided::done([GrantDenied { by, cause, reason }.into()])
            }
            Err(refusal) => self.refused_act(by.id(), code!("deny"), refusal),
        }
    }

    /// Whether somebody may approve or deny for a group now.
    fn may_judge(&self, by: &Principal, group: &GroupName, member_of: &BTreeSet<GroupName>) -> Result<(), Refusal> {
        let Some(asked) = self.asked() else {
            return Err(Refusal::Phase(self.phase()));
        };
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
        if self.approvals_for(asked.decision.leaf).any(|a| a.approval.approver == id) {
            return Err(Refusal::ApprovedAlready(id));
        }
        let quorum = asked.decision.decision.obligations.approvals();
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
