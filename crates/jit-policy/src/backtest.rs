//! What another policy would have decided: a candidate snapshot run over the inputs of decisions of the past.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroUsize,
    sync::{Mutex, PoisonError, mpsc},
    thread,
};

use jit_core::{
    Condition, Decision, DeterminingRule, EvaluationError, Obligations, Outcome, PolicyDigest, Quorum, RuleId, Seconds,
    canonical::{self, Value},
};

use crate::{evaluator::Evaluator, input::CanonicalInput};

/// How many decisions a thread takes at a time.
const TAKEN: usize = 64;
/// The stack of each thread, in bytes: so much that most evaluations need none of their own.
const STACK: usize = 16 << 20;
/// How many changed decisions a group names by default.
const EXAMPLES: usize = 5;
/// The most groups of a report. What changes in yet another way is only counted.
const MAX_GROUPS: usize = 4096;

/// A decision of the past, under whatever its owner finds it by: a place in a log, an id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastDecision<K> {
    /// By what it is found again.
    pub key: K,
    /// What was decided.
    pub decision: Decision,
    /// The input, as recorded; absent when it was erased or withheld.
    pub input: Option<Value>,
}

/// The part of a decision that a policy is answerable for, whichever engine and snapshot it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The outcome.
    pub outcome: Outcome,
    /// The rules that determined it, sorted.
    pub determining: Vec<DeterminingRule>,
    /// What went wrong, sorted.
    pub errors: Vec<EvaluationError>,
    /// What must be met besides.
    pub obligations: Obligations,
}

impl Answer {
    fn of(decision: Decision) -> Self {
        let Decision { outcome, determining, errors, obligations, .. } = decision;
        Self { outcome, determining, errors, obligations }
    }

    /// A text by which equal answers are equal and different ones differ.
    fn text(&self) -> String {
        let obligations = canonical::to_bytes(&self.obligations).unwrap_or_default();
        let obligations = String::from_utf8_lossy(&obligations).into_owned();
        format!("{:?} {:?} {:?} {obligations}", self.outcome, self.determining, self.errors)
    }
}

/// Decisions that would change in the same way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change<K> {
    /// What was decided.
    pub then: Answer,
    /// What the candidate decides.
    pub now: Answer,
    /// How many decisions.
    pub count: u64,
    /// How many of them asked for longer than the candidate allows.
    pub too_long_now: u64,
    /// The first of them, ascending.
    pub examples: Vec<K>,
}

impl<K> Change<K> {
    /// The outcome then and now, if it differs.
    #[must_use]
    pub fn outcome(&self) -> Option<(Outcome, Outcome)> {
        (self.then.outcome != self.now.outcome).then_some((self.then.outcome, self.now.outcome))
    }

    /// The approvals demanded then and now, if they differ; of what is not permitted none are.
    #[must_use]
    pub fn quorum(&self) -> Option<(Option<&Quorum>, Option<&Quorum>)> {
        let (then, now) = (self.then.obligations.approvals(), self.now.obligations.approvals());
        (then != now).then_some((then, now))
    }

    /// The longest window then and now, if it differs.
    #[must_use]
    pub fn max_duration(&self) -> Option<(Option<Seconds>, Option<Seconds>)> {
        let (then, now) = (self.then.obligations.max_duration(), self.now.obligations.max_duration());
        (then != now).then_some((then, now))
    }

    /// The conditions then and now, if they differ.
    #[must_use]
    pub fn conditions(&self) -> Option<(&[Condition], &[Condition])> {
        let (then, now) = (self.then.obligations.conditions(), self.now.obligations.conditions());
        (then != now).then_some((then, now))
    }

    /// The rules that determined either answer.
    #[must_use]
    pub fn rules(&self) -> BTreeSet<&RuleId> {
        self.then.determining.iter().chain(&self.now.determining).map(|d| &d.rule).collect()
    }
}

/// What a candidate policy would have changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BacktestReport<K> {
    /// The candidate.
    pub candidate: PolicyDigest,
    /// How many decisions there were.
    pub decisions: u64,
    /// How many of them would have come out the same, demands included.
    pub unchanged: u64,
    /// How many could not be run because their input is not there.
    pub without_input: u64,
    /// How many could not be run because what was recorded is not an input.
    pub malformed: u64,
    /// The others, grouped by the rules and answers then and now, the largest group first.
    pub changes: Vec<Change<K>>,
    /// How many changed in more ways than a report keeps apart.
    pub ungrouped: u64,
}

