//! `jit-audit policies`: what policies in a folder say, before they are in force.

use std::{
    ffi::OsString,
    fs,
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
};

use jit_audit::{Examination, PolicyAct, PolicyHistory, PolicyUse, VerifyOptions, decisions_of};
use jit_core::canonical::Value as Canonical;
use jit_policy::{
    CanonicalInput, Evaluator, Explanation, FilePath, MAX_FILE_BYTES, MAX_FILES, MAX_INPUT_BYTES, PolicyBundle,
    PolicyEngine, PolicySnapshot, SnapshotDiff, Target,
    cedar::{CedarEngine, ENTRYPOINT},
};
use lexopt::prelude::{Long, Value, ValueExt as _};

use crate::{Folder, UsageError, chain, print_verdict, read_at_most, read_bundle, read_trust};

pub(crate) const HELP: &str = "
  jit-audit policies lint POLICIES
      Says what looks wrong in policies that load: rules that can fail or never decide, obligations without effect.
      Exit status 0 says that nothing was found, 1 that something was. It does not find everything.

  jit-audit policies explain POLICIES INPUT
  jit-audit policies explain POLICIES BUNDLE --policy TRUST --record N
      Says what policies answer to an evaluation input, or to the one that a decision in a bundle recorded: why, which rule
      was nearest, and what would help. Exit status 0 says that it would be permitted. Nothing is recorded.

  jit-audit policies diff OLD NEW
      Says rule by rule how two folders of policies differ. Exit status 0 says that they are the same policy.

  jit-audit policies history LOG --policy TRUST
      Says which policies an exported log published, who proposed, approved and published them, when, and how many
      decisions each made. Exit status 0 says that each was approved by somebody who did not propose it.
";

/// The answer is whether there is nothing to object to.
pub(crate) fn run(out: &mut impl Write, arguments: &mut lexopt::Parser) -> Result<bool, UsageError> {
    let (mut words, mut trust, mut record): (Vec<OsString>, Option<PathBuf>, Option<u64>) = (Vec::new(), None, None);
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("policy") => trust = Some(arguments.value()?.into()),
            Long("record") => record = Some(arguments.value()?.parse()?),
            Value(word) if words.len() < 3 => words.push(word),
            other => return Err(other.unexpected().into()),
        }
    }
    let paths: Vec<&Path> = words.iter().skip(1).map(Path::new).collect();
    let command = words.first().ok_or(UsageError::NothingToDo)?.clone().string()?;
    match (command.as_str(), paths.as_slice(), record) {
        ("lint", [policies], None) => lint(out, policies),
        ("diff", [old, new], None) => diff(out, old, new),
        ("history", [log], None) => history(out, log, trust.as_deref().ok_or(UsageError::NoPolicy)?),
        ("explain", [policies, input], None) => explain(out, policies, &read_input(input)?),
        ("explain", [policies, bundle], Some(record)) => {
            let trust = trust.as_deref().ok_or(UsageError::NoPolicy)?;
            match recorded_input(out, bundle, trust, record)? {
                Some(input) => explain(out, policies, &input),
                None => Ok(false),
            }
        }
        _ => Err(UsageError::NothingToDo),
    }
}

fn lint(out: &mut impl Write, policies: &Path) -> Result<bool, UsageError> {
    let engine = CedarEngine::new()?;
    let found = engine.lint(&bundle(policies, &engine)?).map_err(|error| wrong(policies, &error))?;
    for finding in &found {
        writeln!(out, "{finding}")?;
    }
    if found.is_empty() {
        writeln!(out, "nothing found")?;
    }
    Ok(found.is_empty())
}

fn diff(out: &mut impl Write, old: &Path, new: &Path) -> Result<bool, UsageError> {
    let (old, new) = (load(old)?, load(new)?);
    let diff = SnapshotDiff::between(&*old, &*new);
    writeln!(out, "{diff}")?;
    Ok(diff.is_empty())
}

