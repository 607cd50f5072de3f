//! A changed bit in anything published is noticed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    unreachable_pub,
    reason = "tests may panic"
)]

use std::sync::LazyLock;

use jit_log::{
    CHECKPOINT_PATH, ConsistencyProof, DirectoryError, DirectoryReport, DirectoryVerifier, Hash, InclusionProof,
    ProofPlan, TileBuilder, TlogProof, TrustPolicy, VerifierKey, leaf_hash,
};

mod golden;

use golden::Files;

/// Size of the log of which every bit is flipped; its one tile is all there is.
const SIZE: u64 = 40;

fn log_only() -> TrustPolicy {
    TrustPolicy::new_log_only(VerifierKey::parse(golden::LOG_VKEY).unwrap()).unwrap()
}

fn log_and_witness() -> TrustPolicy {
    let policy = format!("log {}\nwitness w {}\nquorum none\n", golden::LOG_VKEY, golden::WITNESS_VKEY);
    TrustPolicy::parse(&policy).unwrap()
}

fn leaves(size: u64) -> Vec<Hash> {
    (0..size).map(|index| leaf_hash(&golden::entry(index))).collect()
}

fn builder(leaves: &[Hash]) -> TileBuilder {
    let mut builder = TileBuilder::new();
    for leaf in leaves {
        builder.push(*leaf).unwrap();
    }
    builder
}

fn proof_file(index: u64) -> TlogProof {
    let leaves = leaves(SIZE);
    let plan = ProofPlan::inclusion(index, SIZE).unwrap();
    let proof = plan.finish(|_| Some(leaves.as_slice())).unwrap();
    TlogProof::new(index, proof, golden::checkpoint_note(&builder(&leaves), false).to_bytes())
}

/// Every copy of `bytes` that differs in one bit, with the position of the byte.
fn flips(bytes: &[u8]) -> impl Iterator<Item = (usize, Vec<u8>)> {
    (0..bytes.len()).flat_map(move |at| (0..8).map(move |bit| (at, flip(bytes, at, bit))))
}

fn flip(bytes: &[u8], at: usize, bit: usize) -> Vec<u8> {
    let mut changed = bytes.to_vec();
    changed[at] ^= 1 << bit;
    changed
}

/// The policy of the log alone, parsed once.
static POLICY: LazyLock<TrustPolicy> = LazyLock::new(log_only);

fn verify(mut files: Files) -> Result<DirectoryReport, DirectoryError> {
    DirectoryVerifier::new(&POLICY).verify(&mut files, |_, _| Ok(()))
}

fn verify_with(files: &Files, path: &str, file: Vec<u8>) -> Result<DirectoryReport, DirectoryError> {
    let mut files = files.clone();
    files.0.insert(path.to_owned(), file);
    verify(files)
}

#[track_caller]
fn assert_names(result: Result<DirectoryReport, DirectoryError>, path: &str, change: &str) {
    let error = result.expect_err(change).to_string();
    assert!(error.contains(path), "{change} of {path}: {error}");
}

#[test]
fn every_bit_of_a_proof_file() {
    let (leaf, policy) = (leaf_hash(&golden::entry(17)), log_only());
    let verifies = |file: &[u8]| TlogProof::parse(file).is_ok_and(|proof| proof.verify(&leaf, &policy).is_ok());
    let file = proof_file(17).to_bytes();
    assert!(verifies(&file));
    for (at, changed) in flips(&file) {
        assert!(!verifies(&changed), "byte {at}: {}", String::from_utf8_lossy(&changed));
    }
}

