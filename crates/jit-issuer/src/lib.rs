//! Credential minting that cannot happen without its evidence.
//!
//! ```text
//! credential.intended ── MintAuthorization ── mint ── Sealed ── credential.issued ── Secret
//!    (recorded)                                │                   (recorded)
//!                                              └ Prepared ── credential.prepared ── commit ── Sealed …
//! ```
//!
//! What this crate keeps, by type:
//!
//! - An issuer is called with a [`MintAuthorization`], which is made only from a record proven to be in the log: the pending
//!   `credential.intended` of a case whose grant is approved and live.
//! - A secret comes back [`Sealed`], and opens only with the proven `credential.issued` that follows from the same intent (INV-02).
//! - A [`Secret`] is erased when dropped, and has no `Display`, no `Serialize` and a `Debug` that shows nothing (INV-17).
//! - An outcome that nobody knows is not a failure: [`MintError::Unknown`], [`RevokeError::Unknown`], [`ObserveError::Unknown`].
//!
//! Whoever writes an issuer implements [`CredentialIssuer`] and reads its contract. This crate never records anything, never reads a
//! clock, and has no way to mint without authorisation.
//!
//! Features, all off by default: `keys` gives `key::SigningKey` and `key::LocalKey`; `pkcs11` gives `key::Pkcs11Key`, a key in a
//! token; `jwt` gives `jwt::JwtIssuer`, short-lived JSON Web Tokens; `postgres` gives `postgres::PostgresIssuer`, dynamic roles;
//! `postgres-membership` gives `postgres::membership::PostgresMembershipIssuer`, membership of somebody's own role in a prepared one;
//! `ldap` gives `ldap::LdapGroupIssuer`, membership in groups of a directory; `x509` gives `x509::X509Issuer`, short-lived
//! X.509 certificates for workloads; `ssh` gives `ssh::SshIssuer`, OpenSSH user certificates and key revocation lists; `observation`
//! gives parsers of what targets log when access is used.

mod authorization;
mod binding;
mod issuer;
#[cfg(any(feature = "postgres-membership", feature = "ldap"))]
pub mod membership;
mod minting;
mod observing;
mod orphan;
mod reason;
mod revoking;
#[cfg(any(feature = "postgres", feature = "observation"))]
mod role_name;
mod sealed;
mod used;

#[cfg(feature = "keys")]
pub mod key;

#[cfg(feature = "jwt")]
pub mod jwt;

#[cfg(feature = "postgres")]
pub mod postgres;

#[cfg(feature = "x509")]
pub mod x509;

#[cfg(feature = "ssh")]
pub mod ssh;

#[cfg(feature = "ldap")]
pub mod ldap;

#[cfg(feature = "observation")]
pub mod observation;

pub use authorization::{AuthorizationError, MintAuthorization};
pub use binding::RecordMismatch;
pub use issuer::CredentialIssuer;
pub use minting::{MintError, MintPlan, Minted, Minting, PlanRefused, Prepared};
pub use observing::{Cursor, Found, FoundPage, ObserveError, Observed, ReconcileQuery};
pub use orphan::OrphanAuthorization;
pub use reason::{CredentialReason, ReasonError};
pub use revoking::{RevokeAuthorization, RevokeBasis, RevokeError, RevokeOutcome};
pub use sealed::{MAX_SECRET, Sealed, Secret, SecretError};
pub use used::{ObservedUse, UseBinding};
