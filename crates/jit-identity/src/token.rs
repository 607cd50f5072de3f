//! A signed token in compact form (RFC 7515 section 7.1): what is checked before anything it says is believed.

use data_encoding::BASE64URL_NOPAD;
use jit_core::{ExternalDigest, ExternalId};
use ring::digest::{SHA256, digest};

use crate::{
    algorithm::Algorithm,
    error::TokenError,
    json::{Members, NoObject},
    key_set::{KeySet, Usage},
    rules::Rules,
};

/// The most bytes a token may have.
pub const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// Header parameters that change how a token is read, or with which a token names its own key.
const REFUSED: [&str; 7] = ["crit", "b64", "zip", "jwk", "jku", "x5c", "x5u"];
/// All that a JWT-SVID may have (JWT-SVID specification, section 2).
const OF_SVIDS: [&str; 3] = ["alg", "kid", "typ"];

/// The `typ` that a kind of token must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Typ {
    /// None, or `JWT`.
    Plain,
    /// None, `JWT` or `JOSE`, and no other header parameters than a JWT-SVID has.
    Svid,
    /// This media type, with or without its prefix `application/` (RFC 7515 section 4.1.9).
    Named(&'static str),
}

/// A token whose signature was verified.
#[derive(Debug)]
pub(crate) struct Signed {
    /// SHA-256 of the token as presented.
    pub(crate) digest: ExternalDigest,
    /// The claims as they stand there.
    pub(crate) verbatim: String,
    /// The claims, read.
    pub(crate) claims: Members,
    pub(crate) algorithm: Algorithm,
    /// The id of the key, if the token names one.
    pub(crate) key: Option<ExternalId>,
}

impl Signed {
    /// Reads a token, and its claims only after its signature was verified.
    pub(crate) fn verify(token: &str, typ: Typ, keys: &KeySet, rules: &Rules) -> Result<Self, TokenError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(TokenError::TooLarge);
        }
        let mut parts = token.split('.');
        let (header, payload, signature) = match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(header), Some(payload), Some(signature), None) => (header, payload, signature),
            // The five parts of a JWE (RFC 7516 section 7.1).
            (.., Some(_)) if parts.count() == 1 => return Err(TokenError::Nested),
            _ => return Err(TokenError::Malformed),
        };
        let header = Header::read(header, typ)?;
        let algorithm = header.algorithm(rules)?;
        let usage = if typ == Typ::Svid { Usage::JwtSvid } else { Usage::Signatures };
        let signed = token.get(..token.len() - signature.len() - 1).ok_or(TokenError::Malformed)?;
        let signature = decode(signature)?;
        keys.verify(header.key.as_ref().map(ExternalId::as_str), algorithm, usage, signed.as_bytes(), &signature)?;
        let verbatim = String::from_utf8(decode(payload)?).map_err(|_| TokenError::Malformed)?;
        let claims = object(verbatim.as_bytes())?;
        Ok(Self { digest: sha256(token.as_bytes()), verbatim, claims, algorithm, key: header.key })
    }
}

struct Header {
    members: Members,
    key: Option<ExternalId>,
}

impl Header {
    fn read(part: &str, typ: Typ) -> Result<Self, TokenError> {
        let members = object(&decode(part)?)?;
        // The header of an encrypted token that has the wrong number of parts.
        if members.contains("enc") || text(&members, "cty")?.is_some_and(|cty| media_type(cty, "JWT")) {
            return Err(TokenError::Nested);
        }
        let allowed = |name: &str| match typ {
            Typ::Svid => OF_SVIDS.contains(&name),
            _ => !REFUSED.contains(&name),
        };
        if !members.names().all(allowed) {
            return Err(TokenError::Header);
        }
        let own = text(&members, "typ")?;
        let (fits, expected) = match typ {
            Typ::Plain => (own.is_none_or(|own| media_type(own, "JWT")), "JWT"),
            Typ::Svid => (own.is_none_or(|own| own == "JWT" || own == "JOSE"), "JWT"),
            Typ::Named(name) => (own.is_some_and(|own| media_type(own, name)), name),
        };
        if !fits {
            return Err(TokenError::Type { expected });
        }
        let key = members.parsed("kid").map_err(|_| TokenError::Header)?;
        Ok(Self { members, key })
    }

    fn algorithm(&self, rules: &Rules) -> Result<Algorithm, TokenError> {
        let name = text(&self.members, "alg")?.ok_or(TokenError::Malformed)?;
        if name.eq_ignore_ascii_case("none") {
            return Err(TokenError::Unsigned);
        }
        Algorithm::from_name(name).filter(|own| rules.accepts(*own)).ok_or(TokenError::Algorithm)
    }
}

/// A parameter of the header, which must be a text.
fn text<'m>(members: &'m Members, name: &'static str) -> Result<Option<&'m str>, TokenError> {
    members.text(name).map_err(|_| TokenError::Header)
}

fn media_type(own: &str, name: &str) -> bool {
    let bare = own.get(..12).filter(|prefix| prefix.eq_ignore_ascii_case("application/")).and_then(|_| own.get(12..));
    bare.unwrap_or(own).eq_ignore_ascii_case(name)
}

fn decode(part: &str) -> Result<Vec<u8>, TokenError> {
    BASE64URL_NOPAD.decode(part.as_bytes()).map_err(|_| TokenError::Malformed)
}

fn object(bytes: &[u8]) -> Result<Members, TokenError> {
    Members::parse(bytes).map_err(|none| match none {
        NoObject::Repeated => TokenError::Repeated,
        NoObject::Malformed => TokenError::Malformed,
    })
}

pub(crate) fn sha256(bytes: &[u8]) -> ExternalDigest {
    let mut sha256 = [0; 32];
    for (byte, hashed) in sha256.iter_mut().zip(digest(&SHA256, bytes).as_ref()) {
        *byte = *hashed;
    }
    ExternalDigest::from_bytes(sha256)
}
