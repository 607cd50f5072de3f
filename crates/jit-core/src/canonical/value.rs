//! Values that are within the restrictions by construction; nesting alone is checked when they are written.

use super::{CanonicalError, MAX_DEPTH, MAX_SAFE_INTEGER, Object, Violation, scan, write};

/// A JSON value that has a canonical form: no `null`, no floats.
///
/// [`Debug`] shows the content; what is confidential must not be formatted with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// `true` or `false`.
    Bool(bool),
    /// An integer.
    Int(Int),
    /// A string.
    Text(Text),
    /// An array.
    Array(Vec<Value>),
    /// An object.
    Object(Object),
}

impl Value {
    /// A string value.
    ///
    /// # Errors
    /// [`Violation::Nul`] if the text contains U+0000.
    pub fn text(text: impl Into<String>) -> Result<Self, CanonicalError> {
        Text::new(text).map(Self::Text)
    }

    /// Reads JSON that keeps the restrictions, in any key order, with any escapes and white space.
    ///
    /// # Errors
    /// [`CanonicalError::At`] with the first rule that is broken and where.
    pub fn parse(bytes: &[u8]) -> Result<Self, CanonicalError> {
        scan::parse(bytes)
    }

    /// The canonical bytes.
    ///
    /// # Errors
    /// [`Violation::Depth`] if arrays and objects nest deeper than [`MAX_DEPTH`].
    pub fn to_bytes(&self) -> Result<Vec<u8>, CanonicalError> {
        write::to_bytes(self)
    }

    /// Checks a value that comes from a caller: keys that start with `$` mean something to the evidence format itself, such as
    /// `{"$absent":…}`.
    ///
    /// # Errors
    /// [`Violation::ReservedKey`] if there is such a key at any level, [`Violation::Depth`] as for [`Value::to_bytes`].
    pub fn check_no_reserved_keys(&self) -> Result<(), CanonicalError> {
        self.check_keys(0)
    }

    /// The text, if it is a string.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text.as_str()),
            _ => None,
        }
    }

    /// The integer, if it is one.
    #[must_use]
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(int) => Some(int.get()),
            _ => None,
        }
    }

    /// The truth value, if it is one.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(bool) => Some(*bool),
            _ => None,
        }
    }

    /// The elements, if it is an array.
    #[must_use]
    pub fn as_array(&self) -> Option<&[Value]> {
        match self {
            Self::Array(items) => Some(items),
            _ => None,
        }
    }

    /// The members, if it is an object.
    #[must_use]
    pub fn as_object(&self) -> Option<&Object> {
        match self {
            Self::Object(object) => Some(object),
            _ => None,
        }
    }

    fn check_keys(&self, depth: usize) -> Result<(), CanonicalError> {
        match self {
            Self::Bool(_) | Self::Int(_) | Self::Text(_) => Ok(()),
            Self::Array(_) | Self::Object(_) if depth >= MAX_DEPTH => Err(Violation::Depth.into()),
            Self::Array(items) => items.iter().try_for_each(|item| item.check_keys(depth + 1)),
            Self::Object(object) => object.iter().try_for_each(|(key, value)| {
                if key.starts_with('$') {
                    return Err(Violation::ReservedKey.into());
                }
                value.check_keys(depth + 1)
            }),
        }
    }
}

impl From<bool> for Value {
    fn from(bool: bool) -> Self {
        Self::Bool(bool)
    }
}

impl From<u32> for Value {
    fn from(int: u32) -> Self {
        Self::Int(Int(i64::from(int)))
    }
}

impl From<Int> for Value {
    fn from(int: Int) -> Self {
        Self::Int(int)
    }
}

impl From<Text> for Value {
    fn from(text: Text) -> Self {
        Self::Text(text)
    }
}

impl From<Vec<Value>> for Value {
    fn from(items: Vec<Value>) -> Self {
        Self::Array(items)
    }
}

impl From<Object> for Value {
    fn from(object: Object) -> Self {
        Self::Object(object)
    }
}

/// An integer within ±[`MAX_SAFE_INTEGER`]. Larger ones are written as decimal strings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Int(i64);

impl Int {
    /// Checks the range.
    ///
    /// # Errors
    /// [`Violation::IntegerRange`].
    pub fn new(int: i64) -> Result<Self, CanonicalError> {
        if (-MAX_SAFE_INTEGER..=MAX_SAFE_INTEGER).contains(&int) {
            Ok(Self(int))
        } else {
            Err(Violation::IntegerRange.into())
        }
    }

    /// The integer.
    #[must_use]
    pub fn get(self) -> i64 {
        self.0
    }
}

impl TryFrom<u64> for Int {
    type Error = CanonicalError;

    fn try_from(int: u64) -> Result<Self, CanonicalError> {
        Self::new(i64::try_from(int).map_err(|_| Violation::IntegerRange)?)
    }
}

impl From<u8> for Int {
    fn from(int: u8) -> Self {
        Self(int.into())
    }
}

impl From<u16> for Int {
    fn from(int: u16) -> Self {
        Self(int.into())
    }
}

impl From<u32> for Int {
    fn from(int: u32) -> Self {
        Self(int.into())
    }
}

impl From<i32> for Int {
    fn from(int: i32) -> Self {
        Self(int.into())
    }
}

/// A string without U+0000.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Text(String);

impl Text {
    /// Checks the characters.
    ///
    /// # Errors
    /// [`Violation::Nul`] if the text contains U+0000.
    pub fn new(text: impl Into<String>) -> Result<Self, CanonicalError> {
        let text = text.into();
        if text.contains('\0') { Err(Violation::Nul.into()) } else { Ok(Self(text)) }
    }

    /// The string.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