#[test]
fn a_flip_in_extra_changes_nothing_but_extra() {
    let (leaf, policy) = (leaf_hash(&golden::entry(17)), log_only());
    let original = proof_file(17).with_extra(b"disclosed".to_vec());
    let bytes = original.to_bytes();
    let (header, checkpoint) = bytes.split_at(bytes.len() - original.checkpoint_note().len());
    let mut changed_extra = 0;
    for (at, changed) in flips(header) {
        let Ok(proof) = TlogProof::parse(&[&changed, checkpoint].concat()) else { continue };
        if proof.verify(&leaf, &policy).is_ok() {
            assert_ne!(proof.extra(), original.extra(), "byte {at}");
            assert_eq!(proof_file(17).with_extra(proof.extra().unwrap().to_vec()), proof, "byte {at}");
            changed_extra += 1;
        }
    }
    assert!(changed_extra > 0);
}

#[test]
fn every_bit_of_a_checkpoint_signed_by_the_log() {
    let policy = log_only();
    let note = golden::checkpoint_note(&builder(&leaves(SIZE)), false).to_bytes();
    assert!(policy.verify(&note).is_ok());
    for (at, changed) in flips(&note) {
        assert!(policy.verify(&changed).is_err(), "byte {at}: {}", String::from_utf8_lossy(&changed));
    }
}

#[test]
fn a_changed_cosignature_never_counts() {
    let note = golden::checkpoint_note(&builder(&leaves(SIZE)), true);
    let bytes = note.to_bytes();
    let (signed, cosignature) = bytes.split_at(bytes.len() - note.signatures()[1].to_string().len());
    for (policy, counted) in [(log_only(), 0), (log_and_witness(), 1)] {
        let original = policy.verify(&bytes).unwrap();
        assert_eq!(original.cosignatures().len(), counted);
        let mut ignored = 0;
        for (_, changed) in flips(cosignature) {
            let Ok(verified) = policy.verify(&[signed, &changed].concat()) else { continue };
            assert_eq!(verified.checkpoint(), original.checkpoint());
            assert_eq!(verified.cosignatures(), [], "{}", String::from_utf8_lossy(&changed));
            ignored += 1;
        }
        assert!(ignored > 0, "a line by an unknown cosigner is ignored");
    }
}

#[test]
fn every_bit_of_every_hash_of_a_proof() {
    let leaves = leaves(SIZE);
    let root = |size| builder(&leaves[..size as usize]).frontier().root();
    let new_root = root(SIZE);
    let changes = |hashes: &[Hash]| -> Vec<Vec<Hash>> {
        let mut changes = Vec::new();
        for place in 0..hashes.len() {
            for (_, changed) in flips(hashes[place].as_bytes()) {
                let mut copy = hashes.to_vec();
                copy[place] = Hash::from_slice(&changed).unwrap();
                changes.push(copy);
            }
            let (mut missing, mut doubled) = (hashes.to_vec(), hashes.to_vec());
            missing.remove(place);
            doubled.insert(place, hashes[place]);
            changes.extend([missing, doubled]);
        }
        changes.push([hashes, &[new_root]].concat());
        changes
    };
    for number in 1..=SIZE {
        let (index, leaf) = (number - 1, leaves[number as usize - 1]);
        let plan = ProofPlan::inclusion(index, SIZE).unwrap();
        let proof = plan.finish(|_| Some(leaves.as_slice())).unwrap();
        assert_eq!(proof.verify(&leaf, index, SIZE, &new_root), Ok(()));
        for hashes in changes(proof.hashes()) {
            let changed = InclusionProof::from_hashes(hashes).unwrap();
            assert!(changed.verify(&leaf, index, SIZE, &new_root).is_err(), "index {index}");
        }

        let (old, old_root) = (number, root(number));
        let plan = ProofPlan::consistency(old, SIZE).unwrap();
        let proof = plan.finish(|_| Some(leaves.as_slice())).unwrap();
        assert_eq!(proof.verify(old, &old_root, SIZE, &new_root), Ok(()));
        for hashes in changes(proof.hashes()) {
            let changed = ConsistencyProof::from_hashes(hashes).unwrap();
            assert!(changed.verify(old, &old_root, SIZE, &new_root).is_err(), "old size {old}");
        }
        for (_, changed) in flips(old_root.as_bytes()) {
            let changed = Hash::from_slice(&changed).unwrap();
            assert!(proof.verify(old, &changed, SIZE, &new_root).is_err(), "old size {old}");
        }
    }
}

