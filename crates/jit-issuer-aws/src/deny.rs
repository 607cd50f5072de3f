//! Policies that deny sessions before they die by themselves.

use std::fmt;

use jit_core::{CredentialId, GrantId, Timestamp};
use serde_json::json;

use crate::names::{SessionName, SourceIdentity};

/// A policy document that denies everything to sessions of ours. To attach it to the role (`iam:PutRolePolicy`, or a service control policy)
/// is an act of its own: this issuer has no such right, and does not need one. Whoever attaches it removes it again once the last
/// session that it is about has died.
///
/// ```
/// use jit_core::GrantId;
/// use jit_issuer_aws::DenyPolicy;
/// let policy = DenyPolicy::of_grant(GrantId::v8([1; 16])).to_string();
/// assert!(policy.contains(r#""aws:SourceIdentity":"grant=01010101-0101-8101-8101-010101010101""#));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DenyPolicy(serde_json::Value);

impl DenyPolicy {
    /// Denies every session that was issued before a moment (`aws:TokenIssueTime`): ours and all others of the role.
    #[must_use]
    pub fn issued_before(at: Timestamp) -> Self {
        Self::when(json!({ "DateLessThan": { "aws:TokenIssueTime": at.to_string() } }))
    }

    /// Denies the sessions of one grant (`aws:SourceIdentity`), those that they opened in further roles included.
    #[must_use]
    pub fn of_grant(grant: GrantId) -> Self {
        Self::when(json!({ "StringEquals": { "aws:SourceIdentity": SourceIdentity::of(grant).to_string() } }))
    }

    /// Denies the one session of a credential in its role (`aws:userid`), and none that it opened in further roles.
    #[must_use]
    pub fn of_credential(credential: CredentialId) -> Self {
        Self::when(json!({ "StringLike": { "aws:userid": format!("*:{}", SessionName::of(credential)) } }))
    }

    fn when(condition: serde_json::Value) -> Self {
        let statement = json!({ "Effect": "Deny", "Action": "*", "Resource": "*", "Condition": condition });
        Self(json!({ "Version": "2012-10-17", "Statement": [statement] }))
    }
}

impl fmt::Display for DenyPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_the_document_that_aws_takes() {
        let at = Timestamp::from_micros(1_772_000_000_000_000).unwrap_or(Timestamp::EPOCH);
        assert_eq!(
            DenyPolicy::issued_before(at).0,
            json!({
                "Version": "2012-10-17",
                "Statement": [{
                    "Effect": "Deny",
                    "Action": "*",
                    "Resource": "*",
                    "Condition": { "DateLessThan": { "aws:TokenIssueTime": "2026-02-25T06:13:20.000000Z" } },
                }],
            })
        );
        let one = DenyPolicy::of_credential(CredentialId::v8([7; 16])).to_string();
        assert!(one.contains(r#""StringLike":{"aws:userid":"*:jit-07070707070787078707070707070707"}"#), "{one}");
    }
}
