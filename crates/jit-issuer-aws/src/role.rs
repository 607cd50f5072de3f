//! Which role gives what a grant allows.

use std::fmt;

use jit_core::Scope;

/// The limit of STS on an inline session policy, in characters.
const MAX_POLICY: usize = 2048;
/// The limit of STS on managed session policies.
const MAX_POLICY_ARNS: usize = 10;

/// A role cannot be assumed as configured.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RoleError {
    /// Not `arn:<partition>:iam::<account>:role/<name>`.
    #[error("not the ARN of a role")]
    RoleArn,
    /// Not `arn:<partition>:iam::<account or aws>:policy/<name>`.
    #[error("not the ARN of a managed policy")]
    PolicyArn,
    /// Not a JSON object, or longer than STS takes.
    #[error("session policy is not a JSON object of at most {MAX_POLICY} characters")]
    SessionPolicy,
    /// More managed session policies than STS takes.
    #[error("more than {MAX_POLICY_ARNS} managed session policies")]
    TooManyPolicies,
    /// Not 2 to 1224 characters that STS takes.
    #[error("external id has 2 to 1224 letters, digits or characters of _+=,.@:/-")]
    ExternalId,
}

/// The ARN of a role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleArn(String);

impl RoleArn {
    /// Checks the form of an ARN.
    ///
    /// # Errors
    /// [`RoleError::RoleArn`].
    pub fn new(arn: impl Into<String>) -> Result<Self, RoleError> {
        let arn = arn.into();
        let is_account = |account: &str| account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit());
        if is_iam_arn(&arn, is_account, "role/") { Ok(Self(arn)) } else { Err(RoleError::RoleArn) }
    }

    /// The ARN.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The ARN of a managed policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyArn(String);

impl PolicyArn {
    /// Checks the form of an ARN.
    ///
    /// # Errors
    /// [`RoleError::PolicyArn`].
    pub fn new(arn: impl Into<String>) -> Result<Self, RoleError> {
        let arn = arn.into();
        let is_owner = |owner: &str| owner == "aws" || (owner.len() == 12 && owner.bytes().all(|b| b.is_ascii_digit()));
        if is_iam_arn(&arn, is_owner, "policy/") { Ok(Self(arn)) } else { Err(RoleError::PolicyArn) }
    }

    /// The ARN.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_iam_arn(arn: &str, owner: impl Fn(&str) -> bool, resource: &str) -> bool {
    let parts: Vec<_> = arn.splitn(6, ':').collect();
    let ["arn", partition, "iam", "", account, name] = parts.as_slice() else { return false };
    let name = name.strip_prefix(resource).unwrap_or_default();
    partition.starts_with("aws") && owner(account) && is_text(name, 1..=576, "_+=,.@/-") && !name.ends_with('/')
}

/// An inline session policy: a session has no right that both role and policy do not give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionPolicy(String);

impl SessionPolicy {
    /// Checks that a policy is a JSON object and no longer than STS takes. What it says, AWS judges when the role is assumed.
    ///
    /// # Errors
    /// [`RoleError::SessionPolicy`].
    pub fn new(document: impl Into<String>) -> Result<Self, RoleError> {
        let document = document.into();
        let short = document.chars().count() <= MAX_POLICY;
        let object = short && serde_json::from_str(&document).is_ok_and(|value: serde_json::Value| value.is_object());
        if object { Ok(Self(document)) } else { Err(RoleError::SessionPolicy) }
    }

    /// The document.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What the trust policy of a role in somebody else's account asks for as `sts:ExternalId`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleExternalId(String);

impl RoleExternalId {
    /// Checks the form of an external id.
    ///
    /// # Errors
    /// [`RoleError::ExternalId`].
    pub fn new(id: impl Into<String>) -> Result<Self, RoleError> {
        let id = id.into();
        if is_text(&id, 2..=1224, "_+=,.@:/-") { Ok(Self(id)) } else { Err(RoleError::ExternalId) }
    }

    /// The id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_text(text: &str, length: std::ops::RangeInclusive<usize>, others: &str) -> bool {
    length.contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric() || others.contains(c))
}

/// A role, with what narrows a session in it.
///
/// ```
/// use jit_issuer_aws::{AssumableRole, RoleArn, SessionPolicy};
/// let role = AssumableRole::new(RoleArn::new("arn:aws:iam::123456789012:role/orders-reader")?)
///     .with_policy(SessionPolicy::new(
///         r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::orders/*"}]}"#,
///     )?);
/// assert_eq!(role.arn().as_str(), "arn:aws:iam::123456789012:role/orders-reader");
/// # Ok::<(), jit_issuer_aws::RoleError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct AssumableRole {
    arn: RoleArn,
    policy: Option<SessionPolicy>,
    policy_arns: Vec<PolicyArn>,
    external_id: Option<RoleExternalId>,
}

