//! One turn of a case: read it, decide, record, append. The only way this crate changes a case.

use jit_core::{
    Case, CaseId, ClockReading, Command, Context, Entitlement, EntitlementId, Expected, Kind, Record, Refusal,
    StepOrigin, StreamId,
};
use jit_store::{AppendError, AppendRequest, Appended};

use crate::{broker::Broker, error::BrokerError};

/// How often a turn is tried when others write to the same case.
const MAX_CONFLICTS: usize = 16;
/// How often the log is asked when nobody knows whether records were appended.
const MAX_UNKNOWN: usize = 3;
/// How many steps follow by themselves in one turn at most.
const MAX_FOLLOWING: usize = 64;

/// What a turn did.
pub(crate) struct Turn {
    /// The case afterwards.
    pub(crate) case: Case,
    /// What was appended; nothing if there was nothing to record.
    pub(crate) appended: Option<Appended>,
    /// Whether the command did what it asked for.
    pub(crate) outcome: Result<(), Refusal>,
}

impl Turn {
    /// The turn, unless the command was refused.
    pub(crate) fn accepted(self) -> Result<Self, BrokerError> {
        match self.outcome {
            Ok(()) => Ok(self),
            Err(refusal) => Err(BrokerError::Refused { case: self.case.id(), refusal }),
        }
    }

    /// The error of a turn whose command was refused.
    pub(crate) fn refused(self) -> BrokerError {
        let case = self.case.id();
        match self.outcome {
            Err(refusal) => BrokerError::Refused { case, refusal },
            Ok(()) => BrokerError::Contended(case),
        }
    }
}

/// What is known of the grants below a case.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Below {
    Unknown,
    Ended,
}

/// A turn that was not taken because somebody else wrote first.
pub(crate) enum NotTaken {
    Conflict,
    Failed(BrokerError),
}

impl<E: Into<BrokerError>> From<E> for NotTaken {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl Broker {
    /// Reads a case from its records.
    pub(crate) async fn load(&self, id: CaseId) -> Result<Case, BrokerError> {
        let records = self.log.stream(&StreamId::Case(id)).await?;
        let case = Case::new(self.log.origin().clone(), id);
        Ok(case.fold_all(records.iter().map(jit_store::LogRecord::record))?)
    }

    /// Reads a case that must have records.
    pub(crate) async fn load_existing(&self, id: CaseId) -> Result<Case, BrokerError> {
        let case = self.load(id).await?;
        if case.head().is_none() { Err(BrokerError::NoSuchCase(id)) } else { Ok(case) }
    }

    /// Takes a turn on the case as it stands, again if somebody else writes first.
    pub(crate) async fn turn(&self, id: CaseId, command: &Command, origin: &StepOrigin) -> Result<Turn, BrokerError> {
        for _ in 0..MAX_CONFLICTS {
            let case = self.load_existing(id).await?;
            match self.try_turn(case, std::slice::from_ref(command), origin, Vec::new()).await {
                Err(NotTaken::Conflict) => {}
                Err(NotTaken::Failed(error)) => return Err(error),
                Ok(turn) => return Ok(turn),
            }
        }
        Err(BrokerError::Contended(id))
    }

    /// Takes a turn on a case that was read before: each command in order until one is refused, then whatever is due by
    /// itself, the ledger entry that belongs to it, and one append for all.
    pub(crate) async fn try_turn(
        &self,
        case: Case,
        commands: &[Command],
        origin: &StepOrigin,
        guards: Vec<(StreamId, Expected)>,
    ) -> Result<Turn, NotTaken> {
        // On the heap: every act of a broker holds the future of a turn within its own.
        Box::pin(self.turn_after(Below::Unknown, case, commands, origin, guards)).await
    }

    /// Records what is due by itself in an ended case below which everything has ended.
    pub(crate) async fn closing_turn(&self, case: Case, origin: &StepOrigin) -> Result<Turn, NotTaken> {
        Box::pin(self.turn_after(Below::Ended, case, &[], origin, Vec::new())).await
    }

