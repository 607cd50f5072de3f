//! Which names a certificate gives for what a grant allows.

use jit_core::{Action, PrincipalId, Resource, Scope};

/// The most names one certificate may have; sshd refuses more than 256.
pub const MAX_LOGINS: usize = 64;

/// A principal of a certificate: an account name, or any other name that a target's `AuthorizedPrincipalsFile` lists.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Login(String);

/// A text is no principal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a login has 1 to 128 characters of [A-Za-z0-9._@:/+-] and does not begin with a hyphen")]
pub struct LoginError;

impl Login {
    /// Checks a name: the characters that need no quoting in any file in which OpenSSH looks for it.
    ///
    /// # Errors
    /// [`LoginError`] if it has others, begins with a hyphen, is empty or longer than 128 bytes.
    pub fn new(name: impl Into<String>) -> Result<Self, LoginError> {
        let name = name.into();
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._@:/+-".contains(&b);
        if (1..=128).contains(&name.len()) && !name.starts_with('-') && name.bytes().all(allowed) {
            Ok(Self(name))
        } else {
            Err(LoginError)
        }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One entry of [`Logins`].
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    action: Action,
    resource: Resource,
    subject: Option<PrincipalId>,
    login: Login,
}

/// The configuration that says which logins a grant gives: by action, resource and, where needed, subject.
///
/// A certificate works at every target that trusts its authority. Where targets must be told apart, give each its own name
/// (`deploy@web-1`) and list it in the target's `AuthorizedPrincipalsFile`.
///
/// ```
/// use jit_core::Action;
/// use jit_issuer::ssh::{Login, Logins};
/// let logins = Logins::new()
///     .with(Action::new("login")?, "host:prod".parse()?, Login::new("deploy")?)
///     .with(Action::new("administer")?, "host:prod/web-1".parse()?, Login::new("root")?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Logins(Vec<Entry>);

impl Logins {
    /// Gives no login for anything.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives a login to whoever may do this on this resource, or on one under it.
    #[must_use]
    pub fn with(mut self, action: Action, resource: Resource, login: Login) -> Self {
        self.0.push(Entry { action, resource, subject: None, login });
        self
    }

    /// Gives a login to this subject alone, as [`with`](Self::with) does.
    #[must_use]
    pub fn with_subject(mut self, subject: PrincipalId, action: Action, resource: Resource, login: Login) -> Self {
        self.0.push(Entry { action, resource, subject: Some(subject), login });
        self
    }

    /// The logins for a grant, sorted; `None` unless every action gives at least one, or if there are more than [`MAX_LOGINS`].
    pub(super) fn of(&self, subject: &PrincipalId, scope: &Scope) -> Option<Vec<&Login>> {
        let mut logins = Vec::new();
        for action in scope.actions() {
            let before = logins.len();
            logins.extend(self.0.iter().filter(|entry| entry.serves(subject, action, scope)).map(|entry| &entry.login));
            if logins.len() == before {
                return None;
            }
        }
        logins.sort_unstable();
        logins.dedup();
        (1..=MAX_LOGINS).contains(&logins.len()).then_some(logins)
    }
}

impl Entry {
    fn serves(&self, subject: &PrincipalId, action: &Action, scope: &Scope) -> bool {
        self.action == *action
            && scope.resource().is_within(&self.resource)
            && self.subject.as_ref().is_none_or(|own| own == subject)
    }
}
