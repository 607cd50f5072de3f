//! Recorded decisions made again in fresh processes: all of them `Identical`.
//!
//! `JIT_REPLAY_DECISIONS` says how many, 5,000 by default; `scripts/soak replay` makes 100,000 again.
#![cfg(feature = "cedar")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests may panic"
)]

mod support;

use std::{
    fs,
    io::{BufRead, BufReader, BufWriter, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use jit_core::*;
use jit_policy::{cedar::*, *};
use support::*;

const FOLDER: &str = "JIT_REPLAY_FOLDER";
const RULES: &str = r#"
@id("read") @jit_approvals("sre:1") @jit_max_duration("4h")
permit(principal in Jit::Group::"oncall", action == Jit::Action::"read", resource in Jit::Resource::"db:prod");
@id("write") @jit_approvals("sre:2,dba:1") @jit_max_duration("1h")
permit(principal in Jit::Group::"oncall", action == Jit::Action::"write", resource in Jit::Resource::"db:prod");
@id("short") @jit_max_duration("30m")
permit(principal, action == Jit::Action::"read", resource) when { context.requested_duration <= 1800 };
@id("never") forbid(principal, action, resource in Jit::Resource::"db:prod/payroll");
@id("overflow") forbid(principal, action == Jit::Action::"admin", resource) when { context.now + 9223372036854775807 > 0 };
"#;

fn engine() -> Arc<dyn PolicyEngine> {
    Arc::new(CedarEngine::new().unwrap())
}

fn snapshot() -> Arc<dyn PolicySnapshot> {
    let engine = engine();
    let target =
        Target { engine: code!("cedar"), language: engine.descriptor().language.clone(), entrypoint: ENTRYPOINT };
    let schema = FilePath::new("jit.cedarschema").unwrap();
    let files = [
        (schema.clone(), BASE_SCHEMA.as_bytes().to_vec()),
        (FilePath::new("rules.cedar").unwrap(), RULES.as_bytes().to_vec()),
    ];
    engine.load(&PolicyBundle::new(target, Some(schema), files).unwrap()).unwrap()
}

/// An input that differs from every other, drawn from its number.
fn drawn(i: u64) -> CanonicalInput {
    let draw = blake3::hash(&i.to_be_bytes());
    let draw = draw.as_bytes();
    let resource =
        ["db:prod/orders", "db:prod/payroll", "db:prod", "db:test/orders", "vm:build"][usize::from(draw[0] % 5)];
    let actions: &[&str] = [&["read"][..], &["write"], &["read", "write"], &["admin"]][usize::from(draw[1] % 4)];
    let start = now().saturating_add(Duration::from_secs(i * 7));
    let window = Window::new(start, start.saturating_add(Duration::from_secs(60 * (1 + u64::from(draw[2]))))).unwrap();
    let actions = actions.iter().map(|a| Action::new(*a).unwrap());
    let who = format!("user-{}", u16::from_be_bytes([draw[3], draw[4]]) % 500);
    let request = Request::builder(
        Principal::human(Identity::new("idp", &*who).unwrap()),
        Scope::new(resource.parse().unwrap(), actions).unwrap(),
        window,
        Justification::new(format!("change {i}")).unwrap(),
        RetentionClass::new("access").unwrap(),
    );
    let groups: &[&str] = if draw[5].is_multiple_of(3) { &[] } else { &["oncall"] };
    let uid = format!("idp|{who}");
    let gathered = Gathered {
        entities: vec![entity("human", &uid, groups), entity("group", "oncall", &[])],
        ..Gathered::default()
    };
    CanonicalInput::of_request(&request.build().unwrap(), EvaluationPurpose::Request, start, gathered).unwrap()
}

fn record(folder: &Path, count: u64) {
    let snapshot = snapshot();
    fs::write(folder.join("snapshot"), snapshot.document().to_bytes().unwrap()).unwrap();
    let policy = Evaluator::new(snapshot);
    let mut file = BufWriter::new(fs::File::create(folder.join("decisions")).unwrap());
    for i in 0..count {
        let input = drawn(i);
        file.write_all(&canonical::to_bytes(&policy.evaluate(&input)).unwrap()).unwrap();
        file.write_all(b"\t").unwrap();
        file.write_all(input.as_bytes()).unwrap();
        file.write_all(b"\n").unwrap();
    }
    file.flush().unwrap();
}

/// Replays every decision of the folder; how many there were, how many of them permit, and how many came out the same.
fn replay_all(folder: &Path) -> (u64, u64, u64) {
    let mut replayer = Replayer::new(vec![engine()]);
    let (mut all, mut permits, mut identical) = (0, 0, 0);
    for line in BufReader::new(fs::File::open(folder.join("decisions")).unwrap()).split(b'\n') {
        let line = line.unwrap();
        let tab = line.iter().position(|byte| *byte == b'\t').unwrap();
        let decision: Decision = canonical::from_slice(&line[..tab]).unwrap();
        let input = canonical::Value::parse(&line[tab + 1..]).unwrap();
        let snapshot = || fs::read(folder.join("snapshot")).ok();
        let verdict = replayer.replay(&decision, RecordedInput::Present(&input), snapshot);
        all += 1;
        permits += u64::from(decision.permits());
        identical += u64::from(verdict.is_identical());
    }
    (all, permits, identical)
}

#[test]
fn every_recorded_decision_replays_identically_in_four_fresh_processes() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        let (all, permits, identical) = replay_all(&PathBuf::from(folder));
        println!("replayed {all} {permits} {identical}");
        return;
    }
    let count: u64 = std::env::var("JIT_REPLAY_DECISIONS").map_or(5_000, |count| count.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let begun = Instant::now();
    record(folder.path(), count);
    println!("{count} decisions recorded in {:?}", begun.elapsed());
    let own = std::env::current_exe().unwrap();
    let begun = Instant::now();
    let spawn = |_| {
        let mut child = Command::new(&own);
        child.args(["--exact", "every_recorded_decision_replays_identically_in_four_fresh_processes", "--nocapture"]);
        child.env(FOLDER, folder.path()).stdout(Stdio::piped()).spawn().unwrap()
    };
    let children: Vec<_> = (0..4).map(spawn).collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        let printed = String::from_utf8(output.stdout).unwrap();
        let line =
            printed.lines().find_map(|line| line.split("replayed ").nth(1)).unwrap_or_else(|| panic!("{printed}"));
        let numbers: Vec<u64> = line.split(' ').map(|n| n.parse().unwrap()).collect();
        assert_eq!((numbers[0], numbers[2]), (count, count), "all of them, and all identical");
        assert!(numbers[1] > count / 10 && numbers[1] < count * 9 / 10, "{} permit, which shows little", numbers[1]);
    }
    println!("{count} decisions replayed Identical in each of four fresh processes, in {:?}", begun.elapsed());
}

