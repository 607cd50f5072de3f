//! The same snapshot and input are the same decision, always and everywhere.

use std::thread;

use jit_core::{Decision, Outcome, Version};
use jit_policy::{CanonicalInput, RecordedInput, ReplayVerdict, SnapshotDocument, replay};

use super::{
    Sample, Subject,
    asking::{Asking, entity, everything},
    subject::text,
};

pub(super) async fn the_same_input_is_the_same_decision(subject: Subject) {
    let (evaluator, other) = (subject.evaluator(Sample::Access), subject.evaluator(Sample::Access));
    for asking in everything() {
        let input = asking.input();
        let first = text(&evaluator.evaluate(&input));
        for _ in 0..20 {
            assert_eq!(text(&evaluator.evaluate(&input)), first);
        }
        assert_eq!(text(&other.evaluate(&input)), first, "loaded anew, it decides otherwise");
    }
}

pub(super) async fn the_order_of_what_was_gathered_changes_nothing(subject: Subject) {
    let evaluator = subject.evaluator(Sample::Access);
    let asking = Asking::of("db:prod", &["read"]).with([
        entity("group", "rota", &["oncall"]),
        entity("human", "idp|bob", &["rota"]),
        entity("group", "zero", &["rota", "oncall"]),
    ]);
    let first = text(&evaluator.evaluate(&asking.input()));
    let mut turned = asking;
    for _ in 0..turned.gathered.entities.len() {
        turned.gathered.entities.rotate_left(1);
        assert_eq!(text(&evaluator.evaluate(&turned.input())), first);
        let mut back = turned.clone();
        back.gathered.entities.reverse();
        assert_eq!(text(&evaluator.evaluate(&back.input())), first);
    }
}

pub(super) async fn what_is_unrelated_changes_nothing(subject: Subject) {
    let evaluator = subject.evaluator(Sample::Access);
    for asking in everything() {
        let alone = evaluator.evaluate(&asking.input());
        // Before and after those that matter, in the order of an input.
        let others = [
            entity("group", "aaa", &[]),
            entity("group", "zzz", &["aaa"]),
            entity("human", "aaa|first", &["zzz"]),
            entity("human", "zzz|last", &["oncall"]),
        ];
        let beside = evaluator.evaluate(&asking.clone().with(others).input());
        // What an engine cannot take it may refuse, whatever was asked.
        assert!(text(&beside) == text(&alone) || beside.outcome == Outcome::Indeterminate, "{asking:?}: {beside:?}");
    }
}

pub(super) async fn many_threads_decide_the_same(subject: Subject) {
    let evaluator = subject.evaluator(Sample::Access);
    let all = || everything().iter().map(|asking| text(&evaluator.evaluate(&asking.input()))).collect::<Vec<_>>();
    let first = all();
    thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(all)).collect();
        for thread in threads {
            assert_eq!(thread.join().expect("a thread that decides"), first);
        }
    });
}

pub(super) async fn a_small_stack_is_enough(subject: Subject) {
    let evaluator = subject.evaluator(Sample::Access);
    for asking in everything() {
        let input = asking.input();
        let expected = evaluator.evaluate(&input);
        let evaluator = evaluator.clone();
        let small = thread::Builder::new().stack_size(96 * 1024);
        let found = small.spawn(move || evaluator.evaluate(&input)).expect("a thread").join().expect("a decision");
        assert_eq!(text(&found), text(&expected), "with little stack left");
    }
}

/// Everything that is decided, with what replaying needs.
fn recorded(subject: &Subject, sample: Sample) -> Vec<(Decision, CanonicalInput, Vec<u8>)> {
    let evaluator = subject.evaluator(sample);
    let snapshot = evaluator.document().to_bytes().expect("a document is canonical");
    let decide = |asking: Asking| (evaluator.evaluate(&asking.input()), asking.input(), snapshot.clone());
    everything().into_iter().map(decide).collect()
}

pub(super) async fn a_decision_replays_identically(subject: Subject) {
    for sample in [Sample::Access, Sample::Stricter, Sample::Failing] {
        for (decision, input, snapshot) in recorded(&subject, sample) {
            let recorded = RecordedInput::Present(input.as_value());
            let engines = [subject.engine()];
            let verdict = replay(&decision, recorded, Some(&snapshot), &engines);
            assert_eq!(verdict, ReplayVerdict::Identical, "{sample:?}");
            let mut older = decision.clone();
            older.engine.version = Version::new("0.0.0-older").expect("a version");
            match replay(&older, recorded, Some(&snapshot), &engines) {
                ReplayVerdict::EngineDiffers { result, .. } => assert_eq!(*result, ReplayVerdict::Identical),
                verdict => panic!("decided by another version, it replays as {verdict:?}"),
            }
        }
    }
}

pub(super) async fn what_was_tampered_with_does_not_replay(subject: Subject) {
    let engines = [subject.engine()];
    let (decision, input, snapshot) = recorded(&subject, Sample::Access).swap_remove(0);
    let run = |decision: &Decision, snapshot: &[u8]| {
        replay(decision, RecordedInput::Present(input.as_value()), Some(snapshot), &engines)
    };
    for at in (0..snapshot.len()).step_by(31) {
        let mut flipped = snapshot.clone();
        flipped[at] ^= 1;
        assert_eq!(run(&decision, &flipped), ReplayVerdict::SnapshotTampered, "byte {at} of the snapshot");
    }
    // Another policy in the place of the one that decided, correct in itself.
    let (_, _, stricter) = recorded(&subject, Sample::Stricter).swap_remove(0);
    assert_eq!(run(&decision, &stricter), ReplayVerdict::SnapshotTampered);
    // And with the decision made to cite it, what it demanded gives it away.
    let cited = SnapshotDocument::parse(&stricter).expect("a document").digest();
    let forged = Decision { policy: cited, ..decision.clone() };
    assert!(!run(&forged, &stricter).is_identical(), "two policies that demand differently replay alike");
    let denied = Decision { outcome: Outcome::Deny, ..decision.clone() };
    assert!(matches!(run(&denied, &snapshot), ReplayVerdict::Diverged { .. }));
    // Another question than the one that was answered.
    let other = Asking::of("db:prod/payroll", &["read"]).input();
    let verdict = replay(&decision, RecordedInput::Present(other.as_value()), Some(&snapshot), &engines);
    assert!(matches!(verdict, ReplayVerdict::Diverged { .. }), "{verdict:?}");
    assert_eq!(replay(&decision, RecordedInput::Missing, Some(&snapshot), &engines), ReplayVerdict::InputMissing);
    let none = replay(&decision, RecordedInput::Present(input.as_value()), None, &engines);
    assert_eq!(none, ReplayVerdict::SnapshotMissing);
}
