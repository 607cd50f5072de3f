//! The file that proves one leaf offline: index, inclusion proof and signed checkpoint
//! (C2SP tlog-proof v1).

use std::fmt::Write as _;

use data_encoding::BASE64;

use crate::base64;
use crate::decimal;
use crate::hash::{Hash, HashError};
use crate::policy::{TrustError, TrustPolicy, VerifiedCheckpoint};
use crate::proof::{InclusionProof, ProofError};

/// Longest proof file accepted, in bytes.
pub const MAX_TLOG_PROOF_LEN: usize = 1 << 22;

const HEADER: &str = "c2sp.org/tlog-proof@v1";

/// A `.tlog-proof` file: well-formed, not verified until [`TlogProof::verify`] has succeeded.
///
/// [`TlogProof::to_bytes`] gives back exactly the bytes that [`TlogProof::parse`] took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlogProof {
    extra: Option<Vec<u8>>,
    index: u64,
    proof: InclusionProof,
    checkpoint: Vec<u8>,
}

impl TlogProof {
    /// Puts a proof together: index of the leaf from 0, its inclusion proof, and the signed
    /// checkpoint of the tree that the proof leads to.
    #[must_use]
    pub fn new(index: u64, proof: InclusionProof, checkpoint_note: Vec<u8>) -> Self {
        Self { extra: None, index, proof, checkpoint: checkpoint_note }
    }

    /// Adds application data, which the proof does **not** authenticate. Empty data is left out.
    #[must_use]
    pub fn with_extra(mut self, extra: Vec<u8>) -> Self {
        self.extra = Some(extra).filter(|extra| !extra.is_empty());
        self
    }

    /// Parses a proof file.
    ///
    /// # Errors
    ///
    /// [`TlogProofError`] says what is malformed or beyond [`MAX_TLOG_PROOF_LEN`]. The checkpoint is
    /// taken as it is and parsed by [`TlogProof::verify`].
    pub fn parse(bytes: &[u8]) -> Result<Self, TlogProofError> {
        if bytes.len() > MAX_TLOG_PROOF_LEN {
            return Err(TlogProofError::TooLong { bytes: bytes.len() });
        }
        let blank = bytes.windows(2).position(|pair| pair == b"\n\n");
        let (header, rest) = blank.and_then(|at| bytes.split_at_checked(at)).ok_or(TlogProofError::NoCheckpoint)?;
        let checkpoint = rest.get(2..).unwrap_or_default().to_vec();
        let header = std::str::from_utf8(header).map_err(|_| TlogProofError::Header)?;

        let mut lines = header.split('\n').peekable();
        if lines.next() != Some(HEADER) {
            return Err(TlogProofError::Header);
        }
        let extra = match lines.next_if(|line| line.starts_with("extra")) {
            Some(line) => Some(parse_extra(line).ok_or(TlogProofError::Extra)?),
            None => None,
        };
        let index = lines.next().and_then(|line| line.strip_prefix("index "));
        let index = index.and_then(decimal::parse).ok_or(TlogProofError::Index)?;
        let hashes: Result<Vec<_>, _> = lines.map(Hash::from_base64).collect();
        let proof = InclusionProof::from_hashes(hashes?)?;
        Ok(Self { extra, index, proof, checkpoint })
    }

    /// The file.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut header = format!("{HEADER}\n");
        // Writing to a string cannot fail.
        if let Some(extra) = &self.extra {
            let _ = writeln!(header, "extra {}", BASE64.encode(extra));
        }
        let _ = writeln!(header, "index {}", self.index);
        for hash in self.proof.hashes() {
            let _ = writeln!(header, "{}", hash.to_base64());
        }
        header.push('\n');
        [header.as_bytes(), &self.checkpoint].concat()
    }

    /// Verifies that the leaf with this hash is in a log that `policy` accepts, and returns the
    /// checkpoint that covers it.
    ///
    /// # Errors
    ///
    /// [`TlogProofError::Trust`] if the policy does not accept the checkpoint,
    /// [`TlogProofError::Proof`] if the leaf is not proven to be in it.
    pub fn verify(&self, leaf: &Hash, policy: &TrustPolicy) -> Result<VerifiedCheckpoint, TlogProofError> {
        let verified = policy.verify(&self.checkpoint)?;
        let checkpoint = verified.checkpoint();
        self.proof.verify(leaf, self.index, checkpoint.size(), &checkpoint.root())?;
        Ok(verified)
    }

    /// Application data. **Not authenticated.**
    #[must_use]
    pub fn extra(&self) -> Option<&[u8]> {
        self.extra.as_deref()
    }

    /// Index of the leaf, from 0.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.index
    }

    /// The inclusion proof.
    #[must_use]
    pub fn proof(&self) -> &InclusionProof {
        &self.proof
    }

    /// The signed checkpoint, verbatim.
    #[must_use]
    pub fn checkpoint_note(&self) -> &[u8] {
        &self.checkpoint
    }
}

fn parse_extra(line: &str) -> Option<Vec<u8>> {
    let extra = base64::decode(line.strip_prefix("extra ")?)?;
    Some(extra).filter(|extra| !extra.is_empty())
}

/// Why bytes are not a proof file, or the file does not prove the leaf.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TlogProofError {
    /// The file exceeds [`MAX_TLOG_PROOF_LEN`].
    #[error("proof file has {bytes} bytes, at most {MAX_TLOG_PROOF_LEN} are allowed")]
    TooLong {
        /// Length found, in bytes.
        bytes: usize,
    },
    /// There is no blank line with a checkpoint after it.
    #[error("proof file has no checkpoint")]
    NoCheckpoint,
    /// The first line is not that of this version.
    #[error("proof file does not begin with {HEADER}")]
    Header,
    /// The `extra` line is not canonical base64 of one byte or more.
    #[error("extra line of the proof file is malformed")]
    Extra,
    /// The `index` line is missing or not a decimal number.
    #[error("index line of the proof file is missing or malformed")]
    Index,
    /// A line of the inclusion proof is not a hash.
    #[error("proof file has a malformed hash: {0}")]
    Hash(#[from] HashError),
    /// The inclusion proof does not prove the leaf.
    #[error(transparent)]
    Proof(#[from] ProofError),
    /// The checkpoint is not accepted.
    #[error(transparent)]
    Trust(#[from] TrustError),
}
