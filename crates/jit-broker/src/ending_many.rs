//! Ending many grants by one act: on record first, then page by page, each with the act as its cause. Requests that still wait are
//! denied by it.
//!
//! The act has a stream of its own whose record 0 is the lock, so that it is ordered once under its key. What it is about is
//! found by look-ups, and every end is idempotent: whoever repeats the act, or sweeps after a crash, goes on where it stopped.

use jit_core::{
    BulkEndCompleted, BulkEndOrdered, Case, CaseId, Code, Command, EndBy, EndSelector, Event, IdempotencyKey, LeafHash,
    Lookup, LookupFamily, Phase, Principal, PrincipalId, Prose, Refs, StepOrigin, StreamId,
};
use jit_store::{AppendError, LogRecord};
use tokio::task::JoinSet;
use tracing::Instrument as _;

use crate::{broker::Broker, error::BrokerError, ops::OpsStream};

/// How many grants are ended between two look-ups, side by side.
const PAGE: usize = 128;

/// What became of the grants that an act was about.
#[derive(Debug, Default)]
pub struct EndedMany {
    /// Cases whose grant this act ended, or whose request it denied before there was one, now or when it was first asked for.
    pub ended: Vec<CaseId>,
    /// Cases whose grant had ended before, or ended for another reason meanwhile.
    pub already_ended: Vec<CaseId>,
    /// Cases whose grant could not be ended, or whose credentials could not yet be seen to. They stay due.
    pub failed: Vec<(CaseId, BrokerError)>,
}

/// An act as recorded.
struct Act {
    selectors: Vec<EndSelector>,
    by: EndBy,
    leaf: LeafHash,
    index: u64,
    cause: Code,
    reason: Option<Prose>,
    completed: bool,
}

/// What became of one case.
enum OneEnd {
    /// It had come to nothing before.
    NoGrant,
    Ended,
    Already,
}

impl Broker {
    /// Ends all grants that a selector names, of requests submitted before this act: each as `grant.revoked` with the record of
    /// the act as its cause, and with everything derived from it. Requests that still wait are denied, so that none becomes a grant
    /// afterwards. Who may is for the caller to establish.
    ///
    /// Repeated under its key, it goes on with what is left, and answers for all. What a crash leaves is ended by the sweep.
    ///
    /// # Errors
    /// [`BrokerError::ActKeyReused`] if the key was used for something else, or whatever kept the act from being recorded or the
    /// grants from being found. Grants that could not be ended are in the result.
    #[tracing::instrument(skip_all, err)]
    pub async fn end_all(
        &self,
        key: &IdempotencyKey,
        by: PrincipalId,
        selector: EndSelector,
        cause: Code,
        reason: Option<Prose>,
    ) -> Result<EndedMany, BrokerError> {
        let command = self.index_key.command(&by, key);
        let stream = self.index_key.act_stream(command);
        let ordered = BulkEndOrdered { by, selector, cause, reason };
        loop {
            let act = self.ops_stream(stream).await?;
            match act.events().next() {
                None => {
                    let refs = Refs { command: Some(command), ..Refs::default() };
                    match self.append_ops(&act, ordered.clone().into(), refs).await {
                        Ok(appended) => {
                            appended.receipt().await?;
                        }
                        // Somebody ordered it under the same key meanwhile.
                        Err(BrokerError::Append(AppendError::Conflict { .. })) => {}
                        Err(error) => return Err(error),
                    }
                }
                Some((_, Event::BulkEndOrdered(first))) if same_order(first, &ordered) => {
                    return self.end_many(stream).await;
                }
                Some(_) => return Err(BrokerError::ActKeyReused),
            }
        }
    }

