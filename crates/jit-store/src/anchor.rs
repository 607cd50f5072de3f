//! The anchor: the last checkpoint, held outside the database, against which the database is
//! checked when it is opened.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use jit_log::{Checkpoint, Note};

use crate::backend::Source;

/// A register outside the database that holds one signed checkpoint and never goes back.
///
/// # Contract
///
/// 1. [`publish`](Anchor::publish) is a compare-and-swap, atomic among all processes: the new note replaces
///    the old one only if the old one is still `expected`, byte for byte.
/// 2. It refuses a note whose checkpoint is not larger than the one it holds, even if `expected` matches.
/// 3. When `publish` answers [`Published::Stored`], the note survives a crash of the machine; a crash before that leaves
///    the old note or the new one, whole.
/// 4. The anchor verifies no signature: the log does, whenever it loads the note.
/// 5. Dropping the future of `publish` leaves the old note or the new one.
#[async_trait]
pub trait Anchor: fmt::Debug + Send + Sync + 'static {
    /// The note it holds, or `None` if nothing was ever published.
    ///
    /// # Errors
    /// [`AnchorError`] if that cannot be told.
    async fn load(&self) -> Result<Option<Vec<u8>>, AnchorError>;

    /// Replaces the note `expected` by `note`.
    ///
    /// # Errors
    /// [`AnchorError`] if `note` may not have been stored.
    async fn publish(&self, expected: Option<&[u8]>, note: &[u8]) -> Result<Published, AnchorError>;
}

/// What became of a note.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Published {
    /// The anchor holds it now.
    Stored,
    /// The anchor holds this instead: not what was expected, or not smaller than what was offered.
    Holds(Option<Vec<u8>>),
}

/// An anchor could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AnchorError {
    /// Reading or writing failed.
    #[error("the anchor {place} could not be used")]
    Unavailable {
        /// Where the anchor is.
        place: String,
        /// What went wrong.
        #[source]
        source: Source,
    },
    /// The object store ignores or refuses conditions, so that two publishers could overwrite each other.
    #[error("the object store of the anchor {place} has no conditional writes")]
    NotConditional {
        /// Where the anchor is.
        place: String,
    },
    /// The anchor, or the note to be published, holds no checkpoint.
    #[error("the anchor {place} does not hold a checkpoint")]
    NotACheckpoint {
        /// Where the anchor is.
        place: String,
    },
}

/// An anchor in a file, which should lie on another disk, or better another machine, than the database.
///
/// The note is written to a temporary file beside it, flushed, renamed over it, and the folder flushed; a lock file
/// (`<path>.lock`, taken with an advisory lock) makes that atomic among processes of one machine.
///
/// ```
/// use jit_store::{Anchor, FileAnchor};
///
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let folder = tempfile::tempdir()?;
/// let anchor = FileAnchor::new(folder.path().join("checkpoint"));
/// assert_eq!(anchor.load().await?, None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })
/// # .map_err(|error| error.to_string())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct FileAnchor {
    path: PathBuf,
}

impl FileAnchor {
    /// An anchor at `path`; its folder must exist.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    fn place(&self) -> String {
        self.path.display().to_string()
    }

    /// Runs `work` where blocking is allowed.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
    ) -> Result<T, AnchorError> {
        let path = self.path.clone();
        let unavailable = |source: Source| AnchorError::Unavailable { place: self.place(), source };
        tokio::task::spawn_blocking(move || work(&path)).await.map_err(|error| unavailable(error.into()))?.map_err(
            |error| match error.kind() {
                io::ErrorKind::InvalidData => AnchorError::NotACheckpoint { place: self.place() },
                _ => unavailable(error.into()),
            },
        )
    }
}

#[async_trait]
impl Anchor for FileAnchor {
    async fn load(&self) -> Result<Option<Vec<u8>>, AnchorError> {
        self.blocking(read).await
    }

    async fn publish(&self, expected: Option<&[u8]>, note: &[u8]) -> Result<Published, AnchorError> {
        let (expected, note) = (expected.map(<[u8]>::to_vec), note.to_vec());
        self.blocking(move |path| swap(path, expected.as_deref(), &note)).await
    }
}

fn swap(path: &Path, expected: Option<&[u8]>, note: &[u8]) -> io::Result<Published> {
    // Closing the file frees the lock.
    let lock = OpenOptions::new().create(true).truncate(false).write(true).open(beside(path, "lock"))?;
    lock.lock()?;
    let size = checkpoint_size(note)?;
    let held = read(path)?;
    let held_size = held.as_deref().map(checkpoint_size).transpose()?;
    if held.as_deref() != expected || held_size.is_some_and(|held| held >= size) {
        return Ok(Published::Holds(held));
    }
    let temporary = beside(path, "new");
    let mut file = File::create(&temporary)?;
    file.write_all(note)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    sync_folder(path)?;
    Ok(Published::Stored)
}

fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(note) => Ok(Some(note)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

pub(crate) fn checkpoint_size(note: &[u8]) -> io::Result<u64> {
    let invalid = || io::Error::from(io::ErrorKind::InvalidData);
    let note = Note::parse(note).map_err(|_| invalid())?;
    Ok(Checkpoint::parse(note.text()).map_err(|_| invalid())?.size())
}

pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(suffix);
    path.with_file_name(name)
}

/// Makes a rename in the folder of `path` survive a crash.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}