impl<K> BacktestReport<K> {
    /// How many decisions would have come out otherwise.
    #[must_use]
    pub fn changed(&self) -> u64 {
        self.changes.iter().map(|change| change.count).fold(self.ungrouped, u64::saturating_add)
    }

    /// The changes that a rule has part in, as it was or as it would be.
    pub fn of_rule<'a>(&'a self, rule: &'a RuleId) -> impl Iterator<Item = &'a Change<K>> {
        self.changes.iter().filter(move |change| change.rules().contains(rule))
    }

    /// Every rule that has part in a change, with how many decisions that is.
    #[must_use]
    pub fn by_rule(&self) -> BTreeMap<&RuleId, u64> {
        let mut rules: BTreeMap<&RuleId, u64> = BTreeMap::new();
        for change in &self.changes {
            for rule in change.rules() {
                let count = rules.entry(rule).or_default();
                *count = count.saturating_add(change.count);
            }
        }
        rules
    }
}

/// Runs a candidate policy over decisions of the past.
///
/// What it compares is what the policy answers: outcome, rules, errors, obligations. The engine's version and the snapshot's
/// digest are not part of that. It proves nothing about what was recorded: give it decisions whose records verify.
///
/// ```
/// # fn example(candidate: jit_policy::Evaluator, past: Vec<jit_policy::PastDecision<u64>>) {
/// use jit_policy::Backtest;
/// let past = past.into_iter().map(Ok::<_, std::convert::Infallible>);
/// let Ok(report) = Backtest::new(candidate).run(past, |done| println!("{done} done"));
/// for change in &report.changes {
///     println!("{} decisions: {:?} becomes {:?}", change.count, change.then.outcome, change.now.outcome);
/// }
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use = "a back-test is run by run()"]
pub struct Backtest {
    candidate: Evaluator,
    threads: NonZeroUsize,
    examples: usize,
}

impl Backtest {
    /// A back-test of this candidate, on as many threads as the machine has cores.
    pub fn new(candidate: Evaluator) -> Self {
        let threads = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        Self { candidate, threads, examples: EXAMPLES }
    }

    /// Runs on this many threads.
    pub fn threads(mut self, threads: NonZeroUsize) -> Self {
        self.threads = threads;
        self
    }

    /// Names at most this many decisions of each group.
    pub fn examples(mut self, examples: usize) -> Self {
        self.examples = examples;
        self
    }

    /// Runs it. Decisions are taken from `past` as they are needed, and never all held; `progress` hears now and then how
    /// many are done. The report is the same whatever the number of threads.
    ///
    /// # Errors
    /// The first error that `past` gives.
    pub fn run<K, E, I>(&self, past: I, mut progress: impl FnMut(u64)) -> Result<BacktestReport<K>, E>
    where
        K: Ord + Clone + Send,
        E: Send,
        I: Iterator<Item = Result<PastDecision<K>, E>> + Send,
    {
        let source = Mutex::new(past.fuse());
        let mut tally = Tally::new();
        let mut failure = None;
        thread::scope(|scope| {
            let (send, receive) = mpsc::channel::<Result<Tally<K>, E>>();
            let mut begun = 0usize;
            for _ in 0..self.threads.get() {
                let (send, source) = (send.clone(), &source);
                let thread = thread::Builder::new().stack_size(STACK);
                // As many as the system gives.
                let spawned = thread.spawn_scoped(scope, move || self.work(source, &send));
                begun = begun.saturating_add(spawned.is_ok().into());
            }
            if begun == 0 {
                self.work(&source, &send);
            }
            drop(send);
            for ran in receive {
                match ran {
                    Ok(part) => {
                        tally.add(part, self.examples);
                        progress(tally.decisions);
                    }
                    Err(error) => {
                        failure = Some(error);
                        break;
                    }
                }
            }
        });
        match failure {
            Some(error) => Err(error),
            None => Ok(tally.report(self.candidate.document().digest())),
        }
    }

