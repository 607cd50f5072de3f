//! The one way in which the formats write bytes: padded standard base64 (RFC 4648 section 4).

use data_encoding::BASE64;

/// Decodes base64; `None` unless it is written as the bytes encode.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    // The decoder takes several padded texts in a row for one.
    let padding = text.find('=').unwrap_or(text.len());
    if text.len() - padding > 2 {
        return None;
    }
    BASE64.decode(text.as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn only_the_canonical_form_is_base64() {
        assert_eq!(decode(""), Some(Vec::new()));
        assert_eq!(decode("AAEC"), Some(vec![0, 1, 2]));
        assert_eq!(decode("AAE="), Some(vec![0, 1]));
        assert_eq!(decode("AA=="), Some(vec![0]));
        for text in [
            "A", "AA", "AA=", "AAE", "AAF=", "AB==", "AAE=AAEC", "AA==AA==", "====", "AAEC====", "AA=B", "A=AA",
            "AA= =", "-_==",
        ] {
            assert_eq!(decode(text), None, "{text:?}");
        }
    }
}
