//! Approving, narrowing, taking an approval back, denying, and the refusals of participants' acts.

use std::collections::BTreeSet;

use crate::{
    approval::{ApprovalMethod, Signed},
    case::{
        Case, MAX_CHANGES, MAX_REFUSALS,
        asking::Asked,
        command::{Approve, Context, Decided, Narrow},
        refusal::Refusal,
    },
    code,
    decision::EvaluationPurpose,
    event::{
        ApprovalNarrowed, ApprovalRecorded, ApprovalWithdrawn, CommandRefused, Event, ExtensionFailed, GrantApproved,
        GrantDenied, GrantExtended,
    },
    principal::{Principal, PrincipalId},
    text::{Code, GroupName, Prose},
    time::Timestamp,
    window::Window,
};

impl Case {
    /// Whether this approval would be taken now, and whether it is the last one asked for. With `by_policy`, but for what the policy
    /// says about the approver. Only then is it worth asking.
    ///
    /// # Errors
    /// [`Refusal`] naming what stands against it.
    pub fn may_approve(&self, act: &Approve, now: Timestamp, by_policy: bool) -> Result<bool, Refusal> {
        self.check_approval(act, now, by_policy).map(|checked| checked.completes)
    }

    pub(super) fn approve(&self, act: &Approve, context: &Context) -> Decided {
        match self.try_approve(act, context) {
            Ok(events) => Decided::done(events),
            Err(refusal) => self.refused_act(act.approver.id(), code!("approve"), refusal),
        }
    }

    fn try_approve(&self, act: &Approve, context: &Context) -> Result<Vec<Event>, Refusal> {
        let Checked { asked, approved, completes } = self.check_approval(act, context.now, false)?;
        let request = self.request.as_ref().ok_or_else(|| Refusal::Phase(self.phase()))?;
        let conditions = asked.decision.decision.obligations.conditions().to_vec();
        let eligibility = self.eligibility(&act.approver.id(), EvaluationPurpose::Approval);
        let recorded = ApprovalRecorded {
            approver: act.approver.id(),
            method: ApprovalMethod::QuorumMember,
            group: Some(act.group.clone()),
            request: asked.request,
            scope: asked.scope.clone(),
            approved: asked.window,
            conditions: conditions.clone(),
            comment: act.comment.clone(),
            authentication: act.authentication.clone(),
            signature: act.signature.clone(),
            list: act.list.clone(),
            eligibility: eligibility.map(|eligible| eligible.leaf),
            next: None,
        };
        let mut events = vec![self.with_next(recorded.into())];
        if completes && asked.extends {
            events.push(GrantExtended { approved: asked.window }.into());
        } else if completes {
            events.push(
                GrantApproved {
                    recipient: request.submitted.recipient.clone(),
                    scope: asked.scope.clone(),
                    approved,
                    conditions,
                    entitlement: context.entitlement,
                }
                .into(),
            );
        }
        Ok(events)
    }

