//! What another policy would have decided, and how two policies differ.
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

use std::{convert::Infallible, num::NonZeroUsize, sync::Arc};

use jit_core::*;
use jit_policy::{cedar::*, *};
use support::*;

const THEN: &str = r#"
@id("read") @jit_approvals("sre:1") @jit_max_duration("4h")
permit(principal in Jit::Group::"oncall", action == Jit::Action::"read", resource in Jit::Resource::"db:prod");

@id("write") @jit_approvals("sre:1") @jit_max_duration("4h")
permit(principal in Jit::Group::"oncall", action == Jit::Action::"write", resource in Jit::Resource::"db:prod");

@id("admin")
permit(principal in Jit::Group::"oncall", action == Jit::Action::"admin", resource in Jit::Resource::"db:prod");
"#;

/// Reading is shorter, writing needs two, administration is gone, the payroll is closed.
const NOW: &str = r#"
// Reading is shorter.
@id("read") @jit_approvals("sre:1") @jit_max_duration("30m")
permit(principal in Jit::Group::"oncall", action == Jit::Action::"read", resource in Jit::Resource::"db:prod");

@id("write") @jit_approvals("sre:2,dba:1") @jit_max_duration("4h")
permit(
  principal in Jit::Group::"oncall",
  action == Jit::Action::"write",
  resource in Jit::Resource::"db:prod"
);

@id("payroll")
forbid(principal, action, resource in Jit::Resource::"db:prod/payroll");
"#;

fn snapshot(rules: &str) -> Arc<dyn PolicySnapshot> {
    let engine = CedarEngine::new().unwrap();
    let target =
        Target { engine: code!("cedar"), language: engine.descriptor().language.clone(), entrypoint: ENTRYPOINT };
    let schema = FilePath::new("jit.cedarschema").unwrap();
    let files = [
        (schema.clone(), BASE_SCHEMA.as_bytes().to_vec()),
        (FilePath::new("rules.cedar").unwrap(), rules.as_bytes().to_vec()),
    ];
    engine.load(&PolicyBundle::new(target, Some(schema), files).unwrap()).unwrap()
}

/// 600 decisions under the old policy: 300 to read (of which 100 the payroll), 200 to write, 100 to administer.
fn past() -> Vec<PastDecision<u64>> {
    let policy = Evaluator::new(snapshot(THEN));
    let asked = |i: u64| match i % 6 {
        0 | 1 => ("db:prod/orders", "read"),
        2 => ("db:prod/payroll", "read"),
        3 | 4 => ("db:prod/orders", "write"),
        _ => ("db:prod/orders", "admin"),
    };
    let decided = |i: u64| {
        let (resource, action) = asked(i);
        let input = input(resource, &[action]);
        PastDecision { key: i, decision: policy.evaluate(&input), input: Some(input.as_value().clone()) }
    };
    (0..600).map(decided).collect()
}

fn run(candidate: &str, past: Vec<PastDecision<u64>>, threads: usize) -> BacktestReport<u64> {
    let backtest = Backtest::new(Evaluator::new(snapshot(candidate))).threads(NonZeroUsize::new(threads).unwrap());
    let Ok(report) = backtest.run(past.into_iter().map(Ok::<_, Infallible>), |_| {});
    report
}

#[test]
fn a_policy_changes_nothing_beside_itself() {
    let report = run(&format!("// other bytes\n{THEN}"), past(), 2);
    assert_eq!((report.decisions, report.unchanged, report.changed()), (600, 600, 0));
}

