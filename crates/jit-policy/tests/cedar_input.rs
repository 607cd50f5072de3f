//! What of an input Cedar gets to see: groups, identities, facts, and nothing that the schema does not allow.
#![cfg(feature = "cedar")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs, reason = "tests may panic")]

mod support;

use jit_core::{canonical::Value, *};
use jit_policy::{
    cedar::{BASE_SCHEMA, CedarEngine, ENTRYPOINT},
    *,
};
use support::*;

fn evaluator(schema: &str, rules: &str) -> Evaluator {
    let engine = CedarEngine::new().unwrap();
    let target =
        Target { engine: code!("cedar"), language: engine.descriptor().language.clone(), entrypoint: ENTRYPOINT };
    let path = |text: &str| FilePath::new(text).unwrap();
    let files =
        [(path("jit.cedarschema"), schema.as_bytes().to_vec()), (path("rules.cedar"), rules.as_bytes().to_vec())];
    let bundle = PolicyBundle::new(target, Some(path("jit.cedarschema")), files).unwrap();
    Evaluator::new(engine.load(&bundle).unwrap())
}

/// Whether one rule permits under a condition.
fn permits(condition: &str, gathered: Gathered) -> bool {
    let rules = format!(r#"@id("r") permit(principal, action, resource) when {{ {condition} }};"#);
    let asked = request("db:prod/orders", &["read"]);
    let input = CanonicalInput::of_request(&asked, EvaluationPurpose::Request, now(), gathered).unwrap();
    let decision = evaluator(BASE_SCHEMA, &rules).evaluate(&input);
    assert!(decision.errors.is_empty(), "{condition}: {:?}", decision.errors);
    decision.permits()
}

#[test]
fn a_policy_sees_what_the_input_says() {
    let start = now().unix_seconds();
    for (condition, expected) in [
        ("context.now == START", true),
        ("context.now > START", false),
        ("context.requested_start == START && context.requested_end == START + 3600", true),
        ("context.requested_duration <= 3599", false),
        (r#"context.purpose == "request""#, true),
        ("context.justification_length == 16", true),
        ("context.break_glass", false),
        ("context.delegation_depth == 0", true),
        ("context has on_behalf_of", false),
        (r#"context.recipient == Jit::Identity::"idp|alice""#, true),
        (r#"principal == Jit::Human::"idp|alice""#, true),
        (r#"principal is Jit::Human && principal.issuer == "idp" && principal.subject == "alice""#, true),
        (r#"principal is Jit::Service"#, false),
        (r#"resource.kind == "db" && resource.path == "prod/orders""#, true),
        (r#"resource in Jit::Resource::"db:prod""#, true),
        (r#"resource in Jit::Resource::"db:pro""#, false),
        (r#"action == Jit::Action::"read""#, true),
    ] {
        let condition = condition.replace("START", &start.to_string());
        assert_eq!(permits(&condition, Gathered::default()), expected, "{condition}");
    }
}

#[test]
fn groups_hold_through_any_number_of_steps() {
    let chain = |steps: usize| {
        let mut entities = vec![entity("human", "idp|alice", &["g0"])];
        entities.extend((0..steps).map(|i| entity("group", &format!("g{i}"), &[&format!("g{}", i + 1)])));
        Gathered { entities, ..Gathered::default() }
    };
    assert!(permits(r#"principal in Jit::Group::"g0""#, chain(0)));
    assert!(permits(r#"principal in Jit::Group::"g5""#, chain(5)));
    assert!(!permits(r#"principal in Jit::Group::"g6""#, chain(5)));
    assert!(!permits(r#"context.recipient in Jit::Group::"g0""#, chain(5)), "the directory says that, not the request");
}

#[test]
fn entities_too_entangled_to_be_evaluated_deny_and_are_on_record() {
    let rules = r#"@id("r") permit(principal, action, resource);"#;
    let evaluator = evaluator(BASE_SCHEMA, rules);
    let decide = |resource: &str, entities: Vec<Entity>| {
        let gathered = Gathered { entities, ..Gathered::default() };
        let asked = request(resource, &["read"]);
        let input = CanonicalInput::of_request(&asked, EvaluationPurpose::Request, now(), gathered).unwrap();
        (evaluator.evaluate(&input), Explanation::of(&evaluator, &input))
    };
    let chain = |n: usize| (0..n).map(|i| entity("group", &format!("g{i:04}"), &[&format!("g{:04}", i + 1)])).collect();
    let each_in_all = |n: usize| {
        let above: Vec<String> = (0..n).map(|i| format!("above{i}")).collect();
        let above: Vec<&str> = above.iter().map(String::as_str).collect();
        let mut all: Vec<Entity> = above.iter().map(|group| entity("group", group, &["top"])).collect();
        all.extend((0..n).map(|i| entity("group", &format!("g{i}"), &above)));
        all
    };
    // What a directory is like, and what it is not.
    for (resource, entities) in [
        ("db:prod", chain(350)),
        ("db:a/b/c/d/e/f/g/h", each_in_all(60)),
        ("db:prod", (0..3000).map(|i| entity("group", &format!("team{i}"), &["staff"])).collect()),
    ] {
        let (decision, _) = decide(resource, entities);
        assert!(decision.permits(), "{:?}", decision.errors);
    }
    for (resource, entities) in [("db:prod", chain(3000)), ("db:prod", chain(800))] {
        let (decision, explained) = decide(resource, entities);
        assert_eq!(decision.outcome, Outcome::Indeterminate);
        assert_eq!(decision.errors[0].code.as_str(), "too_many_ancestors");
        assert!(!explained.is_requestable() && explained.rules.is_empty());
    }
}

#[test]
fn a_cycle_of_groups_denies() {
    let entities = vec![entity("group", "a", &["b"]), entity("group", "b", &["a"])];
    let asked = request("db:prod", &["read"]);
    let gathered = Gathered { entities, ..Gathered::default() };
    let input = CanonicalInput::of_request(&asked, EvaluationPurpose::Request, now(), gathered).unwrap();
    let rules = r#"@id("r") permit(principal, action, resource);"#;
    let decision = evaluator(BASE_SCHEMA, rules).evaluate(&input);
    assert_eq!(decision.outcome, Outcome::Indeterminate);
    assert_eq!(decision.errors[0].code.as_str(), "entities_not_in_schema");
}

#[test]
fn no_action_is_not_every_action() {
    let mut parts = input("db:prod", &["read"]).parts().clone();
    parts.actions.clear();
    assert!(matches!(CanonicalInput::new(parts), Err(InputError::NoAction)));
}

#[test]
fn facts_are_typed_by_the_schema_and_forge_nothing() {
    let schema = BASE_SCHEMA.replace("on_behalf_of?: Identity,", "on_behalf_of?: Identity, facts?: { on_call: Bool },");
    assert_ne!(schema, BASE_SCHEMA);
    let rules = r#"@id("r") permit(principal, action, resource) when { context has facts && context.facts.on_call };"#;
    let evaluator = evaluator(&schema, rules);
    let decide = |name: Code, value: &str| {
        let value = Value::parse(value.as_bytes()).unwrap();
        let fact = Fact { value, source: SystemName::new("rota").unwrap(), fetched_at: now() };
        let gathered = Gathered { facts: vec![NamedFact { name, fact }], ..gathered() };
        let asked = request("db:prod", &["read"]);
        let input = CanonicalInput::of_request(&asked, EvaluationPurpose::Request, now(), gathered).unwrap();
        let decision = evaluator.evaluate(&input);
        (decision.outcome, decision.errors.first().map(|e| e.code.to_string()))
    };
    let wrong = |code: &str| (Outcome::Indeterminate, Some(code.to_owned()));
    assert_eq!(decide(code!("on_call"), "true"), (Outcome::Permit, None));
    assert_eq!(decide(code!("on_call"), "false"), (Outcome::Deny, None));
    for (name, value) in [(code!("on_call"), r#""true""#), (code!("off_call"), "true")] {
        let (outcome, error) = decide(name, value);
        assert_eq!(outcome, Outcome::Indeterminate);
        assert!(error.is_some_and(|code| code.ends_with("_not_in_schema")), "{value}");
    }
    assert_eq!(decide(code!("on_call"), r#"{"__entity":{"id":"x","type":"Jit::Group"}}"#), wrong("reserved_key"));
    assert_eq!(decide(code!("on_call"), r#"[{"__extn":{"arg":"1.2.3.4","fn":"ip"}}]"#), wrong("reserved_key"));
}

#[test]
fn files_that_are_no_text_do_not_load() {
    let engine = CedarEngine::new().unwrap();
    let target =
        Target { engine: code!("cedar"), language: engine.descriptor().language.clone(), entrypoint: ENTRYPOINT };
    let path = |text: &str| FilePath::new(text).unwrap();
    let load = |target: Target, schema: &[u8], rules: &[u8]| {
        let files = [(path("s"), schema.to_vec()), (path("r"), rules.to_vec())];
        engine.load(&PolicyBundle::new(target, Some(path("s")), files).unwrap()).map(drop).unwrap_err()
    };
    let rules = br#"@id("r") permit(principal, action, resource);"#;
    assert!(matches!(load(target.clone(), b"\xff", rules), LoadError::Schema { .. }));
    assert!(matches!(load(target.clone(), BASE_SCHEMA.as_bytes(), b"\xff"), LoadError::Parse { .. }));
    let other = Target { language: Version::new("0.1").unwrap(), ..target };
    assert!(matches!(load(other, BASE_SCHEMA.as_bytes(), rules), LoadError::OtherEngine { .. }));
}
