//! Distinguished names (RFC 4514), typed: what goes into one is escaped, and two are compared by what they mean.

use std::{fmt, str::FromStr};

/// The most bytes a name has, as written.
const MAX: usize = 1024;

/// A text is not a distinguished name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DnError {
    /// It names nothing.
    #[error("a distinguished name is empty")]
    Empty,
    /// It is longer than any that is taken.
    #[error("a distinguished name is longer than {MAX} bytes")]
    Length,
    /// A part is not `attribute=value`, with an attribute's name as RFC 4512 has it.
    #[error("a part of a distinguished name is not attribute=value")]
    Part,
    /// A value has a character that must be escaped, or an escape that is none.
    #[error("a value in a distinguished name is not escaped as it must be")]
    Escape,
    /// A value is written as `#` and hexadecimal digits, by its encoding.
    #[error("a value in a distinguished name is given by its encoding")]
    Encoded,
}

/// A distinguished name, as it was written.
///
/// ```
/// use jit_issuer::ldap::Dn;
/// let people: Dn = "ou=people,dc=example,dc=org".parse()?;
/// let odd = people.child("uid", "a,ou=admins")?;
/// assert_eq!(odd.to_string(), r"uid=a\,ou\=admins,ou=people,dc=example,dc=org");
/// assert!(odd.means(&r"UID=A\2COU=admins, OU=People, dc=example,dc=org".parse()?));
/// # Ok::<(), jit_issuer::ldap::DnError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Dn {
    /// Each a set of attributes and values; the first is the entry's own.
    parts: Vec<Vec<(String, String)>>,
}

impl Dn {
    /// The name of an entry below this one.
    ///
    /// # Errors
    /// [`DnError`] if `attribute` is not the name of one, the value is empty, or the whole is too long.
    pub fn child(&self, attribute: &str, value: &str) -> Result<Self, DnError> {
        if !is_attribute(attribute) {
            return Err(DnError::Part);
        }
        if value.is_empty() {
            return Err(DnError::Empty);
        }
        let mut parts = vec![vec![(attribute.to_owned(), value.to_owned())]];
        parts.extend(self.parts.iter().cloned());
        Self { parts }.in_bounds()
    }

    /// Whether both name the same entry, as far as a directory compares without regard to case and to spaces, which it does for the
    /// attributes that names are made of.
    #[must_use]
    pub fn means(&self, other: &Self) -> bool {
        self.normal() == other.normal()
    }

    /// The one spelling of all that mean the same.
    pub(super) fn normal(&self) -> String {
        let parts = self.parts.iter().map(|part| {
            let mut part: Vec<_> = part.iter().map(|(a, v)| (a.to_lowercase(), folded(v))).collect();
            part.sort();
            part
        });
        Self { parts: parts.collect() }.to_string()
    }

    fn in_bounds(self) -> Result<Self, DnError> {
        if self.to_string().len() > MAX { Err(DnError::Length) } else { Ok(self) }
    }
}

/// Lower case, without spaces at the ends, and one for several in between (RFC 4518 in short).
fn folded(value: &str) -> String {
    value.to_lowercase().split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// `descr` or `numericoid` of RFC 4512.
fn is_attribute(name: &str) -> bool {
    let letters = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    let descr = letters && name.starts_with(|c: char| c.is_ascii_alphabetic());
    let numbers = name.split('.').all(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
    descr || (numbers && name.contains('.'))
}

impl fmt::Display for Dn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, part) in self.parts.iter().enumerate() {
            for (m, (attribute, value)) in part.iter().enumerate() {
                let separator = match (n, m) {
                    (0, 0) => "",
                    (_, 0) => ",",
                    _ => "+",
                };
                write!(f, "{separator}{attribute}=")?;
                escape(f, value)?;
            }
        }
        Ok(())
    }
}

fn escape(f: &mut fmt::Formatter<'_>, value: &str) -> fmt::Result {
    let last = value.chars().count().saturating_sub(1);
    for (n, c) in value.chars().enumerate() {
        match c {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' | '=' => write!(f, "\\{c}")?,
            '#' if n == 0 => f.write_str("\\#")?,
            ' ' if n == 0 || n == last => f.write_str("\\ ")?,
            c if c.is_ascii_control() => write!(f, "\\{:02x}", u32::from(c))?,
            c => write!(f, "{c}")?,
        }
    }
    Ok(())
}

impl FromStr for Dn {
    type Err = DnError;

    fn from_str(text: &str) -> Result<Self, DnError> {
        if text.len() > MAX {
            return Err(DnError::Length);
        }
        if text.trim().is_empty() {
            return Err(DnError::Empty);
        }
        let (mut parts, mut part, mut rest) = (Vec::new(), Vec::new(), text);
        loop {
            let (attribute, after) = rest.split_once('=').ok_or(DnError::Part)?;
            let attribute = attribute.trim();
            if !is_attribute(attribute) {
                return Err(DnError::Part);
            }
            let (value, separator, after) = value(after)?;
            part.push((attribute.to_owned(), value));
            if separator != Some('+') {
                parts.push(std::mem::take(&mut part));
            }
            if separator.is_none() {
                return Self { parts }.in_bounds();
            }
            rest = after;
        }
    }
}

