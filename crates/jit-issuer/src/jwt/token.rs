//! The compact form of a signed token: three base64url parts (RFC 7515 section 3.1).

use data_encoding::BASE64URL_NOPAD;
use serde::Serialize;
use zeroize::Zeroizing;

use super::key::JwtKey;

#[derive(Serialize)]
struct Header {
    alg: &'static str,
    typ: &'static str,
    kid: String,
}

/// The token over these claims.
pub(super) fn sign(claims: &impl Serialize, key: &JwtKey) -> serde_json::Result<Zeroizing<Vec<u8>>> {
    let header = Header { alg: "EdDSA", typ: "JWT", kid: key.public().thumbprint().to_string() };
    Ok(sign_parts(&serde_json::to_vec(&header)?, &serde_json::to_vec(claims)?, key))
}

fn sign_parts(header: &[u8], claims: &[u8], key: &JwtKey) -> Zeroizing<Vec<u8>> {
    const SIGNATURE: usize = 86;
    let length = BASE64URL_NOPAD.encode_len(header.len()) + BASE64URL_NOPAD.encode_len(claims.len()) + SIGNATURE + 2;
    // Never grows: a reallocation would leave a part of the token behind.
    let mut token = Zeroizing::new(String::with_capacity(length));
    BASE64URL_NOPAD.encode_append(header, &mut token);
    token.push('.');
    BASE64URL_NOPAD.encode_append(claims, &mut token);
    let signature = key.sign(token.as_bytes());
    token.push('.');
    BASE64URL_NOPAD.encode_append(&signature, &mut token);
    Zeroizing::new(std::mem::take(&mut *token).into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8037 appendix A.4.
    #[test]
    fn the_signature_of_the_rfc_is_reproduced() {
        let seed = BASE64URL_NOPAD.decode(b"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A").unwrap();
        let key = JwtKey::from_seed(seed.try_into().unwrap());
        let token = sign_parts(br#"{"alg":"EdDSA"}"#, b"Example of Ed25519 signing", &key);
        assert_eq!(
            std::str::from_utf8(&token).unwrap(),
            "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6d\
             WbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
        );
    }
}
