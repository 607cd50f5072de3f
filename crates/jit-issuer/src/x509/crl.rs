//! What a revocation list says (RFC 5280 section 5).

use std::{collections::BTreeMap, time::Duration};

use jit_core::{CredentialDescriptor, Kind, Timestamp};
use x509_cert::{
    Version,
    crl::{CertificateList, RevokedCert, TbsCertList},
    der::{
        self, Decode as _, Encode as _,
        asn1::{GeneralizedTime, OctetString, Uint},
    },
    ext::{
        Extension,
        pkix::{CrlNumber, CrlReason as ReasonCode},
    },
    serial_number::SerialNumber,
};

use super::{
    Authority, CrlError, OidArc,
    authority::moment,
    profile::{Serial, authority_key_id, extension, time},
    signed::{Signed, identifier},
};

/// Why a certificate was taken back (RFC 5280 section 5.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CrlReason {
    /// Its key is, or may be, in other hands.
    KeyCompromise,
    /// Its holder is no longer who may have it.
    AffiliationChanged,
    /// Another certificate takes its place.
    Superseded,
    /// It is no longer needed.
    CessationOfOperation,
    /// What it allowed was withdrawn.
    PrivilegeWithdrawn,
}

impl CrlReason {
    /// The reason that the end of a grant gives, if it gives one.
    #[must_use]
    pub fn of_end(end: &Kind) -> Option<Self> {
        match end {
            Kind::GrantRevoked => Some(Self::PrivilegeWithdrawn),
            Kind::GrantEligibilityWithdrawn => Some(Self::AffiliationChanged),
            Kind::GrantSuperseded => Some(Self::Superseded),
            Kind::GrantTerminated | Kind::GrantExpired => Some(Self::CessationOfOperation),
            _ => None,
        }
    }

    fn code(self) -> ReasonCode {
        match self {
            Self::KeyCompromise => ReasonCode::KeyCompromise,
            Self::AffiliationChanged => ReasonCode::AffiliationChanged,
            Self::Superseded => ReasonCode::Superseded,
            Self::CessationOfOperation => ReasonCode::CessationOfOperation,
            Self::PrivilegeWithdrawn => ReasonCode::PrivilegeWithdrawn,
        }
    }
}

/// A certificate that was taken back, as evidence knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    serial: Serial,
    at: Timestamp,
    not_after: Timestamp,
    reason: Option<CrlReason>,
}

impl Revocation {
    /// The certificate of this descriptor, taken back at this moment.
    ///
    /// # Errors
    /// [`CrlError::NotACertificate`] if no issuer of this module minted it.
    pub fn new(descriptor: &CredentialDescriptor, at: Timestamp, reason: Option<CrlReason>) -> Result<Self, CrlError> {
        let serial = Serial::from_id(&descriptor.serial).ok_or(CrlError::NotACertificate(descriptor.id))?;
        let not_after = descriptor.window.end().saturating_sub(Duration::from_secs(1));
        Ok(Self { serial, at, not_after, reason })
    }

    /// When it was taken back.
    #[must_use]
    pub fn at(&self) -> Timestamp {
        self.at
    }

    pub(super) fn serial(&self) -> der::Result<SerialNumber> {
        self.serial.to_der()
    }

    fn to_entry(&self, arc: &OidArc) -> der::Result<RevokedCert> {
        let since_epoch = Duration::from_secs(self.not_after.unix_seconds().unsigned_abs());
        let not_after = GeneralizedTime::from_unix_duration(since_epoch)?.to_der()?;
        let reason = self.reason.map(|reason| extension(&reason.code(), false)).transpose()?;
        let not_after =
            Extension { extn_id: arc.list_entry(), critical: false, extn_value: OctetString::new(not_after)? };
        Ok(RevokedCert {
            serial_number: self.serial()?,
            revocation_date: time(self.at)?,
            crl_entry_extensions: Some(reason.into_iter().chain([not_after]).collect()),
        })
    }
}