    /// Ends what the act at the end of a stream is about, as far as it has not ended, and records when nothing is left.
    pub(crate) async fn end_many(&self, stream: StreamId) -> Result<EndedMany, BrokerError> {
        let records = self.ops_stream(stream).await?;
        let mut result = EndedMany::default();
        // A bar that was lifted ends nothing more.
        let Some(act) = act_in(&records) else { return Ok(result) };
        for selector in &act.selectors {
            self.end_selected(&act, selector, &mut result).await?;
        }
        for list in [&mut result.ended, &mut result.already_ended] {
            list.sort();
            list.dedup();
        }
        if result.failed.is_empty() && !act.completed {
            let count = |cases: &[CaseId]| u64::try_from(cases.len()).unwrap_or(u64::MAX);
            let (ended, already_ended) = (count(&result.ended), count(&result.already_ended));
            let refs = Refs { cause: Some(act.leaf), ..Refs::default() };
            match self.append_ops(&records, BulkEndCompleted { ended, already_ended }.into(), refs).await {
                // Somebody else came to the end of it too.
                Ok(_) | Err(BrokerError::Append(AppendError::Conflict { .. })) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(result)
    }

    async fn end_selected(&self, act: &Act, selector: &EndSelector, result: &mut EndedMany) -> Result<(), BrokerError> {
        let lookup = lookup(selector);
        let mut from = 0;
        loop {
            let found = self.log.find(&lookup, from, PAGE).await?;
            let Some(last) = found.last() else { return Ok(()) };
            from = last.index().saturating_add(1);
            let mut ending = JoinSet::new();
            for case in found.iter().filter(|r| r.index() < act.index).filter_map(|r| selected(selector, r)) {
                let (broker, by, leaf) = (self.clone(), act.by.clone(), act.leaf);
                let command = Command::End { by, cause: act.cause.clone(), reason: act.reason.clone() };
                let one = async move { (case, broker.end_one(case, &command, leaf).await) };
                ending.spawn(one.in_current_span());
            }
            while let Some(ended) = ending.join_next().await {
                // A task that was ended has said nothing; its grant is found again by the next round.
                let Ok((case, ended)) = ended else { return Err(BrokerError::Interrupted) };
                match ended {
                    Ok(OneEnd::Ended) => result.ended.push(case),
                    Ok(OneEnd::Already) => result.already_ended.push(case),
                    Ok(OneEnd::NoGrant) => {}
                    Err(error) => result.failed.push((case, error)),
                }
            }
            if from >= act.index {
                return Ok(());
            }
        }
    }

    async fn end_one(&self, id: CaseId, command: &Command, act: LeafHash) -> Result<OneEnd, BrokerError> {
        let case = self.load_existing(id).await?;
        let (Some(retain), Command::End { by, .. }) = (case.retain(), command) else {
            return Ok(OneEnd::NoGrant);
        };
        if let Some(before) = ended(&case, act) {
            return Ok(before);
        }
        let origin = StepOrigin::internal(retain.clone()).ended_by(by);
        let turn = self.turn(id, command, &origin).await?;
        let now = ended(&turn.case, act).unwrap_or(OneEnd::NoGrant);
        if turn.outcome.is_ok() && turn.case.grant().is_some() {
            self.after_end(turn.case).await?;
        }
        Ok(now)
    }
}

/// What became of a case for which nothing is left to be done by an act; `None` if there is.
fn ended(case: &Case, act: LeafHash) -> Option<OneEnd> {
    let by_act = |cause| if cause == Some(act) { OneEnd::Ended } else { OneEnd::Already };
    match (case.grant(), case.phase()) {
        (Some(grant), _) => grant.end.as_ref().map(|end| by_act(end.cause)),
        (None, Phase::Submitted | Phase::AwaitingApprovals) => None,
        (None, _) if case.denied_because() == Some(act) => Some(OneEnd::Ended),
        (None, _) => Some(OneEnd::NoGrant),
    }
}

/// The act that is to be done at the end of a stream.
fn act_in(records: &OpsStream) -> Option<Act> {
    let mut act: Option<Act> = None;
    for (record, event) in records.events() {
        let (leaf, index) = (record.record().leaf(), record.index());
        match event {
            Event::BulkEndOrdered(e) => {
                act = Some(Act {
                    selectors: vec![e.selector.clone()],
                    by: EndBy::Bulk { by: e.by.clone(), act: leaf },
                    leaf,
                    index,
                    cause: e.cause.clone(),
                    reason: e.reason.clone(),
                    completed: false,
                });
            }
            Event::IdentityBarred(e) => {
                let selectors =
                    vec![EndSelector::Subject(e.identity.clone()), EndSelector::AgentOwner(e.identity.clone())];
                act = Some(Act {
                    selectors,
                    by: EndBy::Bar { by: e.by.clone(), bar: leaf },
                    leaf,
                    index,
                    cause: e.cause.clone(),
                    reason: None,
                    completed: false,
                });
            }
            Event::IdentityReinstated(_) => act = None,
            Event::BulkEndCompleted(_) => {
                if let Some(act) = &mut act {
                    act.completed = true;
                }
            }
            _ => {}
        }
    }
    act
}

fn lookup(selector: &EndSelector) -> Lookup {
    match selector {
        EndSelector::Subject(id) | EndSelector::AgentOwner(id) => Lookup::new(LookupFamily::Subject, id),
        EndSelector::Policy(digest) => Lookup::new(LookupFamily::Policy, digest),
        EndSelector::Parent(grant) => Lookup::new(LookupFamily::Parent, grant),
        // A selector of a later version names nothing here.
        _ => Lookup::new(LookupFamily::Request, ""),
    }
}

/// The case of a record, if it is of one that the selector names: an approver, for one, is found under the same name.
fn selected(selector: &EndSelector, record: &LogRecord) -> Option<CaseId> {
    let StreamId::Case(case) = record.record().header().stream else { return None };
    let named = match (record.record().event().ok()?, selector) {
        (Event::RequestSubmitted(e), EndSelector::AgentOwner(id)) => match &e.requester {
            Principal::Agent(agent) => PrincipalId::Identity(agent.owner().clone()) == *id,
            _ => false,
        },
        (Event::RequestSubmitted(e), EndSelector::Subject(id)) => {
            e.recipient == *id || e.requester.interested().contains(id)
        }
        (Event::RequestSubmitted(_), EndSelector::Parent(_)) | (Event::GrantApproved(_), EndSelector::Policy(_)) => {
            true
        }
        _ => false,
    };
    named.then_some(case)
}

/// Whether an order is the one recorded, as far as erasures have left it.
fn same_order(first: &BulkEndOrdered, again: &BulkEndOrdered) -> bool {
    let same_reason = first.reason.is_none() || first.reason == again.reason;
    (&first.by, &first.selector, &first.cause) == (&again.by, &again.selector, &again.cause) && same_reason
}