/// Flips one byte after another of what a decision rests on, and looks at the verdict.
#[test]
fn one_flipped_byte_gives_the_right_verdict() {
    let snapshot = snapshot();
    let bytes = snapshot.document().to_bytes().unwrap();
    let policy = Evaluator::new(snapshot);
    let telling = |input: &CanonicalInput| input.parts().actions.len() == 2 && policy.evaluate(input).permits();
    let input = (0..).map(drawn).find(telling).unwrap();
    let decision = policy.evaluate(&input);
    let mut replayer = Replayer::new(vec![engine()]);
    let whole = canonical::Value::parse(input.as_bytes()).unwrap();
    assert!(replayer.replay(&decision, RecordedInput::Present(&whole), || Some(bytes.clone())).is_identical());

    // A rule, or anything else of the snapshot: the bytes are not those that the decision cites.
    for at in (0..bytes.len()).step_by(41) {
        let mut flipped = bytes.clone();
        flipped[at] ^= 0x01;
        let verdict = Replayer::new(vec![engine()]).replay(&decision, RecordedInput::Present(&whole), || Some(flipped));
        assert_eq!(verdict, ReplayVerdict::SnapshotTampered, "byte {at}");
    }
    // The input, facts among it, against its record's commitment: whoever reads the record finds out before replaying. What
    // is left to show is that no other input passes as this one where it decides.
    let (mut tampered, mut diverged, mut other_core) = (0, 0, 0);
    for at in 0..input.as_bytes().len() {
        let mut flipped = input.as_bytes().to_vec();
        flipped[at] ^= 0x01;
        let Ok(value) = canonical::Value::parse(&flipped) else {
            tampered += 1;
            continue;
        };
        match replayer.replay(&decision, RecordedInput::Present(&value), || Some(bytes.clone())) {
            ReplayVerdict::InputTampered => tampered += 1,
            ReplayVerdict::Diverged { .. } => diverged += 1,
            ReplayVerdict::SameOutcomeDifferentCore { .. } => other_core += 1,
            ReplayVerdict::Identical => {}
            verdict => panic!("byte {at}: {verdict:?}"),
        }
    }
    assert!(tampered > 100 && diverged > 20, "{tampered} tampered, {diverged} diverged, {other_core} other core");
}
