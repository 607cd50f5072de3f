//! The database that a case is about.

use std::{any::Any, fmt, pin::Pin, sync::Arc};

use jit_store::Backend;

use super::{BackendFactory, model::Model};

type Reopening = Pin<Box<dyn Future<Output = Option<Arc<dyn Backend>>> + Send>>;

/// An empty database with one handle, or two where it allows that.
pub struct Subject {
    handles: Vec<Arc<dyn Backend>>,
    reopen: Box<dyn FnOnce() -> Reopening + Send + Sync>,
    _guard: Arc<dyn Any + Send + Sync>,
}

impl Subject {
    pub(super) async fn new<F: BackendFactory>(factory: Arc<F>) -> Self {
        let (first, guard) = factory.fresh().await;
        let mut handles = vec![first];
        handles.extend(factory.beside(&guard).await);
        let guard = Arc::new(guard);
        let kept = Arc::clone(&guard);
        let reopen = Box::new(move || Box::pin(async move { factory.reopen(&kept).await }) as Reopening);
        Self { handles, reopen, _guard: guard }
    }

    /// The first handle.
    pub(super) fn backend(&self) -> Arc<dyn Backend> {
        Arc::clone(&self.handles[0])
    }

    /// The last handle, which is the first if there is one only.
    pub(super) fn other(&self) -> Arc<dyn Backend> {
        Arc::clone(&self.handles[self.handles.len() - 1])
    }

    /// One of the handles, in turn.
    pub(super) fn handle(&self, number: usize) -> Arc<dyn Backend> {
        Arc::clone(&self.handles[number % self.handles.len()])
    }

    /// Drops all handles and opens the database again, with what must be kept until the end of the case.
    pub(super) async fn reopen(self) -> Option<(Arc<dyn Backend>, impl Sized)> {
        let Self { handles, reopen, _guard: guard } = self;
        drop(handles);
        Some((reopen().await?, guard))
    }

    /// Creates a log of one record in stream 1.
    pub(super) async fn created(&self) -> (Arc<dyn Backend>, Model) {
        let mut model = Model::default();
        let first = model.next(&[1]);
        self.backend().create(b"settings".to_vec(), first.clone()).await.expect("a log is created");
        model.apply(&first);
        (self.backend(), model)
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject").field("handles", &self.handles).finish_non_exhaustive()
    }
}
