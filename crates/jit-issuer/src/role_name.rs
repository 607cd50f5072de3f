//! Names of roles of a PostgreSQL server.

use jit_core::CredentialId;
use uuid::Uuid;

/// Names are cut short by PostgreSQL beyond this, silently.
const MAX_NAME: usize = 63;
/// A prefix leaves room for `_` and thirty-two hexadecimal digits.
const MAX_PREFIX: usize = 30;

/// A text cannot be the name of a role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RoleNameError {
    /// It is empty, or longer than PostgreSQL keeps.
    #[error("the name of a role has 1 to {MAX_NAME} bytes")]
    Length,
    /// It has a character that is not taken.
    #[error("the name of a role is of letters, digits, `_`, `-`, `.` and `$`, and begins with a letter or `_`")]
    Character,
    /// It is reserved.
    #[error("names of roles that begin with pg_ are reserved")]
    Reserved,
    /// It is too long for a prefix, or has other characters than lower-case letters, digits and `_`.
    #[error("a prefix has 1 to {MAX_PREFIX} lower-case letters, digits and `_`, and begins with a letter")]
    Prefix,
}

/// The name of a role that exists.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoleName(String);

impl RoleName {
    /// Checks a name. It is used as written, never folded to lower case.
    ///
    /// # Errors
    /// [`RoleNameError`].
    pub fn new(name: impl Into<String>) -> Result<Self, RoleNameError> {
        let name = name.into();
        if !(1..=MAX_NAME).contains(&name.len()) {
            return Err(RoleNameError::Length);
        }
        let begins = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        if !begins || !name.chars().all(|c| c.is_ascii_alphanumeric() || "_-.$".contains(c)) {
            return Err(RoleNameError::Character);
        }
        if name.starts_with("pg_") {
            return Err(RoleNameError::Reserved);
        }
        Ok(Self(name))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What the names of an issuer's roles begin with: `jit` unless configured otherwise.
///
/// Roles belong to the whole server, and [`list`](crate::CredentialIssuer::list) takes every role under the prefix for one of this
/// issuer's. Two issuers on one server need two prefixes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RolePrefix(String);

impl RolePrefix {
    /// Checks a prefix.
    ///
    /// # Errors
    /// [`RoleNameError::Prefix`].
    pub fn new(prefix: impl Into<String>) -> Result<Self, RoleNameError> {
        let prefix = prefix.into();
        let letters = prefix.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        let begins = prefix.starts_with(|c: char| c.is_ascii_lowercase()) && !prefix.starts_with("pg_");
        if begins && letters && prefix.len() <= MAX_PREFIX { Ok(Self(prefix)) } else { Err(RoleNameError::Prefix) }
    }

    /// The name of the role of a credential, `jit_<32 hexadecimal digits>`.
    #[must_use]
    pub fn role(&self, credential: CredentialId) -> RoleName {
        RoleName(format!("{}_{}", self.0, credential.as_uuid().simple()))
    }

    /// The credential whose role has this name.
    #[must_use]
    pub fn credential_of_role(&self, name: &str) -> Option<CredentialId> {
        let digits = name.strip_prefix(&self.0)?.strip_prefix('_')?;
        let lower = digits.len() == 32 && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        Uuid::try_parse(digits).ok().filter(|_| lower).map(CredentialId::from_uuid)
    }

    /// The name of its prepared transaction.
    #[cfg(feature = "postgres")]
    pub(crate) fn transaction(&self, credential: CredentialId) -> String {
        format!("{}:{}", self.0, credential.as_uuid().simple())
    }

    /// A regular expression that matches the names of roles, and one that matches those of prepared transactions. The
    /// characters of a prefix mean themselves.
    #[cfg(feature = "postgres")]
    pub(crate) fn patterns(&self) -> (String, String) {
        (format!("^{}_[0-9a-f]{{32}}$", self.0), format!("^{}:[0-9a-f]{{32}}$", self.0))
    }

    /// The credential whose role or prepared transaction has this name.
    #[cfg(feature = "postgres")]
    pub(crate) fn credential(&self, name: &str) -> Option<CredentialId> {
        let transaction = name.strip_prefix(&self.0).and_then(|rest| rest.strip_prefix(':'));
        match transaction {
            Some(digits) => self.credential_of_role(&format!("{}_{digits}", self.0)),
            None => self.credential_of_role(name),
        }
    }
}

impl Default for RolePrefix {
    fn default() -> Self {
        Self("jit".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_postgresql_keeps() {
        assert!(RoleName::new("r".repeat(63)).is_ok());
        assert_eq!(RoleName::new("r".repeat(64)), Err(RoleNameError::Length));
        assert_eq!(RoleName::new(""), Err(RoleNameError::Length));
        assert_eq!(RoleName::new("a\"b"), Err(RoleNameError::Character));
        assert_eq!(RoleName::new("pg_read_all_data"), Err(RoleNameError::Reserved));
        assert_eq!(RolePrefix::new("p".repeat(31)), Err(RoleNameError::Prefix));
        assert_eq!(RolePrefix::new("pg_x"), Err(RoleNameError::Prefix));
        let longest = RolePrefix::new("p".repeat(30)).map(|prefix| prefix.role(CredentialId::v8([7; 16])));
        assert_eq!(longest.map(|role| role.as_str().len()), Ok(63));
    }

    #[test]
    fn a_role_names_its_credential() {
        let (prefix, id) = (RolePrefix::default(), CredentialId::v8([7; 16]));
        assert_eq!(prefix.credential_of_role(prefix.role(id).as_str()), Some(id));
        #[cfg(feature = "postgres")]
        assert_eq!(prefix.credential(&prefix.transaction(id)), Some(id));
        for other in [
            "jit_",
            "jit_07",
            "jit_ABABABABABAB8BAB8BABABABABABABAB",
            "jat_07070707070787078707070707070707",
            "jit_07070707-0707-8707-8707-070707070707",
        ] {
            assert_eq!(prefix.credential_of_role(other), None, "{other}");
        }
    }
}
