//! What is absent is told apart by evidence: withheld, erased, purged, or removed against the rules.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "tests may panic"
)]

mod support;

use std::time::Duration;

use jit_audit::{AbsentPart, Bundle, Failure, Reason, Report, Standing, Verdict, VerifyOptions, verify};
use jit_core::{
    CaseId, Clock, Event, FieldErased, FieldName, HoldId, HoldPlaced, HoldReleased, HoldSelector, IndexRange, Kind,
    Line, PurgeExecuted, RetentionClass, StreamId,
};
use jit_log::{Frontier, leaf_hash};
use support::{Plan, World, person};

const EIGHT_YEARS: Duration = Duration::from_secs(8 * 365 * 86_400);

fn accepting(bundle: &Bundle, world: &World) -> Report {
    let mut options = VerifyOptions::default();
    (options.accept_withheld, options.accept_erased) = (true, true);
    verify(&bundle.to_bytes().unwrap(), &world.trust, &options)
}

fn first(report: &Report) -> &Failure {
    match report.verdict() {
        Verdict::Proved => panic!("proved"),
        Verdict::Disproved(failure) | Verdict::NotProvable(failure) => failure,
    }
}

fn standing(report: &Report, kind: &Kind) -> Standing {
    report.records().iter().find(|record| record.place.kind.as_ref() == Some(kind)).unwrap().standing
}

/// Erases a field on the record; the value stays in the log, and the bundle leaves it out.
async fn erased(world: &World, case: CaseId, kind: &Kind, field: &str, actors: &[&str]) -> Bundle {
    let stream = world.log.stream(&StreamId::Case(case)).await.unwrap();
    let target = stream.iter().find(|entry| entry.record().header().kind == *kind).unwrap();
    let event = FieldErased {
        leaf: target.record().leaf(),
        names: vec![field.parse().unwrap()],
        basis: Line::new("request of the person").unwrap(),
        actors: actors.iter().map(|name| person(name).id()).collect(),
    };
    world.govern(StreamId::Erasure, event.into()).await;
    let mut bundle = world.bundle_without(case, &[]).await;
    assert!(bundle.records.iter().any(|record| record.header.contains("field.erased")));
    let mut shown = world.bundle_without(case, &[field]).await;
    shown.manifest.exclusions.clear();
    // Only this field of this record is gone.
    let at =
        bundle.records.iter().position(|record| record.header.as_bytes() == target.record().header_bytes()).unwrap();
    bundle.records[at] = shown.records[at].clone();
    bundle
}

/// Purges the payloads of a whole case on the record.
async fn purged(world: &World, case: CaseId, ranges: impl Fn(u64, u64) -> IndexRange) -> Bundle {
    let stream = world.log.stream(&StreamId::Case(case)).await.unwrap();
    let (start, end) = (stream[0].index(), stream.last().unwrap().index() + 1);
    let range = ranges(start, end);
    let mut gone = Frontier::new();
    for entry in stream.iter().filter(|entry| (range.start..range.end).contains(&entry.index())) {
        gone.push(leaf_hash(&[&entry.index().to_be_bytes()[..], entry.record().leaf().as_bytes()].concat())).unwrap();
    }
    let event = PurgeExecuted {
        class: RetentionClass::new("access").unwrap(),
        cutoff: world.clock.now().at,
        count: gone.size(),
        ranges: vec![range],
        root: gone.root().into(),
    };
    let purge = world.govern(StreamId::Erasure, event.into()).await;
    let mut bundle = world.bundle(case).await;
    assert!(bundle.records.iter().any(|record| record.index == purge));
    for record in bundle.records.iter_mut().filter(|record| (start..end).contains(&record.index)) {
        (record.fields, record.purged) = (None, Some(purge));
    }
    bundle
}

fn hold(id: u8, class: &str) -> Event {
    let selector = HoldSelector {
        streams: None,
        class: Some(RetentionClass::new(class).unwrap()),
        kinds: None,
        from: None,
        until: None,
    };
    let authority = Line::new("court order 12").unwrap();
    HoldPlaced { hold: HoldId::v8([id; 16]), selector, authority }.into()
}

#[tokio::test]
async fn a_lawful_erasure_is_accepted_when_asked_for() {
    let world = World::new().await;
    let case = world.run("a", Plan::Denied).await;
    let bundle = erased(&world, case, &Kind::RequestSubmitted, "justification", &["dpo-1", "dpo-2"]).await;
    let report = accepting(&bundle, &world);
    assert!(report.verdict().is_proved(), "{:?}", report.failures());
    assert_eq!(standing(&report, &Kind::RequestSubmitted), Standing::Erased);
    let strict = verify(&bundle.to_bytes().unwrap(), &world.trust, &VerifyOptions::default());
    let field: FieldName = "justification".parse().unwrap();
    assert!(matches!(&first(&strict).reason, Reason::Gone(AbsentPart::Field(name)) if *name == field));
}