/// The value that a text begins with, the character that ends it, and what follows that.
fn value(text: &str) -> Result<(String, Option<char>, &str), DnError> {
    let text = text.trim_start_matches(' ');
    if text.starts_with('#') {
        return Err(DnError::Encoded);
    }
    let mut bytes = Vec::new();
    // How many bytes stand even if only spaces follow.
    let mut kept = 0;
    let mut chars = text.char_indices();
    let mut end = (None, "");
    while let Some((at, c)) = chars.next() {
        match c {
            ',' | '+' => {
                end = (Some(c), text.get(at.saturating_add(1)..).unwrap_or_default());
                break;
            }
            '\\' => {
                let (_, first) = chars.next().ok_or(DnError::Escape)?;
                match first.to_digit(16) {
                    Some(high) => {
                        let low = chars.next().and_then(|(_, c)| c.to_digit(16)).ok_or(DnError::Escape)?;
                        bytes.push(u8::try_from(high * 16 + low).map_err(|_| DnError::Escape)?);
                    }
                    None if " \"#+,;<=>\\".contains(first) => {
                        bytes.push(u8::try_from(first).map_err(|_| DnError::Escape)?)
                    }
                    None => return Err(DnError::Escape),
                }
                kept = bytes.len();
            }
            '"' | ';' | '<' | '>' | '\0' => return Err(DnError::Escape),
            c => {
                bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                if c != ' ' {
                    kept = bytes.len();
                }
            }
        }
    }
    bytes.truncate(kept);
    if bytes.is_empty() {
        return Err(DnError::Empty);
    }
    Ok((String::from_utf8(bytes).map_err(|_| DnError::Escape)?, end.0, end.1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_value_changes_what_it_is_put_into(value in r#"[ #+,;<>=\\"a-c\x00-\x1fé*()]{1,40}"#) {
            let base = dn("ou=people,dc=example");
            let name = base.child("uid", &value).unwrap_or_else(|error| panic!("{value:?}: {error}"));
            let read = dn(&name.to_string());
            prop_assert_eq!(&read, &name);
            prop_assert_eq!(&read.parts[1..], &base.parts[..]);
        }

        #[test]
        fn no_text_makes_it_panic(text in ".{0,60}") {
            if let Ok(name) = text.parse::<Dn>() {
                prop_assert_eq!(dn(&name.to_string()), name);
            }
        }
    }

    fn dn(text: &str) -> Dn {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn what_is_written_is_read_again() {
        for value in
            ["a", " a ", "#a", "a#b", "a,b", "a+b", "a=b", "\"", "\\", "<a;b>", "é ü", "a\nb", "\0", "  ", "a\u{1}"]
        {
            let name = dn("ou=people,dc=example").child("uid", value).unwrap_or_else(|e| panic!("{value:?}: {e}"));
            let text = name.to_string();
            assert_eq!(dn(&text), name, "{text}");
            assert_eq!(name.parts.len(), 3, "{text}");
        }
    }

    #[test]
    fn names_are_compared_by_meaning() {
        let name = dn("uid=Alice B,ou=People,dc=example");
        for same in [
            "UID=alice  b, OU=people ,DC=Example",
            r"uid=\41lice B,ou=people,dc=example",
            "uid= alice b ,ou=people,dc=example",
        ] {
            assert!(name.means(&dn(same)), "{same}");
        }
        for other in ["uid=aliceb,ou=people,dc=example", "uid=alice b,ou=people", r"uid=alice b\,ou=people,dc=example"]
        {
            assert!(!name.means(&dn(other)), "{other}");
        }
        assert!(dn("a=1+b=2,c=3").means(&dn("B=2+A=1,C=3")));
        assert!(!dn("a=1+b=2,c=3").means(&dn("a=1,b=2,c=3")));
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for (text, error) in [
            ("", DnError::Empty),
            (" ", DnError::Empty),
            ("a=", DnError::Empty),
            ("a=b,", DnError::Part),
            ("a", DnError::Part),
            ("=b", DnError::Part),
            ("a b=c", DnError::Part),
            ("1.=c", DnError::Part),
            ("a=#0401", DnError::Encoded),
            ("a=b\\", DnError::Escape),
            ("a=b\\x", DnError::Escape),
            ("a=b\\4", DnError::Escape),
            ("a=\\ff", DnError::Escape),
            ("a=b;c=d", DnError::Escape),
            ("a=\"b\"", DnError::Escape),
        ] {
            assert_eq!(text.parse::<Dn>(), Err(error), "{text}");
        }
        assert_eq!(format!("a={}", "b".repeat(1023)).parse::<Dn>(), Err(DnError::Length));
        assert_eq!(dn("dc=example").child("uid)(x", "a"), Err(DnError::Part));
        assert_eq!(dn("dc=example").child("uid", &"\n".repeat(600)), Err(DnError::Length));
        assert_eq!(dn("2.5.4.3=x,0.9.2342.19200300.100.1.25=y").parts.len(), 2);
    }
}
