//! The run: every request and every act at its moment, and after each the sweep that ends what is over.

use std::time::Duration;

use jit_broker::{ApprovalAct, Broker, BrokerError};
use jit_core::{CaseId, Clock as _, IssuerName, Phase, Timestamp};

use crate::{
    account::{Account, causes, clock_time},
    clock::DrivenClock,
    requests::{Deed, PlannedAct, PlannedRequest},
    token,
};

/// How far the clock moves between two sweeps at most.
const STRIDE: Duration = Duration::from_secs(10);
/// How long after the last window the run goes on, so that the last token is dead and recorded as dead.
const AFTER_LAST: Duration = Duration::from_secs(300);

/// What did not go as planned.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    #[error("request {request}: {what}: {}", causes(.source))]
    Failed { request: String, what: String, source: Box<NotDone> },
    #[error("request {request}: {what} was to be refused as `{code}`, and was not")]
    NotRefused { request: String, what: String, code: jit_core::Code },
    #[error("request {request}: {what}")]
    Unexpected { request: String, what: String },
    #[error("{failed} pieces of due work could not be done")]
    Sweep { failed: usize },
    #[error("due work could not be claimed: {}", causes(.0))]
    Claim(Box<BrokerError>),
}

/// Why an act was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotDone {
    #[error(transparent)]
    Broker(#[from] BrokerError),
    #[error("there is nothing to {0}")]
    Nothing(&'static str),
}

/// What happens at a moment; at the same moment in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Submit,
    Act(usize),
    End,
}

/// Drives one broker and one clock.
pub(crate) struct Run<'a> {
    pub(crate) broker: &'a Broker,
    pub(crate) clock: &'a DrivenClock,
    pub(crate) issuer: &'a IssuerName,
}

