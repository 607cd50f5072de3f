//! Why access is asked for: never blank, kept verbatim (INV-10).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::text::{TextError, check, printable};

/// The longest justification, in bytes. Longer texts are attachments or external references.
pub const MAX_JUSTIFICATION: usize = 16 * 1024;

/// A business justification, verbatim.
///
/// ```
/// use jit_core::Justification;
/// assert!(Justification::new(" \n\t ").is_err());
/// assert_eq!(Justification::new("restore order 42, INC-7")?.as_str(), "restore order 42, INC-7");
/// # Ok::<(), jit_core::TextError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Justification(String);

impl Justification {
    /// Checks and wraps a text.
    ///
    /// # Errors
    /// [`TextError`] if it is blank, longer than [`MAX_JUSTIFICATION`] bytes, has control characters other than line
    /// feed, carriage return and tab, or turns the direction of the text around it.
    pub fn new(text: impl Into<String>) -> Result<Self, TextError> {
        let text = text.into();
        check("justification", MAX_JUSTIFICATION, |c| printable(c) || matches!(c, '\n' | '\r' | '\t'), &text)?;
        Ok(Self(text))
    }

    /// The text, verbatim.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Justification {
    type Error = TextError;
    fn try_from(text: String) -> Result<Self, TextError> {
        Self::new(text)
    }
}

impl From<Justification> for String {
    fn from(j: Justification) -> String {
        j.0
    }
}

impl fmt::Debug for Justification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Free text of people stays out of logs; its length is enough to debug with.
        write!(f, "Justification({} bytes)", self.0.len())
    }
}
