//! Proof that a record is in the log: the capability on which every effect depends.

use jit_log::{InclusionProof, ProofError, TrustError, TrustPolicy, VerifiedCheckpoint};

use crate::{
    digest::LeafHash,
    record::header::{Header, HeaderError},
};

/// A record is not proven to be in the log.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordedError {
    /// The header does not parse.
    #[error("header: {0}")]
    Header(#[from] HeaderError),
    /// The checkpoint is not trusted.
    #[error("checkpoint: {0}")]
    Trust(#[from] TrustError),
    /// The record is not under the checkpoint.
    #[error("inclusion of record {index}: {source}")]
    Inclusion {
        /// The index claimed.
        index: u64,
        /// What is wrong with the proof.
        source: ProofError,
    },
    /// The record names another log than the checkpoint.
    #[error("record names log {record}, checkpoint is of {checkpoint}")]
    Origin {
        /// The record's log.
        record: String,
        /// The checkpoint's origin.
        checkpoint: String,
    },
}

/// A record proven to be under a checkpoint that the verifier trusts. Only [`Recorded::verify`] and
/// [`Recorded::verify_under`] make one.
#[derive(Debug, Clone)]
pub struct Recorded {
    header: Header,
    header_bytes: Vec<u8>,
    leaf: LeafHash,
    index: u64,
    proof: InclusionProof,
    checkpoint: VerifiedCheckpoint,
}

impl Recorded {
    /// Verifies that the header `bytes` stand at `index` under the signed `note`.
    ///
    /// # Errors
    /// [`RecordedError`] naming what is not proven.
    pub fn verify(
        bytes: &[u8],
        index: u64,
        proof: &InclusionProof,
        note: &[u8],
        trust: &TrustPolicy,
    ) -> Result<Self, RecordedError> {
        Self::verify_under(bytes, index, proof, &trust.verify(note)?)
    }

    /// As [`Recorded::verify`], under a checkpoint already verified.
    ///
    /// # Errors
    /// [`RecordedError`] naming what is not proven.
    pub fn verify_under(
        bytes: &[u8],
        index: u64,
        proof: &InclusionProof,
        checkpoint: &VerifiedCheckpoint,
    ) -> Result<Self, RecordedError> {
        let header = Header::parse(bytes)?;
        let signed = checkpoint.checkpoint();
        if header.log.as_origin() != signed.origin() {
            return Err(RecordedError::Origin {
                record: header.log.to_string(),
                checkpoint: signed.origin().to_string(),
            });
        }
        let leaf = jit_log::leaf_hash(bytes);
        proof
            .verify(&leaf, index, signed.size(), &signed.root())
            .map_err(|source| RecordedError::Inclusion { index, source })?;
        Ok(Self {
            header,
            header_bytes: bytes.to_vec(),
            leaf: leaf.into(),
            index,
            proof: proof.clone(),
            checkpoint: checkpoint.clone(),
        })
    }

    /// The header.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The header's bytes.
    #[must_use]
    pub fn header_bytes(&self) -> &[u8] {
        &self.header_bytes
    }

    /// The leaf hash.
    #[must_use]
    pub fn leaf(&self) -> LeafHash {
        self.leaf
    }

    /// The index in the log.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.index
    }

    /// The inclusion proof.
    #[must_use]
    pub fn proof(&self) -> &InclusionProof {
        &self.proof
    }

    /// The checkpoint it hangs under.
    #[must_use]
    pub fn checkpoint(&self) -> &VerifiedCheckpoint {
        &self.checkpoint
    }
}
