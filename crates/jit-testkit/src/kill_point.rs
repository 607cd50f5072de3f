//! Where a process is killed, so that a test can try every such place.

use std::{
    process::{self, Command},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
};

/// Kills its own process, as `kill -9` does, at the k-th moment: before or after something outside the process changes. Whoever tries
/// k = 0, 1, … until a process ends by itself has left no moment out.
///
/// The process should run on one thread, so that nothing else happens meanwhile.
///
/// ```
/// use jit_testkit::KillPoint;
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let point = KillPoint::never();
/// point.arm();
/// assert_eq!(point.around("append", async { 7 }).await, 7);
/// assert_eq!(point.passed(), 2);
/// # });
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct KillPoint {
    at: Option<u64>,
    armed: AtomicBool,
    passed: AtomicU64,
}

impl KillPoint {
    /// Kills at this moment, counted from 0 once it is armed.
    #[must_use]
    pub fn at(moment: u64) -> Self {
        Self { at: Some(moment), ..Self::default() }
    }

    /// Kills at no moment, and counts them.
    #[must_use]
    pub fn never() -> Self {
        Self::default()
    }

    /// Counts from now on.
    pub fn arm(&self) {
        self.armed.store(true, Ordering::SeqCst);
    }

    /// How many moments have passed.
    #[must_use]
    pub fn passed(&self) -> u64 {
        self.passed.load(Ordering::SeqCst)
    }

    /// Makes a call that changes something outside the process, with a moment before it and one after. Before it is killed, the
    /// process prints the moment.
    pub async fn around<T>(&self, what: &str, call: impl Future<Output = T>) -> T {
        self.moment("before", what);
        let answer = call.await;
        self.moment("after", what);
        answer
    }

    #[allow(clippy::print_stdout, reason = "a process that is killed can say it in no other way")]
    fn moment(&self, side: &str, what: &str) {
        if !self.armed.load(Ordering::SeqCst) {
            return;
        }
        let moment = self.passed.fetch_add(1, Ordering::SeqCst);
        if self.at == Some(moment) {
            println!("killed {side} {what}");
            let killed = Command::new("kill").args(["-9", &process::id().to_string()]).status();
            assert!(killed.is_ok_and(|status| status.success()), "this needs the program kill");
            loop {
                thread::park();
            }
        }
    }
}
