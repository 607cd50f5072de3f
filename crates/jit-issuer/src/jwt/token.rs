//! The compact form of a signed token: three base64url parts (RFC 7515 section 3.1).

use data_encoding::BASE64URL_NOPAD;
use serde::Serialize;
use zeroize::Zeroizing;

use super::{jwks::alg, schedule::Turn};
use crate::key::{PublicKey, PublicKeyParts, SigningError, SigningKey};

#[derive(Serialize)]
struct Header<'a> {
    alg: &'static str,
    typ: &'a str,
    kid: String,
}

/// No token was made.
pub(super) enum TokenError {
    NotEncodable,
    Signing(SigningError),
}

/// The token of type `typ` over these claims.
pub(super) async fn sign(
    typ: &str,
    claims: &(impl Serialize + Sync),
    turn: &Turn,
) -> Result<Zeroizing<Vec<u8>>, TokenError> {
    let header = Header { alg: alg(turn.public.algorithm()), typ, kid: turn.public.thumbprint().to_string() };
    let header = serde_json::to_vec(&header).map_err(|_| TokenError::NotEncodable)?;
    let claims = serde_json::to_vec(claims).map_err(|_| TokenError::NotEncodable)?;
    sign_parts(&header, &claims, &*turn.key, &turn.public).await.map_err(TokenError::Signing)
}

async fn sign_parts(
    header: &[u8],
    claims: &[u8],
    key: &dyn SigningKey,
    public: &PublicKey,
) -> Result<Zeroizing<Vec<u8>>, SigningError> {
    let signature_len = match public.parts() {
        PublicKeyParts::Ed25519(_) | PublicKeyParts::P256 { .. } => 64,
        PublicKeyParts::Rsa { n, .. } => n.len(),
    };
    let length = [header.len(), claims.len(), signature_len].map(|part| BASE64URL_NOPAD.encode_len(part) + 1);
    // Never grows: a reallocation would leave a part of the token behind.
    let mut token = Zeroizing::new(String::with_capacity(length.iter().sum()));
    BASE64URL_NOPAD.encode_append(header, &mut token);
    token.push('.');
    BASE64URL_NOPAD.encode_append(claims, &mut token);
    let signature = Zeroizing::new(key.sign(token.as_bytes()).await?);
    if signature.len() != signature_len {
        return Err(SigningError::Malformed);
    }
    token.push('.');
    BASE64URL_NOPAD.encode_append(&signature, &mut token);
    Ok(Zeroizing::new(std::mem::take(&mut *token).into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::LocalKey;

    /// RFC 8037 appendix A.4.
    #[tokio::test]
    async fn the_signature_of_the_rfc_is_reproduced() {
        let seed = BASE64URL_NOPAD.decode(b"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A").unwrap();
        let key = LocalKey::from_ed25519_seed(seed.try_into().unwrap());
        let signed = sign_parts(br#"{"alg":"EdDSA"}"#, b"Example of Ed25519 signing", &key, key.public()).await;
        assert_eq!(
            std::str::from_utf8(&signed.unwrap()).unwrap(),
            "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6d\
             WbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
        );
    }
}
