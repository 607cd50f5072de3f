//! Verification of a whole published log, file by file (C2SP tlog-tiles layout).

use std::error::Error;

use crate::builder::TileBuilder;
use crate::entries::{EntryBundle, EntryError};
use crate::frontier::TreeError;
use crate::hash::{Hash, leaf_hash};
use crate::policy::{TrustError, TrustPolicy, VerifiedCheckpoint};
use crate::tile::{TILE_WIDTH, TileError, TileId};

/// Path of the signed checkpoint below the log's prefix.
pub const CHECKPOINT_PATH: &str = "checkpoint";

/// Any error of a [`TileSource`] or of the caller's check of an entry.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// Where the files of a log come from: a folder, an object store, a map in memory.
pub trait TileSource {
    /// What can go wrong when reading.
    type Error: Into<BoxError>;

    /// Reads the file at `path`, relative to the log's prefix, with `/` between its parts. `None` if
    /// there is no such file.
    ///
    /// # Errors
    ///
    /// Whatever kept the source from finding out; it ends the verification.
    fn read(&mut self, path: &str) -> Result<Option<Vec<u8>>, Self::Error>;
}

/// Verifies a published log against a trust policy, without any I/O of its own and in constant
/// memory: one tile a level and one bundle of entries.
///
/// Checked are the checkpoint's signature, every entry against its leaf hash, every hash of every
/// tile of every level against the leaves, and the root. A partial file that is gone may be replaced
/// by the full one, of which only the hashes that the checkpoint covers are then checked.
///
/// ```
/// use std::collections::HashMap;
/// use std::convert::Infallible;
/// use jit_log::{
///     Checkpoint, DirectoryVerifier, EntryBundle, Origin, SignerKey, TileBuilder, TileSource,
///     TrustPolicy, leaf_hash, tile_bytes,
/// };
///
/// struct Memory(HashMap<String, Vec<u8>>);
/// impl TileSource for Memory {
///     type Error = Infallible;
///     fn read(&mut self, path: &str) -> Result<Option<Vec<u8>>, Infallible> {
///         Ok(self.0.get(path).cloned())
///     }
/// }
///
/// let origin = Origin::parse("example.org/log")?;
/// let key = SignerKey::from_seed(&origin, [7; 32]);
/// let (mut builder, mut bundle) = (TileBuilder::new(), EntryBundle::new());
/// builder.push(leaf_hash(b"entry"))?;
/// bundle.push(b"entry")?;
/// let note = Checkpoint::new(origin, 1, builder.frontier().root())?.sign(&[&key])?;
///
/// let mut files = HashMap::from([("checkpoint".to_owned(), note.to_bytes())]);
/// for (tile, hashes) in builder.partials() {
///     files.insert(tile.path(), tile_bytes(hashes));
///     files.insert(tile.entries_path(), bundle.as_bytes().to_vec());
/// }
/// let policy = TrustPolicy::new_log_only(key.verifier())?;
/// let report = DirectoryVerifier::new(&policy).verify(&mut Memory(files), |_, _| Ok(()))?;
/// assert_eq!(report.entries(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct DirectoryVerifier<'p> {
    policy: &'p TrustPolicy,
    allow_empty: bool,
}

impl<'p> DirectoryVerifier<'p> {
    /// A verifier that refuses an empty log.
    #[must_use]
    pub fn new(policy: &'p TrustPolicy) -> Self {
        Self { policy, allow_empty: false }
    }

    /// Accepts a log of size 0, about which nothing but its signature is verified.
    #[must_use]
    pub fn allow_empty(mut self) -> Self {
        self.allow_empty = true;
        self
    }

    /// Reads and verifies everything up to the size of the checkpoint.
    ///
    /// `on_entry` gets each entry with its index once it fits its leaf hash, so that the caller can
    /// check its contents; an error ends the verification. What it gets is proven to be under the
    /// checkpoint only when this returns `Ok`.
    ///
    /// # Errors
    ///
    /// [`DirectoryError`] names the first file or entry that fails.
    pub fn verify<S: TileSource>(
        &self,
        source: &mut S,
        mut on_entry: impl FnMut(u64, &[u8]) -> Result<(), BoxError>,
    ) -> Result<DirectoryReport, DirectoryError> {
        let note = require(source, CHECKPOINT_PATH)?;
        let verified = self.policy.verify(&note)?;
        let size = verified.checkpoint().size();
        if size == 0 && !self.allow_empty {
            return Err(DirectoryError::Empty);
        }
        let mut builder = TileBuilder::new();
        let mut tiles = 0;
        while builder.size() < size {
            let Some(tile) = TileId::at_size(0, builder.size() / TILE_WIDTH, size) else {
                break;
            };
            let hashes = read_tile(source, tile)?;
            let (bundle, found) = read_or_full(source, tile, TileId::entries_path)?;
            tiles += 1;
            for (entry, hash) in parse_entries(&bundle, found)?.into_iter().zip(hashes) {
                let index = builder.size();
                if leaf_hash(entry) != hash {
                    return Err(DirectoryError::EntryMismatch { index, path: tile.entries_path(), tile: tile.path() });
                }
                on_entry(index, entry).map_err(|source| DirectoryError::Rejected { index, source })?;
                for full in builder.push(hash)?.iter().skip(1) {
                    tiles += 1;
                    compare(source, full.id(), full.hashes())?;
                }
            }
        }
        for (tile, hashes) in builder.partials().filter(|(tile, _)| tile.level() > 0) {
            tiles += 1;
            compare(source, tile, hashes)?;
        }
        if builder.frontier().root() != verified.checkpoint().root() {
            return Err(DirectoryError::RootMismatch { path: CHECKPOINT_PATH.to_owned() });
        }
        Ok(DirectoryReport { checkpoint: verified, tiles })
    }
}

