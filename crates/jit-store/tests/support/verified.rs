//! How these tests verify a log.

use std::sync::Arc;

use jit_core::{IndexKey, PolicyDigest};
use jit_log::TrustPolicy;
use jit_store::{Damage, FileAnchor, FsckConfig, FsckReport};

use super::{ORIGIN, World, key};

/// As these tests make policies.
fn digest(bytes: &[u8]) -> Option<PolicyDigest> {
    Some(PolicyDigest::from_bytes(*blake3::hash(bytes).as_bytes()))
}

/// Everything that a log can be held against.
pub(crate) fn config(world: &World) -> FsckConfig {
    let trust = TrustPolicy::new_log_only(key(ORIGIN, 7).verifier()).unwrap();
    FsckConfig::new(ORIGIN.parse().unwrap(), trust)
        .anchor(Arc::new(FileAnchor::new(world.anchor())))
        .index_key(IndexKey::from_bytes([5; 32]))
        .snapshots(digest)
}

/// The names of what was found, once each.
pub(crate) fn names(report: &FsckReport) -> Vec<&'static str> {
    let mut names: Vec<_> = report.damages.iter().map(Damage::name).collect();
    names.sort_unstable();
    names.dedup();
    names
}
