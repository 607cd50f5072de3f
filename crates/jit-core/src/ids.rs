//! Typed identifiers: UUIDs that cannot be mistaken for one another.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use uuid::Uuid;

use crate::time::Timestamp;

/// A text is not a UUID in the form the evidence format demands: lower case, with hyphens.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a lower-case hyphenated UUID for a {what}")]
pub struct IdError {
    /// Which id was expected.
    pub what: &'static str,
}

macro_rules! uuid_ids {
    ($($(#[$doc:meta])* $name:ident = $what:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// Wraps a UUID.
            #[must_use]
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// A time-ordered id (UUIDv7, RFC 9562 section 5.7) from a moment and ten random bytes.
            #[must_use]
            pub fn v7(at: Timestamp, random: [u8; 10]) -> Self {
                Self(uuid::Builder::from_unix_timestamp_millis(at.unix_millis(), &random).into_uuid())
            }

            /// An id derived from a digest (UUIDv8, RFC 9562 section 5.8).
            #[must_use]
            pub fn v8(bytes: [u8; 16]) -> Self {
                Self(uuid::Builder::from_custom_bytes(bytes).into_uuid())
            }

            /// The sixteen bytes.
            #[must_use]
            pub fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }

            /// The UUID inside.
            #[must_use]
            pub const fn as_uuid(&self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0.hyphenated(), f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                parse_strict(text).map(Self).ok_or(IdError { what: $what })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                String::deserialize(d)?.parse().map_err(de::Error::custom)
            }
        }
    )*};
}

uuid_ids! {
    /// One access request and everything that follows from it: the case, its stream and the request share this id.
    CaseId = "case";
    /// A grant: the privilege that a case led to.
    GrantId = "grant";
    /// A credential, fixed before it is minted, so that a crash leaves a record that says what to look for.
    CredentialId = "credential";
    /// One record of the log. The record of a decision or an approval gives that decision or approval its id.
    RecordId = "record";
    /// One command under its idempotency key, derived from principal and key.
    CommandId = "command";
    /// The ledger of one subject, resource and action set.
    EntitlementId = "entitlement";
    /// A recording process instance.
    WriterId = "writer";
    /// An obligation that a case opened, a review for example.
    ObligationId = "obligation";
    /// A legal hold.
    HoldId = "hold";
}

fn parse_strict(text: &str) -> Option<Uuid> {
    let uuid = Uuid::try_parse(text).ok()?;
    let mut buffer = Uuid::encode_buffer();
    (uuid.hyphenated().encode_lower(&mut buffer) == text).then_some(uuid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_canonical_spelling_parses() {
        let id = CaseId::v7(Timestamp::EPOCH, [0xab; 10]);
        assert_eq!(id.to_string().parse::<CaseId>(), Ok(id));
        assert!(id.to_string().to_uppercase().parse::<CaseId>().is_err());
        assert!(id.to_string().replace('-', "").parse::<CaseId>().is_err());
        assert!("".parse::<CaseId>().is_err());
        assert_eq!(id.as_uuid().get_version_num(), 7);
        assert_eq!(CaseId::v8([0xff; 16]).as_uuid().get_version_num(), 8);
    }
}
