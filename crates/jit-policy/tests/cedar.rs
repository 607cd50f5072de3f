//! The Cedar adapter: strict at load, fail closed at evaluation, obligations from annotations.
#![cfg(feature = "cedar")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs, reason = "tests may panic")]

mod support;

use std::sync::Arc;

use jit_core::*;
use jit_policy::{
    cedar::{BASE_SCHEMA, CedarEngine, ENTRYPOINT, MAX_OPERATORS},
    *,
};
use support::*;

fn bundle_of(schema: Option<&str>, files: &[(&str, &str)]) -> PolicyBundle {
    let language = CedarEngine::new().unwrap().descriptor().language.clone();
    let target = Target { engine: code!("cedar"), language, entrypoint: ENTRYPOINT };
    let path = FilePath::new("jit.cedarschema").unwrap();
    let mut all: Vec<_> = files.iter().map(|(p, t)| (FilePath::new(*p).unwrap(), t.as_bytes().to_vec())).collect();
    all.extend(schema.map(|text| (path.clone(), text.as_bytes().to_vec())));
    PolicyBundle::new(target, schema.map(|_| path), all).unwrap()
}

fn load(rules: &str) -> Result<Arc<dyn PolicySnapshot>, LoadError> {
    CedarEngine::new().unwrap().load(&bundle_of(Some(BASE_SCHEMA), &[("rules.cedar", rules)]))
}

fn decide(rules: &str, resource: &str, actions: &[&str]) -> Decision {
    Evaluator::new(load(rules).unwrap()).evaluate(&input(resource, actions))
}

const READ: &str = r#"@id("read") @jit_approvals("sre:1") @jit_max_duration("4h")
permit(principal in Jit::Group::"oncall", action == Jit::Action::"read", resource in Jit::Resource::"db:prod");"#;
const WRITE: &str = r#"@id("write") @jit_approvals("sre:2,dba:1") @jit_max_duration("1h")
permit(principal in Jit::Group::"oncall", action == Jit::Action::"write", resource in Jit::Resource::"db:prod");"#;
const NEVER: &str = r#"@id("never") forbid(principal, action, resource in Jit::Resource::"db:prod/payroll");"#;

