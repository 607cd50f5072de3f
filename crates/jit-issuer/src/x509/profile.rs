//! What a certificate says (RFC 5280, X509-SVID), all of it from the authorisation.

use std::time::Duration;

use jit_core::{CredentialId, Entropy, EntropyError, ExternalId, SpiffeId, TextError, Timestamp, Window, random_bytes};
use sha2::{Digest as _, Sha256};
use x509_cert::{
    der::{
        self, Decode as _, Encode as _, TagMode, TagNumber,
        asn1::{ContextSpecific, Ia5String, ObjectIdentifier, OctetString},
        oid::{
            AssociatedOid,
            db::rfc5280::{ID_KP_CLIENT_AUTH, ID_KP_SERVER_AUTH},
        },
    },
    ext::{
        Extension,
        pkix::{
            AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages, SubjectAltName,
            SubjectKeyIdentifier, name::GeneralName,
        },
    },
    name::Name,
    serial_number::SerialNumber,
    spki::SubjectPublicKeyInfoRef,
    time::{Time, Validity},
};

use super::{Authority, OidArc, binding, signed};
use crate::{authorization::MintAuthorization, key::PublicKey};

/// `v3` (RFC 5280 section 4.1.2.1).
const V3: u8 = 2;
/// RFC 5280 section 4.2.1.2 leaves the digest open; RFC 7093 section 2 (1) takes this much of SHA-256.
const KEY_ID_LEN: usize = 20;

/// A serial number of 128 bits, written as 32 upper-case hexadecimal digits. The two highest bits are 01, so that it is positive
/// and always as long; the others are random.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Serial([u8; 16]);

impl Serial {
    pub(super) fn random(entropy: &dyn Entropy) -> Result<Self, EntropyError> {
        let number = u128::from_be_bytes(random_bytes(entropy)?);
        Ok(Self((number & (u128::MAX >> 1) | (1 << 126)).to_be_bytes()))
    }

    /// `None` for what this crate never wrote.
    pub(super) fn from_id(id: &ExternalId) -> Option<Self> {
        let number = u128::from_str_radix(id.as_str(), 16).ok()?;
        let serial = Self(number.to_be_bytes());
        (number >> 126 == 1 && serial.to_string() == id.as_str()).then_some(serial)
    }

    pub(super) fn to_der(self) -> der::Result<SerialNumber> {
        SerialNumber::new(&self.0)
    }

    pub(super) fn to_id(self) -> Result<ExternalId, TextError> {
        ExternalId::new(self.to_string())
    }
}

impl std::fmt::Display for Serial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032X}", u128::from_be_bytes(self.0))
    }
}

/// What goes into a certificate beside the authorisation.
pub(super) struct Contents<'a> {
    pub(super) authority: &'a Authority,
    pub(super) arc: &'a OidArc,
    pub(super) serial: Serial,
    pub(super) workload: &'a SpiffeId,
    pub(super) key: &'a PublicKey,
    /// Whole seconds, at least two.
    pub(super) window: Window,
}

impl Contents<'_> {
    /// The `TBSCertificate` (RFC 5280 section 4.1).
    pub(super) fn to_be_signed(&self, authorization: &MintAuthorization) -> der::Result<Vec<u8>> {
        let algorithm = signed::identifier(self.authority.key().algorithm());
        // `notAfter` is inside the validity, the end of a window is not.
        let last = self.window.end().saturating_sub(Duration::from_secs(1));
        let validity: Validity = Validity::new(time(self.window.start())?, time(last)?);
        signed::sequence(&[
            &explicit(0, V3)?,
            &self.serial.to_der()?.to_der()?,
            &algorithm.to_der()?,
            &self.authority.subject().to_der()?,
            &validity.to_der()?,
            &common_name(authorization.credential())?.to_der()?,
            self.key.as_der(),
            &explicit(3, self.extensions(authorization)?)?,
        ])
    }

    fn extensions(&self, authorization: &MintAuthorization) -> der::Result<Vec<Extension>> {
        let uri = Ia5String::new(self.workload.as_str())?;
        let mut extensions = vec![
            extension(&BasicConstraints { ca: false, path_len_constraint: None }, true)?,
            extension(&KeyUsage(KeyUsages::DigitalSignature.into()), true)?,
            extension(&ExtendedKeyUsage(vec![ID_KP_SERVER_AUTH, ID_KP_CLIENT_AUTH]), false)?,
            extension(&SubjectAltName(vec![GeneralName::UniformResourceIdentifier(uri)]), false)?,
            extension(&SubjectKeyIdentifier(key_id(self.key)?), false)?,
        ];
        extensions.extend(authority_key_id(self.authority)?);
        extensions.push(binding::extension(self.arc, authorization)?);
        Ok(extensions)
    }
}

/// An extension that names the issuing key, if its certificate has a name for it (RFC 5280 section 4.2.1.1).
pub(super) fn authority_key_id(authority: &Authority) -> der::Result<Option<Extension>> {
    let Some(id) = authority.key_id() else { return Ok(None) };
    let id = AuthorityKeyIdentifier { key_identifier: Some(id.clone()), ..AuthorityKeyIdentifier::default() };
    extension(&id, false).map(Some)
}

pub(super) fn extension<T: AssociatedOid + der::Encode>(value: &T, critical: bool) -> der::Result<Extension> {
    let extn_id: ObjectIdentifier = T::OID;
    Ok(Extension { extn_id, critical, extn_value: OctetString::new(value.to_der()?)? })
}

/// A time in whole seconds; `UTCTime` through 2049 (RFC 5280 section 4.1.2.5).
pub(super) fn time(at: Timestamp) -> der::Result<Time> {
    let since_epoch = Duration::from_secs(at.unix_seconds().unsigned_abs());
    Ok(Time::from(der::DateTime::from_unix_duration(since_epoch)?))
}

/// The credential id, because most servers log the subject.
fn common_name(credential: CredentialId) -> der::Result<Name> {
    format!("CN={credential}").parse()
}

fn key_id(key: &PublicKey) -> der::Result<OctetString> {
    let info = SubjectPublicKeyInfoRef::from_der(key.as_der())?;
    let digest = Sha256::digest(info.subject_public_key.raw_bytes());
    OctetString::new(digest.get(..KEY_ID_LEN).unwrap_or(&digest))
}

fn explicit<T: der::Encode + der::EncodeValue + der::Tagged>(number: u32, value: T) -> der::Result<Vec<u8>> {
    ContextSpecific { tag_number: TagNumber(number), tag_mode: TagMode::Explicit, value }.to_der()
}
