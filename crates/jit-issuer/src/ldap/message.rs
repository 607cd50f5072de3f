//! Requests and answers of LDAP (RFC 4511 section 4): bind, StartTLS, the reading of one entry, and its modification.

use std::collections::BTreeMap;

use super::ber::{BOOLEAN, ENUMERATED, INTEGER, OCTETS, Reader, SEQUENCE, SET, all, element, number, octets};

/// `1.3.6.1.4.1.1466.20037` (RFC 4511 section 4.14.1).
const START_TLS: &[u8] = b"1.3.6.1.4.1.1466.20037";

/// What is asked of a directory.
#[derive(Debug, Clone, Copy)]
pub(super) enum Request<'a> {
    /// TLS from here on.
    StartTls,
    /// A name and its password, which is not empty: without one a bind succeeds as nobody (RFC 4513 section 5.1.2).
    Bind { name: &'a str, password: &'a [u8] },
    /// Some attributes of one entry.
    Read { entry: &'a str, attributes: &'a [&'a str] },
    /// Changes of one entry, all or none.
    Modify { entry: &'a str, changes: &'a [Change] },
}

/// Whether a value is added or deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    Add,
    Delete,
}

/// A change of one value of an attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) act: Act,
    pub(super) attribute: String,
    pub(super) value: Vec<u8>,
}

impl Change {
    pub(super) fn new(act: Act, attribute: &str, value: impl Into<Vec<u8>>) -> Self {
        Self { act, attribute: attribute.to_owned(), value: value.into() }
    }
}

impl Request<'_> {
    /// The whole message.
    pub(super) fn encode(&self, id: u32) -> Vec<u8> {
        let operation = match self {
            Self::StartTls => all(0x77, [element(0x80, START_TLS)]),
            Self::Bind { name, password } => {
                all(0x60, [number(INTEGER, 3), octets(name.as_bytes()), element(0x80, password)])
            }
            Self::Read { entry, attributes } => all(
                0x63,
                [
                    octets(entry.as_bytes()),
                    // This entry alone, and aliases as they stand; no limits of ours; values too; and the filter that every entry meets.
                    number(ENUMERATED, 0),
                    number(ENUMERATED, 0),
                    number(INTEGER, 0),
                    number(INTEGER, 0),
                    element(BOOLEAN, &[0]),
                    element(0x87, b"objectClass"),
                    all(SEQUENCE, attributes.iter().map(|name| octets(name.as_bytes()))),
                ],
            ),
            Self::Modify { entry, changes } => {
                let changes = changes.iter().map(|change| {
                    let act = number(ENUMERATED, if change.act == Act::Add { 0 } else { 1 });
                    let values = all(SET, [octets(&change.value)]);
                    all(SEQUENCE, [act, all(SEQUENCE, [octets(change.attribute.as_bytes()), values])])
                });
                all(0x66, [octets(entry.as_bytes()), all(SEQUENCE, changes)])
            }
        };
        all(SEQUENCE, [number(INTEGER, id), operation])
    }
}

/// The attributes of an entry that were asked for and are there, by their names in lower case.
pub(super) type Attributes = BTreeMap<String, Vec<Vec<u8>>>;

/// What a directory answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// What became of the request, by its result code; more may come before it.
    Result(u32),
    /// An entry.
    Entry(Attributes),
    /// Something that does not matter here.
    Other,
}

/// An answer and the message it is to, from the content of an `LDAPMessage`; `None` if it cannot be read.
pub(super) fn decode(content: &[u8]) -> Option<(u32, Answer)> {
    let mut message = Reader(content);
    let id = message.number(INTEGER)?;
    let (tag, operation) = message.any()?;
    let mut operation = Reader(operation);
    let answer = match tag {
        // Of bind, search, modify and what is extended.
        0x61 | 0x65 | 0x67 | 0x78 => Answer::Result(operation.number(ENUMERATED)?),
        0x64 => {
            operation.expect(OCTETS)?;
            Answer::Entry(attributes(operation.inside(SEQUENCE)?)?)
        }
        _ => Answer::Other,
    };
    Some((id, answer))
}

fn attributes(mut list: Reader<'_>) -> Option<Attributes> {
    let mut attributes = Attributes::new();
    while !list.is_empty() {
        let mut attribute = list.inside(SEQUENCE)?;
        let name = std::str::from_utf8(attribute.expect(OCTETS)?).ok()?.to_ascii_lowercase();
        let mut set = attribute.inside(SET)?;
        let values = attributes.entry(name).or_default();
        while !set.is_empty() {
            values.push(set.expect(OCTETS)?.to_vec());
        }
    }
    Some(attributes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_bind_is_written_as_the_standard_says() {
        let bind = Request::Bind { name: "cn=a", password: b"p" }.encode(1);
        assert_eq!(bind, [0x30, 0x11, 2, 1, 1, 0x60, 0x0c, 2, 1, 3, 4, 4, b'c', b'n', b'=', b'a', 0x80, 1, b'p']);
    }

    #[test]
    fn answers_are_read() {
        let result = [number(INTEGER, 4), all(0x67, [number(ENUMERATED, 16), octets(b""), octets(b"no such value")])];
        assert_eq!(decode(&result.concat()), Some((4, Answer::Result(16))));
        let values = all(SET, [octets(b"x"), octets(b"\xff")]);
        let attributes = all(SEQUENCE, [all(SEQUENCE, [octets(b"Member"), values])]);
        let entry = [number(INTEGER, 4), all(0x64, [octets(b"cn=g"), attributes])];
        let expected = BTreeMap::from([("member".to_owned(), vec![b"x".to_vec(), b"\xff".to_vec()])]);
        assert_eq!(decode(&entry.concat()), Some((4, Answer::Entry(expected))));
        let reference = [number(INTEGER, 4), all(0x73, [octets(b"ldap://elsewhere/")])];
        assert_eq!(decode(&reference.concat()), Some((4, Answer::Other)));
        assert_eq!(decode(&number(INTEGER, 4)), None);
    }

    proptest! {
        #[test]
        fn no_answer_makes_it_panic(content in proptest::collection::vec(any::<u8>(), 0..64), tag in 0x60_u8..0x7a) {
            let _ = decode(&content);
            let _ = decode(&[number(INTEGER, 1), element(tag, &content)].concat());
            let _ = attributes(Reader(&content));
        }
    }
}
