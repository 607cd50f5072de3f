//! How many approvals of which groups: every named group must be met, and no count is zero (INV-09). Who is asked when a group does
//! not answer in time.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroU16,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{source::Seconds, text::GroupName, time::Timestamp};

/// The most groups asked one after the other for one count.
pub const MAX_ESCALATIONS: usize = 8;

/// A quorum does not construct.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QuorumError {
    /// No group at all.
    #[error("quorum names no group")]
    Empty,
    /// The same group twice.
    #[error("quorum names group {0} twice")]
    Repeated(GroupName),
    /// An escalation of a group that is not asked.
    #[error("quorum does not name group {0}")]
    NotNamed(GroupName),
    /// Too many groups are asked one after the other.
    #[error("more than {MAX_ESCALATIONS} escalations of one group")]
    TooManyEscalations,
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

/// The group that is asked when those before it did not answer in time. Whoever was asked before may still answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EscalationStep {
    /// How long those before it have.
    pub after: Seconds,
    /// The group asked then.
    pub to: GroupName,
}

/// An escalation as it was recorded: the group that did not answer, and the one asked then.
pub type Escalated = (GroupName, GroupName);

/// An escalation that a quorum has in store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NextEscalation {
    /// When it is due.
    pub at: Timestamp,
    /// The group that has not answered.
    pub from: GroupName,
    /// The group asked then.
    pub to: GroupName,
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
#[serde(try_from = "Entries", into = "Entries")]
pub struct Quorum(BTreeMap<GroupName, Demand>);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Demand {
    count: NonZeroU16,
    /// No step names a group of the quorum, or one group twice.
    escalation: Vec<EscalationStep>,
}

/// The groups of a quorum as records carry them.
#[derive(Serialize, Deserialize)]
struct Entries(Vec<Entry>);

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    group: GroupName,
    count: NonZeroU16,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    escalation: Vec<EscalationStep>,
}

impl Quorum {
    /// A quorum of a first group and any number of others.
    ///
    /// # Errors
    /// [`QuorumError::Repeated`] if a group is named twice.
    pub fn new(first: GroupCount, others: impl IntoIterator<Item = GroupCount>) -> Result<Self, QuorumError> {
        let mut groups = BTreeMap::new();
        for GroupCount { group, count } in std::iter::once(first).chain(others) {
            if groups.insert(group.clone(), Demand { count, escalation: Vec::new() }).is_some() {
                return Err(QuorumError::Repeated(group));
            }
        }
        Ok(Self(groups))
    }

    /// Names the groups that are asked one after the other when a group does not answer in time.
    ///
    /// # Errors
    /// [`QuorumError`] if the quorum does not name the group, a step names a group of the quorum or one group twice, or there
    /// are too many.
    pub fn escalating(
        mut self,
        group: &GroupName,
        steps: impl IntoIterator<Item = EscalationStep>,
    ) -> Result<Self, QuorumError> {
        let steps: Vec<EscalationStep> = steps.into_iter().take(MAX_ESCALATIONS.saturating_add(1)).collect();
        if steps.len() > MAX_ESCALATIONS {
            return Err(QuorumError::TooManyEscalations);
        }
        let mut seen = BTreeSet::new();
        if let Some(again) = steps.iter().find(|step| self.0.contains_key(&step.to) || !seen.insert(&step.to)) {
            return Err(QuorumError::Repeated(again.to.clone()));
        }
        let demand = self.0.get_mut(group).ok_or_else(|| QuorumError::NotNamed(group.clone()))?;
        demand.escalation = steps;
        Ok(self)
    }

    /// Whether this group's approvals count from the beginning.
    #[must_use]
    pub fn names(&self, group: &GroupName) -> bool {
        self.0.contains_key(group)
    }

    /// The groups with their counts, sorted by group.
    pub fn groups(&self) -> impl Iterator<Item = (&GroupName, NonZeroU16)> {
        self.0.iter().map(|(group, demand)| (group, demand.count))
    }

