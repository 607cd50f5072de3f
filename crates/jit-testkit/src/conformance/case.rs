//! One test of a suite, and how it fails.

use std::{fmt, pin::Pin, time::Duration};

/// How long one case may take; only one that hangs takes so long.
const PATIENCE: Duration = Duration::from_secs(120);

type Run<S> = fn(S) -> Pin<Box<dyn Future<Output = ()> + Send>>;

/// One case of a suite, which is run on a subject of its own.
pub struct Case<S> {
    name: &'static str,
    contract: &'static str,
    run: Run<S>,
}

impl<S> Case<S> {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The points of the contract of its trait that it tests, or the method whose documentation it tests.
    #[must_use]
    pub fn contract(&self) -> &'static str {
        self.contract
    }
}

impl<S: Send + 'static> Case<S> {
    pub(crate) const fn new(name: &'static str, contract: &'static str, run: Run<S>) -> Self {
        Self { name, contract, run }
    }

    pub(crate) async fn run_on(&self, subject: impl Future<Output = S> + Send + 'static) -> Result<(), Failure> {
        let run = self.run;
        let mut task = tokio::spawn(async move { run(subject.await).await });
        let what = match tokio::time::timeout(PATIENCE, &mut task).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => match error.try_into_panic() {
                Ok(panic) => match panic.downcast::<String>() {
                    Ok(text) => *text,
                    Err(panic) => panic.downcast::<&str>().map_or_else(|_| "a panic".into(), |text| (*text).into()),
                },
                Err(error) => error.to_string(),
            },
            Err(_) => {
                task.abort();
                format!("hangs for {PATIENCE:?}")
            }
        };
        Err(Failure { case: self.name, contract: self.contract, what })
    }
}

impl<S> Clone for Case<S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S> Copy for Case<S> {}

impl<S> fmt::Debug for Case<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Case").field("name", &self.name).field("contract", &self.contract).finish_non_exhaustive()
    }
}

/// What an implementation got wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{case} (contract: {contract}): {what}")]
pub struct Failure {
    /// Which case.
    pub case: &'static str,
    /// The points of the contract that it tests, or the method whose documentation it tests.
    pub contract: &'static str,
    /// What was expected and what came.
    pub what: String,
}

/// All that an implementation got wrong.
#[derive(Clone, PartialEq, Eq)]
pub struct Failures {
    failures: Vec<Failure>,
    cases: usize,
}

impl Failures {
    /// An error, if there is a failure among so many cases.
    pub(crate) fn of(failures: Vec<Failure>, cases: usize) -> Result<(), Self> {
        if failures.is_empty() { Ok(()) } else { Err(Self { failures, cases }) }
    }

    /// Each of them, in the order of the suite; at least one.
    #[must_use]
    pub fn failures(&self) -> &[Failure] {
        &self.failures
    }
}

impl fmt::Display for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} cases failed", self.failures.len(), self.cases)?;
        self.failures.iter().try_for_each(|failure| write!(f, "\n- {failure}"))
    }
}

/// As [`fmt::Display`], for `unwrap`.
impl fmt::Debug for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Failures {}

/// Runs one case on a runtime of its own, and panics if it fails.
pub(crate) fn block_on(case: impl Future<Output = Result<(), Failure>>) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    if let Err(failure) = runtime.block_on(case) {
        panic!("{failure}");
    }
}
