//! Where a certificate says why it exists: a private extension under an arc of the deployment's own.

use std::{fmt, str::FromStr};

use x509_cert::{
    der::{
        self, Encode as _,
        asn1::{ObjectIdentifier, OctetString, Utf8StringRef},
    },
    ext::Extension,
};

use super::signed::sequence;
use crate::authorization::MintAuthorization;

/// `iso.org.dod.internet.private.enterprise`, under which IANA assigns arcs.
const PRIVATE_ENTERPRISE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1");
/// The most bytes that resource and actions may have together; every handshake carries them.
pub(super) const MAX_SCOPE: usize = 4096;

/// A text is not an arc under a private enterprise number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an object identifier under 1.3.6.1.4.1")]
pub struct OidArcError;

/// An arc under a private enterprise number, `1.3.6.1.4.1.<number>…`, under which this crate uses:
///
/// - `.1`, non-critical, in certificates: a DER `SEQUENCE` of `UTF8String`s: credential id, grant id, decision id, evidence digest
///   (`sha256:<hex>`, the leaf of the `credential.intended`), log, resource, and then each action;
/// - `.2`, non-critical, in entries of revocation lists: a `GeneralizedTime`, the `notAfter` of the certificate.
///
/// ```
/// use jit_issuer::x509::OidArc;
/// let arc: OidArc = "1.3.6.1.4.1.32473.7".parse()?; // 32473 is for documentation (RFC 5612); use your own number
/// assert_eq!(arc.to_string(), "1.3.6.1.4.1.32473.7");
/// # Ok::<(), jit_issuer::x509::OidArcError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OidArc {
    arc: ObjectIdentifier,
    binding: ObjectIdentifier,
    list_entry: ObjectIdentifier,
}

impl OidArc {
    /// The extension that binds a certificate to its grant.
    pub(super) fn binding(&self) -> ObjectIdentifier {
        self.binding
    }

    /// The extension that says when a listed certificate ends.
    pub(super) fn list_entry(&self) -> ObjectIdentifier {
        self.list_entry
    }
}

impl FromStr for OidArc {
    type Err = OidArcError;
    fn from_str(text: &str) -> Result<Self, OidArcError> {
        let arc = ObjectIdentifier::new(text).map_err(|_| OidArcError)?;
        if arc.len() <= PRIVATE_ENTERPRISE.len() || !arc.starts_with(PRIVATE_ENTERPRISE) {
            return Err(OidArcError);
        }
        let child = |number| arc.push_arc(number).map_err(|_| OidArcError);
        Ok(Self { arc, binding: child(1)?, list_entry: child(2)? })
    }
}

impl fmt::Display for OidArc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.arc, f)
    }
}

/// The extension for a certificate minted under this authorisation.
pub(super) fn extension(arc: &OidArc, authorization: &MintAuthorization) -> der::Result<Extension> {
    let scope = authorization.scope();
    let reason = [
        authorization.credential().to_string(),
        authorization.grant().to_string(),
        authorization.decision().to_string(),
        authorization.evidence().to_string(),
        authorization.log().to_string(),
        scope.resource().to_string(),
    ];
    let texts = reason.iter().map(String::as_str).chain(scope.actions().iter().map(jit_core::Action::as_str));
    let encoded = texts.map(|text| Utf8StringRef::new(text)?.to_der()).collect::<der::Result<Vec<_>>>()?;
    let parts: Vec<&[u8]> = encoded.iter().map(Vec::as_slice).collect();
    let value = sequence(&parts)?;
    Ok(Extension { extn_id: arc.binding(), critical: false, extn_value: OctetString::new(value)? })
}