/// A revocation list before it is signed, or as it was read. Entries of others are kept as they are.
#[derive(Debug, Clone)]
pub(super) struct Crl {
    pub(super) number: u64,
    pub(super) this_update: Timestamp,
    pub(super) entries: BTreeMap<SerialNumber, RevokedCert>,
}

impl Crl {
    /// The list that follows `before` at this moment, with the same entries.
    ///
    /// Numbers are microseconds since 1970, so that they grow even if the file was lost; of two lists within one microsecond the
    /// second counts on. What ended before the last list was made has been in it once after its end, and is dropped (section 3.3).
    pub(super) fn following(before: Option<Crl>, at: Timestamp, arc: &OidArc) -> Self {
        let number = at.as_micros().unsigned_abs();
        let Some(mut list) = before else { return Self { number, this_update: at, entries: BTreeMap::new() } };
        let last = list.this_update;
        list.entries.retain(|_, entry| not_after(entry, arc).is_none_or(|end| end >= last));
        list.number = number.max(list.number.saturating_add(1));
        list.this_update = at.max(last);
        list
    }

    pub(super) fn add(&mut self, revocation: &Revocation, arc: &OidArc) -> der::Result<()> {
        let entry = revocation.to_entry(arc)?;
        self.entries.entry(entry.serial_number.clone()).or_insert(entry);
        Ok(())
    }

    /// Whether a certificate had ended before this list is made.
    pub(super) fn is_over(&self, revocation: &Revocation) -> bool {
        revocation.not_after < self.this_update
    }

    /// The `TBSCertList`.
    pub(super) fn to_be_signed(&self, authority: &Authority, lifetime: Duration) -> der::Result<Vec<u8>> {
        let number = extension(&CrlNumber(Uint::new(&self.number.to_be_bytes())?), false)?;
        let entries: Vec<RevokedCert> = self.entries.values().cloned().collect();
        TbsCertList {
            version: Version::V2,
            signature: identifier(authority.key().algorithm()),
            issuer: authority.subject().clone(),
            this_update: time(self.this_update)?,
            next_update: Some(time(self.this_update.saturating_add(lifetime))?),
            // An empty list has no such member (section 5.1.2.6).
            revoked_certificates: (!entries.is_empty()).then_some(entries),
            crl_extensions: Some(authority_key_id(authority)?.into_iter().chain([number]).collect()),
        }
        .to_der()
    }

    /// `None` unless it is a complete list that this authority signed.
    pub(super) fn parse(der: &[u8], authority: &Authority) -> Option<Self> {
        if !Signed::parse(der)?.is_by(authority.key().public_key()) {
            return None;
        }
        let list: CertificateList = CertificateList::from_der(der).ok()?;
        let list = list.tbs_cert_list;
        if list.issuer != *authority.subject() {
            return None;
        }
        let number = list.crl_extensions.unwrap_or_default().into_iter().find(|e| e.extn_id == NUMBER)?;
        let number = Uint::from_der(number.extn_value.as_bytes()).ok()?;
        let entries = list.revoked_certificates.unwrap_or_default();
        Some(Self {
            number: u64::from_str_radix(&hex(number.as_bytes()), 16).ok()?,
            this_update: moment(list.this_update)?,
            entries: entries.into_iter().map(|entry| (entry.serial_number.clone(), entry)).collect(),
        })
    }
}

const NUMBER: der::asn1::ObjectIdentifier = <CrlNumber as der::oid::AssociatedOid>::OID;

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

/// When a listed certificate ends, if the entry is one of ours.
fn not_after(entry: &RevokedCert, arc: &OidArc) -> Option<Timestamp> {
    let extension = entry.crl_entry_extensions.as_ref()?.iter().find(|e| e.extn_id == arc.list_entry())?;
    let time = GeneralizedTime::from_der(extension.extn_value.as_bytes()).ok()?;
    moment(x509_cert::time::Time::GeneralTime(time))
}
