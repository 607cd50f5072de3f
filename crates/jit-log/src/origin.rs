//! Names in signed notes: of a log (its origin) and of a key (C2SP signed-note, tlog-checkpoint).

use std::fmt;

/// Longest name accepted, in bytes (the limit of the C2SP cosignature formats).
pub const MAX_NAME_LEN: usize = 255;

/// The identity of a log: the first line of its checkpoints, equal to the name of its key.
///
/// Non-empty, at most 255 bytes, without Unicode spaces, `+` and control characters; by
/// convention a URL without its scheme.
///
/// ```
/// use jit_log::Origin;
///
/// let origin = Origin::parse("example.org/evidence/eu")?;
/// assert_eq!(origin.as_str(), "example.org/evidence/eu");
/// assert!(Origin::parse("two words").is_err());
/// # Ok::<(), jit_log::OriginError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin(String);

impl Origin {
    /// Parses a name.
    ///
    /// # Errors
    ///
    /// [`OriginError`] says which rule the text breaks.
    pub fn parse(text: &str) -> Result<Self, OriginError> {
        check(text)?;
        Ok(Self(text.to_owned()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of a key in a signed note. The same rules as for an [`Origin`], which a log's key bears.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyName(String);

impl KeyName {
    /// Parses a name.
    ///
    /// # Errors
    ///
    /// [`OriginError`] says which rule the text breaks.
    pub fn parse(text: &str) -> Result<Self, OriginError> {
        check(text)?;
        Ok(Self(text.to_owned()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Origin> for KeyName {
    fn from(origin: Origin) -> Self {
        Self(origin.0)
    }
}

impl From<&Origin> for KeyName {
    fn from(origin: &Origin) -> Self {
        Self(origin.0.clone())
    }
}

impl PartialEq<Origin> for KeyName {
    fn eq(&self, other: &Origin) -> bool {
        self.0 == other.0
    }
}

fn check(text: &str) -> Result<(), OriginError> {
    if text.is_empty() {
        return Err(OriginError::Empty);
    }
    if text.len() > MAX_NAME_LEN {
        return Err(OriginError::TooLong { bytes: text.len() });
    }
    match text.chars().find(|c| c.is_whitespace() || c.is_control() || *c == '+') {
        Some(character) => Err(OriginError::Character { character }),
        None => Ok(()),
    }
}

/// Why a text is neither an [`Origin`] nor a [`KeyName`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OriginError {
    /// The text is empty.
    #[error("name is empty")]
    Empty,
    /// The text is longer than [`MAX_NAME_LEN`].
    #[error("name has {bytes} bytes, at most {MAX_NAME_LEN} are allowed")]
    TooLong {
        /// Length found, in bytes.
        bytes: usize,
    },
    /// The text holds a space, a control character or `+`.
    #[error("name contains {character:?}")]
    Character {
        /// The first character that is not allowed.
        character: char,
    },
}
