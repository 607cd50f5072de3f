//! The authority that signs: its key, its certificate, and the certificates above it, checked to belong together.

use std::{fmt, str::FromStr, sync::Arc, time::Duration};

use jit_core::{SpiffeId, Timestamp, Window};
use x509_cert::{
    Certificate,
    der::{Decode as _, Document, Encode as _, asn1::OctetString},
    ext::pkix::{BasicConstraints, KeyUsage, SubjectAltName, SubjectKeyIdentifier, name::GeneralName},
    name::Name,
    time::Time,
};

use super::signed::Signed;
use crate::key::{KeyError, PublicKey, SigningKey};

/// The most certificates of a chain.
pub const MAX_CHAIN: usize = 8;
/// The most bytes of a chain in PEM.
const MAX_PEM: usize = 131_072;
const END: &str = "-----END CERTIFICATE-----";

/// A key and a chain do not make an authority. Positions count from 0, the certificate of the key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthorityError {
    /// There is no certificate, or more than [`MAX_CHAIN`].
    #[error("chain has no certificate, or more than {MAX_CHAIN}")]
    Length,
    /// A certificate is not readable.
    #[error("certificate {0} of the chain is not a PEM certificate of version 3")]
    Malformed(usize),
    /// The key is not usable.
    #[error("key of the authority is not usable")]
    Key(#[from] KeyError),
    /// The first certificate is of another key.
    #[error("first certificate of the chain is not of the key")]
    OtherKey,
    /// A certificate may not sign certificates: it is no CA, or its key usage says so (RFC 5280 sections 4.2.1.3, 4.2.1.9).
    #[error("certificate {0} of the chain is no CA that may sign certificates")]
    NotCa(usize),
    /// A certificate allows fewer CAs below it than there are (RFC 5280 section 4.2.1.9).
    #[error("certificate {0} of the chain allows fewer certificates below it")]
    PathLength(usize),
    /// A certificate was not issued by the next one.
    #[error("certificate {0} of the chain is not signed by the next one")]
    NotIssuedByNext(usize),
    /// A certificate names another trust domain (X509-SVID section 4.2).
    #[error("certificate {position} of the chain is not of trust domain {expected}")]
    OtherTrustDomain {
        /// Which certificate.
        position: usize,
        /// Whose it should be.
        expected: TrustDomain,
    },
    /// There is no moment at which all certificates are valid.
    #[error("certificates of the chain are never valid together")]
    NeverValid,
}

/// A text is not the name of a trust domain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not the name of a trust domain")]
pub struct TrustDomainError;

/// The name of a trust domain (SPIFFE-ID specification section 2.1), without a scheme.
///
/// ```
/// use jit_issuer::x509::TrustDomain;
/// let domain: TrustDomain = "example.org".parse()?;
/// assert!(domain.has(&"spiffe://example.org/agents/helper".parse()?));
/// assert!(!domain.has(&"spiffe://example.org.evil/agents/helper".parse()?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TrustDomain(String);

impl TrustDomain {
    /// Whether the workload is of this trust domain.
    #[must_use]
    pub fn has(&self, workload: &SpiffeId) -> bool {
        let rest = workload.as_str().strip_prefix("spiffe://").and_then(|rest| rest.strip_prefix(self.0.as_str()));
        rest.is_some_and(|rest| rest.starts_with('/'))
    }
}

impl FromStr for TrustDomain {
    type Err = TrustDomainError;
    fn from_str(text: &str) -> Result<Self, TrustDomainError> {
        let named: Result<SpiffeId, _> = format!("spiffe://{text}/x").parse();
        if named.is_ok() && !text.contains('/') { Ok(Self(text.to_owned())) } else { Err(TrustDomainError) }
    }
}

