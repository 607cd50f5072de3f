//! What of a token may be shown: its header and its claims, never its signature, without which it opens nothing.

use data_encoding::BASE64URL_NOPAD;
use serde_json::Value;

/// Header and claims of a compact JWT (RFC 7515 section 3.1), for people to read.
pub(crate) fn parts_to_show(token: &[u8]) -> Option<[String; 2]> {
    let mut parts = token.split(|byte| *byte == b'.').map(decoded);
    let (header, claims) = (parts.next()??, parts.next()??);
    Some([header.to_string(), serde_json::to_string_pretty(&claims).ok()?])
}

fn decoded(part: &[u8]) -> Option<Value> {
    serde_json::from_slice(&BASE64URL_NOPAD.decode(part).ok()?).ok()
}
