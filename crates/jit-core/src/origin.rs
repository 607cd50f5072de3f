//! The name of a log, as records carry it.

use std::{fmt, str::FromStr};

use jit_log::Origin;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The origin of a log (C2SP tlog-checkpoint): equal to the origin of its checkpoints.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct LogOrigin(Origin);

impl LogOrigin {
    /// The origin as the log library knows it.
    #[must_use]
    pub fn as_origin(&self) -> &Origin {
        &self.0
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl From<Origin> for LogOrigin {
    fn from(origin: Origin) -> Self {
        Self(origin)
    }
}

impl FromStr for LogOrigin {
    type Err = jit_log::OriginError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Origin::parse(text).map(Self)
    }
}

impl fmt::Display for LogOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for LogOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

impl Serialize for LogOrigin {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for LogOrigin {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(de::Error::custom)
    }
}
