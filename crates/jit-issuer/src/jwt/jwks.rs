//! How keys are published (RFC 7517, RFC 8037).

use data_encoding::BASE64URL_NOPAD;
use serde::Serialize;

use crate::key::{KeyAlgorithm, PublicKey, PublicKeyParts};

/// A JWK Set (RFC 7517 section 5): the keys under which tokens verify. Serialises to the document to publish.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Jwks {
    keys: Vec<Jwk>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Jwk {
    kty: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    crv: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    x: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    y: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    n: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    e: Option<String>,
    kid: String,
    #[serde(rename = "use")]
    usage: &'static str,
    alg: &'static str,
}

impl Jwks {
    pub(super) fn new<'a>(keys: impl IntoIterator<Item = &'a PublicKey>, usage: &'static str) -> Self {
        Self { keys: keys.into_iter().map(|key| jwk(key, usage)).collect() }
    }
}

/// The name of an algorithm in a header (RFC 7518 section 3.1, RFC 8037 section 3.1).
pub(super) fn alg(algorithm: KeyAlgorithm) -> &'static str {
    match algorithm {
        KeyAlgorithm::Ed25519 => "EdDSA",
        KeyAlgorithm::EcdsaP256Sha256 => "ES256",
        KeyAlgorithm::RsaPkcs1Sha256 => "RS256",
    }
}

fn jwk(key: &PublicKey, usage: &'static str) -> Jwk {
    let b64 = |bytes: &[u8]| Some(BASE64URL_NOPAD.encode(bytes));
    let (kid, alg) = (key.thumbprint().to_string(), alg(key.algorithm()));
    let bare = Jwk { kty: "", crv: None, x: None, y: None, n: None, e: None, kid, usage, alg };
    match key.parts() {
        PublicKeyParts::Ed25519(x) => Jwk { kty: "OKP", crv: Some("Ed25519"), x: b64(x), ..bare },
        PublicKeyParts::P256 { x, y } => Jwk { kty: "EC", crv: Some("P-256"), x: b64(x), y: b64(y), ..bare },
        PublicKeyParts::Rsa { n, e } => Jwk { kty: "RSA", n: b64(n), e: b64(e), ..bare },
    }
}
