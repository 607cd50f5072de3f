//! Writing policies: why one denies and what would help, and what looks wrong in it.
#![cfg(feature = "cedar")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs, reason = "tests may panic")]

mod support;

use std::sync::Arc;

use jit_core::*;
use jit_policy::{cedar::*, *};
use support::*;

fn bundle_with(rules: &str) -> PolicyBundle {
    let engine = CedarEngine::new().unwrap();
    let target =
        Target { engine: code!("cedar"), language: engine.descriptor().language.clone(), entrypoint: ENTRYPOINT };
    let schema = FilePath::new("jit.cedarschema").unwrap();
    let files = [
        (schema.clone(), BASE_SCHEMA.as_bytes().to_vec()),
        (FilePath::new("rules.cedar").unwrap(), rules.as_bytes().to_vec()),
    ];
    PolicyBundle::new(target, Some(schema), files).unwrap()
}

fn evaluator(rules: &str) -> Evaluator {
    Evaluator::new(CedarEngine::new().unwrap().load(&bundle_with(rules)).unwrap() as Arc<dyn PolicySnapshot>)
}

const RULES: &str = r#"
@id("read") @jit_max_duration("30m")
permit(principal in Jit::Group::"oncall", action == Jit::Action::"read", resource in Jit::Resource::"db:prod");
@id("write")
permit(principal in Jit::Group::"dba", action == Jit::Action::"write", resource in Jit::Resource::"db:prod")
when { context.requested_duration <= 3600 && context.justification_length >= 5 };
@id("deploy")
permit(principal, action == Jit::Action::"deploy", resource in Jit::Resource::"vm:web")
when { context.requested_duration <= 900 && context.justification_length >= 30 };
@id("acting")
permit(principal, action == Jit::Action::"admin", resource)
when { context has on_behalf_of && context.on_behalf_of == context.recipient };
@id("emergency")
permit(principal in Jit::Group::"oncall", action == Jit::Action::"admin", resource) when { context.break_glass };
@id("never") forbid(principal, action, resource in Jit::Resource::"db:prod/payroll") unless { context.break_glass };
"#;

fn explain(resource: &str, actions: &[&str]) -> Explanation {
    Explanation::of(&evaluator(RULES), &input(resource, actions))
}