#[test]
fn what_could_surprise_at_evaluation_does_not_load() {
    let refused = |rules: &str| match load(rules) {
        Ok(_) => panic!("{rules} loaded"),
        Err(error) => error,
    };
    assert!(matches!(refused("permit(principal, action, resource);"), LoadError::NoRuleId { .. }));
    assert!(matches!(refused(&format!("{READ}{READ}")), LoadError::RepeatedRuleId(_)));
    assert!(matches!(refused(r#"@id("a b") permit(principal, action, resource);"#), LoadError::RuleId { .. }));
    assert!(matches!(refused("permit(principal, action"), LoadError::Parse { .. }));
    assert!(matches!(
        refused(r#"@id("t") permit(principal == ?principal, action, resource);"#),
        LoadError::Template { .. }
    ));
    assert!(matches!(refused(""), LoadError::NoRule));
    for obligation in [
        r#"@jit_approvals("sre:0")"#,
        r#"@jit_approvals("")"#,
        r#"@jit_max_duration("a while")"#,
        r#"@jit_requires("mfaa")"#,
        r#"@jit_approval("sre:1")"#,
        r#"@JIT_approvals("sre:1")"#,
        r#"@jitapprovals("sre:1")"#,
        r#"@jit("sre:1")"#,
    ] {
        let rules = format!(r#"@id("r") {obligation} permit(principal, action, resource);"#);
        assert!(matches!(refused(&rules), LoadError::Obligation { .. }), "{obligation}");
    }
    let forbid = r#"@id("f") @jit_approvals("sre:1") forbid(principal, action, resource);"#;
    assert!(matches!(refused(forbid), LoadError::Obligation { .. }));
    // Strict validation: an unknown attribute, an unknown action, and a forbid whose condition could error.
    for condition in ["principal.no_such", "context.on_behalf_of == principal", "resource.kind == 7"] {
        let rules = format!(r#"@id("v") forbid(principal, action, resource) when {{ {condition} }};"#);
        assert!(matches!(refused(&rules), LoadError::Validation { .. }), "{condition}");
    }
    let unknown_action = r#"@id("v") permit(principal, action == Jit::Action::"fly", resource);"#;
    assert!(matches!(refused(unknown_action), LoadError::Validation { .. }));
}

#[test]
fn a_bundle_needs_a_schema_and_the_right_engine() {
    let engine = CedarEngine::new().unwrap();
    let without = bundle_of(None, &[("rules.cedar", READ)]);
    assert!(matches!(engine.load(&without), Err(LoadError::Schema { .. })));
    let broken = bundle_of(Some("entity"), &[("rules.cedar", READ)]);
    assert!(matches!(engine.load(&broken), Err(LoadError::Schema { .. })));
    assert!(matches!(engine.load(&bundle()), Err(LoadError::OtherEngine { .. })));
}

#[test]
fn a_permit_demands_its_obligations_and_covers_what_lies_below() {
    let decision = decide(READ, "db:prod/orders/invoices", &["read"]);
    assert!(decision.permits());
    assert_eq!(decision.permitting_rule(), Some(&rule("read")));
    assert_eq!(decision.obligations.max_duration().unwrap().get(), 4 * 3600);
    let outside = decide(READ, "db:production", &["read"]);
    assert_eq!((outside.outcome, outside.default_applied), (Outcome::Deny, true));
}

#[test]
fn every_action_must_be_permitted_and_the_strictest_demands_win() {
    let rules = format!("{READ}{WRITE}");
    let both = decide(&rules, "db:prod/orders", &["read", "write"]);
    assert!(both.permits());
    assert_eq!(both.determining.len(), 2);
    assert_eq!(both.obligations.max_duration().unwrap().get(), 3600);
    let groups: Vec<u16> = both.obligations.approvals().unwrap().groups().map(|(_, count)| count.get()).collect();
    assert_eq!(groups, [1, 2]);
    let one = decide(READ, "db:prod/orders", &["read", "write"]);
    assert_eq!(one.outcome, Outcome::Deny);
    assert!(one.determining.is_empty());
}

#[test]
fn a_forbid_wins_and_is_named() {
    let decision = decide(&format!("{READ}{NEVER}"), "db:prod/payroll", &["read"]);
    assert_eq!(decision.outcome, Outcome::Deny);
    assert_eq!(decision.determining, [DeterminingRule::new(rule("never"), Effect::Forbid)]);
    assert_eq!(decision.obligations, Obligations::default());
}

#[test]
fn a_rule_that_errors_denies_even_beside_a_permit() {
    // Arithmetic overflow passes validation and errors at evaluation; Cedar itself would skip the forbid and allow.
    let overflow = r#"@id("overflow") forbid(principal, action, resource)
when { context.now + 9223372036854775807 > 0 };"#;
    let decision = decide(&format!("{READ}{overflow}"), "db:prod/orders", &["read"]);
    assert_eq!(decision.outcome, Outcome::Indeterminate);
    assert_eq!(decision.errors, [EvaluationError { code: code!("rule_error"), rule: Some(rule("overflow")) }]);
}

#[test]
fn what_the_schema_does_not_allow_denies_with_its_code() {
    let evaluator = Evaluator::new(load(READ).unwrap());
    let of = |gathered, actions: &[&str]| {
        let asked = request("db:prod", actions);
        let input = CanonicalInput::of_request(&asked, EvaluationPurpose::Request, now(), gathered).unwrap();
        evaluator.evaluate(&input)
    };
    let codes = |d: Decision| d.errors.into_iter().map(|e| e.code.to_string()).collect::<Vec<_>>();
    let strange = Gathered { entities: vec![entity("spaceship", "x", &[])], ..Gathered::default() };
    assert_eq!(codes(of(strange, &["read"])), ["entities_not_in_schema"]);
    assert_eq!(codes(of(gathered(), &["fly"])), ["context_not_in_schema"]);
    let attrs = Attributes::of_texts([("__entity", "forged".to_owned())]).unwrap();
    let forged = Gathered { entities: vec![Entity { attrs, ..entity("group", "g", &[]) }], ..Gathered::default() };
    assert_eq!(codes(of(forged, &["read"])), ["reserved_key"]);
}

#[test]
fn the_order_of_files_and_the_layout_of_rules_do_not_change_a_decision() {
    let engine = CedarEngine::new().unwrap();
    let one = bundle_of(Some(BASE_SCHEMA), &[("a.cedar", READ), ("b.cedar", WRITE), ("c.cedar", NEVER)]);
    let other = bundle_of(Some(BASE_SCHEMA), &[("c.cedar", NEVER), ("b.cedar", WRITE), ("a.cedar", READ)]);
    let (one, other) = (engine.load(&one).unwrap(), engine.load(&other).unwrap());
    assert_eq!(one.document().digest(), other.document().digest());
    let changed =
        bundle_of(Some(BASE_SCHEMA), &[("a.cedar", &format!("{READ} ")), ("b.cedar", WRITE), ("c.cedar", NEVER)]);
    assert_ne!(engine.load(&changed).unwrap().document().digest(), one.document().digest());
    let input = input("db:prod/orders", &["read", "write"]);
    let decision = Evaluator::new(one).evaluate(&input);
    assert_eq!(decision, Evaluator::new(other).evaluate(&input));
    let evaluator = Evaluator::new(load(&format!("{READ}{WRITE}{NEVER}")).unwrap());
    let first = evaluator.evaluate(&input);
    for _ in 0..200 {
        assert_eq!(evaluator.evaluate(&input), first);
    }
}

#[test]
fn digests_are_the_same_in_a_hundred_processes() {
    const VARIABLE: &str = "JIT_POLICY_PRINT_DIGESTS";
    let rules = format!("{READ}{WRITE}{NEVER}");
    let loaded = load(&rules).unwrap();
    let asked = input("db:prod/orders", &["read", "write"]);
    let decided = canonical::to_bytes(&Evaluator::new(loaded.clone()).evaluate(&asked)).unwrap();
    let line =
        format!("digests {} {:?} {}", loaded.document().digest(), asked.digest(), String::from_utf8(decided).unwrap());
    if std::env::var_os(VARIABLE).is_some() {
        println!("{line}");
        return;
    }
    let own = std::env::current_exe().unwrap();
    for _ in 0..25 {
        let spawn = || {
            std::process::Command::new(&own)
                .args(["--exact", "digests_are_the_same_in_a_hundred_processes", "--nocapture"])
                .env(VARIABLE, "1")
                .stdout(std::process::Stdio::piped())
                .spawn()
                .unwrap()
        };
        for child in [spawn(), spawn(), spawn(), spawn()] {
            let printed = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
            assert!(printed.lines().any(|l| l.ends_with(&line)), "{printed}\nis not\n{line}");
        }
    }
}

#[test]
fn how_deep_its_caller_is_does_not_change_a_decision() {
    let (snapshot, asked) = (load(READ).unwrap(), input("db:prod", &["read"]));
    let expected = snapshot.evaluate(&asked);
    assert!(expected.permitted);
    // Less than Cedar wants to see left.
    let shallow = std::thread::Builder::new().stack_size(96 * 1024);
    let found = shallow.spawn(move || snapshot.evaluate(&asked)).unwrap().join().unwrap();
    assert_eq!(found, expected);
}

/// A rule whose condition is so much of an operator, in brackets or in a row.
fn deep(what: &str, levels: usize) -> String {
    let of = |open: &str, middle: &str, close: &str| format!("{}{middle}{}", open.repeat(levels), close.repeat(levels));
    let condition = match what {
        "brackets" => of("(", "true", ")"),
        "negations" => of("!(!(", "true", "))"),
        "records" => format!("{} has a", of("{a: ", "1", "}")),
        "sets" => format!("{}.isEmpty() == false", of("[", "1", "]")),
        "conjunction" => of("true && ", "true", ""),
        "disjunction" => of("false || ", "true", ""),
        "sum" => format!("{} > 0", of("context.now + ", "1", "")).replace("context.now", "1"),
        "choice" => of("if false then false else ", "true", ""),
        _ => panic!("{what}"),
    };
    format!(r#"@id("deep") permit(principal, action, resource) when {{ {condition} }};"#)
}

/// What each adds to a rule, as it is counted, and what the rest of the rule has.
const DEEP: [(&str, usize, usize); 8] = [
    ("brackets", 1, 3),
    ("negations", 4, 3),
    ("records", 1, 3),
    ("sets", 1, 7),
    ("conjunction", 2, 3),
    ("disjunction", 2, 3),
    ("sum", 1, 3),
    ("choice", 1, 3),
];

#[test]
fn a_rule_may_be_as_deep_as_the_limit_and_is_evaluated_alike_everywhere() {
    let asked = input("db:prod", &["read"]);
    for (what, each, rest) in DEEP {
        let most = (MAX_OPERATORS - rest) / each;
        let snapshot = load(&deep(what, most)).unwrap_or_else(|error| panic!("{what}: {error}"));
        let decision = Evaluator::new(snapshot.clone()).evaluate(&asked);
        assert!(decision.permits(), "{what}: {:?}", decision.errors);
        let roomy = std::thread::Builder::new().stack_size(256 << 20);
        let again = asked.clone();
        let found = roomy.spawn(move || Evaluator::new(snapshot).evaluate(&again)).unwrap().join().unwrap();
        assert_eq!(found, decision, "{what}");
        for levels in [most + 1, 20_000] {
            assert!(matches!(load(&deep(what, levels)), Err(LoadError::TooMuch { max: MAX_OPERATORS, .. })), "{what}");
        }
    }
    // Texts and comments are as long as they like, and each rule counts by itself.
    let quoted = format!(r#"permit(principal, action, resource) when {{ "{}\"(" != "" }};"#, "(!.".repeat(20_000));
    let several = [READ, WRITE, NEVER].map(|rule| format!("// {}\n{rule}", "(".repeat(20_000)));
    assert!(load(&format!("@id(\"q\") {quoted}{}", several.concat())).is_ok());
}

#[test]
fn a_schema_that_nests_without_end_does_not_load() {
    for levels in [31, 100_000] {
        let nested = format!("{}String{}", "Set<".repeat(levels), ">".repeat(levels));
        let schema = format!("{BASE_SCHEMA}\nnamespace Other {{ entity Deep {{ a: {nested} }}; }}");
        let loaded = CedarEngine::new().unwrap().load(&bundle_of(Some(&schema), &[("rules.cedar", READ)]));
        assert!(matches!(loaded.map(drop), Err(LoadError::TooMuch { max: 32, .. })), "{levels}");
    }
}
