//! An object store in memory that a test can watch, cut off and interrupt at any request.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use futures_util::{TryStreamExt as _, future::BoxFuture, stream::BoxStream};
use jit_store::object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt as _, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, memory::InMemory,
    path::Path,
};

/// What becomes of a put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Stored,
    /// The connection breaks before.
    Refused,
    /// The object is stored and the connection breaks before the answer.
    AnswerLost,
}

/// Conditions that a store may not heed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ignored {
    IfAbsent,
    IfUnchanged,
}

type Script = Arc<dyn Fn(u64, Path) -> BoxFuture<'static, Fate> + Send + Sync>;

/// Asks a script about every put, counted from 0.
#[derive(Clone)]
pub(crate) struct Scripted {
    inner: Arc<dyn ObjectStore>,
    script: Arc<Mutex<Option<Script>>>,
    /// Writes as if there was no such condition.
    ignored: Option<Ignored>,
    pub(crate) puts: Arc<AtomicU64>,
    pub(crate) gets: Arc<AtomicU64>,
}

impl Scripted {
    pub(crate) fn new() -> Self {
        Self::over(Arc::new(InMemory::new()))
    }

    pub(crate) fn over(inner: Arc<dyn ObjectStore>) -> Self {
        Self { inner, script: Arc::default(), ignored: None, puts: Arc::default(), gets: Arc::default() }
    }

    /// A store that does not heed a condition.
    pub(crate) fn ignoring(self, condition: Ignored) -> Self {
        Self { ignored: Some(condition), ..self }
    }

    /// From now on this decides.
    pub(crate) fn script(&self, script: impl Fn(u64, Path) -> BoxFuture<'static, Fate> + Send + Sync + 'static) {
        *self.script.lock().unwrap() = Some(Arc::new(script));
        self.puts.store(0, Ordering::SeqCst);
    }

    /// The puts from the `at`th on fail, the first of them as `fate` says.
    pub(crate) fn cut_off(&self, at: u64, fate: Fate) {
        self.script(move |put, _| {
            let fate = match put.cmp(&at) {
                std::cmp::Ordering::Less => Fate::Stored,
                std::cmp::Ordering::Equal => fate,
                std::cmp::Ordering::Greater => Fate::Refused,
            };
            Box::pin(async move { fate })
        });
    }

    /// From now on everything is stored.
    pub(crate) fn mend(&self) {
        *self.script.lock().unwrap() = None;
        self.puts.store(0, Ordering::SeqCst);
        self.gets.store(0, Ordering::SeqCst);
    }
}

/// Every object with its content, by its path.
pub(crate) async fn objects(store: &dyn ObjectStore) -> BTreeMap<String, Vec<u8>> {
    let metas: Vec<ObjectMeta> = store.list(None).try_collect().await.unwrap();
    let mut objects = BTreeMap::new();
    for meta in metas {
        let bytes = store.get(&meta.location).await.unwrap().bytes().await.unwrap();
        objects.insert(meta.location.to_string(), bytes.to_vec());
    }
    objects
}

fn broken() -> Error {
    Error::Generic { store: "Scripted", source: "the connection broke".into() }
}

#[async_trait]
impl ObjectStore for Scripted {
    async fn put_opts(&self, path: &Path, payload: PutPayload, mut options: PutOptions) -> Result<PutResult> {
        match (self.ignored, &options.mode) {
            (Some(Ignored::IfAbsent), PutMode::Create) | (Some(Ignored::IfUnchanged), PutMode::Update(_)) => {
                options.mode = PutMode::Overwrite;
            }
            _ => {}
        }
        let put = self.puts.fetch_add(1, Ordering::SeqCst);
        let script = self.script.lock().unwrap().clone();
        let fate = match script {
            Some(script) => script(put, path.clone()).await,
            None => Fate::Stored,
        };
        match fate {
            Fate::Stored => self.inner.put_opts(path, payload, options).await,
            Fate::Refused => Err(broken()),
            Fate::AnswerLost => {
                self.inner.put_opts(path, payload, options).await?;
                Err(broken())
            }
        }
    }

    async fn put_multipart_opts(&self, path: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        self.gets.fetch_add(1, Ordering::SeqCst);
        self.inner.get_opts(path, options).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

impl fmt::Debug for Scripted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scripted")
    }
}

impl fmt::Display for Scripted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("scripted")
    }
}
