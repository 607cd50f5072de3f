//! The parts of a bundle, as they are written (evidence format, section 7).

use std::collections::BTreeMap;

use jit_core::{CaseId, Code, FieldName, Kind, Line, LogOrigin, PrincipalId, Timestamp, Version, canonical::Value};
use serde::{Deserialize, Serialize};

/// The format of a bundle. Only `jit-bundle/1` parses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum BundleFormat {
    /// Version 1.
    #[default]
    #[serde(rename = "jit-bundle/1")]
    V1,
}

/// The question that a bundle answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "query", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Scope {
    /// Everything about one access request.
    Case {
        /// The case.
        case: CaseId,
    },
}

/// A log that records of the bundle are in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BundleLog {
    /// Its name.
    pub origin: LogOrigin,
    /// The signed checkpoint that the proofs lead to, verbatim with all its signatures.
    pub checkpoint: String,
}

/// A record with its proof. What it holds is taken apart by the verifier, record by record, so that a damaged one is named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BundleRecord {
    /// The position of its log in the bundle's list of logs.
    pub log: u32,
    /// Its index in that log, from 0.
    pub index: u64,
    /// The bytes of its header, verbatim.
    pub header: String,
    /// Its payload, name → `{c, salt, value}` or `{c, digest}`; absent when purged.
    pub fields: Option<Value>,
    /// The index of the record of its purge.
    pub purged: Option<u64>,
    /// The inclusion proof: hashes in base64, the leaf's sibling first.
    pub proof: Vec<String>,
}

/// Fields that a bundle does not show though the log has them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exclusion {
    /// The index of the record.
    pub index: u64,
    /// The fields, sorted.
    pub fields: Vec<FieldName>,
    /// Why, as a code.
    pub reason: Code,
}

/// The program that made a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tool {
    /// Its name.
    pub name: Code,
    /// Its version.
    pub version: Version,
}

/// What whoever exported a bundle says it holds. Claims: a verifier holds them against the records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The question in words.
    pub query: Line,
    /// The index of the first record.
    pub first: u64,
    /// The index of the last record.
    pub last: u64,
    /// How many records of each kind.
    pub counts: BTreeMap<Kind, u64>,
    /// What was left out, ascending by index.
    pub exclusions: Vec<Exclusion>,
    /// The program that made it.
    pub tool: Tool,
    /// Who ran it.
    pub by: PrincipalId,
    /// When.
    pub at: Timestamp,
}
