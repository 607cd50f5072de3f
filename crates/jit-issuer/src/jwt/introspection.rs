//! The answer to a resource server that asks about a token (RFC 7662 section 2.2).

use jit_core::{
    AccessObserved, Case, CredentialDescriptor, CredentialId, MintState, PrincipalId, RevocationState, SystemName,
    Timestamp, code,
};
use serde::{Serialize, Serializer, ser::SerializeMap as _};

use super::claims::Claims;
use crate::used::{ObservedUse, UseBinding};

/// What is said of a token: all of it while it is active, nothing otherwise. Serialises to the answer.
#[derive(Debug)]
pub struct Introspection<'a> {
    claims: Option<Claims<'a>>,
    credential: CredentialId,
    at: Timestamp,
}

#[derive(Serialize)]
struct Active<'a, 'c> {
    active: bool,
    token_type: &'static str,
    #[serde(flatten)]
    claims: &'c Claims<'a>,
}

impl<'a> Introspection<'a> {
    pub(super) fn new(claims: Option<Claims<'a>>, credential: CredentialId, at: Timestamp) -> Self {
        Self { claims, credential, at }
    }

    /// Whether the token works.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.claims.is_some()
    }

    /// The use of the token that the question is evidence of, for `Broker::observe`; `None` unless it is active. `system` is the resource
    /// server that asked, and `by` whom it has authenticated as the token's presenter by other means, a client certificate for
    /// example. A resource server that keeps answers asks less often than the token is used.
    #[must_use]
    pub fn observed(&self, system: SystemName, by: Option<PrincipalId>) -> Option<ObservedUse> {
        self.is_active().then_some(ObservedUse {
            binding: UseBinding::Credential(self.credential),
            event: AccessObserved {
                system,
                occurred_at: self.at,
                act: code!("token_introspected"),
                detail: None,
                by,
                line: None,
            },
        })
    }
}

impl Serialize for Introspection<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.claims {
            Some(claims) => Active { active: true, token_type: claims.token_type(), claims }.serialize(serializer),
            None => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry("active", &false)?;
                map.end()
            }
        }
    }
}

/// The token, if evidence says that it works at this moment: issued, within its window, its grant live, and no attempt made to take
/// it back.
pub(super) fn working(case: &Case, credential: CredentialId, at: Timestamp) -> Option<&CredentialDescriptor> {
    let known = case.credentials().get(&credential)?;
    let descriptor = known.descriptor.as_ref()?;
    let live = case.grant().is_some_and(|grant| grant.end.is_none());
    let untouched = known.revocation == RevocationState::None && !known.expired;
    (live && untouched && known.mint == MintState::Issued && descriptor.window.contains(at)).then_some(descriptor)
}
