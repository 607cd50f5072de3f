//! Who is asking: principals, agents and delegation chains from tokens and certificates that were verified, offline.
//!
//! A broker must not believe a name in a request. What it may believe is a signature: this crate checks one against keys that the
//! caller holds, and gives back what was said under it, by whom, and what of it belongs into the evidence.
//!
//! ```text
//!  token + keys of its issuer + now ──verify──▶ Verified<T> ─┬─ content: person, workload, job, transaction
//!                                                 │          ├─ facts: issuer, SHA-256 of the token, key, actors, expiry   (kept)
//!                                                 ▼          └─ claims: byte for byte                                     (erasable)
//!                                            TokenError ──code──▶ Broker::refuse ──▶ `request.refused`
//! ```
//!
//! | kind | by | gives |
//! |---|---|---|
//! | OpenID Connect id token | [`TokenIssuer::id_token`] | a person |
//! | access token (RFC 9068), also from an exchange (RFC 8693) | [`TokenIssuer::access_token`] | a subject, and who acts for it |
//! | transaction token | [`TokenIssuer::transaction_token`] | a subject, a transaction, and who acts for it |
//! | GitHub Actions, GitLab CI, Kubernetes | [`TokenIssuer::github_actions`], [`gitlab_ci`](TokenIssuer::gitlab_ci), [`kubernetes`](TokenIssuer::kubernetes) | a service |
//! | JWT-SVID | [`JwtSvids::verify`] | a workload |
//! | X509-SVID | `X509Svids::peer` (feature `x509`) | a workload |
//!
//! An agent is put together from several: itself and the person it acts for from a transaction or access token, its workload from an
//! SVID, its owner and build from an inventory, its task from its own words. [`AgentStatement`](jit_core::AgentStatement) keeps apart
//! who said what, and [`Provenance`](jit_core::Provenance) is the record of it (INV-16).
//!
//! # What it keeps
//!
//! - Nothing that a token says is read before its signature was verified, but for its header; nothing of it is believed that its
//!   issuer, audience, type and times do not allow.
//! - A token of one kind never verifies as another, a key never verifies for another algorithm or use than it is published for, and
//!   no token names its own key.
//! - Every refusal is a [`TokenError`] of its own, with a stable code; no error holds anything of the token.
//! - The token itself is not kept, only its digest and its claims.
//! - No input makes it panic, and work is linear in the size of the input, which is bounded.
//!
//! # What it never does
//!
//! It opens no connection: keys are fetched, and refreshed, by the caller. It does not remember tokens: that one is used once, or
//! that it was revoked, is the caller's to check. It does not prove that whoever presents a bearer token is the one it was issued to.
//!
//! # Features
//!
//! - `x509`: X509-SVIDs, whose path is validated by rustls-webpki.

mod access_token;
mod actor_chain;
mod algorithm;
mod error;
mod id_token;
mod issuer;
mod json;
mod jwt_svid;
mod key_set;
mod rules;
mod token;
mod transaction_token;
mod trust_domain;
mod verified;
mod workload_token;
#[cfg(feature = "x509")]
mod x509_svid;

pub use access_token::AccessToken;
pub use algorithm::Algorithm;
pub use error::{KeySetError, TokenError};
pub use id_token::IdToken;
pub use issuer::TokenIssuer;
pub use jwt_svid::{JwtSvids, Svid};
pub use key_set::{KeySet, MAX_KEY_SET_BYTES};
pub use rules::{LONGEST_AGE, MAX_LEEWAY, Rules, RulesError};
pub use token::MAX_TOKEN_BYTES;
pub use transaction_token::TransactionToken;
pub use trust_domain::TrustDomain;
pub use verified::{NoIdentity, Verified};
pub use workload_token::{GithubActionsJob, GitlabJob, KubernetesServiceAccount};
#[cfg(feature = "x509")]
pub use x509_svid::{CertificateError, X509Svids};
