//! Why bytes or a value are refused. No error carries any of the content.

use thiserror::Error;

/// A refusal. The offset, where there is one, counts bytes from the start of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CanonicalError {
    /// The input breaks a rule.
    #[error("{violation} at byte {offset}")]
    At {
        /// The rule that is broken.
        violation: Violation,
        /// Where the offending part begins, in bytes.
        offset: usize,
    },
    /// A value that was built, not read, breaks a rule.
    #[error(transparent)]
    Value(#[from] Violation),
    /// A type has no canonical form: raw bytes, a map key that is no string, or its own serialisation failed.
    #[error("type cannot be written as canonical json")]
    Serialize,
    /// Canonical bytes are not of the shape of the type to be read.
    #[error("canonical json does not have the expected shape at byte {offset}")]
    Deserialize {
        /// How far the reader had come, in bytes of the canonical form.
        offset: usize,
    },
}

impl CanonicalError {
    /// The rule that is broken, if it is one of the canonical form.
    #[must_use]
    pub fn violation(&self) -> Option<Violation> {
        match *self {
            Self::At { violation, .. } | Self::Value(violation) => Some(violation),
            Self::Serialize | Self::Deserialize { .. } => None,
        }
    }
}

impl serde::ser::Error for CanonicalError {
    fn custom<T: std::fmt::Display>(_may_quote_content: T) -> Self {
        Self::Serialize
    }
}

/// The rules of the canonical form (RFC 8785 and the restrictions of the evidence format, section 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum Violation {
    /// Not JSON (RFC 8259).
    #[error("malformed json")]
    Syntax,
    /// The input ends inside a value.
    #[error("unexpected end of json")]
    End,
    /// Something follows the value.
    #[error("bytes after the json value")]
    Trailing,
    /// Not UTF-8.
    #[error("invalid utf-8")]
    Utf8,
    /// An unescaped control character inside a string.
    #[error("unescaped control character")]
    Control,
    /// Half of a surrogate pair, which no UTF-8 string can hold.
    #[error("lone surrogate")]
    LoneSurrogate,
    /// The character U+0000 inside a string or a key.
    #[error("character u+0000")]
    Nul,
    /// `null`, or `None` where it cannot be left out.
    #[error("null")]
    Null,
    /// A number with a fraction or an exponent.
    #[error("number that is not an integer")]
    Float,
    /// `-0`, which is a float.
    #[error("negative zero")]
    NegativeZero,
    /// An integer beyond ±(2^53 − 1).
    #[error("integer out of range")]
    IntegerRange,
    /// An object has the same key twice, compared after unescaping.
    #[error("duplicate key")]
    DuplicateKey,
    /// Arrays and objects nest deeper than [`MAX_DEPTH`](super::MAX_DEPTH).
    #[error("nesting too deep")]
    Depth,
    /// A key of a caller's value starts with `$`.
    #[error("reserved key")]
    ReservedKey,
    /// White space between tokens: valid JSON, not canonical.
    #[error("white space")]
    WhiteSpace,
    /// An escape that is not the one RFC 8785 section 3.2.2.2 asks for: valid JSON, not canonical.
    #[error("escape that is not minimal")]
    Escape,
    /// A key that is less than the one before, by UTF-16 code units: valid JSON, not canonical.
    #[error("key out of order")]
    KeyOrder,
}
