//! What nobody has established: credentials that should be dead and are not seen to be, and mints of which nobody knows.

use jit_core::{
    CaseCredential, CaseId, CredentialId, DueTask, IssuerName, MintState, PrincipalId, RevocationState, StreamId,
    Timestamp, UNSETTLED,
};
use jit_store::ScheduleCursor;

use crate::{broker::Broker, error::BrokerError};

/// Why a credential is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum UnsettledState {
    /// Whether it exists is not known.
    MintUnknown,
    /// Its grant has ended, or it was never released; nobody has tried to take it back yet.
    Unconfirmed,
    /// An attempt to take it back has no outcome yet.
    UnderWay,
    /// The last attempt failed; another follows.
    Failed,
    /// Whether the last attempt took it back is not known; it will be looked for.
    Unknown,
    /// It could not be taken back. Nothing follows by itself but its own end, if it has one.
    Irrevocable,
}

/// A credential that nobody has established to be dead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsettled {
    /// Its case.
    pub case: CaseId,
    /// Which.
    pub credential: CredentialId,
    /// Its issuer.
    pub issuer: IssuerName,
    /// Whom it identifies.
    pub subject: PrincipalId,
    /// Why it is listed.
    pub state: UnsettledState,
    /// How often it was tried to take it back.
    pub attempts: u32,
    /// When its grant ended; `None` if it has not.
    pub ended: Option<Timestamp>,
    /// When it dies by itself; `None` if it does not.
    pub until: Option<Timestamp>,
}

/// A part of the list.
#[derive(Debug, Clone)]
#[must_use]
pub struct UnsettledPage {
    /// The credentials.
    pub found: Vec<Unsettled>,
    /// Where to go on; `None` at the end.
    pub next: Option<ScheduleCursor>,
}

impl Broker {
    /// Lists what is unknown, irrevocable or unconfirmed: at most `limit` credentials after a position. It reads what is open now,
    /// through an index that every record keeps, and not the log.
    ///
    /// A mint whose broker died is here once its intent has passed to the sweep, as `credential.unknown`.
    ///
    /// # Errors
    /// [`BrokerError::Read`] or [`BrokerError::Apply`] if that could not be read.
    #[tracing::instrument(skip_all, err)]
    pub async fn unsettled(&self, after: Option<ScheduleCursor>, limit: usize) -> Result<UnsettledPage, BrokerError> {
        let schedule = self.log.scheduled(UNSETTLED, after, limit).await?;
        let mut found = Vec::with_capacity(schedule.work.len());
        for work in &schedule.work {
            let (StreamId::Case(id), DueTask::Unsettled(credential)) = (work.id().stream, work.id().task) else {
                continue;
            };
            let case = self.load_existing(id).await?;
            let Some(known) = case.credentials().get(&credential) else { continue };
            if let Some(state) = state(known) {
                found.push(Unsettled {
                    case: id,
                    credential,
                    issuer: known.intended.issuer.clone(),
                    subject: known.intended.subject.clone(),
                    state,
                    attempts: known.attempts,
                    ended: case.grant().and_then(|g| g.end.as_ref()).map(|end| end.ending.requested_end),
                    until: known.dies_at(),
                });
            }
        }
        Ok(UnsettledPage { found, next: schedule.next })
    }
}

/// `None` if it was settled meanwhile.
fn state(known: &CaseCredential) -> Option<UnsettledState> {
    if known.mint == MintState::Unknown {
        return Some(UnsettledState::MintUnknown);
    }
    if !known.may_live() {
        return None;
    }
    Some(match known.revocation {
        RevocationState::Pending => UnsettledState::UnderWay,
        RevocationState::Failed => UnsettledState::Failed,
        RevocationState::Unknown => UnsettledState::Unknown,
        RevocationState::Irrevocable => UnsettledState::Irrevocable,
        _ => UnsettledState::Unconfirmed,
    })
}