impl fmt::Display for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A signing key with its certificate and those above it, for one trust domain.
///
/// The chain begins with the certificate of the key, and each certificate is signed by the next. It may end with the root or
/// below it; a self-signed last certificate is not handed out, because whoever verifies has it already.
///
/// ```no_run
/// use std::sync::Arc;
/// use jit_issuer::{key::LocalKey, x509::Authority};
///
/// let key = Arc::new(LocalKey::from_file("/etc/broker/issuing-ca.key")?);
/// let chain = std::fs::read_to_string("/etc/broker/issuing-ca.pem")?; // the issuing CA, then the CAs above it
/// let authority = Authority::new(key, "example.org".parse()?, &chain)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Authority {
    key: Arc<dyn SigningKey>,
    trust_domain: TrustDomain,
    subject: Name,
    key_id: Option<OctetString>,
    signs_lists: bool,
    window: Window,
    handed_out: Vec<Vec<u8>>,
}

impl Authority {
    /// An authority of a key and its chain in PEM (RFC 7468).
    ///
    /// # Errors
    /// [`AuthorityError`] naming what does not fit.
    pub fn new(key: Arc<dyn SigningKey>, trust_domain: TrustDomain, chain: &str) -> Result<Self, AuthorityError> {
        let public = PublicKey::of(key.as_ref())?;
        let chain = parse_chain(chain)?;
        let own = chain.first().ok_or(AuthorityError::Length)?;
        if own.public_key != public.as_der() {
            return Err(AuthorityError::OtherKey);
        }
        check_signatures(&chain)?;
        let mut window: Option<Window> = None;
        for (position, link) in chain.iter().enumerate() {
            link.check_ca(position, &trust_domain)?;
            let own = link.window().ok_or(AuthorityError::NeverValid)?;
            let common = window.map_or(Some(own), |above| above.intersect(&own));
            window = Some(common.ok_or(AuthorityError::NeverValid)?);
        }
        let own_usage = own.usage().ok_or(AuthorityError::Malformed(0))?;
        Ok(Self {
            subject: own.certificate.tbs_certificate().subject().clone(),
            key_id: own.key_id().ok_or(AuthorityError::Malformed(0))?,
            signs_lists: own_usage.is_none_or(|usage| usage.crl_sign()),
            window: window.ok_or(AuthorityError::NeverValid)?,
            handed_out: chain.iter().filter(|link| !link.is_self_signed()).map(|link| link.der.clone()).collect(),
            key,
            trust_domain,
        })
    }

    /// Whose certificates it issues.
    #[must_use]
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// When the whole chain is valid.
    #[must_use]
    pub fn window(&self) -> Window {
        self.window
    }

    /// The certificates that holders present after their own: DER, the issuing CA first, no self-signed root.
    #[must_use]
    pub fn intermediates(&self) -> &[Vec<u8>] {
        &self.handed_out
    }

    pub(super) fn key(&self) -> &dyn SigningKey {
        self.key.as_ref()
    }

    pub(super) fn subject(&self) -> &Name {
        &self.subject
    }

    pub(super) fn key_id(&self) -> Option<&OctetString> {
        self.key_id.as_ref()
    }

