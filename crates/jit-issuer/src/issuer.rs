//! The trait that a team implements for a target of its own, with its contract.

use async_trait::async_trait;
use jit_core::{CredentialDescriptor, IssuerCapabilities, IssuerName, Recorded, Timestamp, Window, code};

use crate::{
    authorization::MintAuthorization,
    minting::{MintError, MintPlan, Minted, Minting, PlanRefused, Prepared},
    observing::{Cursor, FoundPage, ObserveError, Observed, ReconcileQuery},
    orphan::OrphanAuthorization,
    revoking::{RevokeAuthorization, RevokeError, RevokeOutcome},
};

/// Mints, takes back and looks for credentials at one target.
///
/// # Contract
///
/// 1. **Only as authorised.** [`mint`](Self::mint) mints exactly one credential, for this issuer's own
///    [`name`](Self::name), with the id, subject and scope of the authorisation and a window within
///    [`issued`](MintAuthorization::issued). What it cannot express or enforce, it refuses.
/// 2. **Named before it exists.** The credential carries its id at the target, so that [`reconcile`](Self::reconcile) finds it by the
///    id alone, in another process, after a crash. Where the target has room it also carries grant, decision and evidence digest.
/// 3. **Never longer.** The descriptor's window is what the target enforces, and what
///    [`fit`](Self::fit) gives of a window lies within that window.
/// 4. **Honest capabilities.** [`capabilities`](Self::capabilities) are constant for the life of the issuer, equal those in
///    every descriptor, and claim nothing that the target does not do.
/// 5. **Sealed at once.** A secret is put under [`MintAuthorization::seal`] before `mint` returns, and no copy is kept or logged.
///    No error, descriptor or debug output has any of it.
/// 6. **Unknown is not failed.** If the target may have acted and its answer did not come, the error is `Unknown`. `Failed` and
///    `Refused` promise that nothing was minted, or that nothing was taken back.
/// 7. **Prepared is not usable.** After [`Minting::Prepared`] nothing works at the target until [`commit`](Self::commit) was called with
///    the record, which [`Prepared::authorized`] checks. An issuer that cannot prepare never answers `Prepared`, and says so in its capabilities.
/// 8. **Taking back is idempotent.** A second [`revoke`](Self::revoke) answers [`RevokeOutcome::AlreadyGone`] or the first outcome. An
///    authorisation for another credential is refused.
///     What credentials of class [`RemoteShared`](jit_core::CrashClass::RemoteShared) stand for is one state of the target, under
///     one serial: minting it twice is one effect, and taking any of them back removes it. The caller does so only when no other
///     live grant has it.
/// 9. **Looking changes nothing.** [`preflight`](Self::preflight), [`reconcile`](Self::reconcile) and [`list`](Self::list) have no effect at the target.
///    [`Observed::NeverExisted`] is answered only when nothing under the id can appear later.
/// 10. **Cancellation.** Dropping the future of any method leaves the target as if the call had not been made or had completed; the
///     caller then treats the outcome as unknown. No lock or connection leaks.
/// 11. **Bound or refused.** A credential with a [`holder_key`](MintAuthorization::holder_key) is of no use without that key, or is not
///     minted.
/// 12. **No clock.** An issuer takes times from its arguments, so that every run can be repeated.
#[async_trait]
pub trait CredentialIssuer: Send + Sync {
    /// The name under which records know this issuer.
    fn name(&self) -> &IssuerName;

    /// What it can do, as recorded with every intent.
    fn capabilities(&self) -> IssuerCapabilities;

    /// The largest window inside this one that the target can express; `None` if there is none.
    fn fit(&self, window: Window) -> Option<Window>;

    /// Checks, without effect, that the plan could be minted and taken back. Cancellation-safe.
    ///
    /// # Errors
    /// [`PlanRefused`] if it could not.
    async fn preflight(&self, plan: &MintPlan) -> Result<(), PlanRefused>;

    /// Mints the authorised credential, or has its target prepare it. Not to be called again after an unknown outcome, a dropped
    /// future included: the credential may exist.
    ///
    /// # Errors
    /// [`MintError`]; only `Unknown` leaves open whether something was minted.
    async fn mint(&self, authorization: &MintAuthorization) -> Result<Minting, MintError>;

    /// Makes a prepared credential work, with its `credential.prepared`. A dropped future is an unknown outcome. The default is for
    /// issuers that never prepare.
    ///
    /// # Errors
    /// [`MintError`]; only `Unknown` leaves open whether the credential works.
    async fn commit(&self, _prepared: Prepared, _recorded: &Recorded) -> Result<Minted, MintError> {
        Err(MintError::Refused { cause: code!("never_prepares") })
    }

    /// Gives a prepared credential up. A dropped future is an unknown outcome. The default is for issuers that never prepare.
    ///
    /// # Errors
    /// [`MintError::Unknown`] if it may still be prepared at the target.
    async fn abandon(&self, _prepared: Prepared) -> Result<(), MintError> {
        Err(MintError::Refused { cause: code!("never_prepares") })
    }

    /// Takes a credential back. May be called again after any outcome. Cancellation-safe.
    ///
    /// # Errors
    /// [`RevokeError`]; only `Unknown` leaves open whether it is dead.
    async fn revoke(
        &self,
        authorization: &RevokeAuthorization,
        descriptor: &CredentialDescriptor,
    ) -> Result<RevokeOutcome, RevokeError>;

    /// Finds out whether a credential exists, by its id. Cancellation-safe.
    ///
    /// # Errors
    /// [`ObserveError`] if that could not be found out.
    async fn reconcile(&self, query: &ReconcileQuery) -> Result<Observed, ObserveError>;

    /// Lists what looks like ours and was made at or after `since`, from `after` on. Cancellation-safe. The default is for targets that
    /// cannot list.
    ///
    /// # Errors
    /// [`ObserveError::Unsupported`] if the target cannot list.
    async fn list(&self, _since: Timestamp, _after: Option<&Cursor>) -> Result<FoundPage, ObserveError> {
        Err(ObserveError::Unsupported)
    }

    /// Ends something that [`list`](Self::list) finds and no record explains, by its name there. May be called again after any
    /// outcome. Cancellation-safe. The default ends nothing.
    ///
    /// # Errors
    /// [`RevokeError`]; `Refused` if the issuer ends no orphans or the authorisation is another issuer's.
    async fn end_orphan(&self, _authorization: &OrphanAuthorization) -> Result<RevokeOutcome, RevokeError> {
        Err(RevokeError::Refused { cause: code!("unsupported") })
    }
}
