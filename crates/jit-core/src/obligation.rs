//! What a decision demands besides its outcome, and how several demands merge: the strictest wins.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{canonical::Value, condition, demand::JustificationDemand, quorum::Quorum, source::Seconds, text::Code};

/// Where a condition is enforced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Enforcement {
    /// By the broker before it mints.
    Broker,
    /// By the issuer, inside the credential.
    Issuer,
    /// By the target.
    Target,
    /// By nobody: the condition is advice.
    Advisory,
}

/// A condition under which access is given, and where it is enforced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// Names the condition, `source_network` for example.
    pub id: Code,
    /// Its parameter.
    pub value: Value,
    /// Where it is enforced.
    pub enforcement: Enforcement,
}

/// One demand of a decision, in the shape of the AuthZEN obligations profile. A type not listed here denies (INV-12).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "properties", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Obligation {
    /// Approvals of people before anything is granted.
    Approvals(Quorum),
    /// The longest window that may be asked for.
    MaxDuration(Seconds),
    /// A condition under which access is given.
    Condition(Condition),
    /// How long people have for their approvals; after that the request lapses.
    ApprovalDeadline(Seconds),
    /// What the justification must have.
    Justification(JustificationDemand),
}

/// All demands of a decision, merged.
///
/// ```
/// use std::num::NonZeroU32;
/// use jit_core::{Obligation, Obligations, Seconds};
/// let hours = |h: u32| Obligation::MaxDuration(Seconds::new(NonZeroU32::new(h * 3600).unwrap()));
/// let merged = Obligations::merge([hours(4), hours(2)])?;
/// assert_eq!(merged.max_duration().unwrap().get(), 7200);
/// # Ok::<(), jit_core::ObligationConflict>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Obligation>", into = "Vec<Obligation>")]
pub struct Obligations {
    approvals: Option<Quorum>,
    max_duration: Option<Seconds>,
    conditions: Vec<Condition>,
    approval_deadline: Option<Seconds>,
    justification: Option<JustificationDemand>,
}

/// Two demands cannot both be met: the same condition with two values that do not merge.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("condition {0} is demanded with values that contradict each other")]
pub struct ObligationConflict(pub Code);

impl Obligations {
    /// Merges demands: the larger count per group, the shortest durations, the union of conditions and of what a justification
    /// must have.
    /// Commutative, associative, idempotent.
    ///
    /// # Errors
    /// [`ObligationConflict`] if one condition is demanded with values that contradict each other.
    pub fn merge(all: impl IntoIterator<Item = Obligation>) -> Result<Self, ObligationConflict> {
        let mut merged = Self::default();
        let mut conditions: BTreeMap<Code, Condition> = BTreeMap::new();
        for obligation in all {
            match obligation {
                Obligation::Approvals(quorum) => {
                    merged.approvals = Some(match merged.approvals.take() {
                        Some(existing) => existing.strictest(&quorum),
                        None => quorum,
                    });
                }
                Obligation::MaxDuration(limit) => {
                    merged.max_duration = Some(merged.max_duration.map_or(limit, |m| m.min(limit)));
                }
                Obligation::Condition(condition) => {
                    let same = conditions.entry(condition.id.clone()).or_insert_with(|| condition.clone());
                    same.value = condition::both(&condition.id, &same.value, &condition.value)
                        .ok_or_else(|| ObligationConflict(condition.id.clone()))?;
                    // The earlier enforcement point is the stricter one; `Advisory` is last.
                    same.enforcement = same.enforcement.min(condition.enforcement);
                }
                Obligation::ApprovalDeadline(limit) => {
                    merged.approval_deadline = Some(merged.approval_deadline.map_or(limit, |d| d.min(limit)));
                }
                Obligation::Justification(demand) => {
                    let others = merged.justification.take().unwrap_or_default();
                    merged.justification = Some(others.and(&demand));
                }
            }
        }
        merged.conditions = conditions.into_values().collect();
        Ok(merged)
    }

    /// The approvals demanded, if any.
    #[must_use]
    pub fn approvals(&self) -> Option<&Quorum> {
        self.approvals.as_ref()
    }

    /// The longest window allowed, if limited.
    #[must_use]
    pub fn max_duration(&self) -> Option<Seconds> {
        self.max_duration
    }

    /// The conditions, sorted by id.
    #[must_use]
    pub fn conditions(&self) -> &[Condition] {
        &self.conditions
    }

    /// How long people have for their approvals, if limited.
    #[must_use]
    pub fn approval_deadline(&self) -> Option<Seconds> {
        self.approval_deadline
    }

    /// What the justification must have, if anything.
    #[must_use]
    pub fn justification(&self) -> Option<&JustificationDemand> {
        self.justification.as_ref()
    }

    /// What has been met once these demands and then those on an extension were: the approvals of both, the conditions of
    /// the grant, and the longest window that the later decision allows.
    #[must_use]
    pub(crate) fn extended_by(self, extension: &Obligations) -> Obligations {
        let approvals = match (self.approvals, &extension.approvals) {
            (Some(mine), Some(theirs)) => Some(mine.strictest(theirs)),
            (mine, theirs) => mine.or_else(|| theirs.clone()),
        };
        let justification = match (self.justification, &extension.justification) {
            (Some(mine), Some(theirs)) => Some(mine.and(theirs)),
            (mine, theirs) => mine.or_else(|| theirs.clone()),
        };
        Obligations { approvals, max_duration: extension.max_duration, justification, ..self }
    }

