//! Stand-ins for two services that a company has already, so that the example needs neither: a token service that knows who asked an
//! agent for what, and a SPIFFE server that knows which workload runs where. Only their public keys go to the broker.

use std::{error::Error, sync::Arc};

use data_encoding::BASE64URL_NOPAD;
use jit_core::Timestamp;
use jit_issuer::key::{KeyAlgorithm, LocalKey, PublicKeyParts, SigningKey as _};
use jit_store::OsEntropy;
use serde_json::{Value, json};

/// Somebody who signs tokens with a key of its own.
#[derive(Debug, Clone)]
pub(crate) struct TokenService {
    key: Arc<LocalKey>,
    usage: &'static str,
}

impl TokenService {
    /// A service with a fresh P-256 key; `usage` is what its key set says the key is for.
    pub(crate) fn new(usage: &'static str) -> Result<Self, Box<dyn Error>> {
        Ok(Self { key: Arc::new(LocalKey::generate(KeyAlgorithm::EcdsaP256Sha256, &OsEntropy)?), usage })
    }

    /// What it publishes (RFC 7517).
    pub(crate) fn jwks(&self) -> Result<Vec<u8>, Box<dyn Error>> {
        let PublicKeyParts::P256 { x, y } = self.key.public().parts() else {
            return Err("the key is not P-256".into());
        };
        let b64 = |bytes: &[u8]| BASE64URL_NOPAD.encode(bytes);
        let key =
            json!({ "kty": "EC", "crv": "P-256", "x": b64(x), "y": b64(y), "kid": self.key_id(), "use": self.usage });
        Ok(serde_json::to_vec(&json!({ "keys": [key] }))?)
    }

    /// A signed token (RFC 7515 section 3.1).
    pub(crate) async fn sign(&self, typ: &str, claims: &Value) -> Result<String, Box<dyn Error>> {
        let header = json!({ "alg": "ES256", "kid": self.key_id(), "typ": typ });
        let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
        let signed = format!("{}.{}", part(&header), part(claims));
        let signature = self.key.sign(signed.as_bytes()).await?;
        Ok(format!("{signed}.{}", BASE64URL_NOPAD.encode(&signature)))
    }

    fn key_id(&self) -> String {
        self.key.public().thumbprint().to_string()
    }
}

/// The transaction token of a chat message: the agent acts for whoever wrote it.
pub(crate) fn transaction(now: Timestamp) -> Value {
    let now = now.unix_seconds();
    json!({
        "iss": "https://tokens.example", "aud": "access.example", "iat": now, "exp": now + 300,
        "txn": "txn-0042", "sub": "u-3001", "scope": "payments.refund orders.read",
        "req_wl": "spiffe://prod.example/chat/gateway",
        "tctx": { "ticket": "CASE-7731" }, "rctx": { "req_ip": "192.0.2.7" },
        "act": { "iss": "https://agents.example", "sub": "refund-assistant" },
    })
}

/// The JWT-SVID of the agent's workload.
pub(crate) fn svid(now: Timestamp) -> Value {
    json!({ "sub": "spiffe://prod.example/agents/refund-assistant", "aud": ["access.example"], "exp": now.unix_seconds() + 300 })
}
