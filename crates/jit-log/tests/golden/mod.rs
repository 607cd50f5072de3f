//! The golden log: entries, keys and the exported files of its first leaves.
#![allow(dead_code, reason = "each test uses a part")]

use std::collections::BTreeMap;
use std::convert::Infallible;

use jit_log::{
    Checkpoint, CosignatureTime, CosignerKey, EntryBundle, KeyName, Note, Origin, SignerKey, TileBuilder, TileSource,
    leaf_hash, tile_bytes,
};
use sha2::{Digest, Sha256};

pub const LOG_VKEY: &str = "jit.example/evidence/golden+74299023+Aawnxtg4B75l7Z0nkdNbY7nQNvxZ/ad+/DFKV5jBaV9n";
pub const WITNESS_VKEY: &str = "witness.example/w1+25a69f9a+BPq4poXq5jJmw9P5Yk2gTqH8gRHM+BAOUko7oSaWfyxf";

pub fn entry(index: u64) -> Vec<u8> {
    format!("entry-{index}").into_bytes()
}

pub fn origin() -> Origin {
    Origin::parse("jit.example/evidence/golden").unwrap()
}

pub fn log_key() -> SignerKey {
    SignerKey::from_seed(origin(), Sha256::digest("golden log key").into())
}

pub fn witness_key() -> CosignerKey {
    let name = KeyName::parse("witness.example/w1").unwrap();
    CosignerKey::from_seed(name, Sha256::digest("golden witness key").into())
}

/// The checkpoint of the first `size` entries, signed by the log and, where asked, the witness.
pub fn checkpoint_note(builder: &TileBuilder, witnessed: bool) -> Note {
    let root = builder.frontier().root();
    let checkpoint = Checkpoint::new(origin(), builder.size(), root).unwrap();
    let mut note = checkpoint.sign(&[&log_key()]).unwrap();
    if witnessed {
        let time = CosignatureTime::from_unix_seconds(1_700_000_000).unwrap();
        note.push(witness_key().cosign(&checkpoint, time)).unwrap();
    }
    note
}

/// A log as it is published: path to contents.
#[derive(Clone)]
pub struct Files(pub BTreeMap<String, Vec<u8>>);

impl TileSource for Files {
    type Error = Infallible;

    fn read(&mut self, path: &str) -> Result<Option<Vec<u8>>, Infallible> {
        Ok(self.0.get(path).cloned())
    }
}

/// Publishes the first `size` entries of the golden log under a checkpoint by the log alone.
pub fn export(size: u64) -> Files {
    let mut files = BTreeMap::new();
    let mut builder = TileBuilder::new();
    let mut bundle = EntryBundle::new();
    for index in 0..size {
        let entry = entry(index);
        bundle.push(&entry).unwrap();
        for tile in builder.push(leaf_hash(&entry)).unwrap() {
            files.insert(tile.id().path(), tile.to_bytes());
            if tile.id().level() == 0 {
                let bundle = std::mem::take(&mut bundle);
                files.insert(tile.id().entries_path(), bundle.into_bytes());
            }
        }
    }
    for (tile, hashes) in builder.partials() {
        files.insert(tile.path(), tile_bytes(hashes));
        if tile.level() == 0 {
            files.insert(tile.entries_path(), bundle.as_bytes().to_vec());
        }
    }
    let note = checkpoint_note(&builder, false);
    files.insert("checkpoint".to_owned(), note.to_bytes());
    Files(files)
}

pub fn sha256_hex(bytes: &[u8]) -> String {
    jit_log::Hash::from_bytes(Sha256::digest(bytes).into()).to_hex()
}