/// What a successful [`DirectoryVerifier::verify`] has verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryReport {
    checkpoint: VerifiedCheckpoint,
    tiles: u64,
}

impl DirectoryReport {
    /// The checkpoint that everything hangs under.
    #[must_use]
    pub fn checkpoint(&self) -> &VerifiedCheckpoint {
        &self.checkpoint
    }

    /// Number of entries verified: the size of the checkpoint.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.checkpoint.checkpoint().size()
    }

    /// Number of hash tiles verified, full and partial, of all levels.
    #[must_use]
    pub fn tiles(&self) -> u64 {
        self.tiles
    }
}

fn read_tile(source: &mut impl TileSource, tile: TileId) -> Result<Vec<Hash>, DirectoryError> {
    let (file, found) = read_or_full(source, tile, TileId::path)?;
    let mut hashes = found.parse_hashes(&file)?;
    hashes.truncate(usize::from(tile.width()));
    Ok(hashes)
}

fn compare(source: &mut impl TileSource, tile: TileId, computed: &[Hash]) -> Result<(), DirectoryError> {
    let published = read_tile(source, tile)?;
    let different = published.iter().zip(computed).position(|(a, b)| a != b);
    match different {
        Some(slot) => Err(DirectoryError::TileMismatch { path: tile.path(), slot }),
        None => Ok(()),
    }
}

fn parse_entries(bundle: &[u8], found: TileId) -> Result<Vec<&[u8]>, DirectoryError> {
    let path = || found.entries_path();
    let entries = EntryBundle::parse(bundle).map_err(|source| DirectoryError::Entries { path: path(), source })?;
    if entries.len() != usize::from(found.width()) {
        return Err(DirectoryError::EntryCount { path: path() });
    }
    Ok(entries)
}

/// Reads the file of a tile; where a partial one is gone, of the full tile that replaced it.
fn read_or_full(
    source: &mut impl TileSource,
    tile: TileId,
    path: fn(&TileId) -> String,
) -> Result<(Vec<u8>, TileId), DirectoryError> {
    if let Some(file) = read(source, &path(&tile))? {
        return Ok((file, tile));
    }
    let missing = || DirectoryError::Missing { path: path(&tile) };
    let full = tile.full().filter(|full| *full != tile).ok_or_else(missing)?;
    let file = read(source, &path(&full))?.ok_or_else(missing)?;
    Ok((file, full))
}

fn require(source: &mut impl TileSource, path: &str) -> Result<Vec<u8>, DirectoryError> {
    read(source, path)?.ok_or_else(|| DirectoryError::Missing { path: path.to_owned() })
}

fn read(source: &mut impl TileSource, path: &str) -> Result<Option<Vec<u8>>, DirectoryError> {
    source.read(path).map_err(|source| DirectoryError::Source { path: path.to_owned(), source: source.into() })
}

/// Why a published log does not verify.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DirectoryError {
    /// A file cannot be read.
    #[error("{path} cannot be read")]
    Source {
        /// Path of the file.
        path: String,
        /// What the source said.
        source: BoxError,
    },
    /// A file is not there.
    #[error("{path} is missing")]
    Missing {
        /// Path of the file.
        path: String,
    },
    /// The checkpoint is not accepted.
    #[error("checkpoint is not accepted: {0}")]
    Trust(#[from] TrustError),
    /// The log is empty, and [`DirectoryVerifier::allow_empty`] was not called.
    #[error("log is empty, so nothing is verified")]
    Empty,
    /// A tile has the wrong length.
    #[error(transparent)]
    Tile(#[from] TileError),
    /// A tile's hash is not the one computed from the level below.
    #[error("hash {slot} of {path} is not that of the tree")]
    TileMismatch {
        /// Path of the tile.
        path: String,
        /// Position in the tile, from 0.
        slot: usize,
    },
    /// A bundle of entries is malformed.
    #[error("{path} is malformed: {source}")]
    Entries {
        /// Path of the bundle.
        path: String,
        /// What is wrong with it.
        source: EntryError,
    },
    /// A bundle does not hold as many entries as its path calls for.
    #[error("{path} has the wrong number of entries")]
    EntryCount {
        /// Path of the bundle.
        path: String,
    },
    /// An entry does not hash to its slot: the entry or the tile was changed.
    #[error("entry {index} in {path} does not fit its hash in {tile}")]
    EntryMismatch {
        /// Index of the entry in the log, from 0.
        index: u64,
        /// Path of the bundle.
        path: String,
        /// Path of the tile.
        tile: String,
    },
    /// The caller's check refused an entry.
    #[error("entry {index} is refused: {source}")]
    Rejected {
        /// Index of the entry in the log, from 0.
        index: u64,
        /// What the caller said.
        source: BoxError,
    },
    /// Entries and tiles agree with each other but not with the checkpoint.
    #[error("entries and tiles do not lead to the root in {path}")]
    RootMismatch {
        /// Path of the checkpoint.
        path: String,
    },
    /// The tree cannot be extended; not reachable below the largest size.
    #[error(transparent)]
    Tree(#[from] TreeError),
}
