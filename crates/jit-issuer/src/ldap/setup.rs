//! What must be true of a directory before its groups are managed.

use jit_core::{Code, IssuerName, code};

use super::{
    config::{EntryUuid, GroupShape, ManagedGroup, ManagedGroups},
    dn::Dn,
    group::{self, GroupEntry},
    message::{Act, Change},
    session::{LdapTarget, Session, Trouble},
};

/// Groups of a directory cannot be managed as they are.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LdapIssuerError {
    /// It cannot be asked.
    #[error("the directory does not answer: {cause}")]
    Unavailable {
        /// Why.
        cause: Code,
    },
    /// No group is given for any scope.
    #[error("no scope gives membership in a group")]
    NoGroup,
    /// There is no entry of this name that the issuer may read.
    #[error("there is no group {0}")]
    NoSuchGroup(Dn),
    /// The entry of this name is another one than was configured.
    #[error("group {group} is not the entry that was configured, but {found:?}")]
    AnotherGroup {
        /// Its name.
        group: Dn,
        /// Its `entryUUID`, if it has one that can be read.
        found: Option<EntryUuid>,
    },
    /// The group may not be empty and lacks the placeholder, so its last member could not be taken out.
    #[error("group {0} may not be empty and has no placeholder among its members")]
    NoPlaceholder(Dn),
    /// The issuer may not change the group, or the group cannot have what is to be changed.
    #[error("group {group} cannot be changed in {attribute}: {cause}")]
    CannotChange {
        /// Its name.
        group: Dn,
        /// Which attribute.
        attribute: String,
        /// Why.
        cause: Code,
    },
}

impl From<Trouble> for LdapIssuerError {
    fn from(trouble: Trouble) -> Self {
        Self::Unavailable { cause: trouble.code() }
    }
}

/// Finds out whether the groups can be managed. Leaves nothing behind.
pub(super) async fn examine(
    target: &LdapTarget,
    groups: &ManagedGroups,
    shape: &GroupShape,
    issuer: &IssuerName,
) -> Result<(), LdapIssuerError> {
    let mut session = target.session().await?;
    if groups.iter().next().is_none() {
        return Err(LdapIssuerError::NoGroup);
    }
    for managed in groups.iter() {
        let group = managed.dn.clone();
        let entry = match session.read(&group.to_string(), &["entryUUID"]).await {
            Err(Trouble::NoEntry) => return Err(LdapIssuerError::NoSuchGroup(group)),
            entry => entry?,
        };
        let found = group::uuid(&entry);
        if found != Some(managed.uuid) {
            return Err(LdapIssuerError::AnotherGroup { group, found });
        }
        let entry = GroupEntry::read(&mut session, managed, shape, issuer).await?;
        let may_not_be_empty = entry.classes.iter().any(|c| c == "groupofnames" || c == "groupofuniquenames");
        let has_placeholder =
            shape.placeholder.as_ref().is_some_and(|nobody| entry.members.contains_key(&group::label(nobody)));
        if may_not_be_empty && !has_placeholder {
            return Err(LdapIssuerError::NoPlaceholder(group));
        }
        for (attribute, nothing) in [(shape.members, "cn=nobody,cn=nowhere"), (shape.marks.as_str(), NOTHING)] {
            if let Err(trouble) = change_nothing(&mut session, managed, attribute, nothing).await {
                return Err(LdapIssuerError::CannotChange {
                    group,
                    attribute: attribute.to_owned(),
                    cause: trouble.code(),
                });
            }
        }
    }
    Ok(())
}

/// A mark that nobody leaves.
const NOTHING: &str = "jit: nothing";

/// Waits until what was asked of the directory before is done: it changes an entry in one order with everybody, and deleting a value
/// that is not there changes nothing.
pub(super) async fn wait_for_others(
    session: &mut Session,
    group: &ManagedGroup,
    shape: &GroupShape,
) -> Result<(), Trouble> {
    change_nothing(session, group, &shape.marks, NOTHING).await
}

async fn change_nothing(
    session: &mut Session,
    group: &ManagedGroup,
    attribute: &str,
    nothing: &str,
) -> Result<(), Trouble> {
    match session.modify(&group.dn.to_string(), &[Change::new(Act::Delete, attribute, nothing)]).await {
        Err(Trouble::Absent) => Ok(()),
        Ok(()) => Err(Trouble::Refused(code!("not_as_expected"))),
        Err(trouble) => Err(trouble),
    }
}
