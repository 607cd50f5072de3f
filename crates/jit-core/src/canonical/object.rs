//! JSON objects, ordered as they are written.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, btree_map::Entry},
};

use super::{CanonicalError, Text, Value, Violation};

/// The members of a JSON object, ascending by the UTF-16 code units of their keys (RFC 8785 section 3.2.3).
///
/// ```
/// use jit_core::canonical::{Object, Value};
///
/// # fn main() -> Result<(), jit_core::canonical::CanonicalError> {
/// let mut object = Object::new();
/// object.insert("scope", Value::text("db:read")?)?;
/// assert!(object.insert("scope", Value::Bool(true)).is_err());
/// assert_eq!(object.get("scope").and_then(Value::as_str), Some("db:read"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Object(BTreeMap<Key, Value>);

impl Object {
    /// An object without members.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a member; what is there already stays as it is.
    ///
    /// # Errors
    /// [`Violation::DuplicateKey`] if the key is taken, [`Violation::Nul`] if it contains U+0000.
    pub fn insert(&mut self, key: impl Into<String>, value: Value) -> Result<(), CanonicalError> {
        match self.0.entry(Key(Text::new(key)?)) {
            Entry::Occupied(_) => Err(Violation::DuplicateKey.into()),
            Entry::Vacant(entry) => {
                entry.insert(value);
                Ok(())
            }
        }
    }

    /// The value of a member.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(&Key::sought(key)?)
    }

    /// Takes a member out.
    pub fn remove(&mut self, key: &str) -> Option<Value> {
        self.0.remove(&Key::sought(key)?)
    }

    /// The members in canonical order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Value)> + DoubleEndedIterator {
        self.0.iter().map(|(key, value)| (key.0.as_str(), value))
    }

    /// The number of members.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no members.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Compares keys by UTF-16 code units, which differs from the order of code points where U+E000–U+FFFF meet larger ones.
pub(super) fn key_order(a: &str, b: &str) -> Ordering {
    a.encode_utf16().cmp(b.encode_utf16())
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Key(Text);

impl Key {
    fn sought(key: &str) -> Option<Self> {
        Text::new(key).ok().map(Self)
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        key_order(self.0.as_str(), other.0.as_str())
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