    /// Whether its certificate allows it to sign revocation lists.
    pub(super) fn signs_lists(&self) -> bool {
        self.signs_lists
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority")
            .field("subject", &self.subject.to_string())
            .field("trust_domain", &self.trust_domain.0)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

/// One certificate of a chain.
struct Link {
    der: Vec<u8>,
    certificate: Certificate,
    public_key: Vec<u8>,
}

fn parse_chain(pem: &str) -> Result<Vec<Link>, AuthorityError> {
    if pem.len() > MAX_PEM {
        return Err(AuthorityError::Length);
    }
    let (certificates, _rest) = pem.rsplit_once(END).ok_or(AuthorityError::Length)?;
    let mut chain = Vec::new();
    for (position, part) in certificates.split(END).enumerate() {
        if position == MAX_CHAIN {
            return Err(AuthorityError::Length);
        }
        chain.push(Link::parse(part).ok_or(AuthorityError::Malformed(position))?);
    }
    Ok(chain)
}

fn check_signatures(chain: &[Link]) -> Result<(), AuthorityError> {
    for (position, (link, next)) in chain.iter().zip(chain.iter().skip(1)).enumerate() {
        let named = link.certificate.tbs_certificate().issuer() == next.certificate.tbs_certificate().subject();
        let signed = Signed::parse(&link.der).is_some_and(|signed| signed.is_by(&next.public_key));
        if !named || !signed {
            return Err(AuthorityError::NotIssuedByNext(position));
        }
    }
    Ok(())
}

impl Link {
    fn parse(part: &str) -> Option<Self> {
        let begin = part.find("-----BEGIN CERTIFICATE-----")?;
        let (_, document) = Document::from_pem(&format!("{}{END}\n", part.get(begin..)?)).ok()?;
        let certificate = Certificate::from_der(document.as_bytes()).ok()?;
        let public_key = certificate.tbs_certificate().subject_public_key_info().to_der().ok()?;
        Some(Self { der: document.into_vec(), certificate, public_key })
    }

    fn check_ca(&self, position: usize, trust_domain: &TrustDomain) -> Result<(), AuthorityError> {
        let malformed = || AuthorityError::Malformed(position);
        let not_ca = || AuthorityError::NotCa(position);
        let tbs = self.certificate.tbs_certificate();
        let (_, constraints) = tbs.get_extension::<BasicConstraints>().map_err(|_| malformed())?.ok_or_else(not_ca)?;
        if !constraints.ca || self.usage().ok_or_else(malformed)?.is_some_and(|usage| !usage.key_cert_sign()) {
            return Err(not_ca());
        }
        // Every earlier certificate is an intermediate below this one; the holder's own does not count.
        if constraints.path_len_constraint.is_some_and(|most| usize::from(most) < position) {
            return Err(AuthorityError::PathLength(position));
        }
        let names = tbs.get_extension::<SubjectAltName>().map_err(|_| malformed())?;
        let elsewhere = names.iter().flat_map(|(_, names)| &names.0).any(|name| match name {
            GeneralName::UniformResourceIdentifier(uri) => uri
                .as_str()
                .strip_prefix("spiffe://")
                .is_some_and(|named| named.trim_end_matches('/') != trust_domain.0),
            _ => false,
        });
        if elsewhere {
            return Err(AuthorityError::OtherTrustDomain { position, expected: trust_domain.clone() });
        }
        Ok(())
    }

    /// The outer `None` if it cannot be read, the inner if the certificate has none.
    #[expect(clippy::option_option, reason = "malformed and absent differ")]
    fn usage(&self) -> Option<Option<KeyUsage>> {
        let found = self.certificate.tbs_certificate().get_extension::<KeyUsage>().ok()?;
        Some(found.map(|(_, usage)| usage))
    }

    #[expect(clippy::option_option, reason = "malformed and absent differ")]
    fn key_id(&self) -> Option<Option<OctetString>> {
        let found = self.certificate.tbs_certificate().get_extension::<SubjectKeyIdentifier>().ok()?;
        Some(found.map(|(_, id)| id.0))
    }

    /// Both bounds of a certificate are inside; the end of a window is not.
    fn window(&self) -> Option<Window> {
        let validity = self.certificate.tbs_certificate().validity();
        let end = moment(validity.not_after)?.saturating_add(Duration::from_secs(1));
        Window::new(moment(validity.not_before)?, end).ok()
    }

    fn is_self_signed(&self) -> bool {
        let tbs = self.certificate.tbs_certificate();
        tbs.issuer() == tbs.subject() && Signed::parse(&self.der).is_some_and(|signed| signed.is_by(&self.public_key))
    }
}

/// `None` past the year 9999.
pub(super) fn moment(time: Time) -> Option<Timestamp> {
    Timestamp::from_micros(i64::try_from(time.to_unix_duration().as_micros()).ok()?).ok()
}
