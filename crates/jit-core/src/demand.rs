//! What a justification must have: a length, a ticket, a reference whose text is pinned by its digest. Policies demand it as an
//! obligation, a broker in its settings, in the same words.

use std::{collections::BTreeSet, fmt, num::NonZeroU32, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{
    code,
    external::ExternalRef,
    justification::Justification,
    text::{Code, SystemName},
};

/// The longest ticket pattern, in characters.
pub const MAX_TICKET_PATTERN: usize = 64;

/// A text is not a ticket pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a ticket pattern: 1 to {MAX_TICKET_PATTERN} characters, A-Z a-z 0-9 - _ / . and the places # (digits) and @ (letters), no two places of one kind side by side"
)]
pub struct TicketPatternError;

/// What a ticket looks like: `#` stands for one or more digits, `@` for one or more ASCII letters, anything else for itself. It is
/// found in linear time; there are no other operators.
///
/// ```
/// use jit_core::TicketPattern;
/// let incident: TicketPattern = "INC-#".parse()?;
/// assert!(incident.is_in("restore order 42, INC-7"));
/// assert!(!incident.is_in("restore order 42, INC-soon") && !incident.is_in("XINC-7") && !incident.is_in("INC-7a"));
/// # Ok::<(), jit_core::TicketPatternError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TicketPattern(String);

impl TicketPattern {
    /// Whether a ticket like this stands in the text, with no letter, digit or underscore directly before or after it.
    #[must_use]
    pub fn is_in(&self, text: &str) -> bool {
        let bytes = text.as_bytes();
        let mut before_is_word = false;
        for (at, byte) in bytes.iter().enumerate() {
            // Only where no word goes on, so that a run of letters or digits is not read again from within.
            if !before_is_word && self.ends_at(bytes.get(at..).unwrap_or_default()) {
                return true;
            }
            before_is_word = is_word(*byte);
        }
        false
    }

    /// Whether the bytes begin with such a ticket that ends there.
    fn ends_at(&self, bytes: &[u8]) -> bool {
        let mut rest = bytes;
        for place in self.0.bytes() {
            let run = match place {
                b'#' => rest.iter().take_while(|b| b.is_ascii_digit()).count(),
                b'@' => rest.iter().take_while(|b| b.is_ascii_alphabetic()).count(),
                literal => usize::from(rest.first() == Some(&literal)),
            };
            match rest.get(run..) {
                Some(after) if run > 0 => rest = after,
                _ => return false,
            }
        }
        !rest.first().is_some_and(|next| is_word(*next))
    }
}

/// Bytes of characters beyond ASCII count as letters.
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii()
}

impl FromStr for TicketPattern {
    type Err = TicketPatternError;
    fn from_str(text: &str) -> Result<Self, TicketPatternError> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'/' | b'.' | b'#' | b'@');
        let doubled = text.contains("##") || text.contains("@@");
        // What follows a run of its own kind could never be reached.
        let swallowed = text.as_bytes().windows(2).any(|pair| match pair {
            [b'#', next] => next.is_ascii_digit(),
            [b'@', next] => next.is_ascii_alphabetic(),
            _ => false,
        });
        if (1..=MAX_TICKET_PATTERN).contains(&text.len()) && text.bytes().all(allowed) && !doubled && !swallowed {
            Ok(Self(text.to_owned()))
        } else {
            Err(TicketPatternError)
        }
    }
}

impl TryFrom<String> for TicketPattern {
    type Error = TicketPatternError;
    fn try_from(text: String) -> Result<Self, TicketPatternError> {
        text.parse()
    }
}

impl From<TicketPattern> for String {
    fn from(pattern: TicketPattern) -> String {
        pattern.0
    }
}

impl fmt::Display for TicketPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a justification lacks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JustificationLack {
    /// It is shorter than demanded.
    #[error("the justification has fewer than {min} characters")]
    Length {
        /// How many it must have.
        min: NonZeroU32,
    },
    /// It names no ticket of this form.
    #[error("the justification names no ticket of the form {0}")]
    Ticket(TicketPattern),
    /// The request has no reference into this system with the digest of its text.
    #[error("the request refers to nothing in {0} by the digest of its text")]
    Reference(SystemName),
}

impl JustificationLack {
    /// A stable code for records.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Length { .. } => code!("justification_too_short"),
            Self::Ticket(_) => code!("ticket_missing"),
            Self::Reference(_) => code!("reference_missing"),
        }
    }
}

/// What a justification must have. The empty demand asks for nothing beyond what every justification is: not blank.
///
/// ```
/// use jit_core::{Justification, JustificationDemand};
/// let demand = JustificationDemand::default().min_length(12).ticket("INC-#".parse()?);
/// assert!(demand.check(&Justification::new("restore, INC-7")?, &[]).is_ok());
/// assert_eq!(demand.check(&Justification::new("restore")?, &[]).unwrap_err().code().as_str(), "justification_too_short");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JustificationDemand {
    min_length: Option<NonZeroU32>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    tickets: BTreeSet<TicketPattern>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    references: BTreeSet<SystemName>,
}

