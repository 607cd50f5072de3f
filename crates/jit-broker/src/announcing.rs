//! Telling somebody of an emergency: after its record is durable, until it succeeds or is given up, and on record either way.

use async_trait::async_trait;
use jit_core::{Announcement, BreakGlass, Case, CaseId, Code, Command, PrincipalId, Refusal, Scope, Window, code};
use tracing::Instrument as _;

use crate::{broker::Broker, error::BrokerError, issuing::backoff};

/// How often somebody is to be told before it is given up.
const MAX_ATTEMPTS: u32 = 12;

/// An emergency that was declared, as `break_glass.invoked` records it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Emergency {
    /// Its case.
    pub case: CaseId,
    /// Who declared it.
    pub by: PrincipalId,
    /// Who receives the privilege.
    pub recipient: PrincipalId,
    /// What is asked for.
    pub scope: Scope,
    /// When.
    pub window: Window,
    /// What was declared, and how severe it is.
    pub declared: BreakGlass,
}

/// Nobody could be told; the code is recorded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("nobody could be told: {0}")]
pub struct Unannounced(pub Code);

/// Tells somebody of emergencies: a pager, a chat room, a security desk. Called after the record is durable; the request does not
/// wait for it. What fails is recorded and tried again, with pauses that double, so that the same emergency may be told twice.
///
/// ```
/// use async_trait::async_trait;
/// use jit_broker::{Announcer, Emergency, Unannounced};
/// use jit_core::{Code, code};
///
/// struct Pager(Code);
///
/// #[async_trait]
/// impl Announcer for Pager {
///     fn channel(&self) -> &Code {
///         &self.0
///     }
///
///     async fn announce(&self, emergency: &Emergency) -> Result<(), Unannounced> {
///         eprintln!("{} declared {}: {}", emergency.by, emergency.declared.emergency, emergency.scope.resource());
///         Ok(())
///     }
/// }
/// # let _pager = Pager(code!("pager"));
/// ```
#[async_trait]
pub trait Announcer: Send + Sync + 'static {
    /// By what people are told, as records name it.
    fn channel(&self) -> &Code;

    /// Tells somebody. It is given up on after [`Settings::mint_timeout`](crate::Settings::mint_timeout) and counts as failed then.
    ///
    /// # Errors
    /// [`Unannounced`] with the code to record.
    async fn announce(&self, emergency: &Emergency) -> Result<(), Unannounced>;
}

/// Leaves it at an error in the trace.
pub(crate) struct TracedEmergency(Code);

impl Default for TracedEmergency {
    fn default() -> Self {
        Self(code!("trace"))
    }
}

#[async_trait]
impl Announcer for TracedEmergency {
    fn channel(&self) -> &Code {
        &self.0
    }

    async fn announce(&self, emergency: &Emergency) -> Result<(), Unannounced> {
        let Emergency { case, by, declared, .. } = emergency;
        tracing::error!(%case, %by, severity = ?declared.severity, emergency = %declared.emergency, "break glass");
        Ok(())
    }
}

impl Broker {
    /// Tells somebody in the background; a sweep does if this process ends before it has.
    pub(crate) fn announce_soon(&self, case: CaseId) {
        let broker = self.clone();
        let telling = async move {
            if let Err(error) = broker.announce(case).await {
                tracing::warn!(%case, %error, "whether an emergency was announced is not recorded yet");
            }
        };
        tokio::spawn(telling.in_current_span());
    }

    /// Tells somebody of the emergency of a case if nobody was told yet, and records what came of it.
    pub(crate) async fn announce(&self, id: CaseId) -> Result<(), BrokerError> {
        let case = self.load_existing(id).await?;
        let (Some(Announcement::Pending { attempts }), Some(emergency)) = (case.announcement(), emergency(&case))
        else {
            return Ok(());
        };
        let told = self.patiently(self.announcer.announce(&emergency)).await;
        let failure = told.unwrap_or(Err(Unannounced(code!("timed_out")))).err().map(|Unannounced(code)| code);
        let attempt = attempts.saturating_add(1);
        let retry_at = if failure.is_some() && attempt < MAX_ATTEMPTS {
            let [jitter] = self.recorder.random()?;
            let schedule = &self.settings.revocation;
            Some(self.clock.now().at.saturating_add(backoff(schedule.first, schedule.longest, attempt, jitter)))
        } else {
            None
        };
        let channel = self.announcer.channel().clone();
        let turn = self.outcome_turn(id, &Command::Announced { channel, failure, retry_at }).await?;
        match turn.outcome {
            // Somebody else told it meanwhile, or the case is over.
            Ok(()) | Err(Refusal::NoAnnouncement | Refusal::Closed) => Ok(()),
            Err(_) => Err(turn.refused()),
        }
    }
}

fn emergency(case: &Case) -> Option<Emergency> {
    let submitted = &case.request()?.submitted;
    Some(Emergency {
        case: case.id(),
        by: submitted.requester.id(),
        recipient: submitted.recipient.clone(),
        scope: submitted.scope.clone(),
        window: submitted.requested,
        declared: submitted.break_glass.clone()?,
    })
}
