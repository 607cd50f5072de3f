//! The answer to a resource server that asks about a token (RFC 7662 section 2.2).

use jit_core::{Case, CredentialDescriptor, CredentialId, MintState, RevocationState, Timestamp};
use serde::{Serialize, Serializer, ser::SerializeMap as _};

use super::claims::Claims;

/// What is said of a token: all of it while it is active, nothing otherwise. Serialises to the answer.
#[derive(Debug)]
pub struct Introspection<'a>(Option<Claims<'a>>);

#[derive(Serialize)]
struct Active<'a, 'c> {
    active: bool,
    token_type: &'static str,
    #[serde(flatten)]
    claims: &'c Claims<'a>,
}

impl<'a> Introspection<'a> {
    pub(super) fn new(claims: Option<Claims<'a>>) -> Self {
        Self(claims)
    }

    /// Whether the token works.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.0.is_some()
    }
}

impl Serialize for Introspection<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
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
