//! `jit-audit`: verifies evidence offline, for people who do not write Rust.
#![allow(clippy::print_stderr, reason = "a program says on standard error why it could not answer")]

mod backtest;
#[cfg(feature = "fsck")]
mod fsck;
mod policy;
#[cfg(feature = "witness")]
mod witness;

use std::{
    ffi::OsString,
    fs,
    io::{self, Read as _, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use jit_audit::{Examination, MAX_BUNDLE, Report, Scan, Story, Verdict, VerifyOptions, replay, scan_log};
use jit_log::{MAX_POLICY_LEN, TileSource, TrustPolicy};
use jit_policy::{PolicyEngine, cedar::CedarEngine};
use lexopt::prelude::{Long, Short, Value, ValueExt as _};

const HELP: &str = "\
jit-audit checks evidence about access that was granted for a while. It needs no network and no account: only
the evidence and the public keys that you trust.

USAGE
  jit-audit verify BUNDLE --policy TRUST [--accept-withheld] [--accept-erased]
      Checks one bundle (the evidence about one case). The first line of the answer is
        Proved       everything in it is signed for and hangs together
        Disproved    something in it contradicts what was signed; the record and the reason follow
        NotProvable  something is missing without which it proves nothing; the reason follows
      --accept-withheld  accept values that were left out of this copy
      --accept-erased    accept values that were lawfully erased or purged, as the evidence itself records

  jit-audit show BUNDLE [--policy TRUST]
      Tells what happened, in order, with the number of the record that says so. Without --policy everything
      is shown as a claim, because nothing says whose signature to believe.

  jit-audit replay BUNDLE --policy TRUST
      Makes every decision of the bundle again, from the policy text and the input that it recorded, and
      says whether the same comes out.

  jit-audit verify-log DIR --policy TRUST
      Checks a whole exported log: a folder with the file `checkpoint` and the folder `tile`, and the payloads
      if there is a folder `payload`. This alone proves that no record was added twice or left out.

  TRUST is a file that names the keys you trust (C2SP tlog-policy). Get it from somebody you trust, never
  together with the bundle. It looks like this:
      log example.org/evidence+1a2b3c4d+AX2…
      witness w1 witness.example/w1+5e6f7a8b+BC4…
      quorum w1
  With `quorum none` nothing is asked of witnesses.

EXIT STATUS
  0  proved (replay: every decision came out the same)
  1  not proved
  2  the command was wrong, or a file could not be read
";

fn main() -> ExitCode {
    match run(&mut Answer(io::stdout().lock())) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            // Nobody may be listening any more.
            let _ = writeln!(io::stderr(), "jit-audit: {error}");
            ExitCode::from(2)
        }
    }
}

/// Standard output, which nobody need read to its end: the status says what was found all the same.
struct Answer<W>(W);

impl<W: Write> Write for Answer<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(bytes.len()),
            written => written,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.0.flush() {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            flushed => flushed,
        }
    }
}

