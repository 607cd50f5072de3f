//! Exports to an object store.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use futures_util::TryStreamExt as _;
use object_store::path::Path;
use object_store::{Attribute, Attributes, Error, GetOptions, ObjectStore, PutMode, PutOptions, UpdateVersion};

use crate::backend::Source;
use crate::export::target::{FileKind, Files, Held, NewFile};

/// Objects of an export in any object store: a bucket and a prefix in it.
///
/// Tiles and entries have `Content-Type: application/octet-stream`, full ones also `Cache-Control: immutable`; the checkpoint is
/// `text/plain; charset=utf-8` and not cached. Stores that keep no such attributes get none.
///
/// ```
/// use std::sync::Arc;
///
/// use jit_store::{ExportTarget, ObjectTarget, object_store::memory::InMemory};
///
/// let target = ObjectTarget::new(Arc::new(InMemory::new()), "evidence/prod");
/// let target = ExportTarget::from(target);
/// # let _ = target;
/// ```
#[derive(Clone)]
pub struct ObjectTarget {
    store: Arc<dyn ObjectStore>,
    /// Writes what never changes.
    locking: Arc<dyn ObjectStore>,
    prefix: Path,
    /// Whether the store has shown that it keeps no attributes.
    plain: Arc<AtomicBool>,
}

impl ObjectTarget {
    /// Objects below `prefix`, which may be empty.
    #[must_use]
    pub fn new(store: Arc<dyn ObjectStore>, prefix: &str) -> Self {
        Self { locking: Arc::clone(&store), store, prefix: Path::from(prefix), plain: Arc::default() }
    }

    /// Writes tiles and entries, which never change, through another client of the same bucket: one whose default headers
    /// set a retention, for example `x-amz-object-lock-mode` and `x-amz-object-lock-retain-until-date`. The checkpoint
    /// and the payloads, which are replaced, never go through it.
    #[must_use]
    pub fn immutable_through(mut self, store: Arc<dyn ObjectStore>) -> Self {
        self.locking = store;
        self
    }

    fn object(&self, path: &str) -> Path {
        self.prefix.parts().chain(Path::from(path).parts()).collect()
    }

    async fn put(&self, file: &NewFile, mode: PutMode) -> Result<ConditionalPut, Error> {
        let store = match file.kind {
            FileKind::Full | FileKind::Partial => &self.locking,
            FileKind::Payload | FileKind::Checkpoint => &self.store,
        };
        let path = self.object(&file.path);
        if !self.plain.load(Ordering::Relaxed) {
            let put = conditional_put(&**store, &path, &file.bytes, mode.clone(), attributes(file.kind)).await?;
            if put != ConditionalPut::Unsupported {
                return Ok(put);
            }
            // The mode or the attributes.
        }
        let put = conditional_put(&**store, &path, &file.bytes, mode, Attributes::new()).await?;
        if put != ConditionalPut::Unsupported {
            self.plain.store(true, Ordering::Relaxed);
        }
        Ok(put)
    }

    async fn overwrite(&self, file: &NewFile) -> Result<bool, Source> {
        match self.put(file, PutMode::Overwrite).await? {
            ConditionalPut::Stored => Ok(true),
            ConditionalPut::Lost | ConditionalPut::Unsupported => Err("the object store does not store objects".into()),
        }
    }
}

#[async_trait]
impl Files for ObjectTarget {
    fn name(&self, path: &str) -> String {
        format!("{}: {}", self.store, self.object(path))
    }

    async fn read(&self, path: &str, limit: usize) -> Result<Option<Held>, Source> {
        Ok(read_object(&*self.store, &self.object(path), limit).await?)
    }

    async fn create(&self, file: &NewFile) -> Result<bool, Source> {
        match self.put(file, PutMode::Create).await? {
            ConditionalPut::Stored => Ok(true),
            ConditionalPut::Lost => Ok(false),
            ConditionalPut::Unsupported => match self.read(&file.path, 0).await? {
                Some(_) => Ok(false),
                None => self.overwrite(file).await,
            },
        }
    }

    async fn replace(&self, held: &Held, file: &NewFile) -> Result<bool, Source> {
        let put = match held.version.clone() {
            Some(version) => self.put(file, PutMode::Update(version)).await?,
            None => ConditionalPut::Unsupported,
        };
        match put {
            ConditionalPut::Stored => Ok(true),
            ConditionalPut::Lost => Ok(false),
            // The best that such a store allows.
            ConditionalPut::Unsupported => match self.read(&file.path, held.bytes.len()).await? {
                Some(now) if now.bytes == held.bytes => self.overwrite(file).await,
                _ => Ok(false),
            },
        }
    }
}

impl fmt::Debug for ObjectTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectTarget").field("store", &self.store).field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

fn attributes(kind: FileKind) -> Attributes {
    let (media, cache) = match kind {
        FileKind::Full => ("application/octet-stream", Some("public, max-age=31536000, immutable")),
        FileKind::Partial => ("application/octet-stream", None),
        FileKind::Payload => ("application/octet-stream", Some("no-store")),
        FileKind::Checkpoint => ("text/plain; charset=utf-8", Some("no-cache")),
    };
    let media = (Attribute::ContentType, media);
    std::iter::once(media).chain(cache.map(|cache| (Attribute::CacheControl, cache))).collect()
}

/// What became of an object to be put under a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConditionalPut {
    Stored,
    /// The condition does not hold.
    Lost,
    /// The store does not know such conditions, or such attributes.
    Unsupported,
}

pub(crate) async fn conditional_put(
    store: &dyn ObjectStore,
    path: &Path,
    bytes: &[u8],
    mode: PutMode,
    attributes: Attributes,
) -> Result<ConditionalPut, Error> {
    let options = PutOptions { mode, attributes, ..PutOptions::default() };
    match store.put_opts(path, bytes.to_vec().into(), options).await {
        Ok(_) => Ok(ConditionalPut::Stored),
        Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => Ok(ConditionalPut::Lost),
        Err(Error::NotImplemented { .. } | Error::NotSupported { .. }) => Ok(ConditionalPut::Unsupported),
        Err(error) => Err(error),
    }
}

/// The first `limit` bytes of an object and at least one more, or `None` if there is none.
pub(crate) async fn read_object(store: &dyn ObjectStore, path: &Path, limit: usize) -> Result<Option<Held>, Error> {
    let got = match store.get_opts(path, GetOptions::default()).await {
        Ok(got) => got,
        Err(Error::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let version = UpdateVersion { e_tag: got.meta.e_tag.clone(), version: got.meta.version.clone() };
    let version = (version.e_tag.is_some() || version.version.is_some()).then_some(version);
    let mut bytes = Vec::new();
    let mut chunks = got.into_stream();
    while bytes.len() <= limit
        && let Some(chunk) = chunks.try_next().await?
    {
        bytes.extend_from_slice(&chunk);
    }
    Ok(Some(Held { bytes, version }))
}