#[test]
fn what_would_change_is_counted_by_rule_with_outcome_quorum_and_duration() {
    let report = run(NOW, past(), 2);
    assert_eq!((report.decisions, report.unchanged, report.changed()), (600, 0, 600));
    assert_eq!(report.changes.len(), 4);
    let only = |id: &str| {
        let id = rule(id);
        let found: Vec<Change<u64>> = report.of_rule(&id).cloned().collect();
        found
    };

    let write = only("write").pop().unwrap();
    assert_eq!((write.count, write.outcome()), (200, None));
    let (then, now) = write.quorum().unwrap();
    let counts = |q: Option<&Quorum>| q.unwrap().groups().map(|(g, n)| format!("{g}:{n}")).collect::<Vec<_>>();
    assert_eq!((counts(then), counts(now)), (vec!["sre:1".to_owned()], vec!["dba:1".to_owned(), "sre:2".to_owned()]));
    assert_eq!(write.max_duration(), None);
    assert_eq!(write.examples, [3, 4, 9, 10, 15]);

    let admin = only("admin").pop().unwrap();
    assert_eq!((admin.count, admin.outcome()), (100, Some((Outcome::Permit, Outcome::Deny))));
    assert!(admin.now.determining.is_empty());

    let payroll = only("payroll").pop().unwrap();
    assert_eq!((payroll.count, payroll.outcome()), (100, Some((Outcome::Permit, Outcome::Deny))));
    assert_eq!(payroll.rules().len(), 2, "the rule that permitted and the one that forbids");

    let read = only("read").into_iter().find(|change| change.outcome().is_none()).unwrap();
    let seconds = |s: Option<Seconds>| s.unwrap().get();
    let (then, now) = read.max_duration().unwrap();
    assert_eq!((read.count, seconds(then), seconds(now), read.quorum()), (200, 14_400, 1_800, None));
    assert_eq!(read.too_long_now, 200, "all of them asked for an hour");
    assert_eq!(report.by_rule().get(&rule("read")).copied(), Some(300));
}

#[test]
fn the_report_does_not_depend_on_threads_or_order() {
    let one = run(NOW, past(), 1);
    for threads in [2, 3, 8] {
        assert_eq!(run(NOW, past(), threads), one);
    }
    let backwards = past().into_iter().rev().collect();
    assert_eq!(run(NOW, backwards, 2), one);
}

#[test]
fn what_cannot_be_run_is_counted_apart() {
    let mut past = past();
    past[0].input = None;
    past[1].input = Some(canonical::Value::parse(br#"{"schema":"jit.eval-input/1"}"#).unwrap());
    let report = run(THEN, past, 2);
    assert_eq!((report.without_input, report.malformed, report.unchanged), (1, 1, 598));
}

#[test]
fn the_candidate_sees_only_what_was_recorded() {
    let needs_ticket =
        r#"@id("read") permit(principal, action, resource) when { context.justification_length > 1000 };"#;
    let report = run(needs_ticket, past(), 2);
    assert_eq!(report.changes.iter().map(|c| c.count).sum::<u64>(), 600);
    assert!(report.changes.iter().all(|c| c.now.outcome == Outcome::Deny));
}

#[test]
fn a_source_that_fails_ends_it_and_progress_is_told() {
    let mut told = Vec::new();
    let backtest = Backtest::new(Evaluator::new(snapshot(THEN)));
    let Ok(_) = backtest.run(past().into_iter().map(Ok::<_, Infallible>), |done| told.push(done));
    assert_eq!(told.last(), Some(&600));
    assert!(told.is_sorted() && told.len() > 5, "{told:?}");
    let failing = past().into_iter().map(|past| if past.key == 300 { Err("the disk is gone") } else { Ok(past) });
    assert_eq!(backtest.run(failing, |_| {}), Err("the disk is gone"));
}

#[test]
fn snapshots_differ_rule_by_rule() {
    let (then, now) = (snapshot(THEN), snapshot(NOW));
    assert!(SnapshotDiff::between(&*then, &*then).is_empty());
    let diff = SnapshotDiff::between(&*then, &*now);
    assert_eq!((diff.added.clone(), diff.removed.clone()), (vec![rule("payroll")], vec![rule("admin")]));
    let changed: Vec<(&str, bool, bool)> =
        diff.changed.iter().map(|c| (c.rule.as_str(), c.condition(), c.obligations())).collect();
    assert_eq!(changed, [("read", false, true), ("write", false, true)], "layout and comments change no rule");
    let text = diff.to_string();
    for line in ["file changed: rules.cedar", "rule added: payroll", "rule changed: write (obligations)"] {
        assert!(text.contains(line), "{text}");
    }
    assert!(text.contains(r#"now demands: max_duration 1800"#), "{text}");

    let wider = snapshot(&THEN.replace("resource in Jit::Resource::\"db:prod\"", "resource"));
    let diff = SnapshotDiff::between(&*then, &*wider);
    assert!(diff.changed.len() == 3 && diff.changed.iter().all(|c| c.condition() && !c.obligations()), "{diff}");
    let forbids = snapshot(&THEN.replace("@id(\"admin\")\npermit", "@id(\"admin\")\nforbid"));
    let diff = SnapshotDiff::between(&*then, &*forbids);
    assert!(diff.changed.len() == 1 && diff.changed[0].effect(), "{diff}");
    assert_eq!(then.document().diff(wider.document()).unclear.len(), 3, "by files alone every rule may differ");
}