/// Why the program could not do what was asked.
#[derive(Debug, thiserror::Error)]
enum UsageError {
    #[error("{0}\n`jit-audit --help` explains how it is used")]
    Arguments(#[from] lexopt::Error),
    #[error("`--policy TRUST` is missing; `jit-audit --help` explains what it is")]
    NoPolicy,
    #[error("say what to do with which file; `jit-audit --help` explains how it is used")]
    NothingToDo,
    #[error("{} cannot be read: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is not a trust policy: {reason}", path.display())]
    Trust { path: PathBuf, reason: String },
    #[error("{0}")]
    Policies(String),
    #[cfg(feature = "fsck")]
    #[error("{0}")]
    Fsck(String),
    #[cfg(feature = "witness")]
    #[error("{0}")]
    Witness(String),
    #[error("the policy engine does not start: {0}")]
    Engine(#[from] jit_core::TextError),
    #[error("the answer could not be written: {0}")]
    Write(#[from] io::Error),
}

/// The answer is whether what was asked is proved.
fn run(out: &mut impl Write) -> Result<bool, UsageError> {
    let (mut words, mut policy, mut options): (Vec<OsString>, Option<PathBuf>, _) =
        (Vec::new(), None, VerifyOptions::default());
    let mut arguments = lexopt::Parser::from_env();
    while let Some(argument) = arguments.next()? {
        match argument {
            Short('h') | Long("help") => {
                out.write_all(HELP.as_bytes())?;
                out.write_all(backtest::HELP.as_bytes())?;
                out.write_all(policy::HELP.as_bytes())?;
                #[cfg(feature = "fsck")]
                out.write_all(fsck::HELP.as_bytes())?;
                #[cfg(feature = "witness")]
                out.write_all(witness::HELP.as_bytes())?;
                return Ok(true);
            }
            Short('V') | Long("version") => {
                writeln!(out, "jit-audit {}", env!("CARGO_PKG_VERSION"))?;
                return Ok(true);
            }
            Long("policy") => policy = Some(arguments.value()?.into()),
            Long("accept-withheld") => options.accept_withheld = true,
            Long("accept-erased") => options.accept_erased = true,
            Value(word) if words.is_empty() && word == "backtest" => return backtest::run(out, &mut arguments),
            Value(word) if words.is_empty() && word == "policies" => return policy::run(out, &mut arguments),
            #[cfg(feature = "fsck")]
            Value(word) if words.is_empty() && word == "fsck" => return fsck::run(out, &mut arguments),
            #[cfg(feature = "witness")]
            Value(word) if words.is_empty() && word == "witness" => return witness::run(&mut arguments),
            #[cfg(feature = "witness")]
            Value(word) if words.is_empty() && word == "witness-key" => return witness::make_key(out, &mut arguments),
            Value(word) if words.len() < 2 => words.push(word),
            other => return Err(other.unexpected().into()),
        }
    }
    let [command, path] = words.as_slice() else { return Err(UsageError::NothingToDo) };
    let trust = policy.as_deref().map(read_trust).transpose()?;
    let (path, needed) = (Path::new(path), || trust.as_ref().ok_or(UsageError::NoPolicy));
    match command.clone().string()?.as_str() {
        "verify" => verify(out, &read_bundle(path)?, needed()?, &options),
        "show" => show(out, &read_bundle(path)?, trust.as_ref(), &options),
        "replay" => replay_all(out, &read_bundle(path)?, needed()?, &options),
        "verify-log" => verify_log(out, path, needed()?),
        _ => Err(lexopt::Error::UnexpectedArgument(command.clone()).into()),
    }
}

fn verify(
    out: &mut impl Write,
    bundle: &[u8],
    trust: &TrustPolicy,
    options: &VerifyOptions,
) -> Result<bool, UsageError> {
    let report = jit_audit::verify(bundle, trust, options);
    print_verdict(out, &report)?;
    let others = report.failures().len().saturating_sub(1);
    if others > 0 {
        writeln!(out, "and {others} more that do not verify")?;
    }
    summarise(out, &report)?;
    Ok(report.verdict().is_proved())
}

fn summarise(out: &mut impl Write, report: &Report) -> io::Result<()> {
    writeln!(out)?;
    if let Some(verified) = report.checkpoint() {
        let checkpoint = verified.checkpoint();
        writeln!(out, "checkpoint  {} at size {}, root {}", checkpoint.origin(), checkpoint.size(), checkpoint.root())?;
        writeln!(out, "witnesses   {} known to this policy have cosigned it", verified.cosignatures().len())?;
    }
    let proven = report.records().iter().filter(|record| record.proven).count();
    writeln!(out, "records     {}, of which {proven} hang under the checkpoint", report.records().len())?;
    for record in report.records().iter().filter(|record| !record.fields.is_empty()) {
        let fields: Vec<String> = record.fields.iter().map(|(name, standing)| format!("{name} {standing}")).collect();
        writeln!(out, "            {}: {}", record.place, fields.join(", "))?;
    }
    for stream in report.streams() {
        writeln!(out, "stream      {}: {}, {} records", stream.stream, stream.state, stream.records)?;
    }
    let violated = report.findings().iter().filter(|finding| finding.is_violated()).count();
    let open = report.findings().len().saturating_sub(violated);
    writeln!(out, "invariants  {violated} violations; {open} questions that need more of the log than this")?;
    writeln!(out, "replay      not done; `jit-audit replay` makes the decisions again")?;
    for notice in report.notices() {
        writeln!(out, "note        {notice}")?;
    }
    if let Some(claims) = report.claims() {
        let manifest = &claims.manifest;
        writeln!(
            out,
            "claimed     exported by {} at {} with {} {}",
            manifest.by, manifest.at, manifest.tool.name, manifest.tool.version
        )?;
        for limit in &claims.limits {
            writeln!(out, "not proven  {limit}")?;
        }
    }
    Ok(())
}

fn show(
    out: &mut impl Write,
    bundle: &[u8],
    trust: Option<&TrustPolicy>,
    options: &VerifyOptions,
) -> Result<bool, UsageError> {
    let examination = Examination::new(bundle, trust, options);
    let report = examination.report();
    let Some(story) = Story::of(&examination) else {
        print_verdict(out, report)?;
        return Ok(false);
    };
    write!(out, "{story}")?;
    writeln!(out)?;
    match trust {
        Some(_) => print_verdict(out, report)?,
        None => writeln!(out, "No trust policy was given, so none of this is proven.")?,
    }
    Ok(trust.is_none() || report.verdict().is_proved())
}

fn replay_all(
    out: &mut impl Write,
    bundle: &[u8],
    trust: &TrustPolicy,
    options: &VerifyOptions,
) -> Result<bool, UsageError> {
    let examination = Examination::new(bundle, Some(trust), options);
    if !examination.report().verdict().is_proved() {
        print_verdict(out, examination.report())?;
        return Ok(false);
    }
    let engines: [Arc<dyn PolicyEngine>; 1] = [Arc::new(CedarEngine::new()?)];
    let replayed = replay(&examination, &engines);
    for decision in &replayed {
        writeln!(out, "{decision}")?;
    }
    if replayed.is_empty() {
        writeln!(out, "the bundle has no decision")?;
    }
    Ok(!replayed.is_empty() && replayed.iter().all(|decision| decision.is_identical()))
}

fn verify_log(out: &mut impl Write, folder: &Path, trust: &TrustPolicy) -> Result<bool, UsageError> {
    let source = || Folder { path: folder.to_owned() };
    match scan_log(&mut source(), &mut source(), trust) {
        Ok(scan) => {
            print_scan(out, &scan)?;
            Ok(true)
        }
        Err(error) => {
            writeln!(out, "{}", if error.disproves() { "Disproved" } else { "NotProvable" })?;
            writeln!(out, "{}", chain(&error))?;
            Ok(false)
        }
    }
}

fn print_scan(out: &mut impl Write, scan: &Scan) -> io::Result<()> {
    let directory = scan.directory();
    let checkpoint = directory.checkpoint().checkpoint();
    writeln!(out, "Proved\n")?;
    writeln!(out, "checkpoint  {} at size {}, root {}", checkpoint.origin(), checkpoint.size(), checkpoint.root())?;
    writeln!(
        out,
        "records     {} in {} streams, each stream whole, every number once",
        directory.entries(),
        scan.streams()
    )?;
    let (here, all) = (scan.payloads(), directory.entries());
    let absent = if here < all { "; the others are not in this copy, and nothing is said about them" } else { "" };
    writeln!(out, "payloads    {here} of {all} are here and are what their records commit to{absent}")?;
    writeln!(out, "tiles       {}", directory.tiles())
}

fn print_verdict(out: &mut impl Write, report: &Report) -> io::Result<()> {
    writeln!(out, "{}", report.verdict())?;
    if let Verdict::Disproved(failure) | Verdict::NotProvable(failure) = report.verdict() {
        writeln!(out, "{failure}")?;
    }
    Ok(())
}

/// An error with what caused it.
fn chain(error: &dyn std::error::Error) -> String {
    let (mut text, mut source) = (error.to_string(), error.source());
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

fn read_bundle(path: &Path) -> Result<Vec<u8>, UsageError> {
    // One byte more than allowed is enough for the verifier to refuse.
    read_at_most(path, MAX_BUNDLE + 1)
}

fn read_trust(path: &Path) -> Result<TrustPolicy, UsageError> {
    let wrong = |reason: String| UsageError::Trust { path: path.to_owned(), reason };
    let text = String::from_utf8(read_at_most(path, MAX_POLICY_LEN + 1)?).map_err(|error| wrong(error.to_string()))?;
    TrustPolicy::parse(&text).map_err(|error| wrong(error.to_string()))
}

fn read_at_most(path: &Path, limit: usize) -> Result<Vec<u8>, UsageError> {
    let failed = |source| UsageError::Read { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    fs::File::open(path).map_err(failed)?.take(limit as u64).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

/// An exported log in a folder.
struct Folder {
    path: PathBuf,
}

impl TileSource for Folder {
    type Error = io::Error;

    fn read(&mut self, path: &str) -> Result<Option<Vec<u8>>, io::Error> {
        match fs::read(self.path.join(path)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}
