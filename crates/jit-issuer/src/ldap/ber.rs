//! As much of BER as four operations of LDAP need (RFC 4511 section 5.1): definite lengths, one byte of tag.

/// BOOLEAN.
pub(super) const BOOLEAN: u8 = 0x01;
/// INTEGER.
pub(super) const INTEGER: u8 = 0x02;
/// OCTET STRING.
pub(super) const OCTETS: u8 = 0x04;
/// ENUMERATED.
pub(super) const ENUMERATED: u8 = 0x0a;
/// SEQUENCE and SEQUENCE OF.
pub(super) const SEQUENCE: u8 = 0x30;
/// SET OF.
pub(super) const SET: u8 = 0x31;

/// An element of a tag and a content.
pub(super) fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    let length = content.len();
    if let Some(short) = u8::try_from(length).ok().filter(|length| *length < 0x80) {
        out.push(short);
    } else {
        let bytes = length.to_be_bytes();
        let skip = bytes.iter().take_while(|byte| **byte == 0).count();
        let bytes = bytes.get(skip..).unwrap_or_default();
        out.push(u8::try_from(bytes.len()).unwrap_or(8) | 0x80);
        out.extend_from_slice(bytes);
    }
    out.extend_from_slice(content);
    out
}

/// An element of elements.
pub(super) fn all(tag: u8, elements: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
    element(tag, &elements.into_iter().flatten().collect::<Vec<u8>>())
}

/// A number that is not negative.
pub(super) fn number(tag: u8, value: u32) -> Vec<u8> {
    let bytes = value.to_be_bytes();
    let skip = bytes.iter().take_while(|byte| **byte == 0).count().min(3);
    let bytes = bytes.get(skip..).unwrap_or_default();
    // The highest bit is the sign.
    let sign: &[u8] = if bytes.first().is_some_and(|byte| byte & 0x80 != 0) { &[0] } else { &[] };
    element(tag, &[sign, bytes].concat())
}

/// A text or other bytes.
pub(super) fn octets(bytes: &[u8]) -> Vec<u8> {
    element(OCTETS, bytes)
}

/// Reads elements one after the other; what is not as expected is `None`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next element, whatever it is.
    pub(super) fn any(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, mut rest) = rest.split_first()?;
        let length = match first {
            0..=0x7f => usize::from(first),
            0x81..=0x84 => {
                let (bytes, after) = rest.split_at_checked(usize::from(first & 0x7f))?;
                rest = after;
                bytes.iter().fold(0_usize, |length, byte| (length << 8) | usize::from(*byte))
            }
            _ => return None,
        };
        let (content, after) = rest.split_at_checked(length)?;
        self.0 = after;
        Some((tag, content))
    }

    /// The content of the next element, which has this tag.
    pub(super) fn expect(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.any().filter(|(found, _)| *found == tag).map(|(_, content)| content)
    }

    pub(super) fn inside(&mut self, tag: u8) -> Option<Self> {
        self.expect(tag).map(Reader)
    }

    /// A number that is not negative.
    pub(super) fn number(&mut self, tag: u8) -> Option<u32> {
        let content = self.expect(tag)?;
        let fits = (1..=5).contains(&content.len()) && content.first().is_some_and(|byte| byte & 0x80 == 0);
        let value = content.iter().fold(0_u64, |value, byte| (value << 8) | u64::from(*byte));
        u32::try_from(value).ok().filter(|_| fits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_numbers_are_read_as_they_are_written() {
        for length in [0, 1, 127, 128, 255, 256, 65_535, 65_536, 70_000] {
            let content = vec![7; length];
            let written = element(OCTETS, &content);
            let mut reader = Reader(&written);
            assert_eq!(reader.expect(OCTETS), Some(content.as_slice()));
            assert!(reader.is_empty());
        }
        for value in [0, 1, 127, 128, 255, 256, 0x7fff_ffff, 0x8000_0000, u32::MAX] {
            assert_eq!(Reader(&number(INTEGER, value)).number(INTEGER), Some(value));
        }
        assert_eq!(number(INTEGER, 128), [2, 2, 0, 128]);
    }

    #[test]
    fn what_is_cut_short_or_endless_is_not_read() {
        for bytes in
            [&[][..], &[4], &[4, 2, 1], &[4, 0x80, 0, 0], &[4, 0x85, 1, 1, 1, 1, 1], &[4, 0x84, 255, 255, 255, 255]]
        {
            assert_eq!(Reader(bytes).any(), None, "{bytes:?}");
        }
        for bytes in [&[2, 0][..], &[2, 1, 0x80], &[2, 6, 0, 0, 0, 0, 0, 1], &[2, 5, 1, 0, 0, 0, 0]] {
            assert_eq!(Reader(bytes).number(INTEGER), None, "{bytes:?}");
        }
    }
}
