//! The outer form that certificates, requests and lists share: what is signed, how, and the signature (RFC 5280 section 4.1.1).

use p256::ecdsa;
use ring::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use x509_cert::{
    der::{
        self, Decode as _, Encode as _, Reader as _, SliceReader, Tag,
        asn1::{Any, BitString, BitStringRef, ObjectIdentifier},
        oid::db::{rfc5912, rfc8410},
    },
    spki::{AlgorithmIdentifierOwned, AlgorithmIdentifierRef, SubjectPublicKeyInfoRef},
};

use crate::key::{KeyAlgorithm, SigningError, SigningKey};

/// A signed structure, its parts as they were encoded.
pub(super) struct Signed<'a> {
    /// What the signature is over.
    pub(super) content: &'a [u8],
    algorithm: AlgorithmIdentifierRef<'a>,
    signature: &'a [u8],
}

impl<'a> Signed<'a> {
    pub(super) fn parse(der: &'a [u8]) -> Option<Self> {
        let mut reader = SliceReader::new(der).ok()?;
        let (content, algorithm, signature) = reader
            .sequence(|inner| {
                let content = inner.tlv_bytes()?;
                Ok::<_, der::Error>((content, AlgorithmIdentifierRef::decode(inner)?, BitStringRef::decode(inner)?))
            })
            .ok()?;
        reader.is_finished().then_some(())?;
        Some(Self { content, algorithm, signature: signature.as_bytes()? })
    }

    /// Whether the key with this `SubjectPublicKeyInfo` made the signature. What is not known does not verify.
    pub(super) fn is_by(&self, public_key: &[u8]) -> bool {
        let Ok(key) = SubjectPublicKeyInfoRef::from_der(public_key) else { return false };
        let (Some(algorithm), Some(bits)) = (verification(&self.algorithm, &key), key.subject_public_key.as_bytes())
        else {
            return false;
        };
        UnparsedPublicKey::new(algorithm, bits).verify(self.content, self.signature).is_ok()
    }
}

fn verification(
    by: &AlgorithmIdentifierRef<'_>,
    key: &SubjectPublicKeyInfoRef<'_>,
) -> Option<&'static dyn VerificationAlgorithm> {
    let of = key.algorithm.oid;
    if of == rfc5912::ID_EC_PUBLIC_KEY {
        let curve: ObjectIdentifier = key.algorithm.parameters?.decode_as().ok()?;
        return match (curve, by.oid) {
            (rfc5912::SECP_256_R_1, rfc5912::ECDSA_WITH_SHA_256) => Some(&signature::ECDSA_P256_SHA256_ASN1),
            (rfc5912::SECP_384_R_1, rfc5912::ECDSA_WITH_SHA_384) => Some(&signature::ECDSA_P384_SHA384_ASN1),
            _ => None,
        };
    }
    match (of, by.oid) {
        (rfc8410::ID_ED_25519, rfc8410::ID_ED_25519) => Some(&signature::ED25519),
        (rfc5912::RSA_ENCRYPTION, rfc5912::SHA_256_WITH_RSA_ENCRYPTION) => Some(&signature::RSA_PKCS1_2048_8192_SHA256),
        (rfc5912::RSA_ENCRYPTION, rfc5912::SHA_384_WITH_RSA_ENCRYPTION) => Some(&signature::RSA_PKCS1_2048_8192_SHA384),
        (rfc5912::RSA_ENCRYPTION, rfc5912::SHA_512_WITH_RSA_ENCRYPTION) => Some(&signature::RSA_PKCS1_2048_8192_SHA512),
        _ => None,
    }
}

/// How a structure says that a key of this algorithm signed it.
pub(super) fn identifier(algorithm: KeyAlgorithm) -> AlgorithmIdentifierOwned {
    let (oid, parameters) = match algorithm {
        KeyAlgorithm::Ed25519 => (rfc8410::ID_ED_25519, None),
        KeyAlgorithm::EcdsaP256Sha256 => (rfc5912::ECDSA_WITH_SHA_256, None),
        KeyAlgorithm::RsaPkcs1Sha256 => (rfc5912::SHA_256_WITH_RSA_ENCRYPTION, Some(Any::null())),
    };
    AlgorithmIdentifierOwned { oid, parameters }
}

/// The signed structure. A signature that does not verify under the key's own public half is never passed on.
pub(super) async fn sign(key: &dyn SigningKey, content: &[u8]) -> Result<Vec<u8>, SigningError> {
    let signature = key.sign(content).await?;
    let der = enclose(key.algorithm(), content, &signature).ok_or(SigningError::Malformed)?;
    let verifies = Signed::parse(&der).is_some_and(|signed| signed.is_by(key.public_key()));
    if verifies { Ok(der) } else { Err(SigningError::Malformed) }
}

fn enclose(algorithm: KeyAlgorithm, content: &[u8], signature: &[u8]) -> Option<Vec<u8>> {
    let signature = match algorithm {
        KeyAlgorithm::EcdsaP256Sha256 => ecdsa::Signature::from_slice(signature).ok()?.to_der().as_bytes().to_vec(),
        _ => signature.to_vec(),
    };
    let algorithm = identifier(algorithm).to_der().ok()?;
    let signature = BitString::from_bytes(&signature).ok()?.to_der().ok()?;
    sequence(&[content, &algorithm, &signature]).ok()
}

/// The DER `SEQUENCE` of parts that are DER.
pub(super) fn sequence(parts: &[&[u8]]) -> der::Result<Vec<u8>> {
    Any::new(Tag::Sequence, parts.concat())?.to_der()
}
