//! What goes wrong denies, and says so.

use jit_core::{
    Obligations, Outcome, SystemName,
    canonical::{Object, Value},
    code,
};
use jit_policy::{Attributes, Entity, Unavailable};

use super::{
    Sample, Subject,
    asking::{Asking, entity},
};

pub(super) async fn a_rule_that_fails_denies(subject: Subject) {
    let evaluator = subject.evaluator(Sample::Failing);
    for resource in ["db:prod", "db:prod/orders", "db:test"] {
        let decision = evaluator.evaluate(&Asking::of(resource, &["read"]).input());
        assert_eq!(decision.outcome, Outcome::Indeterminate, "{resource}: a rule failed");
        assert!(!decision.errors.is_empty() && !decision.permits(), "{resource}");
        assert_eq!(decision.obligations, Obligations::default(), "{resource}");
    }
}

pub(super) async fn an_unknown_demand_denies(subject: Subject) {
    // Refused when it is loaded is as good.
    let Ok(snapshot) = subject.try_load(Sample::UnknownObligation) else { return };
    let decision = jit_policy::Evaluator::new(snapshot).evaluate(&Asking::of("db:prod", &["read"]).input());
    assert_eq!(decision.outcome, Outcome::Indeterminate, "what is demanded is not known, and permitted");
}

pub(super) async fn what_is_unavailable_denies(subject: Subject) {
    let mut asking = Asking::of("db:prod", &["read"]);
    let source = SystemName::new("directory").expect("a name");
    asking.gathered.unavailable.push(Unavailable { source, code: code!("timeout") });
    assert_eq!(subject.decide(&asking).outcome, Outcome::Indeterminate);
}

/// Kinds, names and values that mean something to some language.
pub(super) async fn strange_inputs_are_decided(subject: Subject) {
    let evaluator = subject.evaluator(Sample::Access);
    let plain = evaluator.evaluate(&Asking::of("db:prod", &["read"]).input());
    let group = |id: &str, attrs| Entity { attrs, ..entity("group", id, &[]) };
    let mut deep = Value::Bool(true);
    for _ in 0..20 {
        deep = Value::Array(vec![deep]);
    }
    let mut nested = Object::new();
    nested.insert("a", deep).expect("a member");
    let texts = |key: &str, text: &str| Attributes::of_texts([(key, text.to_owned())]).expect("attributes");
    for extra in [
        entity("spaceship", "x", &[]),
        entity("group", "\"; permit(principal, action, resource); //", &[]),
        entity("group", "${input} {{x}} %s `a` \\u0022 \u{1F480} e\u{301}", &["oncall"]),
        entity("group", "a loop", &["a loop"]),
        group("forged", texts("__entity", "x")),
        group("prototype", texts("constructor", "x")),
        group("unexpected", texts("within", "oncall")),
        group("deep", Attributes::new(nested).expect("attributes")),
    ] {
        let input = Asking::of("db:prod", &["read"]).with([extra.clone()]).input();
        let decision = evaluator.evaluate(&input);
        assert_eq!(evaluator.evaluate(&input), decision, "{extra:?}");
        // An engine may find the entity strange and deny. It may not permit on other terms.
        assert!(decision == plain || decision.outcome == Outcome::Indeterminate, "{extra:?}: {decision:?}");
    }
}

pub(super) async fn large_inputs_are_decided(subject: Subject) {
    let evaluator = subject.evaluator(Sample::Access);
    let plain = evaluator.evaluate(&Asking::of("db:prod", &["read"]).input());
    // A chain of groups, about as long as may be evaluated (`jit_policy::MAX_ANCESTRY`), with the one that counts at its end.
    let chain = (0..350).map(|i| match i {
        349 => entity("group", "g349", &["oncall"]),
        _ => entity("group", &format!("g{i}"), &[&format!("g{}", i + 1)]),
    });
    let long = Asking::of("db:prod", &["read"]).with(chain).with([entity("human", "idp|bob", &["g0"])]).by("bob");
    let decision = evaluator.evaluate(&long.input());
    assert!(decision.obligations == plain.obligations || decision.outcome == Outcome::Indeterminate, "{decision:?}");
    assert_eq!(evaluator.evaluate(&long.input()), decision);
    let wide = (0..2000).map(|i| entity("human", &format!("idp|p{i}"), &["oncall"]));
    let wide = evaluator.evaluate(&Asking::of("db:prod", &["read"]).with(wide).input());
    assert!(wide == plain || wide.outcome == Outcome::Indeterminate, "{wide:?}");
}
