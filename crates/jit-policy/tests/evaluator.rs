//! Whatever an engine says, the decision is sorted, merged and fails closed.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs, reason = "tests may panic")]

mod support;

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use jit_core::{canonical::Value, *};
use jit_policy::*;
use support::*;

fn raw(kind: &str, properties: &str) -> RawObligation {
    RawObligation { kind: Code::new(kind).unwrap(), properties: Value::parse(properties.as_bytes()).unwrap() }
}

fn decide(says: RawEvaluation) -> Decision {
    fixed(says).evaluate(&input("db:prod/orders", &["read"]))
}

#[test]
fn a_well_founded_permit_permits() {
    let decision = decide(RawEvaluation { permitted: true, determining: vec![permit("a")], ..Default::default() });
    assert!(decision.permits());
    assert!(!decision.default_applied);
}

#[test]
fn whatever_is_wrong_makes_it_indeterminate_and_says_which() {
    let permitted =
        |determining: Vec<DeterminingRule>| RawEvaluation { permitted: true, determining, ..Default::default() };
    let with = |obligations: Vec<RawObligation>| RawEvaluation { obligations, ..permitted(vec![permit("a")]) };
    let forbid = DeterminingRule::new(rule("b"), Effect::Forbid);
    let error = EvaluationError { code: code!("rule_error"), rule: Some(rule("b")) };
    for (says, code) in [
        (permitted(vec![]), "permit_without_rule"),
        (permitted(vec![permit("a"), forbid.clone()]), "permit_despite_forbid"),
        (permitted(vec![permit("a"), permit("no such rule".replace(' ', "-").as_str())]), "unknown_rule"),
        (RawEvaluation { errors: vec![error], ..permitted(vec![permit("a")]) }, "rule_error"),
        (with(vec![raw("dance", "{}")]), "unknown_obligation"),
        (with(vec![raw("approvals", "[]")]), "unknown_obligation"),
        (with(vec![raw("approvals", r#"[{"count":0,"group":"sre"}]"#)]), "unknown_obligation"),
        (with(vec![raw("max_duration", "0")]), "unknown_obligation"),
        (with(vec![raw("max_duration", r#""4h""#)]), "unknown_obligation"),
        (
            with(vec![
                raw("condition", r#"{"enforcement":"issuer","id":"x_shell","value":"bash"}"#),
                raw("condition", r#"{"enforcement":"issuer","id":"x_shell","value":"none"}"#),
            ]),
            "obligation_conflict",
        ),
        // Whoever enforces them would not know what is meant.
        (with(vec![raw("condition", r#"{"enforcement":"broker","id":"mfa","value":false}"#)]), "unknown_obligation"),
        (
            with(vec![raw("condition", r#"{"enforcement":"issuer","id":"source_address","value":"10.0.0.0/8"}"#)]),
            "unknown_obligation",
        ),
        (
            with(vec![raw("condition", r#"{"enforcement":"issuer","id":"source_address","value":["10.0.0.1/8"]}"#)]),
            "unknown_obligation",
        ),
        (
            with(vec![raw("condition", r#"{"enforcement":"broker","id":"notification","value":[]}"#)]),
            "unknown_obligation",
        ),
        (
            with(vec![raw("condition", r#"{"enforcement":"broker","id":"post_review","value":0}"#)]),
            "unknown_obligation",
        ),
        (RawEvaluation { determining: vec![permit("a")], ..Default::default() }, "deny_by_permit"),
        (RawEvaluation::failed(code!("broken")), "broken"),
    ] {
        let decision = decide(says);
        assert_eq!(decision.outcome, Outcome::Indeterminate, "{code}");
        assert!(!decision.permits(), "{code}");
        assert!(decision.errors.iter().any(|e| e.code.as_str() == code), "{code}: {:?}", decision.errors);
        assert_eq!(decision.obligations, Obligations::default(), "{code}");
    }
}

#[test]
fn a_source_that_gives_nothing_makes_it_indeterminate() {
    let unavailable = vec![Unavailable { source: SystemName::new("tickets").unwrap(), code: code!("timed_out") }];
    let gathered = Gathered { unavailable, ..gathered() };
    let asked = request("db:prod", &["read"]);
    let input = CanonicalInput::of_request(&asked, EvaluationPurpose::Request, now(), gathered).unwrap();
    let says = RawEvaluation { permitted: true, determining: vec![permit("a")], ..Default::default() };
    let decision = fixed(says).evaluate(&input);
    assert_eq!(decision.outcome, Outcome::Indeterminate);
    assert_eq!(decision.errors[0].code.as_str(), "fact_unavailable");
}

#[test]
fn order_and_repetition_of_what_an_engine_says_do_not_matter() {
    let obligations = vec![raw("max_duration", "7200"), raw("approvals", r#"[{"count":1,"group":"sre"}]"#)];
    let mut says = RawEvaluation {
        permitted: true,
        determining: vec![permit("c"), permit("a"), permit("b"), permit("a")],
        obligations: [obligations.clone(), obligations].concat(),
        ..Default::default()
    };
    let expected = canonical::to_bytes(&decide(says.clone())).unwrap();
    for round in 0..1000 {
        says.determining.rotate_left(round % 3);
        says.obligations.reverse();
        assert_eq!(canonical::to_bytes(&decide(says.clone())).unwrap(), expected);
    }
}

#[test]
fn the_order_of_what_was_gathered_does_not_matter() {
    let asked = request("db:prod/orders", &["write", "read"]);
    let mut entities = gathered().entities;
    entities.extend((0..20).map(|i| entity("group", &format!("g{i}"), &["oncall"])));
    let mut digests = Vec::new();
    for round in 0..1000 {
        entities.rotate_left(round % 7);
        let gathered = Gathered { entities: entities.clone(), ..Gathered::default() };
        digests.push(CanonicalInput::of_request(&asked, EvaluationPurpose::Request, now(), gathered).unwrap().digest());
    }
    digests.dedup();
    assert_eq!(digests.len(), 1);
}

#[test]
fn sources_that_contradict_each_other_are_an_error() {
    let attrs = |text: &str| Attributes::of_texts([("team", text.to_owned())]).unwrap();
    let described = |text: &str| Entity { attrs: attrs(text), ..entity("human", "idp|alice", &[]) };
    let asked = request("db:prod", &["read"]);
    let of = |entities| {
        let gathered = Gathered { entities, ..Gathered::default() };
        CanonicalInput::of_request(&asked, EvaluationPurpose::Request, now(), gathered)
    };
    assert!(of(vec![described("a"), described("a")]).is_ok());
    assert!(matches!(of(vec![described("a"), described("b")]), Err(InputError::EntityConflict(_))));
}

/// A third party's snapshot that says it is another one whenever it is asked again.
struct Shifty {
    documents: [SnapshotDocument; 2],
    engines: [Engine; 2],
    asked: AtomicUsize,
}

impl PolicySnapshot for Shifty {
    fn document(&self) -> &SnapshotDocument {
        &self.documents[self.asked.fetch_add(1, Ordering::SeqCst) % 2]
    }

    fn engine(&self) -> &Engine {
        &self.engines[self.asked.fetch_add(1, Ordering::SeqCst) % 2]
    }

    fn evaluate(&self, _: &CanonicalInput) -> RawEvaluation {
        RawEvaluation { permitted: true, determining: vec![permit("a")], ..Default::default() }
    }
}

#[test]
fn a_snapshot_that_changes_what_it_is_does_not_change_what_decisions_cite() {
    let other = SnapshotDocument::new(bundle(), &[rule("a")].into()).unwrap();
    let shifty = Shifty {
        documents: [document(), other.clone()],
        engines: [engine("1"), engine("2")],
        asked: AtomicUsize::new(0),
    };
    assert_ne!(document().digest(), other.digest());
    let evaluator = Evaluator::new(Arc::new(shifty));
    let (kept, input) = (evaluator.document().clone(), input("db:prod/orders", &["read"]));
    let first = evaluator.evaluate(&input);
    assert_eq!(first.policy, kept.digest(), "what is cited is what is kept");
    for _ in 0..5 {
        assert_eq!(evaluator.evaluate(&input), first);
        assert_eq!(evaluator.document(), &kept);
    }
}