    /// Takes decisions and sends what came of them, until there are no more, or nobody listens after a failure.
    fn work<K: Ord + Clone, E>(
        &self,
        source: &Mutex<impl Iterator<Item = Result<PastDecision<K>, E>>>,
        send: &mpsc::Sender<Result<Tally<K>, E>>,
    ) {
        while let Some(taken) = take(source) {
            let ran = taken.map(|decisions| self.tally(decisions));
            if ran.is_err() | send.send(ran).is_err() {
                break;
            }
        }
    }

    fn tally<K: Ord + Clone>(&self, decisions: Vec<PastDecision<K>>) -> Tally<K> {
        let mut tally = Tally::new();
        for past in decisions {
            tally.decisions = tally.decisions.saturating_add(1);
            let Some(value) = &past.input else {
                tally.without_input = tally.without_input.saturating_add(1);
                continue;
            };
            let Ok(input) = CanonicalInput::from_value(value) else {
                tally.malformed = tally.malformed.saturating_add(1);
                continue;
            };
            let (then, now) = (Answer::of(past.decision), Answer::of(self.candidate.evaluate(&input)));
            if then == now {
                tally.unchanged = tally.unchanged.saturating_add(1);
                continue;
            }
            let asked = input.parts().context.requested_duration;
            let limit = now.obligations.max_duration();
            let too_long_now = u64::from(limit.is_some_and(|limit| asked > i64::from(limit.get())));
            let (group, examples) = (format!("{}\n{}", then.text(), now.text()), vec![past.key]);
            tally.group(group, Change { then, now, count: 1, too_long_now, examples }, self.examples);
        }
        tally
    }
}

/// The next decisions of a source that threads share; `None` at its end.
fn take<T, E>(source: &Mutex<impl Iterator<Item = Result<T, E>>>) -> Option<Result<Vec<T>, E>> {
    // A thread that panicked inside the caller's iterator leaves it in a state that is its own affair.
    let mut source = source.lock().unwrap_or_else(PoisonError::into_inner);
    let taken: Result<Vec<T>, E> = source.by_ref().take(TAKEN).collect();
    match taken {
        Ok(taken) if taken.is_empty() => None,
        taken => Some(taken),
    }
}

/// A report in the making; the order in which parts are added does not matter.
struct Tally<K> {
    decisions: u64,
    unchanged: u64,
    without_input: u64,
    malformed: u64,
    ungrouped: u64,
    groups: BTreeMap<String, Change<K>>,
}

impl<K: Ord + Clone> Tally<K> {
    fn new() -> Self {
        Self { decisions: 0, unchanged: 0, without_input: 0, malformed: 0, ungrouped: 0, groups: BTreeMap::new() }
    }

    fn add(&mut self, part: Self, examples: usize) {
        self.decisions = self.decisions.saturating_add(part.decisions);
        self.unchanged = self.unchanged.saturating_add(part.unchanged);
        self.without_input = self.without_input.saturating_add(part.without_input);
        self.malformed = self.malformed.saturating_add(part.malformed);
        self.ungrouped = self.ungrouped.saturating_add(part.ungrouped);
        for (group, change) in part.groups {
            self.group(group, change, examples);
        }
    }

    fn group(&mut self, group: String, mut change: Change<K>, examples: usize) {
        change.examples.truncate(examples);
        if let Some(known) = self.groups.get_mut(&group) {
            known.count = known.count.saturating_add(change.count);
            known.too_long_now = known.too_long_now.saturating_add(change.too_long_now);
            known.examples.extend(change.examples);
            known.examples.sort();
            known.examples.truncate(examples);
        } else if self.groups.len() < MAX_GROUPS {
            self.groups.insert(group, change);
        } else {
            self.ungrouped = self.ungrouped.saturating_add(change.count);
        }
    }

    fn report(self, candidate: PolicyDigest) -> BacktestReport<K> {
        let Self { decisions, unchanged, without_input, malformed, ungrouped, groups } = self;
        let mut changes: Vec<Change<K>> = groups.into_values().collect();
        // Stable, so that groups of one size stay in the order of their texts.
        changes.sort_by_key(|change| std::cmp::Reverse(change.count));
        BacktestReport { candidate, decisions, unchanged, without_input, malformed, changes, ungrouped }
    }
}
