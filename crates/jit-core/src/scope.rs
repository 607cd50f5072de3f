//! What access is about: a resource, a set of actions, and the order between scopes.

use std::{collections::BTreeSet, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::text::{Action, ResourceKind, TextError, check};

/// A resource or scope does not construct.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScopeError {
    /// A part of a name is wrong.
    #[error(transparent)]
    Text(#[from] TextError),
    /// A resource is not of the form `kind:segment/segment`.
    #[error("resource is not of the form kind:segment/segment")]
    Resource,
    /// A scope without actions.
    #[error("scope has no action")]
    NoAction,
    /// More actions than allowed in one scope.
    #[error("scope has more than {max} actions")]
    TooManyActions {
        /// The limit.
        max: usize,
    },
}

/// The most actions one scope may name.
pub const MAX_ACTIONS: usize = 64;
/// The most segments a resource path may have.
pub const MAX_SEGMENTS: usize = 16;

/// A resource: a kind and a path from the general to the particular. A path prefix contains what lies under it.
///
/// ```
/// use jit_core::Resource;
/// let database: Resource = "database:prod/orders".parse()?;
/// let table: Resource = "database:prod/orders/invoices".parse()?;
/// assert!(table.is_within(&database) && !database.is_within(&table));
/// # Ok::<(), jit_core::ScopeError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Resource {
    kind: ResourceKind,
    segments: Vec<String>,
}

impl Resource {
    /// The kind of thing this is.
    #[must_use]
    pub fn kind(&self) -> &ResourceKind {
        &self.kind
    }

    /// The path, its segments joined by `/`.
    #[must_use]
    pub fn path(&self) -> String {
        self.segments.join("/")
    }

    /// Whether this is `outer` or lies under it.
    #[must_use]
    pub fn is_within(&self, outer: &Resource) -> bool {
        self.kind == outer.kind && self.segments.starts_with(&outer.segments)
    }
}

impl FromStr for Resource {
    type Err = ScopeError;
    fn from_str(text: &str) -> Result<Self, ScopeError> {
        let (kind, path) = text.split_once(':').ok_or(ScopeError::Resource)?;
        let segments: Vec<String> = path.split('/').map(str::to_owned).collect();
        if segments.len() > MAX_SEGMENTS {
            return Err(ScopeError::Resource);
        }
        for segment in &segments {
            check("resource segment", 255, |c| !c.is_control(), segment)?;
            if matches!(segment.as_str(), "." | "..") {
                return Err(ScopeError::Resource);
            }
        }
        if kind.contains(['/', ':']) {
            return Err(ScopeError::Resource);
        }
        Ok(Self { kind: ResourceKind::new(kind)?, segments })
    }
}

impl TryFrom<String> for Resource {
    type Error = ScopeError;
    fn try_from(text: String) -> Result<Self, ScopeError> {
        text.parse()
    }
}

impl From<Resource> for String {
    fn from(resource: Resource) -> String {
        resource.to_string()
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind, self.segments.join("/"))
    }
}

impl fmt::Debug for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A resource and a non-empty set of actions on it.
///
/// ```
/// use jit_core::{Action, Scope};
/// let read = Scope::new("database:prod/orders".parse()?, [Action::new("read")?])?;
/// let both = Scope::new("database:prod".parse()?, [Action::new("read")?, Action::new("write")?])?;
/// assert!(read.is_within(&both) && !both.is_within(&read));
/// # Ok::<(), jit_core::ScopeError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Parts", into = "Parts")]
pub struct Scope {
    resource: Resource,
    actions: BTreeSet<Action>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Parts {
    resource: Resource,
    actions: Vec<Action>,
}

impl Scope {
    /// A scope of these actions on this resource.
    ///
    /// # Errors
    /// [`ScopeError::NoAction`] if there is none, [`ScopeError::TooManyActions`] past [`MAX_ACTIONS`].
    pub fn new(resource: Resource, actions: impl IntoIterator<Item = Action>) -> Result<Self, ScopeError> {
        let actions: BTreeSet<Action> = actions.into_iter().collect();
        if actions.is_empty() {
            return Err(ScopeError::NoAction);
        }
        if actions.len() > MAX_ACTIONS {
            return Err(ScopeError::TooManyActions { max: MAX_ACTIONS });
        }
        Ok(Self { resource, actions })
    }

