//! Exports to a folder.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::anchor::sync_folder;
use crate::backend::Source;
use crate::export::error::ExportError;
use crate::export::target::{Files, Held, NewFile};

/// An export that was cut off holds its folder until its last write is through.
const LOCK_ATTEMPTS: usize = 100;
const LOCK_WAIT: Duration = Duration::from_millis(20);

/// A folder that one export at a time writes to.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    root: PathBuf,
    /// The folder itself, under an advisory lock that closing it frees. Writes that are under way hold it too.
    _lock: Arc<File>,
}

impl Folder {
    /// Creates the folder if there is none, and locks it.
    pub(crate) async fn open(root: PathBuf) -> Result<Self, ExportError> {
        let name = root.display().to_string();
        for _ in 0..LOCK_ATTEMPTS {
            let path = root.clone();
            let locked =
                tokio::task::spawn_blocking(move || lock(&path)).await.map_err(|_| ExportError::Interrupted)?;
            if let Some(lock) = locked.map_err(|error| ExportError::file(&name, error))? {
                return Ok(Self { root, _lock: Arc::new(lock) });
            }
            tokio::time::sleep(LOCK_WAIT).await;
        }
        Err(ExportError::Busy { folder: name })
    }

    /// Runs `work` where blocking is allowed, while the folder stays locked.
    async fn blocking<T: Send + 'static>(
        &self,
        path: &str,
        work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
    ) -> Result<T, Source> {
        let (folder, path) = (self.clone(), self.root.join(path));
        let worked = tokio::task::spawn_blocking(move || {
            let worked = work(&path);
            drop(folder);
            worked
        });
        Ok(worked.await??)
    }
}

#[async_trait]
impl Files for Folder {
    fn name(&self, path: &str) -> String {
        self.root.join(path).display().to_string()
    }

    async fn read(&self, path: &str, limit: usize) -> Result<Option<Held>, Source> {
        self.blocking(path, move |path| {
            let file = match File::open(path) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error),
            };
            let mut bytes = Vec::new();
            file.take((limit as u64).saturating_add(1)).read_to_end(&mut bytes)?;
            Ok(Some(Held {
                bytes,
                #[cfg(feature = "object-store")]
                version: None,
            }))
        })
        .await
    }

    async fn create(&self, file: &NewFile) -> Result<bool, Source> {
        let bytes = file.bytes.clone();
        self.blocking(&file.path, move |path| {
            if path.try_exists()? {
                return Ok(false);
            }
            write_whole(path, &bytes)?;
            Ok(true)
        })
        .await
    }

    async fn replace(&self, _: &Held, file: &NewFile) -> Result<bool, Source> {
        let bytes = file.bytes.clone();
        self.blocking(&file.path, move |path| write_whole(path, &bytes)).await?;
        // Under the lock, what was read is still there.
        Ok(true)
    }
}

/// The folder under its lock, or `None` while somebody else holds it.
fn lock(folder: &Path) -> io::Result<Option<File>> {
    create_folders(folder)?;
    let lock = File::open(folder)?;
    match lock.try_lock() {
        Ok(()) => Ok(Some(lock)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Writes a file so that it is whole and survives a crash of the machine. What a crash leaves of it is overwritten next time.
fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        create_folders(folder)?;
    }
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    let mut file = File::create(&temporary)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all()).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // The disk may be full; the error that matters is the one above.
        let _ = fs::remove_file(&temporary);
    }
    written.and_then(|()| sync_folder(path))
}

/// Creates a folder and those above it, each flushed into the one above.
fn create_folders(folder: &Path) -> io::Result<()> {
    if folder.as_os_str().is_empty() || folder.is_dir() {
        return Ok(());
    }
    if let Some(above) = folder.parent() {
        create_folders(above)?;
    }
    match fs::create_dir(folder) {
        Ok(()) => sync_folder(folder),
        // Another file of the same export needed it, too.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => Ok(()),
        Err(error) => Err(error),
    }
}
