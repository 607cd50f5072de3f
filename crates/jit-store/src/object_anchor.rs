//! The anchor in an object store.

use std::sync::Arc;

use async_trait::async_trait;
use object_store::path::Path;
use object_store::{Attribute, Attributes, Error, ObjectStore, PutMode, UpdateVersion};

use crate::anchor::{Anchor, AnchorError, Published, checkpoint_size};
use crate::backend::Source;
use crate::export::{ConditionalPut, conditional_put, read_object};

/// More than any checkpoint has.
const MAX_NOTE: usize = 1 << 20;

/// An anchor in one object of an object store, which should belong to somebody else than the database.
///
/// It is replaced under the condition that it is what was read: `If-None-Match` and `If-Match` on S3, generations on GCS,
/// entity tags on Azure. A store without them is refused when connecting.
///
/// ```
/// use std::sync::Arc;
///
/// use jit_store::{Anchor, ObjectStoreAnchor, object_store::memory::InMemory};
///
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let anchor = ObjectStoreAnchor::connect(Arc::new(InMemory::new()), "anchors/store.example").await?;
/// assert_eq!(anchor.load().await?, None);
/// # Ok::<(), jit_store::AnchorError>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct ObjectStoreAnchor {
    store: Arc<dyn ObjectStore>,
    object: Path,
}

impl ObjectStoreAnchor {
    /// An anchor in the object at `path`.
    ///
    /// Writes the small object `<path>.probe` to learn whether the store heeds conditions, because one that ignores them
    /// would let an older checkpoint replace a newer one.
    ///
    /// # Errors
    /// [`AnchorError::NotConditional`] if the store has no conditional writes, [`AnchorError::Unavailable`] if it cannot be
    /// used.
    pub async fn connect(store: Arc<dyn ObjectStore>, path: &str) -> Result<Self, AnchorError> {
        let anchor = Self { store, object: Path::from(path) };
        anchor.probe(&Path::from(format!("{path}.probe"))).await?;
        Ok(anchor)
    }

    /// Puts that must fail once the probe is there.
    async fn probe(&self, probe: &Path) -> Result<(), AnchorError> {
        let put = |mode| conditional_put(&*self.store, probe, b"probe\n", mode, Attributes::new());
        // Whether it was there before does not matter.
        self.conditional(put(PutMode::Create).await)?;
        let again = self.conditional(put(PutMode::Create).await)?;
        // No object has this entity tag, and generation 0 is that of an object that does not exist.
        let stale = UpdateVersion { e_tag: Some(format!("\"{}\"", "0".repeat(32))), version: Some("0".to_owned()) };
        let replaced = self.conditional(put(PutMode::Update(stale)).await)?;
        if again || replaced {
            return Err(AnchorError::NotConditional { place: self.place() });
        }
        Ok(())
    }

    fn conditional(&self, put: Result<ConditionalPut, Error>) -> Result<bool, AnchorError> {
        match put.map_err(|error| self.unavailable(error.into()))? {
            ConditionalPut::Stored => Ok(true),
            ConditionalPut::Lost => Ok(false),
            ConditionalPut::Unsupported => Err(AnchorError::NotConditional { place: self.place() }),
        }
    }

    fn place(&self) -> String {
        format!("{}: {}", self.store, self.object)
    }

    fn unavailable(&self, source: Source) -> AnchorError {
        AnchorError::Unavailable { place: self.place(), source }
    }

    fn size_of(&self, note: &[u8]) -> Result<u64, AnchorError> {
        checkpoint_size(note).map_err(|_| AnchorError::NotACheckpoint { place: self.place() })
    }
}

#[async_trait]
impl Anchor for ObjectStoreAnchor {
    async fn load(&self) -> Result<Option<Vec<u8>>, AnchorError> {
        let held = read_object(&*self.store, &self.object, MAX_NOTE).await;
        Ok(held.map_err(|error| self.unavailable(error.into()))?.map(|held| held.bytes))
    }

    async fn publish(&self, expected: Option<&[u8]>, note: &[u8]) -> Result<Published, AnchorError> {
        let size = self.size_of(note)?;
        let held = read_object(&*self.store, &self.object, MAX_NOTE).await;
        let held = held.map_err(|error| self.unavailable(error.into()))?;
        let bytes = held.as_ref().map(|held| held.bytes.as_slice());
        let held_size = bytes.map(|held| self.size_of(held)).transpose()?;
        if bytes != expected || held_size.is_some_and(|held| held >= size) {
            return Ok(Published::Holds(held.map(|held| held.bytes)));
        }
        let mode = match held {
            None => PutMode::Create,
            Some(held) => {
                PutMode::Update(held.version.ok_or_else(|| AnchorError::NotConditional { place: self.place() })?)
            }
        };
        let attributes = [(Attribute::ContentType, "text/plain; charset=utf-8"), (Attribute::CacheControl, "no-cache")];
        let put = conditional_put(&*self.store, &self.object, note, mode, attributes.into_iter().collect()).await;
        if self.conditional(put)? {
            return Ok(Published::Stored);
        }
        Ok(Published::Holds(self.load().await?))
    }
}
