//! The conformance suite of [`jit_policy::PolicyEngine`] and its snapshots.
//!
//! Whoever implements an engine writes the [`Sample`] policies in its language, by a [`PolicyFactory`], and runs every case: as single
//! tests with [`policy_conformance!`](crate::policy_conformance), or all at once with [`run_all`]. Every decision is made through
//! [`Evaluator`](jit_policy::Evaluator), as brokers make them.
//!
//! # What it cannot see
//!
//! That an engine does no I/O. That another version of it decides the same: that is what replays say.

mod asking;
mod cases;
mod deciding;
mod failing;
mod loading;
mod repeating;
mod subject;

use std::{
    io::Write,
    process::{Command, Stdio},
    sync::Arc,
};

use jit_policy::{PolicyBundle, PolicyEngine};

pub use super::{Failure, Failures};
use crate::conformance;
pub use cases::cases;
pub use subject::Subject;

/// What a policy of the suite says. Entities are those of [`jit_policy::kind`]; a resource `db:prod` also stands for all below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Sample {
    /// Four rules:
    /// - `read` permits the action `read` on `db:prod` to members of the group `oncall`, direct or not. It demands an approval of
    ///   `sre`, and at most 14,400 seconds.
    /// - `write` permits `write` likewise. It demands two approvals of `sre` and one of `dba`, and at most 3,600 seconds.
    /// - `never` forbids everything on `db:prod/payroll`.
    /// - `early` permits `admin` to everybody on everything before 2030-01-01T00:00:00Z (1,893,456,000), and demands nothing.
    Access,
    /// [`Sample::Access`], but rule `read` demands an approval of `ops`, and at most 60 seconds.
    Stricter,
    /// Rule `read` of [`Sample::Access`], and a rule `broken` that forbids everything by a computation that fails, whatever is asked.
    Failing,
    /// Rule `read` of [`Sample::Access`], with a demand of the type `dance` besides. An engine may refuse to load it.
    UnknownObligation,
    /// Two rules with the id `read`. Must not load.
    RepeatedId,
    /// No rule at all. Must not load.
    NoRule,
    /// A text that is no policy. Must not load.
    Unreadable,
}

/// Where the suite gets its engines from.
pub trait PolicyFactory: Send + Sync + 'static {
    /// The engine, made anew, as another process makes it.
    fn engine(&self) -> Arc<dyn PolicyEngine>;

    /// The policy in the engine's language, of at least two files where it has rules.
    fn bundle(&self, sample: Sample) -> PolicyBundle;
}

/// One case of the suite.
pub type Case = conformance::Case<Subject>;

impl Case {
    /// Runs the case, within a Tokio runtime with time enabled.
    ///
    /// # Errors
    /// [`Failure`] if the engine does not do what the case expects, or takes minutes for it.
    pub async fn run<F: PolicyFactory>(&self, factory: Arc<F>) -> Result<(), Failure> {
        self.run_on(async { Subject::new(factory) }).await
    }
}

/// Runs every case, within a Tokio runtime with time enabled. The comparison of processes is
/// [`processes_agree`].
///
/// # Errors
/// [`Failures`] names every case that failed.
pub async fn run_all(factory: impl PolicyFactory) -> Result<(), Failures> {
    let factory = Arc::new(factory);
    let mut failures = Vec::new();
    for case in cases() {
        failures.extend(case.run(Arc::clone(&factory)).await.err());
    }
    Failures::of(failures, cases().len())
}

/// Runs the case of this name, within a Tokio runtime with time enabled.
///
/// # Errors
/// [`Failure`] if it fails.
///
/// # Panics
/// If there is no case of this name.
pub async fn run_case(factory: impl PolicyFactory, name: &str) -> Result<(), Failure> {
    let case = cases().into_iter().find(|case| case.name() == name);
    case.unwrap_or_else(|| panic!("no case {name}")).run(Arc::new(factory)).await
}

/// Runs the case of this name on a runtime of its own, and panics if it fails: what
/// [`policy_conformance!`](crate::policy_conformance) calls.
///
/// # Panics
/// If the case fails, or there is none of this name.
pub fn test_case(factory: impl PolicyFactory, name: &str) {
    conformance::block_on(run_case(factory, name));
}

/// Makes decisions in four other processes and compares them with those made here. Called from a test: `test` is its path as
/// [`module_path!`] and its name give it, and the other processes run that test alone.
///
/// # Errors
/// [`Failure`] if a process decides otherwise.
///
/// # Panics
/// If the test cannot be run in another process.
pub fn processes_agree(factory: impl PolicyFactory, test: &str) -> Result<(), Failure> {
    const CASE: &str = "decisions_are_the_same_in_fresh_processes";
    const VARIABLE: &str = "JIT_POLICY_CONFORMANCE_PRINT";
    let here = Subject::new(Arc::new(factory)).all_decisions();
    if std::env::var_os(VARIABLE).is_some() {
        writeln!(std::io::stdout(), "\ndecided {here}").expect("somebody reads");
        return Ok(());
    }
    // The name that the test harness knows has no crate in front.
    let name = test.split_once("::").map_or(test, |(_, name)| name);
    let program = std::env::current_exe().expect("this program");
    let children: Vec<_> = (0..4)
        .map(|_| {
            let mut command = Command::new(&program);
            command.args(["--exact", name, "--nocapture"]).env(VARIABLE, "1").stdout(Stdio::piped());
            command.spawn().expect("another process")
        })
        .collect();
    for child in children {
        let output = child.wait_with_output().expect("another process ends");
        let printed = String::from_utf8(output.stdout).expect("a test prints text");
        let there = printed.lines().find_map(|line| line.strip_prefix("decided "));
        let there = there.unwrap_or_else(|| panic!("{name} printed no decisions: {printed}"));
        if there != here {
            let what = format!("another process decided\n{there}\nand this one\n{here}");
            return Err(Failure { case: CASE, contract: "1", what });
        }
    }
    Ok(())
}
