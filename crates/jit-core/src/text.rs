//! Names and other short texts: bounded, printable, never blank, one type per meaning.

use std::{borrow::Cow, fmt};

use serde::{Deserialize, Serialize};

/// A short text is blank, too long, or has a character it may not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TextError {
    /// Nothing but white space.
    #[error("{what} is blank")]
    Blank {
        /// Which text.
        what: &'static str,
    },
    /// More bytes than allowed.
    #[error("{what} is longer than {max} bytes")]
    TooLong {
        /// Which text.
        what: &'static str,
        /// The limit in bytes.
        max: usize,
    },
    /// A control character, or one outside the alphabet of this name.
    #[error("{what} has a character that is not allowed")]
    Character {
        /// Which text.
        what: &'static str,
    },
}

pub(crate) fn check(
    what: &'static str,
    max: usize,
    allowed: impl Fn(char) -> bool,
    text: &str,
) -> Result<(), TextError> {
    if text.len() > max {
        return Err(TextError::TooLong { what, max });
    }
    if text.trim().is_empty() {
        return Err(TextError::Blank { what });
    }
    if !text.chars().all(allowed) {
        return Err(TextError::Character { what });
    }
    Ok(())
}

/// Neither a control character nor one that turns the direction of the text around it, with which a line could read as
/// another one (Unicode UAX #9, explicit embeddings, overrides and isolates).
pub(crate) fn printable(c: char) -> bool {
    !c.is_control() && !matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn token(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | ':' | '/' | '@' | '#')
}

macro_rules! texts {
    ($($(#[$doc:meta])* $name:ident = $what:literal, $max:literal, $allowed:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Cow<'static, str>);

        impl $name {
            /// Checks and wraps a text.
            ///
            /// # Errors
            /// [`TextError`] if it is blank, too long, or has a character that is not allowed.
            pub fn new(text: impl Into<String>) -> Result<Self, TextError> {
                let text = text.into();
                check($what, $max, $allowed, &text)?;
                Ok(Self(text.into()))
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = TextError;
            fn try_from(text: String) -> Result<Self, TextError> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(text: $name) -> String {
                text.0.into_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", self.0)
            }
        }
    )*};
}

texts! {
    /// Who vouches for a subject: an identity provider, a directory.
    Issuer = "issuer", 255, token;
    /// A stable, pseudonymous id under its issuer. Never a name or an address: it stays in the evidence for good.
    Subject = "subject", 255, token;
    /// A group of approvers.
    GroupName = "group", 128, token;
    /// An action on a resource.
    Action = "action", 128, token;
    /// A kind of resource, `database` for example.
    ResourceKind = "resource kind", 64, token;
    /// One rule of a policy.
    RuleId = "rule id", 128, token;
    /// The path of a file in a policy snapshot.
    PolicyPath = "policy path", 255, printable;
    /// A retention class, declared before use.
    RetentionClass = "retention class", 64, token;
    /// An external system: a ticket system, an identity provider, a cloud.
    SystemName = "system name", 128, token;
    /// An id inside an external system.
    ExternalId = "external id", 255, printable;
    /// A version of software, a model, an engine.
    Version = "version", 64, printable;
    /// The name of a language model.
    ModelName = "model name", 128, printable;
    /// The name of a credential issuer.
    IssuerName = "issuer name", 128, token;
    /// A short machine-readable code.
    Code = "code", 64, token;
    /// What a clock is synchronised to, `ntp` for example.
    ClockSource = "clock source", 64, token;
    /// A key under which a caller repeats a command safely.
    IdempotencyKey = "idempotency key", 255, printable;
    /// One line of free text: a task, a cause.
    Line = "line", 1024, printable;
    /// Free text of several lines: a comment, a reason.
    Prose = "text", 16384, |c: char| printable(c) || c == '\n' || c == '\t';
}

impl Code {
    /// A code written in source; [`code!`](crate::code) checks it when it is compiled.
    ///
    /// # Panics
    /// If the text is no code: at compile time when called from `code!`.
    #[must_use]
    pub const fn from_static(text: &'static str) -> Self {
        let bytes = text.as_bytes();
        assert!(!bytes.is_empty() && bytes.len() <= 64, "a code has 1 to 64 bytes");
        let mut rest = bytes;
        while let [first, tail @ ..] = rest {
            assert!(first.is_ascii_lowercase() || first.is_ascii_digit() || *first == b'_', "a code is [a-z0-9_]");
            rest = tail;
        }
        Self(Cow::Borrowed(text))
    }
}

/// A [`Code`](crate::Code) written in source, checked when it is compiled.
///
/// ```
/// assert_eq!(jit_core::code!("given_back").as_str(), "given_back");
/// ```
///
/// ```compile_fail
/// jit_core::code!("Not a code");
/// ```
#[macro_export]
macro_rules! code {
    ($text:literal) => {
        const { $crate::Code::from_static($text) }
    };
}