    /// Whether whatever satisfies `other` satisfies these demands too (INV-08, re-evaluation). A deadline for approvals is not
    /// compared: it ends with them.
    #[must_use]
    pub fn no_stricter_than(&self, other: &Obligations) -> bool {
        let approvals = match (&self.approvals, &other.approvals) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(mine), Some(theirs)) => mine.no_stricter_than(theirs),
        };
        let duration = match (self.max_duration, other.max_duration) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(mine), Some(theirs)) => mine >= theirs,
        };
        let theirs = |mine: &Condition| other.conditions.binary_search_by(|c| c.id.cmp(&mine.id)).ok();
        let known = |mine: &Condition| {
            theirs(mine)
                .and_then(|at| other.conditions.get(at))
                .is_some_and(|theirs| condition::no_stricter(mine, theirs))
        };
        let justification = match (&self.justification, &other.justification) {
            (None, _) => true,
            (Some(mine), theirs) => mine.no_stricter_than(theirs.as_ref().unwrap_or(&JustificationDemand::default())),
        };
        approvals && duration && justification && self.conditions.iter().all(known)
    }
}

impl TryFrom<Vec<Obligation>> for Obligations {
    type Error = ObligationConflict;
    fn try_from(all: Vec<Obligation>) -> Result<Self, ObligationConflict> {
        Self::merge(all)
    }
}

impl From<Obligations> for Vec<Obligation> {
    fn from(o: Obligations) -> Self {
        o.approvals
            .map(Obligation::Approvals)
            .into_iter()
            .chain(o.max_duration.map(Obligation::MaxDuration))
            .chain(o.conditions.into_iter().map(Obligation::Condition))
            .chain(o.approval_deadline.map(Obligation::ApprovalDeadline))
            .chain(o.justification.map(Obligation::Justification))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::num::{NonZeroU16, NonZeroU32};

    use proptest::prelude::*;

    use super::*;
    use crate::{
        quorum::{EscalationStep, GroupCount},
        text::{GroupName, SystemName},
    };

    fn obligation() -> impl Strategy<Value = Obligation> {
        prop_oneof![
            ("[ab]", 1u16..4).prop_map(|(g, n)| {
                let count = NonZeroU16::new(n).unwrap();
                Obligation::Approvals(Quorum::new(GroupCount { group: GroupName::new(g).unwrap(), count }, []).unwrap())
            }),
            ("[abc]", proptest::collection::vec(("[a-e]", 1u32..4), 0..3)).prop_map(|(g, steps)| {
                let count = GroupCount { group: GroupName::new(g).unwrap(), count: NonZeroU16::MIN };
                let group = count.group.clone();
                let steps = steps.into_iter().map(|(to, s)| EscalationStep {
                    after: Seconds::new(NonZeroU32::new(s).unwrap()),
                    to: GroupName::new(to).unwrap(),
                });
                let quorum = Quorum::new(count, []).unwrap();
                Obligation::Approvals(quorum.clone().escalating(&group, steps).unwrap_or(quorum))
            }),
            (1u32..9).prop_map(|s| Obligation::ApprovalDeadline(Seconds::new(NonZeroU32::new(s).unwrap()))),
            (0u32..9, "[AB]-#", "[st]").prop_map(|(min, ticket, system)| {
                let demand = JustificationDemand::default().min_length(min).ticket(ticket.parse().unwrap());
                Obligation::Justification(demand.reference(SystemName::new(system).unwrap()))
            }),
            (1u32..9).prop_map(|s| Obligation::MaxDuration(Seconds::new(NonZeroU32::new(s).unwrap()))),
            ("[pq]", any::<bool>(), any::<bool>()).prop_map(|(id, value, advisory)| {
                let enforcement = if advisory { Enforcement::Advisory } else { Enforcement::Target };
                Obligation::Condition(Condition { id: Code::new(id).unwrap(), value: Value::Bool(value), enforcement })
            }),
        ]
    }

    proptest! {
        #[test]
        fn merging_obeys_its_laws(a in proptest::collection::vec(obligation(), 0..5), b in proptest::collection::vec(obligation(), 0..5)) {
            let ab = Obligations::merge(a.iter().chain(&b).cloned());
            let ba = Obligations::merge(b.iter().chain(&a).cloned());
            prop_assert_eq!(ab.is_ok(), ba.is_ok());
            let (Ok(ab), Ok(ba)) = (ab, ba) else { return Ok(()) };
            prop_assert_eq!(&ab, &ba);
            let grouped = Obligations::merge(
                Vec::from(Obligations::merge(a.clone()).unwrap()).into_iter().chain(Vec::from(Obligations::merge(b).unwrap())),
            ).unwrap();
            prop_assert_eq!(&grouped, &ab);
            prop_assert_eq!(&Obligations::merge(Vec::from(ab.clone()).into_iter().chain(Vec::from(ab.clone()))).unwrap(), &ab);
            prop_assert!(ab.no_stricter_than(&ab));
            if let Ok(a) = Obligations::merge(a.iter().filter(|o| !matches!(o, Obligation::Condition(_))).cloned()) {
                prop_assert!(a.no_stricter_than(&ab));
            }
        }
    }
}
