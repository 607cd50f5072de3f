//! What is missing of a history: covered when an order or the end of retention is on record, and otherwise never taken for proof.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "tests may panic"
)]

mod world;

use std::collections::BTreeSet;

use jit_core::*;
use proptest::prelude::*;
use world::{
    at,
    forge::{purged, without},
    person, policy,
    story::{FAILED, REVOKED, STORY, check_whole, story, stream, violated_alone},
};

/// The good history with records of stream `erasure` after it, and what is left of the records before.
fn with_erasure(
    events: impl IntoIterator<Item = Event>,
    left: impl Fn(usize, &Record) -> Option<Record>,
) -> Vec<Record> {
    let mut world = story();
    for event in events {
        let stream = match event.kind().family() {
            Some(StreamFamily::Gov) => StreamId::Gov,
            _ => StreamId::Erasure,
        };
        world.write(stream, event, Refs::default());
    }
    world.records.iter().enumerate().map(|(i, r)| left(i, r).unwrap_or_else(|| r.clone())).collect()
}

fn comment_of(case: usize) -> usize {
    STORY
        .records
        .iter()
        .position(|r| r.header().stream == stream(case) && r.header().kind == Kind::ApprovalRecorded)
        .unwrap()
}

fn erasure_order(record: &Record, names: &[&str], actors: &[&str]) -> Event {
    FieldErased {
        leaf: record.leaf(),
        names: names.iter().map(|n| n.parse().unwrap()).collect(),
        basis: Line::new("request of the person").unwrap(),
        actors: actors.iter().map(|a| person(a).id()).collect(),
    }
    .into()
}

#[test]
fn inv_18_a_field_erased_by_two_people_is_covered_and_nothing_else_is() {
    let at = comment_of(REVOKED);
    let erased = |i: usize, r: &Record| (i == at).then(|| without(r, &["comment"]));
    let order = |actors: &[&str]| erasure_order(&STORY.records[at], &["comment"], actors);

    assert_eq!(check_whole(&with_erasure([order(&["zoe", "yan"])], erased)), []);
    violated_alone(&with_erasure([], erased), InvariantId::Inv18);
    violated_alone(&with_erasure([order(&["zoe", "zoe"])], erased), InvariantId::Inv18);
    let other = erasure_order(&STORY.records[at], &["authentication"], &["zoe", "yan"]);
    violated_alone(&with_erasure([other], erased), InvariantId::Inv18);
    let hold = HoldPlaced {
        hold: HoldId::v8([1; 16]),
        selector: HoldSelector {
            streams: Some(vec![stream(REVOKED)]),
            class: None,
            kinds: None,
            from: None,
            until: None,
        },
        authority: Line::new("court").unwrap(),
    };
    violated_alone(&with_erasure([hold.clone().into(), order(&["zoe", "yan"])], erased), InvariantId::Inv18);
    let released = HoldReleased { hold: hold.hold, actors: vec![person("zoe").id(), person("yan").id()] };
    let lifted = [hold.into(), released.into(), order(&["zoe", "yan"])];
    assert_eq!(check_whole(&with_erasure(lifted, erased)), []);
}

#[test]
fn inv_18_a_kept_field_is_never_erased() {
    let at = comment_of(REVOKED);
    let order = erasure_order(&STORY.records[at], &["approver"], &["zoe", "yan"]);
    let findings = check_whole(&with_erasure([order], |i, r| (i == at).then(|| without(r, &["approver"]))));
    let violated = findings.iter().filter(|f| f.is_violated()).map(|f| f.invariant);
    assert_eq!(violated.collect::<BTreeSet<_>>(), BTreeSet::from([InvariantId::Inv18]));
    assert!(findings.iter().any(|f| f.verdict == Verdict::NotProvable(Reason::Absent)));
}

fn purge(cutoff: Timestamp, class: &str) -> PurgeExecuted {
    let gone: Vec<(u64, &Record)> =
        (0..).zip(&STORY.records).filter(|(_, r)| r.header().stream == stream(FAILED) && !is_bare(r)).collect();
    let mut frontier = jit_log::Frontier::new();
    for (index, record) in &gone {
        let entry = [index.to_be_bytes().as_slice(), record.leaf().as_bytes()].concat();
        frontier.push(jit_log::leaf_hash(&entry)).unwrap();
    }
    PurgeExecuted {
        class: RetentionClass::new(class).unwrap(),
        cutoff,
        count: u64::try_from(gone.len()).unwrap(),
        ranges: gone.iter().map(|(index, _)| IndexRange { start: *index, end: index + 1 }).collect(),
        root: frontier.root().into(),
    }
}

fn is_bare(record: &Record) -> bool {
    record.payload().is_some_and(|p| p.fields().is_empty())
}

