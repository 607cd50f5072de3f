//! X509-SVIDs (SPIFFE X509-SVID specification): workloads by the certificate of their connection.

use std::time::Duration;

use data_encoding::HEXLOWER;
use jit_core::{Code, ExternalId, PrincipalId, SpiffeId, Timestamp, TokenFacts, VerifiedToken, canonical::Text, code};
use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use webpki::{ALL_VERIFICATION_ALGS, EndEntityCert, KeyUsage as ExtendedUsage, anchor_from_trusted_cert};
use x509_cert::{
    Certificate,
    der::{Decode as _, EncodePem as _, pem::LineEnding},
    ext::pkix::{BasicConstraints, KeyUsage, SubjectAltName, name::GeneralName},
};

use crate::{jwt_svid::Svid, token::sha256, trust_domain::TrustDomain, verified::Verified};

/// The most certificates in a chain, the workload's included.
const MAX_CHAIN: usize = 8;
/// The most bytes in one certificate.
const MAX_DER: usize = 16 * 1024;
/// The most roots in a bundle.
const MAX_ROOTS: usize = 64;

/// A certificate, or a bundle of roots, is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// There is no certificate, or no root.
    #[error("there is no certificate")]
    Empty,
    /// More certificates, or bytes in one, than any chain needs.
    #[error("more than {MAX_CHAIN} certificates, {MAX_ROOTS} roots, or {MAX_DER} bytes in one")]
    TooLarge,
    /// A certificate does not parse.
    #[error("not a certificate")]
    Malformed,
    /// It does not lead to a root of the trust domain (RFC 5280 section 6), or a signature on the way does not verify.
    #[error("no valid path leads from the certificate to a root of the trust domain")]
    Path,
    /// A certificate is over.
    #[error("certificate expired at {at}")]
    Expired {
        /// When.
        at: Timestamp,
    },
    /// A certificate is not valid yet.
    #[error("certificate is not valid before {at}")]
    NotYetValid {
        /// From when on.
        at: Timestamp,
    },
    /// It may sign certificates, so it is no workload's (section 4.1).
    #[error("certificate is that of an authority")]
    Authority,
    /// Its key usage is absent, not critical, without signatures, or that of an authority (section 4.3).
    #[error("key usage of the certificate is not that of a workload")]
    KeyUsage,
    /// It has no URI as alternative name, or several, or one that is no SPIFFE id (section 2).
    #[error("certificate names not exactly one workload")]
    Name,
    /// The SPIFFE id is of another trust domain.
    #[error("certificate is of another trust domain")]
    TrustDomain,
}

impl CertificateError {
    /// A stable code for records.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Empty => code!("certificate_missing"),
            Self::TooLarge => code!("certificate_too_large"),
            Self::Malformed => code!("certificate_malformed"),
            Self::Path => code!("certificate_path"),
            Self::Expired { .. } => code!("certificate_expired"),
            Self::NotYetValid { .. } => code!("certificate_not_yet_valid"),
            Self::Authority => code!("certificate_authority"),
            Self::KeyUsage => code!("certificate_key_usage"),
            Self::Name => code!("certificate_name"),
            Self::TrustDomain => code!("certificate_trust_domain"),
        }
    }
}

/// A trust domain whose X509-SVIDs are believed.
///
/// Limits: no revocation lists are read (SVIDs are short-lived), and a path through an authority with name constraints on URIs is
/// refused.
#[derive(Debug, Clone)]
pub struct X509Svids {
    domain: TrustDomain,
    roots: Vec<TrustAnchor<'static>>,
}

impl X509Svids {
    /// The trust domain, and the roots of its bundle in DER.
    ///
    /// # Errors
    /// [`CertificateError`] if there is no root, too many, or one that is no certificate.
    pub fn new(
        domain: TrustDomain,
        roots: impl IntoIterator<Item = impl AsRef<[u8]>>,
    ) -> Result<Self, CertificateError> {
        let mut anchors = Vec::new();
        for root in roots {
            if anchors.len() >= MAX_ROOTS || root.as_ref().len() > MAX_DER {
                return Err(CertificateError::TooLarge);
            }
            let der = CertificateDer::from(root.as_ref());
            anchors.push(anchor_from_trusted_cert(&der).map_err(|_| CertificateError::Malformed)?.to_owned());
        }
        if anchors.is_empty() { Err(CertificateError::Empty) } else { Ok(Self { domain, roots: anchors }) }
    }

    /// The roots in PEM, several in one text.
    ///
    /// # Errors
    /// [`CertificateError`] as in [`X509Svids::new`].
    pub fn from_pem(domain: TrustDomain, pem: &[u8]) -> Result<Self, CertificateError> {
        Self::new(domain, certificates(pem, MAX_ROOTS)?)
    }

