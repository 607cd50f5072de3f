//! More time for a grant: asked for, decided by the policy, approved by whom it asks, or not given.

use crate::{
    approval::ApprovalMethod,
    case::{
        Case, CaseApproval, CaseDecision,
        command::{Context, Decided, EvaluatedDecision, Extend, ParentExtent},
        refusal::Refusal,
    },
    code,
    decision::EvaluationPurpose,
    digest::LeafHash,
    event::{ApprovalRecorded, Event, ExtensionFailed, ExtensionRequested, GrantExtended, PolicyEvaluated},
    ids::CommandId,
    obligation::{Condition, Obligations},
    principal::PrincipalId,
    request::{Request, RequestLimits},
    text::{Code, Prose},
    time::Timestamp,
    window::Window,
};

/// How many extensions one case takes, given or not: who asks again and again must not make it grow without end.
pub const MAX_EXTENSIONS: usize = 64;

/// An extension as recorded.
#[derive(Debug, Clone)]
pub struct CaseExtension {
    /// The leaf of its request.
    pub leaf: LeafHash,
    /// Who asked for which window, and why.
    pub asked: ExtensionRequested,
    /// The command that asked, if it came with an idempotency key.
    pub command: Option<CommandId>,
    /// The leaf of the decision on it.
    pub decision: Option<LeafHash>,
    /// What became of it.
    pub state: ExtensionState,
}

/// What became of an extension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExtensionState {
    /// Nobody has decided yet; approvals are awaited.
    Pending,
    /// The grant lasts longer.
    Granted,
    /// No more time was given; the grant is as it was.
    Failed(Code),
}

impl Case {
    /// The extensions asked for, in order.
    #[must_use]
    pub fn extensions(&self) -> &[CaseExtension] {
        &self.extensions
    }

    /// The extension on which nobody has decided yet.
    #[must_use]
    pub fn pending_extension(&self) -> Option<&CaseExtension> {
        self.extensions.last().filter(|e| e.state == ExtensionState::Pending)
    }

    /// The decisions on which the approved window rests: on the request, and on each extension that was given.
    pub fn standing_decisions(&self) -> impl Iterator<Item = &CaseDecision> {
        let granted = self.extensions.iter().filter(|e| e.state == ExtensionState::Granted);
        self.first_decision().into_iter().chain(granted.filter_map(|e| self.decision(e.decision?)))
    }

    /// The approvals that count for a decision.
    pub fn approvals_for(&self, decision: LeafHash) -> impl Iterator<Item = &CaseApproval> {
        self.counting_approvals().filter(move |a| a.decision == Some(decision))
    }

    /// The request as it stands, to be judged again: with the window and the reason of the last extension that was given.
    /// `None` unless there is one.
    #[must_use]
    pub fn standing_request(&self) -> Option<Request> {
        let request = Request::from_submitted(&self.request.as_ref()?.submitted, self.retain.clone()?);
        let request = request.narrowed_to(self.standing_scope()?.clone(), self.standing_window()?);
        let last = self.extensions.iter().rfind(|e| e.state == ExtensionState::Granted);
        Some(match last {
            Some(e) => request.extended_to(e.asked.requested, e.asked.justification.clone()),
            None => request,
        })
    }

    /// The request that an extension amounts to, which the policy is asked about: the window keeps its start, so that what the
    /// policy limits is the whole of it and not the part that is added.
    ///
    /// # Errors
    /// [`Refusal`] naming what stands against asking.
    pub fn extended_request(
        &self,
        extend: &Extend,
        now: Timestamp,
        limits: &RequestLimits,
    ) -> Result<Request, Refusal> {
        let grant = self.live_grant()?;
        let present = grant.approved.approved;
        if !self.interested().contains(&extend.by) {
            return Err(Refusal::NotOwn(extend.by.clone()));
        }
        if present.end() <= now {
            return Err(Refusal::WindowOver(present.end()));
        }
        if self.pending_extension().is_some() {
            return Err(Refusal::ExtensionPending);
        }
        if self.extensions.len() >= MAX_EXTENSIONS {
            return Err(Refusal::TooManyExtensions);
        }
        if extend.until <= present.end() {
            return Err(Refusal::NotLonger(present.end()));
        }
        let window = Window::new(present.start(), extend.until).map_err(|_| Refusal::NotLonger(present.end()))?;
        let has_parent = self.request.as_ref().is_some_and(|r| r.submitted.parent.is_some());
        match (extend.parent, has_parent) {
            (ParentExtent::None, false) => {}
            (ParentExtent::Active(above), true) if window.end() <= above.end() => {}
            (ParentExtent::Active(above), true) => return Err(Refusal::BeyondParent(above.end())),
            _ => return Err(Refusal::ParentGone),
        }
        let request = self.standing_request().ok_or_else(|| Refusal::Phase(self.phase()))?;
        let request = request.extended_to(window, Some(extend.justification.clone()));
        request.check_submittable(now, limits)?;
        Ok(request)
    }

