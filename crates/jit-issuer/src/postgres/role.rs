//! Which role a grant gives membership in.

use jit_core::Scope;

use crate::role_name::RoleName;

/// Which prepared role gives exactly what a scope allows.
///
/// A grant becomes a member of one role, whose rights were given to it once: rights given object by object would grow the catalogue
/// with every grant. A scope without a role of its own is refused; one that allows less would get too much, one that allows more
/// too little.
///
/// ```
/// use jit_core::{Action, Scope};
/// use jit_issuer::postgres::{GroupRoles, RoleName};
/// let read = Scope::new("database:prod/orders".parse()?, [Action::new("read")?])?;
/// let groups = GroupRoles::new().with(read, RoleName::new("orders_reader")?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupRoles(Vec<(Scope, RoleName)>);

impl GroupRoles {
    /// No role for anything.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives membership in `role` to whoever may do exactly this; a later role for the same scope takes its place.
    #[must_use]
    pub fn with(mut self, scope: Scope, role: RoleName) -> Self {
        self.0.retain(|(known, _)| *known != scope);
        self.0.push((scope, role));
        self
    }

    pub(super) fn of(&self, scope: &Scope) -> Option<&RoleName> {
        self.0.iter().find(|(known, _)| known == scope).map(|(_, role)| role)
    }

    pub(super) fn roles(&self) -> impl Iterator<Item = &RoleName> {
        self.0.iter().map(|(_, role)| role)
    }
}
