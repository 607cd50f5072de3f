//! How many approvals of which groups: every named group must be met, and no count is zero (INV-09).

use std::{collections::BTreeMap, num::NonZeroU16};

use serde::{Deserialize, Serialize};

use crate::text::GroupName;

/// A quorum names no group, or one group twice.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QuorumError {
    /// No group at all.
    #[error("quorum names no group")]
    Empty,
    /// The same group twice.
    #[error("quorum names group {0} twice")]
    Repeated(GroupName),
}

/// A number of approvals required of one group.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupCount {
    /// The group.
    pub group: GroupName,
    /// How many of its members must approve; at least one by type.
    pub count: NonZeroU16,
}

/// The approvals a grant needs: each named group's count must be met (AND across groups).
///
/// ```
/// use std::num::NonZeroU16;
/// use jit_core::{GroupCount, GroupName, Quorum};
/// let one = |g: &str| GroupCount { group: GroupName::new(g).unwrap(), count: NonZeroU16::MIN };
/// let quorum = Quorum::new(one("sre"), [one("dba")])?;
/// assert!(!quorum.is_met(&[GroupName::new("sre").unwrap()]));
/// # Ok::<(), jit_core::QuorumError>(())
/// ```
///
/// A quorum of zero does not compile:
///
/// ```compile_fail
/// # let group = jit_core::GroupName::new("sre").unwrap();
/// let quorum = jit_core::GroupCount { group, count: 0 };
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Vec<GroupCount>", into = "Vec<GroupCount>")]
pub struct Quorum(BTreeMap<GroupName, NonZeroU16>);

impl Quorum {
    /// A quorum of a first group and any number of others.
    ///
    /// # Errors
    /// [`QuorumError::Repeated`] if a group is named twice.
    pub fn new(first: GroupCount, others: impl IntoIterator<Item = GroupCount>) -> Result<Self, QuorumError> {
        let mut groups = BTreeMap::from([(first.group, first.count)]);
        for GroupCount { group, count } in others {
            if groups.insert(group.clone(), count).is_some() {
                return Err(QuorumError::Repeated(group));
            }
        }
        Ok(Self(groups))
    }

    /// Whether this group's approvals count.
    #[must_use]
    pub fn names(&self, group: &GroupName) -> bool {
        self.0.contains_key(group)
    }

    /// The groups with their counts, sorted by group.
    pub fn groups(&self) -> impl Iterator<Item = (&GroupName, NonZeroU16)> {
        self.0.iter().map(|(group, count)| (group, *count))
    }

    /// Whether approvals given for these groups, one entry an approval, meet every count.
    #[must_use]
    pub fn is_met(&self, approvals: &[GroupName]) -> bool {
        self.missing(approvals).next().is_none()
    }

    /// The groups whose count is not met, with how many approvals they still miss.
    pub fn missing<'a>(&'a self, approvals: &'a [GroupName]) -> impl Iterator<Item = (&'a GroupName, usize)> {
        self.0.iter().filter_map(|(group, count)| {
            let given = approvals.iter().filter(|g| *g == group).count();
            let lacking = usize::from(count.get()).saturating_sub(given);
            (lacking > 0).then_some((group, lacking))
        })
    }

    /// The stricter of both: each group with the larger count.
    #[must_use]
    pub fn strictest(mut self, other: &Quorum) -> Quorum {
        for (group, count) in &other.0 {
            let mine = self.0.entry(group.clone()).or_insert(*count);
            *mine = (*mine).max(*count);
        }
        self
    }

    /// Whether whatever meets `other` meets this one too.
    #[must_use]
    pub fn no_stricter_than(&self, other: &Quorum) -> bool {
        self.0.iter().all(|(group, count)| other.0.get(group).is_some_and(|theirs| count <= theirs))
    }
}

impl TryFrom<Vec<GroupCount>> for Quorum {
    type Error = QuorumError;
    fn try_from(groups: Vec<GroupCount>) -> Result<Self, QuorumError> {
        let mut groups = groups.into_iter();
        Self::new(groups.next().ok_or(QuorumError::Empty)?, groups)
    }
}

impl From<Quorum> for Vec<GroupCount> {
    fn from(quorum: Quorum) -> Self {
        quorum.0.into_iter().map(|(group, count)| GroupCount { group, count }).collect()
    }
}