#[tokio::test]
async fn what_was_erased_and_is_still_there_is_said() {
    let world = World::new().await;
    let case = world.run("a", Plan::Denied).await;
    erased(&world, case, &Kind::RequestSubmitted, "justification", &["dpo-1", "dpo-2"]).await;
    let report = accepting(&world.bundle(case).await, &world);
    assert!(report.verdict().is_proved(), "{:?}", report.failures());
    assert_eq!(standing(&report, &Kind::RequestSubmitted), Standing::NotYetErased);
}

#[tokio::test]
async fn an_erasure_needs_two_persons_and_a_personal_field() {
    let world = World::new().await;
    let case = world.run("a", Plan::Denied).await;
    for (field, actors) in [("justification", ["dpo-1", "dpo-1"]), ("scope", ["dpo-1", "dpo-2"])] {
        let bundle = erased(&world, case, &Kind::RequestSubmitted, field, &actors).await;
        let report = accepting(&bundle, &world);
        assert!(matches!(report.verdict(), Verdict::Disproved(_)), "{:?}", report.failures());
        assert_eq!(standing(&report, &Kind::RequestSubmitted), Standing::Unauthorised, "{field}");
    }
}

#[tokio::test]
async fn a_hold_forbids_removal_while_it_lasts() {
    let world = World::new().await;
    let case = world.run("a", Plan::Denied).await;
    world.govern(StreamId::Gov, hold(1, "access")).await;
    world.govern(StreamId::Gov, hold(2, "agent")).await;
    let bundle = erased(&world, case, &Kind::RequestSubmitted, "justification", &["dpo-1", "dpo-2"]).await;
    let report = accepting(&bundle, &world);
    assert!(matches!(report.verdict(), Verdict::Disproved(_)), "{:?}", report.failures());
    assert_eq!(standing(&report, &Kind::RequestSubmitted), Standing::HoldViolation);

    let released = World::new().await;
    let case = released.run("a", Plan::Denied).await;
    released.govern(StreamId::Gov, hold(1, "access")).await;
    let actors = vec![person("judge-1").id(), person("judge-2").id()];
    released.govern(StreamId::Gov, HoldReleased { hold: HoldId::v8([1; 16]), actors }.into()).await;
    let bundle = erased(&released, case, &Kind::RequestSubmitted, "justification", &["dpo-1", "dpo-2"]).await;
    let report = accepting(&bundle, &released);
    assert_eq!(standing(&report, &Kind::RequestSubmitted), Standing::Erased, "{:?}", report.failures());
}

#[tokio::test]
async fn a_purge_waits_for_the_end_of_retention() {
    let whole = |start, end| IndexRange { start, end };
    let (early, case) = closed_for(Duration::from_secs(60)).await;
    let bundle = purged(&early, case, whole).await;
    assert_eq!(standing(&accepting(&bundle, &early), &Kind::RequestSubmitted), Standing::Unauthorised);

    let (late, case) = closed_for(EIGHT_YEARS).await;
    let bundle = purged(&late, case, whole).await;
    let report = accepting(&bundle, &late);
    assert_eq!(standing(&report, &Kind::RequestSubmitted), Standing::Purged, "{:?}", report.failures());
    assert!(report.verdict().is_proved(), "{:?}", report.failures());
    let strict = verify(&bundle.to_bytes().unwrap(), &late.trust, &VerifyOptions::default());
    assert!(matches!(first(&strict).reason, Reason::Gone(AbsentPart::Payload)), "{:?}", strict.failures());
}

#[tokio::test]
async fn a_purge_covers_its_ranges_and_yields_to_holds() {
    let (world, case) = closed_for(EIGHT_YEARS).await;
    let short = purged(&world, case, |start, end| IndexRange { start, end: end - 1 }).await;
    assert_eq!(standing(&accepting(&short, &world), &Kind::CaseClosed), Standing::Unauthorised);

    let (world, case) = closed_for(EIGHT_YEARS).await;
    world.govern(StreamId::Gov, hold(1, "access")).await;
    let held = purged(&world, case, |start, end| IndexRange { start, end }).await;
    assert_eq!(standing(&accepting(&held, &world), &Kind::RequestSubmitted), Standing::HoldViolation);
}

/// A log with a case that was closed so long ago.
async fn closed_for(time: Duration) -> (World, CaseId) {
    let world = World::new().await;
    let case = world.run("a", Plan::Denied).await;
    world.clock.advance(time);
    (world, case)
}

#[tokio::test]
async fn a_payload_that_no_purge_covers_is_missing() {
    let world = World::new().await;
    let case = world.run("a", Plan::Denied).await;
    let mut bundle = world.bundle(case).await;
    let last = bundle.records.last().unwrap().index;
    let at = bundle.records.iter().position(|record| record.header.contains("request.submitted")).unwrap();
    (bundle.records[at].fields, bundle.records[at].purged) = (None, Some(last));
    let report = accepting(&bundle, &world);
    assert!(!report.verdict().is_proved());
    assert!(report.failures().iter().any(|failure| matches!(failure.reason, Reason::Missing(AbsentPart::Payload))));
    bundle.records[at].purged = None;
    let report = accepting(&bundle, &world);
    assert!(report.failures().iter().any(|failure| matches!(failure.reason, Reason::PayloadShape)));
}