    async fn turn_after(
        &self,
        below: Below,
        mut case: Case,
        commands: &[Command],
        origin: &StepOrigin,
        guards: Vec<(StreamId, Expected)>,
    ) -> Result<Turn, NotTaken> {
        let id = case.id();
        let read = self.clock.now();
        if commands.is_empty() && case.due_command(read.at).is_none() {
            return Ok(Turn { case, appended: None, outcome: Ok(()) });
        }
        let (before, expected) = (case.clone(), case.expected());
        let mut ledger = self.ledger_of(&case).await?;
        let mut records = Vec::new();
        let mut outcome = Ok(());
        for command in commands {
            let decided = case.decide(command, &self.context(&case, command, ledger.as_ref(), &read));
            records.extend(case.record(&decided.steps, origin, &self.recorder, &read)?);
            outcome = decided.outcome;
            if outcome.is_err() {
                break;
            }
        }
        for _ in 0..MAX_FOLLOWING {
            let Some(command) = case.due_command(read.at).filter(|_| !records.is_empty() || commands.is_empty()) else {
                break;
            };
            if command == Command::Close && below == Below::Unknown && may_leave_children(&case) {
                break;
            }
            let decided = case.decide(&command, &self.context(&case, &command, ledger.as_ref(), &read));
            if decided.steps.is_empty() {
                break;
            }
            let internal = StepOrigin::internal(origin.retain.clone());
            records.extend(case.record(&decided.steps, &internal, &self.recorder, &read)?);
        }
        if records.is_empty() {
            return Ok(Turn { case, appended: None, outcome });
        }
        let mut request = AppendRequest::new().records(case.stream(), expected, records);
        if let Some(ledger) = &mut ledger {
            let expected = ledger.expected();
            let changes = self.enter(ledger, &before, &case, &read)?;
            if !changes.is_empty() {
                request = request.records(ledger.stream(), expected, changes);
            }
        }
        for (stream, expected) in guards {
            request = request.guard(stream, expected);
        }
        match self.append(request).await {
            Ok(appended) => Ok(Turn { case, appended: Some(appended), outcome }),
            Err(AppendError::Conflict { .. }) => Err(NotTaken::Conflict),
            // The case was closed meanwhile and says so when it is read again. A closed log stays closed.
            Err(AppendError::Closed { stream }) if stream == StreamId::Case(id) => Err(NotTaken::Conflict),
            Err(error) => Err(NotTaken::Failed(error.into())),
        }
    }

    /// Appends, and asks again while nobody knows whether it was appended: records that are there are recognised.
    pub(crate) async fn append(&self, request: AppendRequest) -> Result<Appended, AppendError> {
        for _ in 1..MAX_UNKNOWN {
            match self.log.append(request.clone()).await {
                Err(AppendError::OutcomeUnknown(_)) => {}
                answer => return answer,
            }
        }
        self.log.append(request).await
    }

    fn context(&self, case: &Case, command: &Command, ledger: Option<&Entitlement>, read: &ClockReading) -> Context {
        let entitlement = match (case.request(), command) {
            (Some(request), _) => {
                let scope = case.standing_scope().unwrap_or(&request.submitted.scope);
                self.index_key.entitlement(&request.submitted.recipient, scope)
            }
            (None, Command::Submit(request)) => self.index_key.entitlement(request.recipient(), request.scope()),
            // Without a request there is no grant, and nothing asks for its ledger.
            (None, _) => EntitlementId::v8(*case.id().as_bytes()),
        };
        let still_justified_by = ledger.map(|l| l.live_at(read.at).collect()).unwrap_or_default();
        Context { now: read.at, limits: self.settings.limits.clone(), entitlement, still_justified_by }
    }

    async fn ledger_of(&self, case: &Case) -> Result<Option<Entitlement>, BrokerError> {
        let Some(grant) = case.grant().filter(|g| g.end.is_none()) else { return Ok(None) };
        Ok(Some(self.ledger(grant.approved.entitlement).await?))
    }

    /// The ledger entries for a grant that became active, was extended or ended between two states of its case (INV-21).
    fn enter(
        &self,
        ledger: &mut Entitlement,
        before: &Case,
        after: &Case,
        read: &ClockReading,
    ) -> Result<Vec<Record>, BrokerError> {
        let active = |case: &Case| case.grant().is_some_and(|g| g.activated.is_some());
        let end = after.grant().and_then(|g| g.end.as_ref());
        let mut entries = Vec::new();
        if !active(before)
            && active(after)
            && let Some(head) = after.head()
        {
            entries.push(ledger.change(true, after, head.leaf, &self.recorder, read)?);
        }
        let extended = |case: &Case| case.grant().and_then(|g| g.extended);
        if active(before)
            && extended(before) != extended(after)
            && let Some(leaf) = extended(after)
        {
            entries.push(ledger.change(true, after, leaf, &self.recorder, read)?);
        }
        if let Some(end) = end.filter(|_| active(after)) {
            entries.push(ledger.change(false, after, end.leaf, &self.recorder, read)?);
        }
        Ok(entries)
    }
}

/// Whether a grant ended before its time, so that what hangs below it must end before the case is closed: a closed case is
/// not looked at again (INV-15). When a window ends, the windows below it have ended too.
pub(crate) fn may_leave_children(case: &Case) -> bool {
    case.grant().is_some_and(|g| g.activated.is_some() && g.end.as_ref().is_some_and(|e| e.kind != Kind::GrantExpired))
}
