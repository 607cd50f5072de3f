//! Checkpoints: what a log signs about its tree (C2SP tlog-checkpoint v1.0.0).

use crate::decimal;
use crate::frontier::MAX_TREE_SIZE;
use crate::hash::{Hash, HashError};
use crate::key::SignerKey;
use crate::note::{Note, NoteError};
use crate::origin::{KeyName, Origin, OriginError};

/// The statement that the log `origin` has `size` leaves under `root`.
///
/// ```
/// use jit_log::{Checkpoint, Hash, Origin};
///
/// let checkpoint = Checkpoint::new(Origin::parse("example.org/log")?, 0, Hash::EMPTY_ROOT)?;
/// let text = "example.org/log\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n";
/// assert_eq!(checkpoint.to_text(), text);
/// assert_eq!(Checkpoint::parse(text)?, checkpoint);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    origin: Origin,
    size: u64,
    root: Hash,
    extensions: Vec<String>,
}

impl Checkpoint {
    /// A checkpoint without extension lines.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::SizeTooLarge`], or [`CheckpointError::EmptyRoot`] if the size is 0 and the
    /// root is not [`Hash::EMPTY_ROOT`].
    pub fn new(origin: Origin, size: u64, root: Hash) -> Result<Self, CheckpointError> {
        if size > MAX_TREE_SIZE {
            return Err(CheckpointError::SizeTooLarge { size });
        }
        if size == 0 && root != Hash::EMPTY_ROOT {
            return Err(CheckpointError::EmptyRoot);
        }
        Ok(Self { origin, size, root, extensions: Vec::new() })
    }

    /// Parses the text of a checkpoint's note.
    ///
    /// # Errors
    ///
    /// [`CheckpointError`] says which line is wrong.
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let text = text.strip_suffix('\n').ok_or(CheckpointError::Lines)?;
        let mut lines = text.split('\n');
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next()) else {
            return Err(CheckpointError::Lines);
        };
        let origin = Origin::parse(origin)?;
        let size = decimal::parse(size).ok_or(CheckpointError::Size)?;
        let mut checkpoint = Self::new(origin, size, Hash::from_base64(root)?)?;
        for line in lines {
            if line.is_empty() {
                return Err(CheckpointError::Lines);
            }
            checkpoint.extensions.push(line.to_owned());
        }
        Ok(checkpoint)
    }

    /// The text to sign.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = format!("{}\n{}\n{}\n", self.origin, self.size, self.root.to_base64());
        for line in &self.extensions {
            text.push_str(line);
            text.push('\n');
        }
        text
    }

    /// Signs the checkpoint with the log's keys: one, or two while a key is being rotated.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::ForeignKey`] if a key does not bear the origin's name, and what
    /// [`Note::sign`] refuses.
    pub fn sign(&self, keys: &[&SignerKey]) -> Result<Note, CheckpointError> {
        if let Some(key) = keys.iter().find(|key| *key.name() != self.origin) {
            return Err(CheckpointError::ForeignKey { origin: self.origin.clone(), key: key.name().clone() });
        }
        Ok(Note::sign(&self.to_text(), keys)?)
    }

    /// Identity of the log.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Number of leaves.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Root of the tree.
    #[must_use]
    pub fn root(&self) -> Hash {
        self.root
    }

    /// Extension lines, opaque; none in checkpoints made here.
    #[must_use]
    pub fn extensions(&self) -> &[String] {
        &self.extensions
    }
}

/// Why a checkpoint cannot be read, made or signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The text is not three or more lines, none of them empty, each ended by a newline.
    #[error("checkpoint is not three or more non-empty lines")]
    Lines,
    /// The first line is not an origin.
    #[error("origin of the checkpoint is wrong: {0}")]
    Origin(#[from] OriginError),
    /// The second line is not a decimal number without leading zeros.
    #[error("size of the checkpoint is not a decimal number")]
    Size,
    /// The size exceeds [`MAX_TREE_SIZE`].
    #[error("tree size {size} is larger than {MAX_TREE_SIZE}")]
    SizeTooLarge {
        /// Size found.
        size: u64,
    },
    /// The third line is not a hash.
    #[error("root of the checkpoint is wrong: {0}")]
    Root(#[from] HashError),
    /// The size is 0 but the root is not that of the empty tree.
    #[error("root of the empty tree is wrong")]
    EmptyRoot,
    /// A signing key belongs to another log.
    #[error("key {key} is not a key of log {origin}")]
    ForeignKey {
        /// Origin of the checkpoint.
        origin: Origin,
        /// Name of the key.
        key: KeyName,
    },
    /// The note cannot be made.
    #[error(transparent)]
    Note(#[from] NoteError),
}