    /// The groups asked one after the other when this one does not answer.
    #[must_use]
    pub fn escalation(&self, group: &GroupName) -> &[EscalationStep] {
        self.0.get(group).map_or(&[], |demand| &demand.escalation)
    }

    /// Whether approvals given for these groups, one entry an approval, meet every count.
    #[must_use]
    pub fn is_met(&self, approvals: &[GroupName]) -> bool {
        self.is_met_after(approvals, &BTreeSet::new())
    }

    /// The same after these escalations: the approvals of a group that was asked then count for the one that did not answer.
    #[must_use]
    pub fn is_met_after(&self, approvals: &[GroupName], escalated: &BTreeSet<Escalated>) -> bool {
        self.missing_after(approvals, escalated).next().is_none()
    }

    /// The groups whose count is not met, with how many approvals they still miss.
    pub fn missing<'a>(&'a self, approvals: &'a [GroupName]) -> impl Iterator<Item = (&'a GroupName, usize)> {
        self.missing_after(approvals, &BTreeSet::new())
    }

    /// The same after these escalations.
    pub fn missing_after(
        &self,
        approvals: &[GroupName],
        escalated: &BTreeSet<Escalated>,
    ) -> impl Iterator<Item = (&GroupName, usize)> + use<'_> {
        let mut left: BTreeMap<&GroupName, usize> = BTreeMap::new();
        for group in approvals {
            let given = left.entry(group).or_default();
            *given = given.saturating_add(1);
        }
        let mut missing = Vec::new();
        for (group, demand) in &self.0 {
            let mut lacking = usize::from(demand.count.get());
            // A group may be asked in the place of several; each of its approvals counts for one of them.
            for asked in std::iter::once(group).chain(demand.asked_after(group, escalated)) {
                if let Some(given) = left.get_mut(asked) {
                    let counted = lacking.min(*given);
                    (*given, lacking) = (given.saturating_sub(counted), lacking.saturating_sub(counted));
                }
            }
            if lacking > 0 {
                missing.push((group, lacking));
            }
        }
        missing.into_iter()
    }

    /// Whether an approval for this group would count now: it is asked, and what it is asked for is not met.
    #[must_use]
    pub fn awaits(&self, group: &GroupName, approvals: &[GroupName], escalated: &BTreeSet<Escalated>) -> bool {
        self.missing_after(approvals, escalated).any(|(named, _)| {
            named == group
                || self.0.get(named).is_some_and(|demand| demand.asked_after(named, escalated).any(|to| to == group))
        })
    }

    /// Whether this group was asked from the beginning, or by one of these escalations.
    #[must_use]
    pub fn asks(&self, group: &GroupName, escalated: &BTreeSet<Escalated>) -> bool {
        self.0
            .iter()
            .any(|(named, demand)| named == group || demand.asked_after(named, escalated).any(|to| to == group))
    }

    /// The escalation that is due first if nobody else answers: of a group that was asked at `asked` and whose count is not met.
    #[must_use]
    pub fn next_escalation(
        &self,
        asked: Timestamp,
        approvals: &[GroupName],
        escalated: &BTreeSet<Escalated>,
    ) -> Option<NextEscalation> {
        let next = |(group, _): (&GroupName, usize)| {
            let demand = self.0.get(group)?;
            let done = demand.asked_after(group, escalated).count();
            let to = demand.escalation.get(done)?.to.clone();
            let from = done.checked_sub(1).and_then(|last| demand.escalation.get(last)).map_or(group, |step| &step.to);
            Some(NextEscalation { at: demand.escalates_at(asked, done), from: from.clone(), to })
        };
        self.missing_after(approvals, escalated).filter_map(next).min_by(|a, b| (a.at, &a.from).cmp(&(b.at, &b.from)))
    }

    /// When this escalation could happen, if the group was asked at `asked`; `None` if the quorum has none such.
    #[must_use]
    pub fn escalates_at(&self, asked: Timestamp, escalated: &Escalated) -> Option<Timestamp> {
        self.0
            .iter()
            .filter_map(|(group, demand)| demand.step_of(group, escalated).map(|at| demand.escalates_at(asked, at)))
            .min()
    }

    /// The stricter of both: each group with the larger count, and with the escalations that both have, the later of each.
    #[must_use]
    pub fn strictest(mut self, other: &Quorum) -> Quorum {
        for (group, theirs) in &other.0 {
            match self.0.get_mut(group) {
                None => drop(self.0.insert(group.clone(), theirs.clone())),
                Some(mine) => {
                    mine.count = mine.count.max(theirs.count);
                    let both = mine.escalation.iter().zip(&theirs.escalation).take_while(|(a, b)| a.to == b.to);
                    let later = |(a, b): (&EscalationStep, &EscalationStep)| EscalationStep {
                        after: a.after.max(b.after),
                        to: a.to.clone(),
                    };
                    mine.escalation = both.map(later).collect();
                }
            }
        }
        // A group that must approve for itself cannot be asked in another's place.
        let named: BTreeSet<GroupName> = self.0.keys().cloned().collect();
        for demand in self.0.values_mut() {
            let kept = demand.escalation.iter().take_while(|step| !named.contains(&step.to)).count();
            demand.escalation.truncate(kept);
        }
        self
    }

    /// Whether whatever meets `other` meets this one too.
    #[must_use]
    pub fn no_stricter_than(&self, other: &Quorum) -> bool {
        self.0.iter().all(|(group, mine)| {
            other.0.get(group).is_some_and(|theirs| {
                let steps = theirs
                    .escalation
                    .iter()
                    .zip(&mine.escalation)
                    .take_while(|(t, m)| t.to == m.to && m.after <= t.after);
                mine.count <= theirs.count && steps.count() == theirs.escalation.len()
            })
        })
    }
}