    pub(super) fn extend(&self, extend: &Extend, context: &Context) -> Decided {
        match self.extended_request(extend, context.now, &context.limits) {
            Ok(request) => Decided::done([ExtensionRequested {
                by: extend.by.clone(),
                requested: *request.window(),
                justification: Some(extend.justification.clone()),
            }
            .into()]),
            Err(refusal) => self.refused_act(extend.by.clone(), code!("extend"), refusal),
        }
    }

    pub(super) fn evaluate_extension(&self, evaluated: &EvaluatedDecision, context: &Context) -> Decided {
        let (Some(extension), Ok(grant)) = (self.pending_extension(), self.live_grant()) else {
            return Decided::refused(Refusal::NoExtension);
        };
        if extension.decision.is_some() {
            return Decided::refused(Refusal::NoExtension);
        }
        let decision = &evaluated.decision;
        let record: Event = PolicyEvaluated {
            purpose: EvaluationPurpose::Extension,
            decision: decision.clone(),
            input: Some(evaluated.input.clone()),
            about: None,
        }
        .into();
        let asked = extension.asked.requested;
        let rule = decision.permitting_rule().map(|rule| PrincipalId::Rule(rule.clone()));
        let max = decision.obligations.max_duration();
        let cause = if !decision.permits() {
            Some(decision.denial())
        } else if rule.is_none() {
            Some(code!("no_rule_permits"))
        } else if max.is_some_and(|max| asked.duration() > max.to_duration()) {
            Some(code!("exceeds_max_duration"))
        } else if !are_within(decision.obligations.conditions(), &grant.approved.conditions) {
            // The access goes on as it was granted; what it was not granted under cannot be added to it.
            Some(code!("stricter_conditions"))
        } else if grant.approved.approved.end() <= context.now {
            Some(code!("window_over"))
        } else {
            self.justification_lack(decision, extension.asked.justification.as_ref())
        };
        if let Some(cause) = cause {
            let by = decision.determining.first().map(|d| PrincipalId::Rule(d.rule.clone()));
            return Decided::done([record, ExtensionFailed { by, cause, reason: None }.into()]);
        }
        let (None, Some(rule)) = (decision.obligations.approvals(), rule) else {
            return Decided::done([record]);
        };
        let approval = ApprovalRecorded {
            approver: rule,
            method: ApprovalMethod::Rule,
            group: None,
            request: extension.leaf,
            scope: grant.approved.scope.clone(),
            approved: asked,
            conditions: decision.obligations.conditions().to_vec(),
            comment: None,
            authentication: None,
            signature: None,
            list: None,
            eligibility: None,
            next: None,
        };
        Decided::done([record, approval.into(), GrantExtended { approved: asked }.into()])
    }

    pub(super) fn withdraw_extension(&self, by: &PrincipalId, reason: Option<&Prose>) -> Decided {
        let refusal = match self.pending_extension() {
            Some(extension) if extension.asked.by == *by => {
                let failed =
                    ExtensionFailed { by: Some(by.clone()), cause: code!("withdrawn"), reason: reason.cloned() };
                return Decided::done([failed.into()]);
            }
            Some(_) => Refusal::NotOwn(by.clone()),
            None => Refusal::NoExtension,
        };
        self.refused_act(by.clone(), code!("withdraw_extension"), refusal)
    }

    /// Whether nobody can decide on the pending extension any more, and why.
    pub(super) fn lapsed_extension(&self, now: Timestamp) -> Option<Code> {
        self.pending_extension()?;
        match &self.grant {
            Some(grant) if grant.end.is_none() => {
                let deadline = self.approvals_due().unwrap_or_else(|| grant.approved.approved.end());
                (deadline <= now).then_some(code!("lapsed"))
            }
            _ => Some(code!("grant_ended")),
        }
    }

    pub(super) fn lapse_extension(&self, context: &Context) -> Decided {
        match (self.pending_extension(), self.lapsed_extension(context.now)) {
            (Some(_), Some(cause)) => Decided::done([ExtensionFailed { by: None, cause, reason: None }.into()]),
            (Some(_), None) => {
                let end = self.grant.as_ref().map_or(Timestamp::MAX, |g| g.approved.approved.end());
                Decided::refused(Refusal::NotDue(self.approvals_due().unwrap_or(end)))
            }
            (None, _) => Decided::refused(Refusal::NoExtension),
        }
    }

    /// What the policy has demanded of this access so far, all of which was met: what it demands now must not be stricter.
    pub(super) fn met_obligations(&self) -> Option<Obligations> {
        let mut standing = self.standing_decisions().map(|d| &d.decision.obligations);
        let first = standing.next()?.clone();
        Some(standing.fold(first, |met, next| met.extended_by(next)))
    }

    pub(super) fn decision(&self, leaf: LeafHash) -> Option<&CaseDecision> {
        self.decisions.iter().find(|d| d.leaf == leaf)
    }
}

fn are_within(demanded: &[Condition], granted: &[Condition]) -> bool {
    demanded.iter().all(|condition| granted.contains(condition))
}
