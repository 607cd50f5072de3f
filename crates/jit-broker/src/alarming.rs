//! Telling somebody that a credential cannot be taken back.

use jit_core::{CaseId, Code, CredentialId, IssuerName, Timestamp};

/// A credential that could not be taken back, as `revocation.irrevocable` records it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Irrevocable {
    /// Its case.
    pub case: CaseId,
    /// Which.
    pub credential: CredentialId,
    /// Its issuer.
    pub issuer: IssuerName,
    /// Why it lives on, as a code.
    pub cause: Code,
    /// How often it was tried.
    pub attempts: u32,
    /// When it dies by itself; `None` if it does not.
    pub until: Option<Timestamp>,
}

/// Whoever is to be woken. Told after the record is durable, at most once a record; a crash in between tells nobody, so that
/// whoever must know asks [`Broker::unsettled`](crate::Broker::unsettled), which forgets nothing.
///
/// ```
/// use jit_broker::{Alarm, Irrevocable};
///
/// struct Pager;
///
/// impl Alarm for Pager {
///     fn irrevocable(&self, credential: &Irrevocable) {
///         eprintln!("credential {} lives on: {}", credential.credential, credential.cause);
///     }
/// }
/// ```
pub trait Alarm: Send + Sync {
    /// A credential lives on that its issuer should have been able to take back. Not called for what an issuer never could: that
    /// is in the residual access of the end. Must not block.
    fn irrevocable(&self, credential: &Irrevocable);
}

/// Leaves it at an error in the trace.
pub(crate) struct Traced;

impl Alarm for Traced {
    fn irrevocable(&self, alarm: &Irrevocable) {
        let Irrevocable { case, credential, issuer, cause, attempts, .. } = alarm;
        tracing::error!(%case, %credential, %issuer, %cause, attempts, "a credential cannot be revoked");
    }
}
