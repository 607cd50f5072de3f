//! `jit-audit backtest`: what another policy would have decided.

use std::{
    io::{self, Write},
    num::NonZeroUsize,
    ops::Range,
    path::PathBuf,
    time::{Duration, Instant},
};

use jit_audit::{Examination, VerifyOptions, backtest_export, decisions_of};
use jit_core::{Obligations, Outcome};
use jit_policy::{Answer, Backtest, BacktestReport, Evaluator};
use lexopt::prelude::{Long, Value, ValueExt as _};

use crate::{Folder, UsageError, chain, policy, print_verdict, read_bundle, read_trust};

pub(crate) const HELP: &str = "
  jit-audit backtest EVIDENCE --policy TRUST --candidate POLICIES [--from N] [--until N] [--threads N] [--quiet]
      Runs other policies over the decisions of a bundle or of an exported log, and says what would change: outcomes,
      approvals, durations and conditions, by rule, with the numbers of some records each. EVIDENCE is a bundle or the
      folder of a log; it must verify. POLICIES is a folder with policy files (*.cedar) and one *.cedarschema.
      --from, --until  only decisions recorded from this number on, and before that one
      Exit status 0 says that nothing would change, 1 that something would or could not be judged.
";

/// How often progress is told.
const OFTEN: Duration = Duration::from_secs(2);

/// The answer is whether nothing would change.
pub(crate) fn run(out: &mut impl Write, arguments: &mut lexopt::Parser) -> Result<bool, UsageError> {
    let (mut evidence, mut trust, mut candidate) = (None::<PathBuf>, None::<PathBuf>, None::<PathBuf>);
    let (mut range, mut threads, mut quiet) = (0..u64::MAX, None::<NonZeroUsize>, false);
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("policy") => trust = Some(arguments.value()?.into()),
            Long("candidate") => candidate = Some(arguments.value()?.into()),
            Long("from") => range.start = arguments.value()?.parse()?,
            Long("until") => range.end = arguments.value()?.parse()?,
            Long("threads") => threads = Some(arguments.value()?.parse()?),
            Long("quiet") => quiet = true,
            Value(word) if evidence.is_none() => evidence = Some(word.into()),
            other => return Err(other.unexpected().into()),
        }
    }
    let evidence = evidence.ok_or(UsageError::NothingToDo)?;
    let trust = read_trust(trust.as_deref().ok_or(UsageError::NoPolicy)?)?;
    let candidate = candidate.ok_or_else(|| UsageError::Policies("`--candidate POLICIES` is missing".to_owned()))?;
    let mut backtest = Backtest::new(Evaluator::new(policy::load(&candidate)?));
    if let Some(threads) = threads {
        backtest = backtest.threads(threads);
    }
    let progress = progress(quiet);
    let report = if evidence.is_dir() {
        let folder = || Folder { path: evidence.clone() };
        match backtest_export(&mut folder(), &mut folder(), &trust, &range, &backtest, progress) {
            Ok((_, report)) => report,
            Err(error) => {
                writeln!(out, "{}", if error.disproves() { "Disproved" } else { "NotProvable" })?;
                writeln!(out, "{}", chain(&error))?;
                return Ok(false);
            }
        }
    } else {
        let examination = Examination::new(&read_bundle(&evidence)?, Some(&trust), &VerifyOptions::default());
        if !examination.report().verdict().is_proved() {
            print_verdict(out, examination.report())?;
            return Ok(false);
        }
        let within = |range: &Range<u64>| {
            let range = range.clone();
            decisions_of(&examination)
                .filter(move |past| range.contains(&past.key))
                .map(Ok::<_, std::convert::Infallible>)
        };
        let Ok(report) = backtest.run(within(&range).collect::<Vec<_>>().into_iter(), progress);
        report
    };
    print(out, &report)?;
    Ok(report.decisions > 0 && report.unchanged == report.decisions)
}

fn progress(quiet: bool) -> impl FnMut(u64) {
    let mut said = Instant::now();
    move |done| {
        if !quiet && said.elapsed() >= OFTEN {
            said = Instant::now();
            // Nobody needs to listen.
            let _ = writeln!(io::stderr(), "{done} decisions run");
        }
    }
}

fn print(out: &mut impl Write, report: &BacktestReport<u64>) -> io::Result<()> {
    writeln!(out, "candidate   {}", report.candidate)?;
    writeln!(out, "decisions   {}", report.decisions)?;
    writeln!(out, "unchanged   {}", report.unchanged)?;
    writeln!(out, "changed     {}", report.changed())?;
    let not_run = report.without_input.saturating_add(report.malformed);
    writeln!(out, "not run     {not_run}{}", if not_run > 0 { "; their inputs are not here" } else { "" })?;
    if report.ungrouped > 0 {
        writeln!(out, "not listed  {} that change in yet other ways", report.ungrouped)?;
    }
    let rules = report.by_rule();
    if !rules.is_empty() {
        let rules: Vec<String> = rules.iter().map(|(rule, count)| format!("{rule} {count}")).collect();
        writeln!(out, "by rule     {}", rules.join(", "))?;
    }
    for change in &report.changes {
        writeln!(out, "\n{} decisions", change.count)?;
        writeln!(out, "  then  {}", in_words(&change.then))?;
        writeln!(out, "  now   {}", in_words(&change.now))?;
        if change.too_long_now > 0 {
            writeln!(out, "        {} of them asked for longer than that", change.too_long_now)?;
        }
        let examples: Vec<String> = change.examples.iter().map(u64::to_string).collect();
        writeln!(out, "  for example record {}", examples.join(", "))?;
    }
    Ok(())
}

/// An answer of a policy in one line.
pub(crate) fn in_words(answer: &Answer) -> String {
    let mut parts = vec![match answer.outcome {
        Outcome::Permit => "permitted".to_owned(),
        Outcome::Deny => "denied".to_owned(),
        Outcome::Indeterminate => "not decidable, and so denied".to_owned(),
    }];
    let rules: Vec<&str> = answer.determining.iter().map(|d| d.rule.as_str()).collect();
    parts.push(if rules.is_empty() { "by no rule".to_owned() } else { format!("by {}", rules.join(", ")) });
    for error in &answer.errors {
        let rule = error.rule.as_ref().map(|rule| format!(" in {rule}")).unwrap_or_default();
        parts.push(format!("error {}{rule}", error.code));
    }
    parts.extend(demands(&answer.obligations));
    parts.join("; ")
}

/// What must be met besides, a text each.
pub(crate) fn demands(obligations: &Obligations) -> Vec<String> {
    let mut demands = Vec::new();
    if let Some(quorum) = obligations.approvals() {
        let groups: Vec<String> = quorum.groups().map(|(group, count)| format!("{group}:{count}")).collect();
        demands.push(format!("approvals {}", groups.join(", ")));
    }
    if let Some(limit) = obligations.max_duration() {
        demands.push(format!("at most {} s", limit.get()));
    }
    demands.extend(obligations.conditions().iter().map(|condition| format!("condition {}", condition.id)));
    demands
}
