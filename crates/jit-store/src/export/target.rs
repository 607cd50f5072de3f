//! Where an export goes.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;

use crate::backend::Source;
use crate::export::error::ExportError;
use crate::export::folder::Folder;
#[cfg(feature = "object-store")]
use crate::export::objects::ObjectTarget;

/// Where an export goes: a folder, or with feature `object-store` any object store.
///
/// ```
/// use jit_store::ExportTarget;
///
/// let target = ExportTarget::from("/var/lib/evidence");
/// # let _ = target;
/// ```
#[derive(Clone, Debug)]
pub struct ExportTarget(Place);

#[derive(Clone, Debug)]
enum Place {
    Folder(PathBuf),
    #[cfg(feature = "object-store")]
    Objects(ObjectTarget),
}

impl<P: Into<PathBuf>> From<P> for ExportTarget {
    fn from(folder: P) -> Self {
        Self(Place::Folder(folder.into()))
    }
}

#[cfg(feature = "object-store")]
impl From<ObjectTarget> for ExportTarget {
    fn from(target: ObjectTarget) -> Self {
        Self(Place::Objects(target))
    }
}

impl ExportTarget {
    /// Makes ready for reading and writing.
    pub(crate) async fn open(&self) -> Result<Arc<dyn Files>, ExportError> {
        match &self.0 {
            Place::Folder(path) => Ok(Arc::new(Folder::open(path.clone()).await?)),
            #[cfg(feature = "object-store")]
            Place::Objects(target) => Ok(Arc::new(target.clone())),
        }
    }
}

/// The files of an export, named by paths with `/` between their parts. A file appears whole or not at all.
#[async_trait]
pub(crate) trait Files: fmt::Debug + Send + Sync + 'static {
    /// What a user may look for when told about the file.
    fn name(&self, path: &str) -> String;

    /// The first `limit` bytes of a file and one more, or `None` if there is no such file.
    async fn read(&self, path: &str, limit: usize) -> Result<Option<Held>, Source>;

    /// Writes a file; `false` if there is one already.
    async fn create(&self, file: &NewFile) -> Result<bool, Source>;

    /// Writes a file in the place of what was read; `false` if that is no longer what is there, as far as can be told.
    async fn replace(&self, held: &Held, file: &NewFile) -> Result<bool, Source>;
}

/// A file to be written.
#[derive(Debug)]
pub(crate) struct NewFile {
    pub(crate) path: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) kind: FileKind,
}

impl NewFile {
    pub(crate) fn new(path: String, bytes: Vec<u8>, kind: FileKind) -> Self {
        Self { path, bytes, kind }
    }
}

/// What becomes of a file after it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileKind {
    /// A full tile or bundle: stays for ever.
    Full,
    /// A partial tile or bundle: never changes, and may be deleted once the full one is there.
    Partial,
    /// Replaced as it grows and when payloads are erased.
    Payload,
    /// Replaced by every export.
    Checkpoint,
}

/// A file as it was read.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) bytes: Vec<u8>,
    /// What identifies this state of the file in an object store.
    #[cfg(feature = "object-store")]
    pub(crate) version: Option<object_store::UpdateVersion>,
}