#[test]
fn every_bit_of_a_published_log() {
    let files = golden::export(SIZE);
    assert_eq!(files.0.keys().collect::<Vec<_>>(), ["checkpoint", "tile/0/000.p/40", "tile/entries/000.p/40"]);
    assert_eq!(verify(files.clone()).unwrap().entries(), SIZE);
    for (path, file) in files.0.iter().filter(|(path, _)| *path != CHECKPOINT_PATH) {
        for (at, changed) in flips(file) {
            assert_names(verify_with(&files, path, changed), path, &format!("flip in byte {at}"));
        }
    }
}

#[test]
fn bits_all_over_a_published_log_of_two_levels() {
    let files = golden::export(257);
    assert_eq!(verify(files.clone()).unwrap().tiles(), 3);
    for (path, file) in &files.0 {
        // An odd stride reaches every place of a hash.
        for at in (0..file.len()).step_by(if file.len() < 100 { 1 } else { 7 }) {
            let result = verify_with(&files, path, flip(file, at, at / 7 % 8));
            assert_names(result, path, &format!("flip in byte {at}"));
        }
    }
}

#[test]
fn missing_cut_grown_and_exchanged_files() {
    let files = golden::export(257);
    for (path, file) in &files.0 {
        let mut without = files.clone();
        without.0.remove(path);
        assert_names(verify(without), path, "removal");
        assert_names(verify_with(&files, path, Vec::new()), path, "emptying");
        assert_names(verify_with(&files, path, file[..file.len() - 1].to_vec()), path, "cutting");
        assert_names(verify_with(&files, path, [file, [0].as_slice()].concat()), path, "growth");
        for (other, contents) in files.0.iter().filter(|(other, _)| *other != path) {
            assert_names(verify_with(&files, path, contents.clone()), path, &format!("exchange with {other}"));
        }
    }
}

#[test]
fn another_history_with_tiles_that_fit_it() {
    let files = golden::export(SIZE);
    let longer = golden::export(SIZE + 1);
    let mut forged = files.clone();
    let mut entry = longer.0["tile/entries/000.p/41"].clone();
    let last = [b"\0\x08".as_slice(), b"entry-39"].concat();
    let start = entry.windows(last.len()).position(|window| window == last).unwrap();
    entry.truncate(start + last.len());
    entry[start + 9] = b'8';
    let mut tile = leaves(SIZE);
    tile[39] = leaf_hash(b"entry-38");
    forged.0.insert("tile/entries/000.p/40".to_owned(), entry);
    forged.0.insert("tile/0/000.p/40".to_owned(), jit_log::tile_bytes(&tile));
    assert!(matches!(verify(forged), Err(DirectoryError::RootMismatch { .. })));
}

#[test]
fn the_full_tile_stands_in_for_a_partial_one_that_is_gone() {
    let (mut files, grown) = (golden::export(SIZE), golden::export(256));
    for (partial, full) in [("tile/0/000.p/40", "tile/0/000"), ("tile/entries/000.p/40", "tile/entries/000")] {
        files.0.remove(partial);
        assert_names(verify(files.clone()), partial, "removal");
        files.0.insert(full.to_owned(), grown.0[full].clone());
        assert_eq!(verify(files.clone()).unwrap().entries(), SIZE);
    }
    let tile = &grown.0["tile/0/000"];
    let covered = SIZE as usize * Hash::LEN;
    assert!(verify_with(&files, "tile/0/000", flip(tile, covered - 1, 0)).is_err());
    assert!(verify_with(&files, "tile/0/000", flip(tile, covered, 0)).is_ok());
}
