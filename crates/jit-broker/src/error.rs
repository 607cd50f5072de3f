//! Why an operation failed.

use jit_core::{
    ApplyError, CaseId, Code, CredentialId, EntitlementError, EntropyError, EventError, IssuerName, PolicyDigest,
    RecordCaseError, RecordError, Refusal,
};
use jit_store::{AppendError, ReadError, ReceiptError, WorkError};

use crate::reviewing::PolicyReviewError;

/// Why the broker did not do what was asked. Unless it says otherwise, nothing took effect.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BrokerError {
    /// The case refuses it; what the rules ask to be recorded about it was recorded.
    #[error("case {case}: {refusal}")]
    Refused {
        /// The case.
        case: CaseId,
        /// Why.
        refusal: Refusal,
    },
    /// The same command was refused before, with this code. Nothing was written now.
    #[error("case {case}: refused before: {code}")]
    RefusedBefore {
        /// The case.
        case: CaseId,
        /// The code recorded then.
        code: Code,
    },
    /// There is no such case.
    #[error("there is no case {0}")]
    NoSuchCase(CaseId),
    /// The idempotency key was used before, for something else. Nothing was written.
    #[error("the idempotency key was used before in case {0}, with other content")]
    KeyReused(CaseId),
    /// The idempotency key was used before, for another act. Nothing was written.
    #[error("the idempotency key was used before, for another act")]
    ActKeyReused,
    /// A task was ended before it had said what it did. Try again.
    #[error("a task was ended before it had said what it did")]
    Interrupted,
    /// A record cannot be read.
    #[error("a record cannot be read")]
    Event(#[from] EventError),
    /// Others wrote to the case again and again. Try again.
    #[error("too many others write to case {0} at the same time")]
    Contended(CaseId),
    /// No policy is in force.
    #[error("no policy is in force")]
    NoPolicy,
    /// The policy's evaluation could not be prepared.
    #[error("the policy cannot be asked: {0}")]
    Policy(String),
    /// The policy was never published in this log.
    #[error("policy {0} was never published in this log")]
    NotPublished(PolicyDigest),
    /// The review of a policy does not allow it.
    #[error(transparent)]
    PolicyReview(#[from] PolicyReviewError),
    /// There is no such issuer.
    #[error("there is no issuer {0}")]
    NoSuchIssuer(IssuerName),
    /// The issuer cannot mint what is left of the window, or refuses the plan.
    #[error("issuer cannot serve case {case}: {reason}")]
    NotMintable {
        /// The case.
        case: CaseId,
        /// Why.
        reason: String,
    },
    /// The mint failed; it is recorded, and no credential exists.
    #[error("credential {credential} was not minted: {cause}")]
    MintFailed {
        /// The credential.
        credential: CredentialId,
        /// Why, as a code.
        cause: String,
    },
    /// Nobody knows whether a credential exists; it is recorded, and will be found out. Nothing was released.
    #[error("whether credential {0} was minted is not known")]
    MintUnknown(CredentialId),
    /// A credential was minted and could not be recorded as required; it was not released, and is being revoked.
    #[error("credential {credential} was not released: {reason}")]
    NotReleased {
        /// The credential.
        credential: CredentialId,
        /// Why.
        reason: String,
    },
    /// The log could not be written.
    #[error("the log could not be written")]
    Append(#[from] AppendError),
    /// What was written is not yet under a checkpoint that effects may rest on.
    #[error("what was recorded is not under a checkpoint yet")]
    Receipt(#[from] ReceiptError),
    /// The log could not be read.
    #[error("the log could not be read")]
    Read(#[from] ReadError),
    /// A record could not be made.
    #[error("a record could not be made")]
    Record(#[from] RecordError),
    /// A record of a case could not be made.
    #[error("a record of the case could not be made")]
    RecordCase(#[from] RecordCaseError),
    /// Stored records do not make a case.
    #[error("stored records do not make a case")]
    Apply(#[from] ApplyError),
    /// Stored records do not make a ledger.
    #[error("stored records do not make a ledger")]
    Ledger(#[from] EntitlementError),
    /// Due work could not be claimed.
    #[error("due work could not be claimed")]
    Work(#[from] WorkError),
    /// There is no randomness.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
}