impl JustificationDemand {
    /// Demands at least this many characters, blanks at both ends not counted. Zero demands none.
    #[must_use]
    pub fn min_length(mut self, characters: u32) -> Self {
        self.min_length = NonZeroU32::new(characters);
        self
    }

    /// Demands a ticket of this form in the text, besides those demanded already.
    #[must_use]
    pub fn ticket(mut self, pattern: TicketPattern) -> Self {
        self.tickets.insert(pattern);
        self
    }

    /// Demands an [`ExternalRef`] into this system with the digest of its text, besides those demanded already.
    #[must_use]
    pub fn reference(mut self, system: SystemName) -> Self {
        self.references.insert(system);
        self
    }

    /// Both demands: the longer text, all tickets, all references.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        self.min_length = self.min_length.max(other.min_length);
        self.tickets.extend(other.tickets.iter().cloned());
        self.references.extend(other.references.iter().cloned());
        self
    }

    /// Whether whatever meets `other` meets this too.
    #[must_use]
    pub fn no_stricter_than(&self, other: &Self) -> bool {
        self.min_length <= other.min_length
            && self.tickets.is_subset(&other.tickets)
            && self.references.is_subset(&other.references)
    }

    /// Checks a justification and the references that come with it.
    ///
    /// # Errors
    /// [`JustificationLack`] naming the first thing missing.
    pub fn check(&self, justification: &Justification, external: &[ExternalRef]) -> Result<(), JustificationLack> {
        self.check_text(justification.as_str())?;
        self.check_references(external)
    }

    /// Checks a text alone, such as one that was deferred.
    ///
    /// # Errors
    /// [`JustificationLack`] naming the first thing missing.
    pub fn check_text(&self, text: &str) -> Result<(), JustificationLack> {
        if let Some(min) = self.min_length
            && text.trim().chars().count() < usize::try_from(min.get()).unwrap_or(usize::MAX)
        {
            return Err(JustificationLack::Length { min });
        }
        match self.tickets.iter().find(|ticket| !ticket.is_in(text)) {
            Some(missing) => Err(JustificationLack::Ticket(missing.clone())),
            None => Ok(()),
        }
    }

    /// Checks the references alone.
    ///
    /// # Errors
    /// [`JustificationLack`] naming the first system that is not referred to by digest.
    pub fn check_references(&self, external: &[ExternalRef]) -> Result<(), JustificationLack> {
        let referred = |system: &&SystemName| !external.iter().any(|r| r.system == **system && r.digest.is_some());
        match self.references.iter().find(referred) {
            Some(missing) => Err(JustificationLack::Reference(missing.clone())),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_stands_alone() {
        let pattern = |text: &str| text.parse::<TicketPattern>().unwrap();
        for (form, text, found) in [
            ("INC-#", "INC-1", true),
            ("INC-#", "(INC-1)", true),
            ("INC-#", "see INC-12345.", true),
            ("INC-#", "INC-", false),
            ("INC-#", "INC-12b", false),
            ("INC-#", "myINC-12", false),
            ("INC-#", "\u{e9}INC-12", false),
            ("INC-#", "inc-12", false),
            ("INC-#", "INC-x INC-9", true),
            ("@-#", "CHG-7", true),
            ("@-#", "7-7", false),
            ("#", "order 42", true),
            ("#", "order42", false),
        ] {
            assert_eq!(pattern(form).is_in(text), found, "{form} in {text}");
        }
        for bad in ["", "##", "@@", "#1", "@a", "a b", "(a+)+", "a*", &"a".repeat(65)] {
            assert!(bad.parse::<TicketPattern>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_hostile_text_takes_no_longer_than_a_plain_one_of_its_length() {
        // 16 KiB of what almost matches; with anything but linear work this would be noticed.
        let pattern: TicketPattern = "@-#-@-#".parse().unwrap();
        for text in ["a-1-".repeat(4096), "a".repeat(16_384), "1".repeat(16_384), "a-".repeat(8192)] {
            assert!(!pattern.is_in(&text[..text.len() - 1]) || text.starts_with("a-1-"), "{}", text.len());
        }
    }

    #[test]
    fn references_need_a_digest() {
        let system = SystemName::new("tickets").unwrap();
        let demand = JustificationDemand::default().reference(system.clone());
        let mut reference = ExternalRef { system, id: crate::text::ExternalId::new("INC-7").unwrap(), digest: None };
        assert!(demand.check_references(std::slice::from_ref(&reference)).is_err());
        reference.digest = Some(crate::digest::ExternalDigest::of(b"the ticket"));
        assert!(demand.check_references(&[reference]).is_ok());
    }
}