    /// What the actions are on.
    #[must_use]
    pub fn resource(&self) -> &Resource {
        &self.resource
    }

    /// The actions, sorted; at least one.
    #[must_use]
    pub fn actions(&self) -> &BTreeSet<Action> {
        &self.actions
    }

    /// One action on the same resource.
    #[must_use]
    pub(crate) fn with_action(&self, action: Action) -> Self {
        Self { resource: self.resource.clone(), actions: BTreeSet::from([action]) }
    }

    /// Whether everything this scope allows, `outer` allows too.
    #[must_use]
    pub fn is_within(&self, outer: &Scope) -> bool {
        self.resource.is_within(&outer.resource) && self.actions.is_subset(&outer.actions)
    }

    /// What both scopes allow, or `None` if that is nothing.
    #[must_use]
    pub fn intersect(&self, other: &Scope) -> Option<Scope> {
        let resource = if self.resource.is_within(&other.resource) {
            &self.resource
        } else if other.resource.is_within(&self.resource) {
            &other.resource
        } else {
            return None;
        };
        Scope::new(resource.clone(), self.actions.intersection(&other.actions).cloned()).ok()
    }
}

impl TryFrom<Parts> for Scope {
    type Error = ScopeError;
    fn try_from(parts: Parts) -> Result<Self, ScopeError> {
        Scope::new(parts.resource, parts.actions)
    }
}

impl From<Scope> for Parts {
    fn from(scope: Scope) -> Parts {
        Parts { resource: scope.resource, actions: scope.actions.into_iter().collect() }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, action) in self.actions.iter().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            write!(f, "{action}")?;
        }
        write!(f, " on {}", self.resource)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scope() -> impl Strategy<Value = Scope> {
        let path = proptest::collection::vec("[ab]", 1..4).prop_map(|s| format!("k:{}", s.join("/")));
        let actions = proptest::collection::btree_set("[xyz]", 1..4);
        (path, actions)
            .prop_map(|(p, a)| Scope::new(p.parse().unwrap(), a.into_iter().map(|a| Action::new(a).unwrap())).unwrap())
    }

    proptest! {
        #[test]
        fn within_is_a_partial_order(a in scope(), b in scope(), c in scope()) {
            prop_assert!(a.is_within(&a));
            prop_assert!(!(a.is_within(&b) && b.is_within(&a)) || a == b);
            prop_assert!(!(a.is_within(&b) && b.is_within(&c)) || a.is_within(&c));
        }

        #[test]
        fn the_intersection_is_the_largest_scope_within_both(a in scope(), b in scope(), c in scope()) {
            match a.intersect(&b) {
                Some(both) => {
                    prop_assert!(both.is_within(&a) && both.is_within(&b));
                    prop_assert!(!(c.is_within(&a) && c.is_within(&b)) || c.is_within(&both));
                }
                None => prop_assert!(!(c.is_within(&a) && c.is_within(&b))),
            }
            prop_assert_eq!(a.intersect(&b), b.intersect(&a));
        }
    }

    #[test]
    fn a_prefix_of_a_name_is_not_a_prefix_of_the_path() {
        let a: Resource = "db:prod/orders".parse().unwrap();
        let b: Resource = "db:prod/orders2".parse().unwrap();
        assert!(!b.is_within(&a));
        for bad in ["db", "db:", "db:a//b", "db:a/../b", ":a", "d b:a", "db:a\n"] {
            assert!(bad.parse::<Resource>().is_err(), "{bad}");
        }
    }
}