#[test]
fn the_nearest_rule_is_named_with_what_is_in_its_way() {
    let explanation = explain("db:prod/orders", &["write"]);
    assert_eq!(explanation.decision.outcome, Outcome::Deny);
    let nearest = explanation.nearest();
    assert_eq!(nearest.len(), 1, "{explanation}");
    let unmet: Vec<&str> = nearest[0].unmet().map(|requirement| requirement.text.as_str()).collect();
    assert_eq!((nearest[0].rule.as_str(), unmet), ("write", vec![r#"principal in Jit::Group::"dba""#]));
    let dba = EntityUid::new("group", "dba").unwrap();
    assert_eq!(explanation.suggestions, [Suggestion::InGroup(dba)]);
    assert!(!explanation.is_requestable() && explanation.forbidding().next().is_none());
}

#[test]
fn every_suggestion_was_tried_and_helps_alone() {
    // Two things are in the way, so no single change helps, and none is suggested.
    assert_eq!(explain("vm:web/1", &["deploy"]).suggestions, []);
    let rules = RULES.replace(">= 30", ">= 3");
    let shorter = Explanation::of(&evaluator(&rules), &input("vm:web/1", &["deploy"]));
    assert_eq!(shorter.suggestions.len(), 1);
    assert_eq!(shorter.suggestions[0].to_string(), "ask for no longer than 900 s");
    let rules = RULES.replace("<= 900", "<= 9000");
    let longer = Explanation::of(&evaluator(&rules), &input("vm:web/1", &["deploy"]));
    assert_eq!(longer.suggestions, [Suggestion::JustificationOf(50)]);
    let emergency = explain("db:prod", &["admin"]);
    assert_eq!(emergency.suggestions, [Suggestion::AsEmergency]);
    let one_of_two =
        Explanation::of(&evaluator(&RULES.replace("30m", "1h")), &input("db:prod/orders", &["read", "write"]));
    let read = Suggestion::OnlyActions([Action::new("read").unwrap()].into());
    assert!(one_of_two.suggestions.contains(&read), "{one_of_two}");
}

#[test]
fn longer_than_allowed_is_told_apart_from_forbidden() {
    let long = explain("db:prod/orders", &["read"]);
    assert!(long.decision.permits() && long.too_long && !long.is_requestable());
    assert_eq!(long.suggestions.iter().map(ToString::to_string).collect::<Vec<_>>(), ["ask for no longer than 1800 s"]);
    let forbidden = explain("db:prod/payroll", &["read"]);
    let forbidding: Vec<&str> = forbidden.forbidding().map(|rule| rule.rule.as_str()).collect();
    assert_eq!(forbidding, ["never"]);
    assert!(forbidden.to_string().contains("rule never forbids it"), "{forbidden}");
}

#[test]
fn what_a_guard_protects_is_not_judged_without_it() {
    let explanation = explain("db:prod", &["admin"]);
    let acting = explanation.rules.iter().find(|rule| rule.rule.as_str() == "acting").unwrap();
    let met: Vec<Met> = acting.requirements.iter().map(|requirement| requirement.met).collect();
    assert_eq!(met, [Met::Yes, Met::No, Met::NotReached]);
}

fn lint(rules: &str) -> Vec<(String, LintKind, String)> {
    let found = CedarEngine::new().unwrap().lint(&bundle_with(rules)).unwrap();
    found.into_iter().map(|f| (f.rule.to_string(), f.kind, f.detail)).collect()
}

#[test]
fn a_policy_without_fault_has_no_finding() {
    let fine = RULES.replace("@id(\"acting\")", "@id(\"acting\") @jit_max_duration(\"1h\")");
    let fine = fine.replace("@id(\"emergency\")", "@id(\"emergency\") @jit_approvals(\"sre:1\")");
    assert_eq!(lint(&fine), []);
}

#[test]
fn each_fault_is_found_under_its_kind() {
    let limited = r#"@jit_max_duration("1h") "#;
    for (rule, kind, detail) in [
        ("permit(principal, action, resource) when { context.now + 1 > 0 };", LintKind::CanFail, "64 bits"),
        ("permit(principal, action, resource) unless { -context.now > 0 };", LintKind::CanFail, "64 bits"),
        (
            r#"permit(principal is Jit::Human, action, resource) when { principal in Jit::Group::"a" && principal.issuer == "" && resource is Jit::Group };"#,
            LintKind::Unreachable,
            "by the types",
        ),
        (
            r#"permit(principal is Jit::Group, action == Jit::Action::"read", resource);"#,
            LintKind::Unreachable,
            "no action of its scope",
        ),
        ("@approvals(\"sre:1\") permit(principal, action, resource);", LintKind::NoEffect, "@jit_approvals would"),
        (
            "permit(principal, action, resource) when { context.requested_duration <= 1800 };",
            LintKind::NoEffect,
            "allows 3600 s, and the condition 1800 s",
        ),
        ("permit(principal, action, resource) when { context.purpose == \"say\u{441}\" };", LintKind::Misleading, ""),
    ] {
        let found = lint(&format!("@id(\"r\") {limited} {rule}"));
        assert!(found.iter().any(|(_, k, d)| *k == kind && d.contains(detail)), "{rule}: {found:?}");
    }
}

#[test]
fn rules_are_held_against_each_other() {
    let covered = r#"
@id("a") @jit_max_duration("1h") permit(principal in Jit::Group::"x", action == Jit::Action::"read", resource);
@id("b") forbid(principal, action in [Jit::Action::"read", Jit::Action::"write"], resource);"#;
    let found = lint(covered);
    assert_eq!((found.len(), found[0].0.as_str(), found[0].1), (1, "a", LintKind::Unreachable));
    assert!(found[0].2.contains("rule b forbids"), "{found:?}");
    // A forbid with a condition covers nothing for certain.
    assert_eq!(
        lint(&covered.replace("\"write\"], resource);", "\"write\"], resource) when { context.break_glass };")),
        []
    );
    let twins = r#"
@id("a") @jit_max_duration("1h") permit(principal, action == Jit::Action::"read", resource) when { context.break_glass };
@id("b") @jit_max_duration("2h") permit(principal, action == Jit::Action::"read", resource) when { context.break_glass };"#;
    let found = lint(twins);
    assert_eq!((found.len(), found[0].1), (1, LintKind::NoEffect));
    let found = lint(r#"@id("open") permit(principal, action == Jit::Action::"read", resource);"#);
    assert_eq!((found.len(), found[0].1), (1, LintKind::Unlimited));
}

#[test]
fn what_does_not_load_is_not_linted() {
    assert!(CedarEngine::new().unwrap().lint(&bundle_with("permit(principal, action, resource);")).is_err());
    assert!(CedarEngine::new().unwrap().lint(&bundle()).is_err());
}
