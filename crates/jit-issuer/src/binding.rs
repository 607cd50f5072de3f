//! What ties a record to one intended credential.

use jit_core::{CredentialId, Kind, LeafHash, LogOrigin, Recorded, StreamId};

/// A record is proven, but it is not the record that the effect needs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordMismatch {
    /// It is in another log.
    #[error("record is in log {found}, not in {expected}")]
    Log {
        /// The log it must be in.
        expected: LogOrigin,
        /// The log it is in.
        found: LogOrigin,
    },
    /// It is in another stream.
    #[error("record is in stream {found}, not in {expected}")]
    Stream {
        /// The stream it must be in.
        expected: StreamId,
        /// The stream it is in.
        found: StreamId,
    },
    /// It says something else.
    #[error("record is a {found}, not a {expected}")]
    Kind {
        /// The kind it must be of.
        expected: Kind,
        /// The kind it is of.
        found: Kind,
    },
    /// It is about another credential, or about none.
    #[error("record is not about credential {expected}")]
    Credential {
        /// The credential it must be about.
        expected: CredentialId,
    },
    /// It is not the record that the proof is about.
    #[error("the proof is about record {proven}")]
    OtherRecord {
        /// The record it is about.
        proven: LeafHash,
    },
    /// It does not name the intent of the credential as its cause.
    #[error("record does not follow from the intent to mint credential {credential}")]
    Cause {
        /// The credential.
        credential: CredentialId,
    },
}

/// The place and intent of one credential, which every later record about its mint must name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Binding {
    pub(crate) log: LogOrigin,
    pub(crate) stream: StreamId,
    pub(crate) credential: CredentialId,
    pub(crate) intended: LeafHash,
}

impl Binding {
    /// Checks that the record is of this kind and follows from this intent.
    pub(crate) fn check(&self, recorded: &Recorded, kind: Kind) -> Result<(), RecordMismatch> {
        in_place(recorded, &self.log, self.stream, kind)?;
        let refs = &recorded.header().refs;
        if refs.credential != Some(self.credential) {
            return Err(RecordMismatch::Credential { expected: self.credential });
        }
        if refs.cause != Some(self.intended) {
            return Err(RecordMismatch::Cause { credential: self.credential });
        }
        Ok(())
    }
}

/// Checks that the record is of this kind, in this stream of this log.
pub(crate) fn in_place(
    recorded: &Recorded,
    log: &LogOrigin,
    stream: StreamId,
    kind: Kind,
) -> Result<(), RecordMismatch> {
    let header = recorded.header();
    if header.log != *log {
        return Err(RecordMismatch::Log { expected: log.clone(), found: header.log.clone() });
    }
    if header.stream != stream {
        return Err(RecordMismatch::Stream { expected: stream, found: header.stream });
    }
    if header.kind != kind {
        return Err(RecordMismatch::Kind { expected: kind, found: header.kind.clone() });
    }
    Ok(())
}
