//! Which group gives what, who is who, and what groups look like.

use std::{fmt, str::FromStr};

use jit_core::{Issuer, PrincipalId, Scope};
use uuid::Uuid;

use super::dn::{Dn, DnError};

/// The `entryUUID` of an entry (RFC 4530): it stays when the entry is renamed, and another entry of the same name has another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryUuid(Uuid);

/// A text is not the `entryUUID` of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a UUID")]
pub struct EntryUuidError;

impl FromStr for EntryUuid {
    type Err = EntryUuidError;

    fn from_str(text: &str) -> Result<Self, EntryUuidError> {
        Uuid::try_parse(text).map(Self).map_err(|_| EntryUuidError)
    }
}

impl fmt::Display for EntryUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A group that an issuer manages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManagedGroup {
    pub(super) dn: Dn,
    pub(super) uuid: EntryUuid,
}

impl ManagedGroup {
    /// The group of this name, as long as it is the entry with this `entryUUID`.
    #[must_use]
    pub fn new(dn: Dn, uuid: EntryUuid) -> Self {
        Self { dn, uuid }
    }
}

/// Which group gives exactly what a scope allows: one for each scope, since the end of access under one would be the end of that
/// under the other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ManagedGroups(Vec<(Scope, ManagedGroup)>);

impl ManagedGroups {
    /// No group for anything.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives membership in `group` to whoever may do exactly this; a later group takes the place of what the scope or the group had.
    #[must_use]
    pub fn with(mut self, scope: Scope, group: ManagedGroup) -> Self {
        self.0.retain(|(known, other)| *known != scope && other.uuid != group.uuid);
        self.0.push((scope, group));
        self
    }

    pub(super) fn of(&self, scope: &Scope) -> Option<&ManagedGroup> {
        self.0.iter().find(|(known, _)| known == scope).map(|(_, group)| group)
    }

    pub(super) fn named(&self, uuid: &str) -> Option<&ManagedGroup> {
        let uuid = uuid.parse().ok()?;
        self.iter().find(|group| group.uuid == uuid)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &ManagedGroup> {
        self.0.iter().map(|(_, group)| group)
    }
}

/// Which entry is whose. No two principals have the same one: the end of one's access would be the end of the other's.
///
/// ```
/// use jit_core::{Identity, Issuer, PrincipalId};
/// use jit_issuer::ldap::MemberNames;
/// let members = MemberNames::new().of_issuer(Issuer::new("idp.example")?, "uid", "ou=people,dc=example,dc=org".parse()?)?;
/// let alice = PrincipalId::Identity(Identity::new("idp.example", "alice")?);
/// let expected = "uid=alice,ou=people,dc=example,dc=org";
/// assert_eq!(members.of(&alice).map(|dn| dn.to_string()), Some(expected.to_owned()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemberNames {
    named: Vec<(PrincipalId, Dn)>,
    rule: Option<(Issuer, String, Dn)>,
}

impl MemberNames {
    /// Nobody has an entry.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives a principal an entry; a later one takes the place of what the principal or the entry had.
    #[must_use]
    pub fn with(mut self, principal: PrincipalId, entry: Dn) -> Self {
        self.named.retain(|(known, theirs)| *known != principal && !theirs.means(&entry));
        self.named.push((principal, entry));
        self
    }

    /// Reads the subjects of one issuer as values of `attribute` of entries right below `base`, escaped. A directory does not tell
    /// `Alice` from `alice`, and identities do: subjects in upper case have no entry by this rule.
    ///
    /// # Errors
    /// [`DnError`] if `attribute` is not the name of one.
    pub fn of_issuer(mut self, issuer: Issuer, attribute: &str, base: Dn) -> Result<Self, DnError> {
        base.child(attribute, "probe")?;
        self.rule = Some((issuer, attribute.to_owned(), base));
        Ok(self)
    }

    /// The entry of a principal, if it has one.
    #[must_use]
    pub fn of(&self, principal: &PrincipalId) -> Option<Dn> {
        if let Some((_, entry)) = self.named.iter().find(|(known, _)| known == principal) {
            return Some(entry.clone());
        }
        let (PrincipalId::Identity(identity), Some((issuer, attribute, base))) = (principal, &self.rule) else {
            return None;
        };
        let subject = identity.subject.as_str();
        let entry = base.child(attribute, subject).ok()?;
        let own = identity.issuer == *issuer && subject.to_lowercase() == subject;
        (own && self.named.iter().all(|(_, theirs)| !theirs.means(&entry))).then_some(entry)
    }
}

/// What the managed groups look like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupShape {
    pub(super) members: &'static str,
    pub(super) marks: String,
    pub(super) placeholder: Option<Dn>,
}

impl GroupShape {
    /// `groupOfNames`, with members in `member`. It may not be empty, so each group has this placeholder as a member, which is
    /// nobody: an entry that nobody can be, or a name without an entry.
    #[must_use]
    pub fn group_of_names(placeholder: Dn) -> Self {
        Self { members: "member", marks: "description".to_owned(), placeholder: Some(placeholder) }
    }

    /// `groupOfUniqueNames`, with members in `uniqueMember`, and a placeholder for the same reason.
    #[must_use]
    pub fn group_of_unique_names(placeholder: Dn) -> Self {
        Self { members: "uniqueMember", ..Self::group_of_names(placeholder) }
    }

    /// Groups with members in `member` that may be empty.
    #[must_use]
    pub fn may_be_empty() -> Self {
        Self { members: "member", marks: "description".to_owned(), placeholder: None }
    }

    /// Keeps marks in another attribute than `description`: one of text that takes several values and that the groups may have.
    #[must_use]
    pub fn with_marks_in(mut self, attribute: impl Into<String>) -> Self {
        self.marks = attribute.into();
        self
    }
}

#[cfg(test)]
mod tests {
    use jit_core::Identity;

    use super::*;

    fn identity(issuer: &str, subject: &str) -> PrincipalId {
        PrincipalId::Identity(Identity::new(issuer, subject).unwrap_or_else(|_| panic!("an identity")))
    }

    #[test]
    fn no_two_principals_have_one_entry() {
        let dn = |text: &str| text.parse::<Dn>().unwrap_or_else(|error| panic!("{error}"));
        let (first, second) = (identity("hr", "1"), identity("hr", "2"));
        let idp = Issuer::new("idp").unwrap_or_else(|_| panic!("an issuer"));
        let members = MemberNames::new()
            .with(first.clone(), dn("uid=alice,ou=people,dc=example"))
            .with(second.clone(), dn("UID=Alice, ou=people,dc=example"))
            .of_issuer(idp, "uid", dn("ou=people,dc=example"))
            .unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(members.of(&first), None);
        assert_eq!(members.of(&second), Some(dn("UID=Alice,ou=people,dc=example")));
        assert_eq!(members.of(&identity("idp", "alice")), None, "it is the second's");
        assert_eq!(members.of(&identity("idp", "bob")), Some(dn("uid=bob,ou=people,dc=example")));
        assert_eq!(members.of(&identity("idp", "Bob")), None);
        assert_eq!(members.of(&identity("other", "bob")), None);
        assert_eq!(members.of(&identity("idp", "#b")), Some(dn(r"uid=\#b,ou=people,dc=example")));
        assert!(
            MemberNames::new().of_issuer(Issuer::new("idp").unwrap_or_else(|_| panic!()), "u=v", dn("dc=x")).is_err()
        );
    }
}