impl AssumableRole {
    /// A role, with all that it may do.
    #[must_use]
    pub fn new(arn: RoleArn) -> Self {
        Self { arn, policy: None, policy_arns: Vec::new(), external_id: None }
    }

    /// Narrows sessions to what a policy allows too.
    #[must_use]
    pub fn with_policy(mut self, policy: SessionPolicy) -> Self {
        self.policy = Some(policy);
        self
    }

    /// Narrows sessions to what managed policies of the role's account allow too.
    ///
    /// # Errors
    /// [`RoleError::TooManyPolicies`] beyond ten.
    pub fn with_managed_policies(mut self, policies: Vec<PolicyArn>) -> Result<Self, RoleError> {
        if policies.len() > MAX_POLICY_ARNS {
            return Err(RoleError::TooManyPolicies);
        }
        self.policy_arns = policies;
        Ok(self)
    }

    /// Gives the id that the role's trust policy asks for.
    #[must_use]
    pub fn with_external_id(mut self, id: RoleExternalId) -> Self {
        self.external_id = Some(id);
        self
    }

    /// The role.
    #[must_use]
    pub fn arn(&self) -> &RoleArn {
        &self.arn
    }

    pub(crate) fn policy(&self) -> Option<&SessionPolicy> {
        self.policy.as_ref()
    }

    pub(crate) fn policy_arns(&self) -> &[PolicyArn] {
        &self.policy_arns
    }

    pub(crate) fn external_id(&self) -> Option<&RoleExternalId> {
        self.external_id.as_ref()
    }
}

impl fmt::Debug for AssumableRole {
    /// Without the external id, which some treat as a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AssumableRole")
            .field("arn", &self.arn)
            .field("policy", &self.policy)
            .field("policy_arns", &self.policy_arns)
            .finish_non_exhaustive()
    }
}

/// Which role, narrowed how, gives exactly what a scope allows. A scope without a role of its own is refused.
///
/// ```
/// use jit_core::{Action, Scope};
/// use jit_issuer_aws::{AssumableRole, AssumableRoles, RoleArn};
/// let read = Scope::new("bucket:prod/orders".parse()?, [Action::new("read")?])?;
/// let role = AssumableRole::new(RoleArn::new("arn:aws:iam::123456789012:role/orders-reader")?);
/// let roles = AssumableRoles::new().with(read, role);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AssumableRoles(Vec<(Scope, AssumableRole)>);

impl AssumableRoles {
    /// No role for anything.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives a session in `role` to whoever may do exactly this; a later role for the same scope takes its place.
    #[must_use]
    pub fn with(mut self, scope: Scope, role: AssumableRole) -> Self {
        self.0.retain(|(known, _)| *known != scope);
        self.0.push((scope, role));
        self
    }

    pub(crate) fn of(&self, scope: &Scope) -> Option<&AssumableRole> {
        self.0.iter().find(|(known, _)| known == scope).map(|(_, role)| role)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arns_are_what_iam_gives() {
        for arn in ["arn:aws:iam::123456789012:role/r", "arn:aws-us-gov:iam::123456789012:role/a/b/r+=,.@-_"] {
            assert!(RoleArn::new(arn).is_ok(), "{arn}");
        }
        for arn in [
            "",
            "arn:aws:iam::123456789012:role/",
            "arn:aws:iam::123456789012:role/a/",
            "arn:aws:iam::12345678901:role/r",
            "arn:aws:iam:eu-west-1:123456789012:role/r",
            "arn:aws:sts::123456789012:assumed-role/r/s",
            "arn:aws:iam::123456789012:user/r",
            "arn:aws:iam::123456789012:role/a b",
        ] {
            assert_eq!(RoleArn::new(arn), Err(RoleError::RoleArn), "{arn}");
        }
        assert!(PolicyArn::new("arn:aws:iam::aws:policy/ReadOnlyAccess").is_ok());
        assert_eq!(PolicyArn::new("arn:aws:iam::aws:role/r"), Err(RoleError::PolicyArn));
    }

    #[test]
    fn policies_and_ids_are_what_sts_takes() {
        assert!(SessionPolicy::new("{}").is_ok());
        for wrong in ["", "[]", "{", &format!("{{\"a\":\"{}\"}}", "x".repeat(MAX_POLICY))] {
            assert_eq!(SessionPolicy::new(wrong), Err(RoleError::SessionPolicy));
        }
        assert!(RoleExternalId::new("a:/1").is_ok());
        assert_eq!(RoleExternalId::new("a"), Err(RoleError::ExternalId));
        assert_eq!(RoleExternalId::new("a b"), Err(RoleError::ExternalId));
    }
}
