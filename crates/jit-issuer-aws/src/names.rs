//! The names that a session has in AWS, from which logs lead back to the case.

use std::{fmt, str::FromStr};

use jit_core::{CredentialId, GrantId};

/// A text is not a name that this issuer gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a name that this issuer gives")]
pub struct NotOurs;

/// The name of the session of a credential, `jit-<32 hexadecimal digits>`: fixed before the session exists. CloudTrail shows it
/// at the end of `userIdentity.arn` and `userIdentity.principalId`.
///
/// ```
/// use jit_core::CredentialId;
/// use jit_issuer_aws::SessionName;
/// let name = SessionName::of(CredentialId::v8([7; 16]));
/// assert_eq!(name.to_string(), "jit-07070707070787078707070707070707");
/// let arn = "arn:aws:sts::123456789012:assumed-role/orders-reader/jit-07070707070787078707070707070707";
/// assert_eq!(SessionName::in_arn(arn)?.credential(), name.credential());
/// # Ok::<(), jit_issuer_aws::NotOurs>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionName(CredentialId);

impl SessionName {
    /// The name of the session of this credential.
    #[must_use]
    pub fn of(credential: CredentialId) -> Self {
        Self(credential)
    }

    /// The name at the end of the ARN of an assumed role: `arn:<partition>:sts::<account>:assumed-role/<role>/<name>`.
    ///
    /// # Errors
    /// [`NotOurs`] if it is another principal's ARN, or another issuer's session.
    pub fn in_arn(arn: &str) -> Result<Self, NotOurs> {
        let (principal, name) = arn.rsplit_once('/').ok_or(NotOurs)?;
        let mut parts = principal.splitn(6, ':');
        let is_session = parts.next() == Some("arn")
            && parts.nth(1) == Some("sts")
            && parts.nth(2).is_some_and(|resource| resource.starts_with("assumed-role/"));
        if is_session { name.parse() } else { Err(NotOurs) }
    }

    /// The credential.
    #[must_use]
    pub fn credential(&self) -> CredentialId {
        self.0
    }
}

impl fmt::Display for SessionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("jit-")?;
        self.0.as_bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for SessionName {
    type Err = NotOurs;

    /// Accepts the one spelling that [`Display`](fmt::Display) writes.
    fn from_str(text: &str) -> Result<Self, NotOurs> {
        let digits = text.strip_prefix("jit-").filter(|digits| digits.len() == 32).ok_or(NotOurs)?;
        // An id of 32 digits is read as one with hyphens is.
        let id: CredentialId = hyphenated(digits).and_then(|id| id.parse().ok()).ok_or(NotOurs)?;
        let name = Self(id);
        if name.to_string() == text { Ok(name) } else { Err(NotOurs) }
    }
}

fn hyphenated(digits: &str) -> Option<String> {
    let part = |range| digits.get(range);
    Some([part(0..8)?, part(8..12)?, part(12..16)?, part(16..20)?, part(20..32)?].join("-"))
}

/// The source identity of the sessions of a grant, `grant=<grant id>`. CloudTrail shows it as `sourceIdentity`, also for what the session
/// does in roles that it assumes in turn.
///
/// ```
/// use jit_core::GrantId;
/// use jit_issuer_aws::SourceIdentity;
/// let identity = SourceIdentity::of(GrantId::v8([1; 16]));
/// assert_eq!(identity.to_string(), "grant=01010101-0101-8101-8101-010101010101");
/// assert_eq!(identity.to_string().parse(), Ok(identity));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SourceIdentity(GrantId);

impl SourceIdentity {
    /// The source identity of the sessions of this grant.
    #[must_use]
    pub fn of(grant: GrantId) -> Self {
        Self(grant)
    }

    /// The grant.
    #[must_use]
    pub fn grant(&self) -> GrantId {
        self.0
    }
}

impl fmt::Display for SourceIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "grant={}", self.0)
    }
}

impl FromStr for SourceIdentity {
    type Err = NotOurs;

    /// Accepts the one spelling that [`Display`](fmt::Display) writes.
    fn from_str(text: &str) -> Result<Self, NotOurs> {
        let grant = text.strip_prefix("grant=").and_then(|id| id.parse().ok()).ok_or(NotOurs)?;
        let identity = Self(grant);
        if identity.to_string() == text { Ok(identity) } else { Err(NotOurs) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_one_spelling_parses() {
        let name = SessionName::of(CredentialId::v8([0xab; 16]));
        assert_eq!(name.to_string().parse(), Ok(name));
        for wrong in [
            name.to_string().to_uppercase(),
            name.to_string().replace("jit-", "jit_"),
            format!("{name} "),
            format!("jit-{}", name.credential()),
            "jit-ääääääääääääääää".to_owned(),
            "jit-".to_owned(),
            String::new(),
        ] {
            assert_eq!(wrong.parse::<SessionName>(), Err(NotOurs), "{wrong}");
            assert_eq!(wrong.parse::<SourceIdentity>(), Err(NotOurs), "{wrong}");
        }
    }

    #[test]
    fn only_sessions_of_roles_have_a_name() {
        let name = SessionName::of(CredentialId::v8([7; 16]));
        assert_eq!(SessionName::in_arn(&format!("arn:aws-cn:sts::123456789012:assumed-role/r/{name}")), Ok(name));
        for wrong in [
            format!("arn:aws:iam::123456789012:user/{name}"),
            format!("arn:aws:sts::123456789012:federated-user/{name}"),
            format!("assumed-role/r/{name}"),
            "arn:aws:sts::123456789012:assumed-role/r/somebody".to_owned(),
            String::new(),
        ] {
            assert_eq!(SessionName::in_arn(&wrong), Err(NotOurs), "{wrong}");
        }
    }
}