#[test]
fn inv_18_a_purge_in_time_is_covered_and_an_early_or_partial_one_is_not() {
    let gone = |_: usize, r: &Record| (r.header().stream == stream(FAILED)).then(|| purged(r));
    let judged = |events: Vec<Event>| {
        let findings = check_whole(&with_erasure(events, gone));
        assert!(findings.iter().any(|f| f.verdict == Verdict::NotProvable(Reason::Purged)), "{findings:#?}");
        let violated: BTreeSet<_> = findings.iter().filter(|f| f.is_violated()).map(|f| f.invariant).collect();
        assert!(violated.is_subset(&BTreeSet::from([InvariantId::Inv18])), "{findings:#?}");
        !violated.is_empty()
    };
    let good = purge(STORY.now(), "access");
    assert!(!judged(vec![good.clone().into()]));
    assert!(judged(vec![]));
    assert!(judged(vec![purge(at(10), "access").into()]));
    assert!(judged(vec![purge(STORY.now(), "other").into()]));
    assert!(judged(vec![PurgeExecuted { root: LeafHash::from_bytes([0; 32]), ..good.clone() }.into()]));
    assert!(judged(vec![PurgeExecuted { ranges: good.ranges[1..].to_vec(), ..good.clone() }.into()]));
    let (backwards, beyond) =
        (IndexRange { start: 9, end: 2 }, IndexRange { start: u64::MAX >> 11, end: u64::MAX >> 11 });
    assert!(judged(vec![PurgeExecuted { ranges: vec![backwards, beyond], ..good.clone() }.into()]));
    let longer = RetentionTerms {
        class: world::retain(),
        min_s: 10 * 86_400,
        max_s: None,
        basis: Line::new("law").unwrap(),
        reviewer: Line::new("r").unwrap(),
    };
    assert!(judged(vec![RetentionDeclared { classes: vec![longer] }.into(), good.clone().into()]));
    let hold = HoldPlaced {
        hold: HoldId::v8([1; 16]),
        selector: HoldSelector { streams: None, class: None, kinds: None, from: None, until: None },
        authority: Line::new("court").unwrap(),
    };
    assert!(judged(vec![hold.into(), good.into()]));
}

#[test]
fn what_a_part_cannot_show_is_not_provable() {
    // One case as a bundle carries it, with a comment withheld.
    let at = comment_of(REVOKED);
    let withheld = without(&STORY.records[at], &["comment"]);
    let case = (0u64..).zip(&STORY.records).filter(|(_, r)| r.header().stream == stream(REVOKED));
    let case = case.map(|(i, r)| (i, if i == u64::try_from(at).unwrap() { &withheld } else { r }));
    let findings = check(&History::part(case).with_snapshots([policy()]), STORY.now());
    assert!(findings.iter().all(|f| !f.is_violated()), "{findings:#?}");
    let reasons: BTreeSet<_> = findings
        .iter()
        .map(|f| (f.invariant, f.verdict))
        .map(|(i, v)| match v {
            Verdict::NotProvable(reason) => (i, reason),
            Verdict::Violated => panic!(),
        })
        .collect();
    let expected = [
        (InvariantId::Inv11, Reason::OtherStream),
        (InvariantId::Inv18, Reason::HoldState),
        (InvariantId::Inv21, Reason::OtherStream),
    ];
    assert_eq!(reasons, BTreeSet::from(expected));
}

#[test]
fn an_unknown_kind_in_gov_leaves_absence_open() {
    let at = comment_of(REVOKED);
    let mut world = story();
    let heartbeat = LogHeartbeat { silent_s: 1, anchor_accepted_missing: false };
    let known = world.write(StreamId::Gov, heartbeat.into(), Refs::default());
    let mut header = known.header().clone();
    header.kind = "log.renamed".parse().unwrap();
    header.facts = None;
    let unknown =
        Record::parse(header.to_bytes().unwrap(), Some(&known.payload().unwrap().to_bytes().unwrap())).unwrap();
    *world.records.last_mut().unwrap() = unknown;
    assert_eq!(check_whole(&world.records), []);
    world.records[at] = without(&world.records[at], &["comment"]);
    let findings = check_whole(&world.records);
    assert_eq!(findings.len(), 1, "{findings:#?}");
    assert_eq!(findings[0].verdict, Verdict::NotProvable(Reason::UnknownKind));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is left out, purged or erased of a good history: nothing is violated.
    #[test]
    fn no_part_of_a_good_history_is_violated(fates in proptest::collection::vec(0u8..16, 200), holes in any::<bool>()) {
        let left: Vec<Record> = STORY.records.iter().zip(fates.iter().cycle()).map(|(r, fate)| match fate {
            1 => purged(r),
            2 => {
                let names: Vec<&str> = r.payload().unwrap().fields().keys().map(FieldName::as_str).collect();
                without(r, &names)
            }
            _ => r.clone(),
        }).collect();
        let here = (0..).zip(&left).zip(&fates).filter(|(_, fate)| !holes || **fate != 0).map(|(entry, _)| entry);
        let findings = check(&History::part(here).with_snapshots([policy()]), Timestamp::EPOCH);
        prop_assert!(findings.iter().all(|f| !f.is_violated()), "{:#?}", findings);
    }

    /// Records in any order, several times and of any stream are judged without a panic.
    #[test]
    fn no_history_makes_a_check_panic(picks in proptest::collection::vec((any::<prop::sample::Index>(), 0u64..300), 0..120), whole in any::<bool>()) {
        let records = picks.iter().map(|(pick, index)| (*index, pick.get(&STORY.records)));
        let history = if whole { History::whole(records) } else { History::part(records) };
        let _findings = check(&history.with_checkpoint(3, STORY.records[0].leaf().to_hash()), STORY.now());
    }
}
