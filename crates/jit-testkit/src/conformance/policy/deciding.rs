//! What is permitted, by which rule, and on what terms.

use jit_core::{Effect, Obligations, Outcome};

use super::{
    Sample, Subject,
    asking::{Asking, entity, everything},
    subject::{demands, determining},
};

fn groups(all: &[(&str, u16)]) -> Vec<(String, u16)> {
    all.iter().map(|(group, count)| ((*group).to_owned(), *count)).collect()
}

pub(super) async fn a_permit_names_its_rule_and_its_demands(subject: Subject) {
    let decision = subject.decide(&Asking::of("db:prod/orders", &["read"]));
    assert_eq!((decision.outcome, &*decision.errors), (Outcome::Permit, &[][..]));
    assert_eq!(determining(&decision), [("read", Effect::Permit)]);
    assert_eq!(demands(&decision), (groups(&[("sre", 1)]), Some(14_400)));
    let free = subject.decide(&Asking::of("db:test", &["admin"]));
    assert_eq!(determining(&free), [("early", Effect::Permit)]);
    assert_eq!(free.obligations, Obligations::default(), "it demands what no rule demands");
}

pub(super) async fn what_no_rule_permits_is_denied(subject: Subject) {
    for asking in [
        Asking::of("db:test", &["read"]),
        Asking::of("cache:prod", &["read"]),
        Asking::of("db:prod", &["read"]).by("mallory"),
    ] {
        let decision = subject.decide(&asking);
        assert_eq!((decision.outcome, decision.default_applied), (Outcome::Deny, true), "{asking:?}");
        assert_eq!((determining(&decision), &*decision.errors), (vec![], &[][..]), "{asking:?}");
    }
}

pub(super) async fn a_forbid_wins_and_demands_nothing(subject: Subject) {
    for actions in [&["read"][..], &["admin"], &["read", "write"]] {
        let decision = subject.decide(&Asking::of("db:prod/payroll/march", actions));
        assert_eq!(decision.outcome, Outcome::Deny, "{actions:?} is forbidden, and permitted");
        assert_eq!(determining(&decision), [("never", Effect::Forbid)], "{actions:?}");
        assert_eq!(decision.obligations, Obligations::default(), "{actions:?}");
    }
}

pub(super) async fn every_action_must_be_permitted(subject: Subject) {
    // The first of them is permitted, the second not; then the other way round.
    let second = subject.decide(&Asking::of("db:test", &["admin", "read"]));
    assert_eq!((second.outcome, determining(&second)), (Outcome::Deny, vec![]), "read is permitted by no rule");
    let late = "2031-01-01T00:00:00.000000Z";
    for actions in [&["admin", "read"][..], &["admin", "write"], &["admin", "read", "write"]] {
        let decision = subject.decide(&Asking::of("db:prod", actions).at(late));
        assert_eq!(decision.outcome, Outcome::Deny, "{actions:?}: admin is permitted by no rule");
        assert_eq!(determining(&decision), [], "{actions:?}: what permits another action determines no denial");
    }
}

pub(super) async fn demands_of_several_actions_are_merged(subject: Subject) {
    let of = |actions| subject.decide(&Asking::of("db:prod", actions));
    let both = of(&["read", "write"]);
    assert_eq!(determining(&both), [("read", Effect::Permit), ("write", Effect::Permit)]);
    assert_eq!(demands(&both), (groups(&[("dba", 1), ("sre", 2)]), Some(3_600)));
    let (read, write) = (of(&["read"]).obligations, of(&["write"]).obligations);
    let each = Vec::from(read.clone()).into_iter().chain(Vec::from(write.clone()));
    let merged = Obligations::merge(each).expect("demands that agree");
    assert_eq!(both.obligations, merged, "it is not what merging gives");
    assert!(read.no_stricter_than(&both.obligations) && write.no_stricter_than(&both.obligations));
    assert_eq!(of(&["admin", "read", "write"]).obligations, merged, "a rule that demands nothing changes demands");
}

pub(super) async fn membership_is_not_only_direct(subject: Subject) {
    let through = [
        entity("human", "idp|bob", &["primary", "staff"]),
        entity("group", "primary", &["rota"]),
        entity("group", "rota", &["oncall"]),
        entity("group", "staff", &[]),
        entity("human", "idp|carol", &["staff"]),
    ];
    let asking = Asking::of("db:prod", &["read"]).with(through);
    assert!(subject.decide(&asking.clone().by("bob")).permits(), "a member of a group in a group is none");
    assert!(!subject.decide(&asking.by("carol")).permits(), "a member of another group is one");
}

pub(super) async fn a_resource_stands_for_what_is_below_it_only(subject: Subject) {
    for (resource, permitted) in [
        ("db:prod", true),
        ("db:prod/orders/invoices/2026", true),
        ("db:production", false),
        ("db:prod-old/orders", false),
        ("db:test/prod", false),
        ("cache:prod", false),
    ] {
        let decision = subject.decide(&Asking::of(resource, &["read"]));
        assert_eq!(decision.permits(), permitted, "{resource}");
    }
}

pub(super) async fn the_clock_is_that_of_the_input(subject: Subject) {
    for (now, permitted) in [
        ("1999-12-31T23:59:59.000000Z", true),
        ("2029-12-31T23:59:59.000000Z", true),
        ("2030-01-01T00:00:00.000000Z", false),
        ("2200-01-01T00:00:00.000000Z", false),
    ] {
        let decision = subject.decide(&Asking::of("db:test", &["admin"]).at(now));
        assert_eq!(decision.permits(), permitted, "at {now}");
    }
}

pub(super) async fn nothing_is_permitted_without_a_rule(subject: Subject) {
    for sample in [Sample::Access, Sample::Stricter] {
        let evaluator = subject.evaluator(sample);
        for asking in everything() {
            let decision = evaluator.evaluate(&asking.input());
            assert_eq!(&*decision.errors, &[], "{asking:?}");
            let permitting = decision.permitting_rule().is_some();
            assert_eq!(decision.permits(), permitting, "{asking:?}");
            let manifest = evaluator.document().manifest();
            assert!(decision.determining.iter().all(|d| manifest.has_rule(&d.rule)), "{asking:?}: an unknown rule");
        }
    }
}