impl Run<'_> {
    /// Lives through all requests, which overlap in time, and tells what became of each.
    pub(crate) async fn live(&self, requests: &[PlannedRequest]) -> Result<Vec<Account>, RunError> {
        let mut steps = Vec::new();
        for (r, request) in requests.iter().enumerate() {
            steps.push((request.at, r, Step::Submit));
            steps.extend(request.acts.iter().enumerate().map(|(n, act)| (act.at, r, Step::Act(n))));
            steps.push((request.request.window().end(), r, Step::End));
        }
        steps.sort();
        let mut accounts: Vec<Option<Account>> = requests.iter().map(|_| None).collect();
        for (at, r, step) in steps {
            self.advance(at).await?;
            let (Some(request), Some(account)) = (requests.get(r), accounts.get_mut(r)) else { continue };
            match (step, account) {
                (Step::Submit, account) => *account = Some(self.submit(request).await?),
                (Step::Act(n), Some(account)) => self.act(request, n, account).await?,
                // What follows from the end of a window is for the sweep alone to do.
                (Step::End, _) | (Step::Act(_), None) => {}
            }
        }
        let last = requests.iter().map(|request| request.request.window().end()).max();
        self.advance(last.unwrap_or(Timestamp::EPOCH).saturating_add(AFTER_LAST)).await?;
        Ok(accounts.into_iter().flatten().collect())
    }

    /// Moves the clock in strides and lets the broker do what falls due.
    async fn advance(&self, to: Timestamp) -> Result<(), RunError> {
        loop {
            let now = self.clock.now().at;
            let swept = self.broker.sweep().await.map_err(|error| RunError::Claim(Box::new(error)))?;
            if swept.failed > 0 {
                return Err(RunError::Sweep { failed: swept.failed });
            }
            if now >= to {
                return Ok(());
            }
            self.clock.advance_to(to.min(now.saturating_add(STRIDE)));
        }
    }

    async fn submit(&self, planned: &PlannedRequest) -> Result<Account, RunError> {
        let failed = |source: BrokerError| failed(planned, "it was not submitted", source.into());
        let key = planned.key(0).map_err(|error| unexpected(planned, error))?;
        let submitted = self.broker.submit(&key, planned.request.clone()).await.map_err(failed)?;
        let case = self.broker.case(submitted.case).await.map_err(failed)?;
        let request = &planned.request;
        let mut account = Account::new(submitted.case);
        let for_whom = match request.recipient() == &request.requester().id() {
            true => String::new(),
            false => format!(" for {}", request.recipient()),
        };
        let minutes = request.window().duration().as_secs() / 60;
        let asked = format!("{} asks for {}{for_whom}, {minutes} minutes", request.requester().id(), request.scope());
        account.tell(planned.at, &asked);
        if let (Phase::AwaitingApprovals, Some(first)) = (submitted.phase, case.first_decision()) {
            let groups = first.decision.obligations.approvals().into_iter().flat_map(|quorum| quorum.groups());
            let groups: Vec<String> = groups.map(|(group, count)| format!("{count} of {group}")).collect();
            account.tell(planned.at, &format!("the policy permits it if people approve: {}", groups.join(" and ")));
        } else if let (Phase::Approved, Some(rule)) =
            (submitted.phase, case.first_decision().and_then(|first| first.decision.permitting_rule()))
        {
            account.tell(planned.at, &format!("approved by rule {rule}"));
        }
        Ok(account)
    }

    async fn act(&self, planned: &PlannedRequest, n: usize, account: &mut Account) -> Result<(), RunError> {
        let Some(act) = planned.acts.get(n) else { return Ok(()) };
        let key = planned.key(n.saturating_add(1)).map_err(|error| unexpected(planned, error))?;
        let what = describe(act);
        match (self.take(&key, account.case, act, account).await, &act.refused) {
            (Ok(done), None) => {
                account.tell(act.at, &done);
                Ok(())
            }
            (Err(NotDone::Broker(BrokerError::Refused { refusal, .. })), Some(code)) if refusal.code() == *code => {
                account.tell(act.at, &format!("{what}: refused and recorded, {refusal}"));
                Ok(())
            }
            (Ok(_), Some(code)) => {
                Err(RunError::NotRefused { request: planned.name.clone(), what, code: code.clone() })
            }
            (Err(error), _) => Err(failed(planned, &what, error)),
        }
    }

    /// Does what was planned, and tells what came of it.
    async fn take(
        &self,
        key: &jit_core::IdempotencyKey,
        case: CaseId,
        act: &PlannedAct,
        account: &mut Account,
    ) -> Result<String, NotDone> {
        let (broker, by) = (self.broker, act.by.id());
        match &act.deed {
            Deed::Approve { group, comment } => {
                let content = broker.case(case).await?.approval_content(&act.by).ok_or(NotDone::Nothing("approve"))?;
                let approval = ApprovalAct {
                    approver: act.by.clone(),
                    group: group.clone(),
                    content,
                    comment: comment.clone(),
                    authentication: None,
                    signature: None,
                };
                let phase = broker.approve(key, case, approval).await?;
                let then = if phase == Phase::Approved { "; the grant stands" } else { "" };
                Ok(format!("{by} approves for {group}{then}"))
            }
            Deed::Deny { group, reason } => {
                broker.deny(key, case, act.by.clone(), group.clone(), reason.clone()).await?;
                Ok(format!("{by} denies for {group}"))
            }
            Deed::Withdraw { reason } => {
                broker.withdraw(key, case, by.clone(), reason.clone()).await?;
                Ok(format!("{by} withdraws the request"))
            }
            Deed::Issue { show } => {
                let issued = broker.issue(key, case, &by, self.issuer).await?;
                let until = clock_time(issued.descriptor.window.end());
                if *show && let Some(secret) = &issued.secret {
                    account.shown = token::parts_to_show(secret.expose());
                }
                Ok(format!(
                    "token {} issued for {}, works until {until}",
                    issued.descriptor.id, issued.descriptor.subject
                ))
            }
            Deed::Terminate { reason } => {
                broker.terminate(key, case, by.clone(), reason.clone()).await?;
                Ok(format!("{by} gives the access back"))
            }
            Deed::Revoke { cause, reason } => {
                broker.revoke(key, case, by.clone(), cause.clone(), reason.clone()).await?;
                Ok(format!("{by} takes the access away: {cause}"))
            }
            Deed::Close { task, finding, text } => {
                let open = broker.case(case).await?;
                let found = open.obligations().iter().find(|(_, o)| o.task == *task).map(|(id, _)| *id);
                let obligation = found.ok_or(NotDone::Nothing("meet"))?;
                broker.close_obligation(key, case, obligation, act.by.clone(), finding.clone(), text.clone()).await?;
                Ok(format!("{by} meets the obligation `{task}`"))
            }
        }
    }
}

fn describe(act: &PlannedAct) -> String {
    let by = act.by.id();
    match &act.deed {
        Deed::Approve { group, .. } => format!("{by} tries to approve for {group}"),
        Deed::Deny { group, .. } => format!("{by} tries to deny for {group}"),
        Deed::Withdraw { .. } => format!("{by} tries to withdraw the request"),
        Deed::Issue { .. } => format!("{by} asks for the token"),
        Deed::Terminate { .. } => format!("{by} tries to give the access back"),
        Deed::Revoke { .. } => format!("{by} tries to take the access away"),
        Deed::Close { task, .. } => format!("{by} tries to meet the obligation `{task}`"),
    }
}

fn failed(planned: &PlannedRequest, what: &str, source: NotDone) -> RunError {
    RunError::Failed { request: planned.name.clone(), what: what.to_owned(), source: Box::new(source) }
}

fn unexpected(planned: &PlannedRequest, what: impl std::fmt::Display) -> RunError {
    RunError::Unexpected { request: planned.name.clone(), what: what.to_string() }
}
