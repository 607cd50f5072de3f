//! Which login role is whose.

use jit_core::{Issuer, PrincipalId};

use crate::postgres::RoleName;

/// Which login role a principal has on the server. No two principals have the same one: the end of one's access would be the
/// end of the other's.
///
/// ```
/// use jit_core::{Identity, Issuer, PrincipalId};
/// use jit_issuer::postgres::{RoleName, membership::MemberRoles};
/// let deployer = PrincipalId::Workload("spiffe://example.org/ci/deployer".parse()?);
/// let members = MemberRoles::new().of_issuer(Issuer::new("idp.example")?).with(deployer.clone(), RoleName::new("ci_deployer")?);
/// assert_eq!(members.of(&deployer).map(|role| role.as_str().to_owned()), Some("ci_deployer".to_owned()));
/// let alice = PrincipalId::Identity(Identity::new("idp.example", "alice")?);
/// assert_eq!(members.of(&alice).map(|role| role.as_str().to_owned()), Some("alice".to_owned()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemberRoles {
    named: Vec<(PrincipalId, RoleName)>,
    issuer: Option<Issuer>,
}

impl MemberRoles {
    /// Nobody has a role.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives a principal a role; a later one takes the place of what the principal or the role had.
    #[must_use]
    pub fn with(mut self, principal: PrincipalId, role: RoleName) -> Self {
        self.named.retain(|(known, theirs)| *known != principal && *theirs != role);
        self.named.push((principal, role));
        self
    }

    /// Reads the subjects of one issuer as names of roles, as written. Roles that were given by [`with`](Self::with) are not read so.
    #[must_use]
    pub fn of_issuer(mut self, issuer: Issuer) -> Self {
        self.issuer = Some(issuer);
        self
    }

    /// The role of a principal, if it has one.
    #[must_use]
    pub fn of(&self, principal: &PrincipalId) -> Option<RoleName> {
        if let Some((_, role)) = self.named.iter().find(|(known, _)| known == principal) {
            return Some(role.clone());
        }
        let PrincipalId::Identity(identity) = principal else { return None };
        let role = RoleName::new(identity.subject.as_str()).ok()?;
        let free = self.named.iter().all(|(_, theirs)| *theirs != role);
        (free && self.issuer.as_ref() == Some(&identity.issuer)).then_some(role)
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
    fn no_two_principals_have_one_role() {
        let role = |name: &str| RoleName::new(name).ok();
        let Some(shared) = role("alice") else { panic!("a role") };
        let (first, second) = (identity("hr", "1"), identity("hr", "2"));
        let idp = Issuer::new("idp").unwrap_or_else(|_| panic!("an issuer"));
        let members =
            MemberRoles::new().of_issuer(idp).with(first.clone(), shared.clone()).with(second.clone(), shared);
        assert_eq!(members.of(&first), None);
        assert_eq!(members.of(&second), role("alice"));
        assert_eq!(members.of(&identity("idp", "alice")), None, "it is the second's");
        assert_eq!(members.of(&identity("idp", "bob")), role("bob"));
        assert_eq!(members.of(&identity("other", "bob")), None);
        assert_eq!(members.of(&identity("idp", "pg_monitor")), None);
        assert_eq!(members.of(&identity("idp", "a/b")), None);
    }
}