    /// `before_policy`: an owner, whom only a policy can let approve, is not refused before it was asked.
    fn check_approval(&self, act: &Approve, now: Timestamp, before_policy: bool) -> Result<Checked<'_>, Refusal> {
        let asked = self.may_judge(&act.approver, &act.group, &act.member_of, now, before_policy)?;
        // A late approval leaves the rest of a request; an extension that is approved when the window is over is too late.
        let open = if asked.extends { self.grant.as_ref().map(|g| g.approved.approved) } else { Some(asked.window) };
        let Some(approved) = open.and_then(|open| open.remainder(now)) else {
            return Err(Refusal::WindowOver(open.unwrap_or(asked.window).end()));
        };
        if self.approval_content(&act.approver).as_ref() != Some(&act.content)
            || act.list.as_ref().is_some_and(|list| !list.shows(&act.content))
        {
            return Err(Refusal::Content);
        }
        if let Some(signature) = &act.signature {
            let bytes = act.content.signed_bytes(act.list.as_ref()).map_err(|_| Refusal::Content)?;
            if signature.verify(&bytes) == Signed::Forged {
                return Err(Refusal::Signature);
            }
        }
        let decision = asked.decision.leaf;
        let (mut given, escalated) = (self.given_for(decision), self.escalated_for(decision));
        let Some(quorum) = asked.quorum().filter(|q| q.awaits(&act.group, &given, &escalated)) else {
            return Err(Refusal::GroupNotAsked(act.group.clone()));
        };
        given.push(act.group.clone());
        let completes = quorum.is_met_after(&given, &escalated);
        Ok(Checked { asked, approved, completes })
    }

    pub(super) fn withdraw_approval(&self, by: &PrincipalId, reason: Option<&Prose>, context: &Context) -> Decided {
        let own = self.asked().and_then(|asked| {
            let mut own = self.approvals_for(asked.decision.leaf).filter(|a| a.approval.approver == *by);
            own.next().filter(|a| a.approval.method == ApprovalMethod::QuorumMember && context.now < asked.deadline)
        });
        match own {
            Some(_) if self.resets >= MAX_CHANGES => {
                self.refused_act(by.clone(), code!("withdraw_approval"), Refusal::TooManyChanges)
            }
            Some(own) => {
                let withdrawn =
                    ApprovalWithdrawn { by: by.clone(), approval: own.leaf, reason: reason.cloned(), next: None };
                Decided::done([self.with_next(withdrawn.into())])
            }
            None => self.refused_act(by.clone(), code!("withdraw_approval"), Refusal::NoApproval(by.clone())),
        }
    }

    pub(super) fn narrow(&self, narrow: &Narrow, context: &Context) -> Decided {
        match self.try_narrow(narrow, context) {
            Ok(event) => Decided::done([event]),
            Err(refusal) => self.refused_act(narrow.approver.id(), code!("narrow"), refusal),
        }
    }

    fn try_narrow(&self, narrow: &Narrow, context: &Context) -> Result<Event, Refusal> {
        let Narrow { approver, group, member_of, scope, window } = narrow;
        let asked = match self.may_judge(approver, group, member_of, context.now, false) {
            // Whoever has approved may still find that it was too much.
            Err(Refusal::ApprovedAlready(_)) => self.asked().ok_or_else(|| Refusal::Phase(self.phase()))?,
            other => other?,
        };
        if asked.extends {
            return Err(Refusal::Phase(self.phase()));
        }
        let same = *scope == *asked.scope && *window == asked.window;
        if same || !scope.is_within(asked.scope) || !window.is_within(&asked.window) {
            return Err(Refusal::NotNarrower);
        }
        if window.end() <= context.now {
            return Err(Refusal::WindowOver(window.end()));
        }
        if self.resets >= MAX_CHANGES {
            return Err(Refusal::TooManyChanges);
        }
        let narrowed = ApprovalNarrowed { by: approver.id(), scope: scope.clone(), approved: *window, next: None };
        Ok(self.with_next(narrowed.into()))
    }

    pub(super) fn deny(
        &self,
        by: &Principal,
        group: &GroupName,
        member_of: &BTreeSet<GroupName>,
        reason: Option<&Prose>,
        context: &Context,
    ) -> Decided {
        match self.may_judge(by, group, member_of, context.now, false) {
            Ok(asked) => {
                let (by, cause, reason) = (Some(by.id()), code!("denied_by_approver"), reason.cloned());
                if asked.extends {
                    return Decided::done([ExtensionFailed { by, cause, reason }.into()]);
                }
                Decided::done([GrantDenied { by, cause, reason }.into()])
            }
            Err(refusal) => self.refused_act(by.id(), code!("deny"), refusal),
        }
    }

    /// What is asked now, if somebody may judge it for a group.
    fn may_judge(
        &self,
        by: &Principal,
        group: &GroupName,
        member_of: &BTreeSet<GroupName>,
        now: Timestamp,
        before_policy: bool,
    ) -> Result<Asked<'_>, Refusal> {
        let asked = self.asked().ok_or_else(|| Refusal::Phase(self.phase()))?;
        let id = by.id();
        if matches!(by, Principal::Rule { .. } | Principal::Agent(_)) {
            return Err(Refusal::NotAPerson);
        }
        if !member_of.contains(group) {
            return Err(Refusal::NotAMember { by: id, group: group.clone() });
        }
        let owner = self.owner().is_some_and(|owner| owner == id);
        let owner_may = self.eligibility(&id, EvaluationPurpose::Approval).is_some_and(|e| e.owner_may);
        if self.barred_but_owner().contains(&id) || (owner && !owner_may && !before_policy) {
            return Err(Refusal::Interested(id));
        }
        if self.approvals_for(asked.decision.leaf).any(|a| a.approval.approver == id) {
            return Err(Refusal::ApprovedAlready(id));
        }
        if asked.end <= now {
            return Err(Refusal::WindowOver(asked.end));
        }
        if asked.deadline <= now {
            return Err(Refusal::DeadlinePassed(asked.deadline));
        }
        let escalated = self.escalated_for(asked.decision.leaf);
        if !asked.quorum().is_some_and(|q| q.asks(group, &escalated)) {
            return Err(Refusal::GroupNotAsked(group.clone()));
        }
        Ok(asked)
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

/// An approval that may be given.
struct Checked<'c> {
    asked: Asked<'c>,
    /// What is left of the window.
    approved: Window,
    /// Whether it is the last one asked for.
    completes: bool,
}