impl Demand {
    /// The groups that these escalations have asked in the place of `group`, in order.
    fn asked_after<'d>(
        &'d self,
        group: &'d GroupName,
        escalated: &BTreeSet<Escalated>,
    ) -> impl Iterator<Item = &'d GroupName> + use<'d> {
        let mut from = group;
        let mut done = 0_usize;
        for step in &self.escalation {
            if !escalated.contains(&(from.clone(), step.to.clone())) {
                break;
            }
            (from, done) = (&step.to, done.saturating_add(1));
        }
        self.escalation.iter().take(done).map(|step| &step.to)
    }

    fn step_of(&self, group: &GroupName, (from, to): &Escalated) -> Option<usize> {
        let before = std::iter::once(group).chain(self.escalation.iter().map(|step| &step.to));
        before.zip(&self.escalation).position(|(before, step)| before == from && step.to == *to)
    }

    fn escalates_at(&self, asked: Timestamp, step: usize) -> Timestamp {
        let steps = self.escalation.iter().take(step.saturating_add(1));
        let wait = steps.fold(Duration::ZERO, |sum, step| sum.saturating_add(step.after.to_duration()));
        asked.saturating_add(wait)
    }
}

impl TryFrom<Vec<GroupCount>> for Quorum {
    type Error = QuorumError;
    fn try_from(groups: Vec<GroupCount>) -> Result<Self, QuorumError> {
        let mut groups = groups.into_iter();
        Self::new(groups.next().ok_or(QuorumError::Empty)?, groups)
    }
}

impl TryFrom<Entries> for Quorum {
    type Error = QuorumError;
    fn try_from(Entries(entries): Entries) -> Result<Self, QuorumError> {
        let counts: Vec<GroupCount> =
            entries.iter().map(|e| GroupCount { group: e.group.clone(), count: e.count }).collect();
        let mut quorum = Self::try_from(counts)?;
        for entry in entries.into_iter().filter(|e| !e.escalation.is_empty()) {
            quorum = quorum.escalating(&entry.group, entry.escalation)?;
        }
        Ok(quorum)
    }
}

impl From<Quorum> for Entries {
    fn from(quorum: Quorum) -> Self {
        let entry = |(group, Demand { count, escalation })| Entry { group, count, escalation };
        Self(quorum.0.into_iter().map(entry).collect())
    }
}