fn history(out: &mut impl Write, log: &Path, trust: &Path) -> Result<bool, UsageError> {
    let folder = || Folder { path: log.to_owned() };
    let history = match PolicyHistory::of_export(&mut folder(), &mut folder(), &read_trust(trust)?) {
        Ok(history) => history,
        Err(error) => {
            writeln!(out, "{}", if error.disproves() { "Disproved" } else { "NotProvable" })?;
            writeln!(out, "{}", chain(&error))?;
            return Ok(false);
        }
    };
    for (policy, published) in history.publications() {
        let said = |what: &str, act: &PolicyAct| format!("  {what} by {} at {} (record {})", act.by, act.at, act.index);
        writeln!(out, "{policy}")?;
        let reviewed = published.proposal.iter().map(|act| said("proposed", act));
        for line in reviewed.chain(published.approvals.iter().map(|act| said("approved", act))) {
            writeln!(out, "{line}")?;
        }
        writeln!(out, "{}", said("published", &published.act))?;
        match history.use_of(*policy) {
            Some(PolicyUse { decisions, first, last }) => {
                writeln!(out, "  made {decisions} decisions, from record {first} to {last}")?;
            }
            None => writeln!(out, "  made no decision")?,
        }
        if !published.is_reviewed() {
            writeln!(out, "  NOT REVIEWED by anybody but whoever proposed it")?;
        }
    }
    Ok(history.publications().all(|(_, published)| published.is_reviewed()))
}

fn explain(out: &mut impl Write, policies: &Path, input: &CanonicalInput) -> Result<bool, UsageError> {
    let explanation = Explanation::of(&Evaluator::new(load(policies)?), input);
    writeln!(out, "{explanation}")?;
    for demand in crate::backtest::demands(&explanation.decision.obligations) {
        writeln!(out, "demands {demand}")?;
    }
    Ok(explanation.is_requestable())
}

fn read_input(path: &Path) -> Result<CanonicalInput, UsageError> {
    let bytes = read_at_most(path, MAX_INPUT_BYTES + 1)?;
    // People may indent it; what is evaluated is its canonical form.
    let value = Canonical::parse(&bytes).map_err(|error| wrong(path, &error))?;
    CanonicalInput::from_value(&value).map_err(|error| wrong(path, &error))
}

fn recorded_input(
    out: &mut impl Write,
    bundle: &Path,
    trust: &Path,
    record: u64,
) -> Result<Option<CanonicalInput>, UsageError> {
    let trust = read_trust(trust)?;
    let examination = Examination::new(&read_bundle(bundle)?, Some(&trust), &VerifyOptions::default());
    if !examination.report().verdict().is_proved() {
        print_verdict(out, examination.report())?;
        return Ok(None);
    }
    let missing =
        || UsageError::Policies(format!("record {record} of {} shows no input of a decision", bundle.display()));
    let past =
        decisions_of(&examination).find(|past| past.key == record).and_then(|past| past.input).ok_or_else(missing)?;
    Ok(Some(CanonicalInput::from_value(&past).map_err(|error| wrong(bundle, &error))?))
}

/// Loads the policies in a folder: every `*.cedar` and one `*.cedarschema`, by their paths below it.
pub(crate) fn load(folder: &Path) -> Result<Arc<dyn PolicySnapshot>, UsageError> {
    let engine = CedarEngine::new()?;
    engine.load(&bundle(folder, &engine)?).map_err(|error| wrong(folder, &error))
}

/// The policies in a folder, not yet loaded.
fn bundle(folder: &Path, engine: &CedarEngine) -> Result<PolicyBundle, UsageError> {
    let mut paths = Vec::new();
    collect(folder, &mut paths)?;
    paths.sort();
    let mut files = Vec::new();
    let mut schema = None;
    for path in paths {
        let below = path.strip_prefix(folder).unwrap_or(&path);
        let name = FilePath::new(below.to_string_lossy().replace('\\', "/")).map_err(|error| wrong(&path, &error))?;
        if path.extension().is_some_and(|extension| extension == "cedarschema")
            && schema.replace(name.clone()).is_some()
        {
            return Err(UsageError::Policies(format!("{} holds more than one schema", folder.display())));
        }
        files.push((name, read_at_most(&path, MAX_FILE_BYTES + 1)?));
    }
    let descriptor = engine.descriptor();
    let target =
        Target { engine: descriptor.name.clone(), language: descriptor.language.clone(), entrypoint: ENTRYPOINT };
    PolicyBundle::new(target, schema, files).map_err(|error| wrong(folder, &error))
}

fn collect(folder: &Path, into: &mut Vec<PathBuf>) -> Result<(), UsageError> {
    let failed = |source| UsageError::Read { path: folder.to_owned(), source };
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let policy = path.extension().is_some_and(|extension| extension == "cedar" || extension == "cedarschema");
        if path.is_dir() {
            collect(&path, into)?;
        } else if policy {
            into.push(path);
        }
        if into.len() > MAX_FILES {
            return Err(UsageError::Policies(format!("{} holds more than {MAX_FILES} policy files", folder.display())));
        }
    }
    Ok(())
}

fn wrong(path: &Path, error: &dyn std::error::Error) -> UsageError {
    UsageError::Policies(format!("{}: {}", path.display(), chain(error)))
}
