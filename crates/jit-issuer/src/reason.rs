//! The reason that a credential carries at its target: grant, decision and evidence, in one line of text.

use std::{fmt, str::FromStr};

use jit_core::{GrantId, LeafHash, RecordId};

use crate::authorization::MintAuthorization;

/// Why a credential exists, in the form in which it stands at a target that has room for a text and shows it in its log:
/// `{"g":"<grant>","d":"<decision>","e":"sha256:<hex>"}`, always [`CredentialReason::LEN`] bytes of ASCII. `e` is the leaf of the
/// `credential.intended`.
///
/// ```
/// use jit_issuer::CredentialReason;
/// let text = concat!(
///     r#"{"g":"01010101-0101-8101-8101-010101010101","d":"02020202-0202-8202-8202-020202020202","#,
///     r#""e":"sha256:0303030303030303030303030303030303030303030303030303030303030303"}"#,
/// );
/// let reason: CredentialReason = text.parse()?;
/// assert_eq!(reason.to_string(), text);
/// # Ok::<(), jit_issuer::ReasonError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CredentialReason {
    /// The grant.
    pub grant: GrantId,
    /// The record of the decision at issuance.
    pub decision: RecordId,
    /// The leaf of the `credential.intended`.
    pub evidence: LeafHash,
}

/// A text is not a reason as credentials carry it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the reason of a credential")]
pub struct ReasonError;

impl CredentialReason {
    /// How many bytes the text has.
    pub const LEN: usize = 165;

    /// The reason of what is minted under this authorisation.
    #[must_use]
    pub fn of(authorization: &MintAuthorization) -> Self {
        Self { grant: authorization.grant(), decision: authorization.decision(), evidence: authorization.evidence() }
    }
}

impl fmt::Display for CredentialReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, r#"{{"g":"{}","d":"{}","e":"{}"}}"#, self.grant, self.decision, self.evidence)
    }
}

impl FromStr for CredentialReason {
    type Err = ReasonError;

    /// Accepts the one spelling that [`Display`](fmt::Display) writes.
    fn from_str(text: &str) -> Result<Self, ReasonError> {
        let parts = || {
            let rest = text.strip_prefix(r#"{"g":""#)?.strip_suffix(r#""}"#)?;
            let (grant, rest) = rest.split_once(r#"","d":""#)?;
            let (decision, evidence) = rest.split_once(r#"","e":""#)?;
            Some(Self {
                grant: grant.parse().ok()?,
                decision: decision.parse().ok()?,
                evidence: evidence.parse().ok()?,
            })
        };
        parts().ok_or(ReasonError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_one_spelling_parses() {
        let reason = CredentialReason {
            grant: GrantId::v8([1; 16]),
            decision: RecordId::v8([2; 16]),
            evidence: LeafHash::from_bytes([3; 32]),
        };
        let text = reason.to_string();
        assert_eq!(text.len(), CredentialReason::LEN);
        assert_eq!(text.parse(), Ok(reason));
        for wrong in [
            text.to_uppercase(),
            text.replace("\"d\"", "\"x\""),
            text.replace(',', ", "),
            format!("{text} "),
            text.replace("sha256", "sha-256"),
            String::new(),
        ] {
            assert_eq!(wrong.parse::<CredentialReason>(), Err(ReasonError), "{wrong}");
        }
    }
}
