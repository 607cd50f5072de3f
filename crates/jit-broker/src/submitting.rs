//! Submitting a request, and the policy's decision on it.

use jit_core::{
    Case, CaseId, Command, CommandId, EvaluationPurpose, IdempotencyKey, ParentState, Phase, Refusal, Request,
    RequestSubmitted, StepOrigin, code,
};

use crate::{acting::refused_before, barring::Standing, broker::Broker, error::BrokerError, turn::NotTaken};

/// Where a submitted request stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Submitted {
    /// The case it opened; the same for every repetition.
    pub case: CaseId,
    /// Where it stands.
    pub phase: Phase,
}

impl Broker {
    /// Submits a request and records the policy's decision on it, together. The case's id follows from requester and key,
    /// so a repetition finds the first result and writes nothing.
    ///
    /// Dropping the future leaves either nothing or the whole.
    ///
    /// # Errors
    /// [`BrokerError::Refused`] if the request may not be made (recorded as such), [`BrokerError::KeyReused`] if the key was
    /// used for another request, or whatever kept it from being recorded.
    #[tracing::instrument(skip_all, err, fields(case))]
    pub async fn submit(&self, key: &IdempotencyKey, request: Request) -> Result<Submitted, BrokerError> {
        let command = self.index_key.command(&request.requester().id(), key);
        let id = self.index_key.case(command);
        tracing::Span::current().record("case", tracing::field::display(id));
        loop {
            let case = self.load(id).await?;
            if case.head().is_some() {
                return submitted_before(&case, command, &request);
            }
            let now = self.clock.now().at;
            // Guarded, so that what is submitted under a grant ends with it or is refused.
            let (parent, guard) = self.parent_of(request.parent(), now).await?;
            if parent == ParentState::Gone {
                // There is no case to record it in: nothing shows that the requester may act under that grant.
                self.refuse(Some(request.requester().id()), code!("parent_gone"), request.retain().clone()).await?;
                return Err(BrokerError::Refused { case: id, refusal: Refusal::ParentGone });
            }
            let guards = match self.standing(request.requester(), request.recipient()).await? {
                Standing::Free(guards) => guards.into_iter().chain(guard).collect(),
                Standing::Barred(bar) => {
                    self.refuse(Some(request.requester().id()), code!("barred"), request.retain().clone()).await?;
                    return Err(BrokerError::Refused { case: id, refusal: Refusal::Barred(bar.identity) });
                }
            };
            let evaluated = self.evaluate(&request, EvaluationPurpose::Request, now).await?;
            let origin = StepOrigin::command(command, request.retain().clone());
            let commands = [Command::Submit(request.clone()), Command::Evaluate(evaluated)];
            match self.try_turn(case, &commands, &origin, guards).await {
                Ok(turn) => {
                    let turn = turn.accepted()?;
                    if turn.case.announcement().is_some() {
                        self.announce_soon(id);
                    }
                    return Ok(Submitted { case: id, phase: turn.case.phase() });
                }
                // Somebody submitted under the same key, or a bar changed; the next round answers from what they wrote.
                Err(NotTaken::Conflict) => {}
                Err(NotTaken::Failed(error)) => return Err(error),
            }
        }
    }
}

fn submitted_before(case: &Case, command: CommandId, request: &Request) -> Result<Submitted, BrokerError> {
    match case.request() {
        Some(first) if same_request(&first.submitted, request) => {
            Ok(Submitted { case: case.id(), phase: case.phase() })
        }
        Some(_) => Err(BrokerError::KeyReused(case.id())),
        None => Err(refused_before(case, command)),
    }
}

/// Whether a request is the one recorded, as far as erasures have left it.
fn same_request(recorded: &RequestSubmitted, request: &Request) -> bool {
    let mut again = request.to_submitted();
    if recorded.justification.is_none() && recorded.justified {
        again.justification = None;
    }
    if recorded.attributes.is_none() {
        again.attributes = None;
    }
    // Whoever repeats a request may come with a newer token.
    again.provenance.clone_from(&recorded.provenance);
    again.claims.clone_from(&recorded.claims);
    *recorded == again
}
