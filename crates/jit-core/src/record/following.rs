//! How the records of a stream follow each other: by number, predecessor and clock (evidence format, section 3).

use std::time::Duration;

use super::{header::Header, stream::StreamHead};
use crate::{digest::LeafHash, event::Kind, time::Timestamp};

/// Where a stream stands while its records are read in the order of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamProgress {
    head: StreamHead,
    /// The earliest moment at which the last record can have been made.
    earliest: Timestamp,
    closed: bool,
}

/// A record does not follow what was read of its stream before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StreamFault {
    /// Numbers are left out.
    #[error("number {expected} was to follow")]
    Gap {
        /// The number that was to follow.
        expected: u64,
    },
    /// The last number comes again.
    #[error("the number comes twice")]
    Fork,
    /// It names another predecessor, or comes after records that follow it.
    #[error("it does not name its predecessor")]
    Link,
    /// It was made before its predecessor, beyond the errors that both clocks declare (INV-14).
    #[error("it was made before its predecessor")]
    Clock,
    /// The stream was closed.
    #[error("the stream was closed before")]
    Closed,
}

impl StreamProgress {
    /// Where the stream stands after this record, whatever came before.
    #[must_use]
    pub fn after(header: &Header, leaf: LeafHash) -> Self {
        let error = Duration::from_micros(header.clock.error_us.into());
        Self {
            head: StreamHead { n: header.n, leaf },
            earliest: header.at.saturating_sub(error),
            closed: header.kind.closes_stream(),
        }
    }

    /// Whether a record follows what was read before: nothing, or this.
    ///
    /// # Errors
    /// [`StreamFault`], the first that applies.
    pub fn judge(before: Option<&Self>, header: &Header) -> Result<(), StreamFault> {
        let n = header.n;
        let error = Duration::from_micros(header.clock.error_us.into());
        match before {
            None if n > 0 => Err(StreamFault::Gap { expected: 0 }),
            None => Ok(()),
            Some(before) if n == before.head.n => Err(StreamFault::Fork),
            Some(before) if n < before.head.n => Err(StreamFault::Link),
            Some(before) if before.closed => Err(StreamFault::Closed),
            Some(before) if n.checked_sub(1) != Some(before.head.n) => {
                Err(StreamFault::Gap { expected: before.head.n.saturating_add(1) })
            }
            Some(before) if header.prev != Some(before.head.leaf) => Err(StreamFault::Link),
            Some(before) if header.at.saturating_add(error) < before.earliest => Err(StreamFault::Clock),
            Some(_) => Ok(()),
        }
    }

    /// The last record.
    #[must_use]
    pub fn head(&self) -> StreamHead {
        self.head
    }

    /// Whether the last record closed the stream.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed
    }
}

impl Kind {
    /// Whether a record of this kind is the last one of its stream.
    #[must_use]
    pub fn closes_stream(&self) -> bool {
        matches!(self, Self::CaseClosed | Self::LogClosed)
    }
}