    /// Verifies the chain of a TLS peer, the workload's own certificate first, in DER.
    ///
    /// A certificate is public: it says who somebody is only where a handshake, or another signature, has shown that they have
    /// its key. That is the caller's to see to, so it hands in the chain of an established connection.
    ///
    /// # Errors
    /// [`CertificateError`] with the first rule that it breaks.
    pub fn peer(&self, chain: &[impl AsRef<[u8]>], now: Timestamp) -> Result<Verified<Svid>, CertificateError> {
        if chain.len() > MAX_CHAIN || chain.iter().any(|der| der.as_ref().len() > MAX_DER) {
            return Err(CertificateError::TooLarge);
        }
        let (own, above) = chain.split_first().ok_or(CertificateError::Empty)?;
        let own = CertificateDer::from(own.as_ref());
        let above: Vec<CertificateDer<'_>> = above.iter().map(|der| CertificateDer::from(der.as_ref())).collect();
        let certificate = Certificate::from_der(own.as_ref()).map_err(|_| CertificateError::Malformed)?;
        self.validate(&own, &above, now)?;
        let spiffe_id = workload(&certificate)?;
        if !self.domain.has(&spiffe_id) {
            return Err(CertificateError::TrustDomain);
        }
        let token = self.facts(&certificate, own.as_ref(), &spiffe_id)?;
        Ok(Verified::new(Svid { spiffe_id }, token))
    }

    fn validate(
        &self,
        own: &CertificateDer<'_>,
        above: &[CertificateDer<'_>],
        now: Timestamp,
    ) -> Result<(), CertificateError> {
        let end_entity = EndEntityCert::try_from(own).map_err(|_| CertificateError::Malformed)?;
        let since = Duration::from_micros(now.as_micros().unsigned_abs());
        let time = UnixTime::since_unix_epoch(since);
        let usage = ExtendedUsage::client_auth();
        let path = end_entity.verify_for_usage(ALL_VERIFICATION_ALGS, &self.roots, above, time, usage, None, None);
        path.map(drop).map_err(|error| match error {
            webpki::Error::CertExpired { not_after, .. } => CertificateError::Expired { at: moment(not_after) },
            webpki::Error::CertNotValidYet { not_before, .. } => {
                CertificateError::NotYetValid { at: moment(not_before) }
            }
            webpki::Error::CaUsedAsEndEntity => CertificateError::Authority,
            webpki::Error::BadDer => CertificateError::Malformed,
            _ => CertificateError::Path,
        })
    }

    fn facts(&self, own: &Certificate, der: &[u8], id: &SpiffeId) -> Result<VerifiedToken, CertificateError> {
        let malformed = |_| CertificateError::Malformed;
        let tbs = own.tbs_certificate();
        let validity = tbs.validity();
        let seconds = |since: Duration| moment(UnixTime::since_unix_epoch(since));
        let serial = ExternalId::new(HEXLOWER.encode(tbs.serial_number().as_bytes())).map_err(malformed)?;
        let facts = TokenFacts {
            kind: code!("x509_svid"),
            issuer: self.domain.issuer().map_err(|_| CertificateError::TrustDomain)?,
            digest: sha256(der),
            id: Some(serial),
            algorithm: code!("x509"),
            key: None,
            subject: PrincipalId::Workload(id.clone()),
            actors: Vec::new(),
            issued: Some(seconds(validity.not_before.to_unix_duration())),
            expires: seconds(validity.not_after.to_unix_duration()),
            transaction: None,
        };
        let pem = own.to_pem(LineEnding::LF).map_err(|_| CertificateError::Malformed)?;
        Ok(VerifiedToken { facts, claims: Text::new(pem).map_err(|_| CertificateError::Malformed)? })
    }
}

/// The one workload that a certificate is for (sections 2, 4.1 and 4.3).
fn workload(certificate: &Certificate) -> Result<SpiffeId, CertificateError> {
    let tbs = certificate.tbs_certificate();
    let malformed = |_| CertificateError::Malformed;
    if let Some((_, constraints)) = tbs.get_extension::<BasicConstraints>().map_err(malformed)?
        && constraints.ca
    {
        return Err(CertificateError::Authority);
    }
    match tbs.get_extension::<KeyUsage>().map_err(malformed)? {
        Some((true, usage)) if usage.digital_signature() && !usage.key_cert_sign() && !usage.crl_sign() => {}
        _ => return Err(CertificateError::KeyUsage),
    }
    let Some((_, names)) = tbs.get_extension::<SubjectAltName>().map_err(malformed)? else {
        return Err(CertificateError::Name);
    };
    let mut uris = names.0.iter().filter_map(|name| match name {
        GeneralName::UniformResourceIdentifier(uri) => Some(uri.as_str()),
        _ => None,
    });
    match (uris.next(), uris.next()) {
        (Some(only), None) => only.parse().map_err(|_| CertificateError::Name),
        _ => Err(CertificateError::Name),
    }
}

/// The DER of every certificate in a PEM text.
fn certificates(pem: &[u8], most: usize) -> Result<Vec<Vec<u8>>, CertificateError> {
    if pem.len() > most.saturating_mul(MAX_DER).saturating_mul(2) {
        return Err(CertificateError::TooLarge);
    }
    let all = Certificate::load_pem_chain(pem).map_err(|_| CertificateError::Malformed)?;
    let der = |certificate: &Certificate| x509_cert::der::Encode::to_der(certificate);
    all.iter().map(|certificate| der(certificate).map_err(|_| CertificateError::Malformed)).collect()
}

fn moment(time: UnixTime) -> Timestamp {
    Timestamp::EPOCH.saturating_add(Duration::from_secs(time.as_secs()))
}
