//! The Rego adapter: fenced at load, fail closed at evaluation, one answer everywhere.
#![cfg(feature = "rego")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs, reason = "tests may panic")]

mod support;

use std::sync::Arc;

use jit_core::*;
use jit_policy::{
    rego::{BASE_POLICY, MAX_POLICY_BYTES, MAX_RULES, RegoEngine},
    *,
};
use support::{
    rego::{NEVER, READ, WRITE, bundle_of, bundle_with, target},
    *,
};

fn load_all(files: &[(&str, &str)]) -> Result<Arc<dyn PolicySnapshot>, LoadError> {
    RegoEngine::new().unwrap().load(&bundle_of(files))
}

/// Rules beside the base policy.
fn load(rules: &str) -> Result<Arc<dyn PolicySnapshot>, LoadError> {
    RegoEngine::new().unwrap().load(&bundle_with(rules))
}

fn refused(rules: &str) -> String {
    match load(rules) {
        Ok(_) => panic!("{rules} loaded"),
        Err(error) => error.to_string(),
    }
}

fn decide(rules: &str, resource: &str, actions: &[&str]) -> Decision {
    Evaluator::new(load(rules).unwrap()).evaluate(&input(resource, actions))
}

/// A policy whose decision is what an expression gives, with one rule `r` that is always evaluated.
fn answer(expression: &str) -> Result<Arc<dyn PolicySnapshot>, LoadError> {
    let text = format!(
        "package jit\n# METADATA\n# labels:\n#   id: r\nr := [\"r\"] if true\ndecision := {{\"effect\": \"permit\", \"rules\": [{{\"id\": id}} | some id in r], \
         \"obligations\": []}} if input.action == \"other\"\ndecision := d if {{\n  count(r) == 1\n  d := {expression}\n}}\n"
    );
    load_all(&[("a.rego", &text)])
}

fn codes(snapshot: Result<Arc<dyn PolicySnapshot>, LoadError>) -> Vec<String> {
    let decision = Evaluator::new(snapshot.unwrap()).evaluate(&input("db:prod", &["read"]));
    assert_eq!(decision.outcome == Outcome::Indeterminate, !decision.errors.is_empty());
    decision.errors.into_iter().map(|e| e.code.to_string()).collect()
}

#[test]
fn a_permit_demands_its_obligations_and_covers_what_lies_below() {
    let decision = decide(READ, "db:prod/orders/invoices", &["read"]);
    assert_eq!(decision.errors, []);
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
fn a_forbid_wins_and_is_named_with_its_lines() {
    let decision = decide(&format!("{READ}{NEVER}"), "db:prod/payroll", &["read"]);
    assert_eq!(decision.outcome, Outcome::Deny);
    // `package jit`, an empty line, three of metadata; then the rule READ with five lines and an empty one.
    let site = RuleSite { file: PolicyPath::new("rules.rego").unwrap(), lines: [15].into() };
    assert_eq!(
        decision.determining,
        [DeterminingRule { rule: rule("never"), effect: Effect::Forbid, site: Some(site) }]
    );
    assert_eq!(decision.obligations, Obligations::default());
    let permitted = decide(&format!("{READ}{NEVER}"), "db:prod/orders", &["read"]);
    let lines = permitted.determining[0].site.clone().unwrap().lines;
    assert_eq!(lines, [6, 7, 8, 9].into());
}

#[test]
fn what_answers_differently_each_time_does_not_load() {
    for call in [
        "time.now_ns()",
        "rand.intn(\"x\", 10)",
        "uuid.rfc4122(\"x\")",
        "opa.runtime()",
        "http.send({\"url\": \"https://example.com\"})",
        "numbers.range(1, 1000000000)",
        "regex.match(\"a\", \"a\")",
        "glob.match(\"a\", [], \"a\")",
        "time.clock(1)",
        "io.jwt.decode(\"a\")",
        "no.such(1)",
        "trace(\"x\")",
    ] {
        // Also where no input ever comes.
        let rules = format!("{READ}\nx := 1 if {{\n  input.no.such\n  {call}\n}}");
        let error = refused(&rules);
        assert!(error.contains("always answers the same"), "{call}: {error}");
        let passed = refused(&format!(
            "{READ}\nf(x) := x\ny := r if {{ r := f(1) with f as {} }}",
            call.split('(').next().unwrap()
        ));
        assert!(passed.contains("unsafe") || passed.contains("always answers"), "{call}: {passed}");
    }
}

#[test]
fn what_could_surprise_at_evaluation_does_not_load() {
    for (rules, reason) in [
        ("x = y { y = 1 }", "if"),
        ("x := 1 if", ""),
        ("x := 0.5", "not an integer"),
        ("x := 1.5e0", "not an integer"),
        ("f(x) := f(x - 1) if x > 0\nf(0) := 0", "leads back to itself"),
        ("f(x) := g(x)\ng(x) := h(x)\nh(x) := f(x)", "leads back to itself"),
        ("f(x) := r if { r := h(x) with h as f }\nh(x) := x", "leads back to itself"),
        ("x := [[[[[[[[[[[1]]]]]]]]]]]", "brackets nest deeper"),
        ("x := y", "variable y has no value"),
        ("x := 1 if y == 2", "unsafe"),
        ("# METADATA\n# labels:\n#   id: a b\nx := \"a b\"", "not valid"),
        ("# METADATA\n# labels:\n#   id: a\n\nx := \"a\"", "directly above"),
        ("# METADATA\n# labels:\n#   id: a\nx := \"b\"", "does not say that it is a"),
        ("# METADATA\n# labels:\n#   id: read\nx := \"read\"", "used twice"),
    ] {
        let error = refused(&format!("{READ}{rules}"));
        assert!(error.contains(reason), "{rules}: {error}");
    }
    let deep = format!("x := {}1", "1 + ".repeat(60));
    assert!(refused(&deep).contains("nest deeper"));
    assert!(matches!(load(""), Err(LoadError::NoRule)));
    let alone = format!("package jit\n{}", READ.replace("approvals({\"sre\": 1}), max_duration(14400)", ""));
    assert!(matches!(load_all(&[("a.rego", &alone)]), Err(LoadError::Entrypoint { .. })));
    let many: String = (0..=MAX_RULES).map(|i| format!("r{i} := 1\n")).collect();
    assert!(matches!(load(&many), Err(LoadError::TooMuch { .. })));
    let long = format!("# {}\n", "x".repeat(1000)).repeat(MAX_POLICY_BYTES / 1000 + 1);
    assert!(matches!(load(&long), Err(LoadError::TooMuch { .. })));
    let wrong = PolicyBundle::new(
        Target { engine: code!("cedar"), ..target() },
        None,
        [(FilePath::new("a.rego").unwrap(), vec![])],
    );
    assert!(matches!(RegoEngine::new().unwrap().load(&wrong.unwrap()), Err(LoadError::OtherEngine { .. })));
    let schema = FilePath::new("a.rego").unwrap();
    let with = PolicyBundle::new(target(), Some(schema.clone()), [(schema, vec![])]).unwrap();
    assert!(matches!(RegoEngine::new().unwrap().load(&with), Err(LoadError::Schema { .. })));
}

#[test]
fn data_is_integers_and_texts_outside_of_packages() {
    let rules = r#"package jit
# METADATA
# labels:
#   id: limit
permit contains {"id": "limit", "obligations": [max_duration(data.teams.limits[input.action])]} if data.teams.on
"#;
    let with = |path: &str, data: &str| load_all(&[("base.rego", BASE_POLICY), ("rules.rego", rules), (path, data)]);
    let snapshot = with("teams/data.json", r#"{"on": true, "limits": {"read": 60}}"#).unwrap();
    let decision = Evaluator::new(snapshot).evaluate(&input("db:prod", &["read"]));
    assert_eq!(decision.obligations.max_duration().unwrap().get(), 60);
    assert!(decision.permits());
    for (path, data) in [
        ("data.json", r#"{"teams": {"on": 0.5}}"#),
        ("data.json", r#"{"teams": null}"#),
        ("data.json", r#"{"teams": 1, "teams": 2}"#),
        ("data.json", "[1]"),
        ("data.json", "{"),
        ("teams.json", "{}"),
        ("README.md", ""),
    ] {
        assert!(matches!(with(path, data), Err(LoadError::Data { .. })), "{path} {data}");
    }
    // A decision in the data would stand before every rule.
    let decided = r#"{"decision": {"effect": "permit", "rules": [], "obligations": []}}"#;
    assert!(matches!(with("jit/data.json", decided), Err(LoadError::Construct { .. })));
    assert!(matches!(with("data.json", r#"{"jit": 1}"#), Err(LoadError::Construct { .. })));
    let twice =
        load_all(&[("base.rego", BASE_POLICY), ("data.json", r#"{"a": {"b": 1}}"#), ("a/data.json", r#"{"b": 2}"#)]);
    assert!(matches!(twice, Err(LoadError::Data { .. })));
}

#[test]
fn every_answer_that_is_not_a_decision_denies_with_its_code() {
    assert_eq!(codes(answer(r#"{"effect": "permit", "rules": [{"id": "r"}], "obligations": []}"#)), [""; 0]);
    for (expression, code) in [
        ("input.no.such", "decision_undefined"),
        ("null", "decision_value"),
        ("{1: 2}", "decision_value"),
        (
            r#"{"effect": "permit", "rules": [{"id": "r"}], "obligations": [{"type": "max_duration", "properties": 7 / 2}]}"#,
            "decision_value",
        ),
        (
            r#"{"effect": "permit", "rules": [{"id": "r"}], "obligations": [{"type": "max_duration", "properties": 9007199254740992}]}"#,
            "decision_value",
        ),
        ("7", "decision_shape"),
        ("\"permit\"", "decision_shape"),
        ("true", "decision_shape"),
        ("[]", "decision_shape"),
        ("{}", "decision_shape"),
        (r#"{"effect": "grant", "rules": [{"id": "r"}], "obligations": []}"#, "decision_shape"),
        (r#"{"effect": "permit", "rules": [{"id": "r"}]}"#, "decision_shape"),
        (r#"{"effect": "permit", "rules": ["r"], "obligations": []}"#, "decision_shape"),
        (r#"{"effect": "permit", "rules": [{"id": "r", "x": 1}], "obligations": []}"#, "decision_shape"),
        (r#"{"effect": "permit", "rules": [{"id": "r"}], "obligations": [], "allow": true}"#, "decision_shape"),
        (
            r#"{"effect": "permit", "rules": [{"id": "r"}], "obligations": [{"type": "max_duration"}]}"#,
            "decision_shape",
        ),
        (
            r#"{"effect": "permit", "rules": [{"id": "r"}], "obligations": [{"type": "dance", "properties": 1}]}"#,
            "unknown_obligation",
        ),
        (
            r#"{"effect": "permit", "rules": [{"id": "r"}], "obligations": [{"type": "max_duration", "properties": 0}]}"#,
            "unknown_obligation",
        ),
        (r#"{"effect": "permit", "rules": [], "obligations": []}"#, "permit_without_rule"),
        (r#"{"effect": "permit", "rules": [{"id": "other"}], "obligations": []}"#, "unknown_rule"),
        ("to_number(\"x\")", "evaluation_error"),
        ("1 / 0", "evaluation_error"),
        ("a", "evaluation_error"),
    ] {
        let error = if expression == "a" { load_all(&[("a.rego", CYCLE)]) } else { answer(expression) };
        assert_eq!(codes(error), [code], "{expression}");
    }
}

/// Rules that need each other, and a decision that is made twice, differently.
const CYCLE: &str = "package jit\n# METADATA\n# labels:\n#   id: r\na := b if \"r\" != \"\"\nb := a\ndecision := a\n";

#[test]
fn a_rule_that_was_not_evaluated_cannot_be_named() {
    let rules = format!(
        "{READ}\ndecision := {{\"effect\": \"permit\", \"rules\": [{{\"id\": \"read\"}}], \"obligations\": []}}"
    );
    let snapshot = load_all(&[(
        "a.rego",
        &format!("package jit\n{}", rules.replace("approvals({\"sre\": 1}), max_duration(14400)", "")),
    )]);
    assert_eq!(codes(snapshot), ["rule_not_evaluated"]);
}

#[test]
fn two_rules_that_contradict_each_other_deny() {
    let rules = format!(
        "{READ}\ndecision := {{\"effect\": \"deny\", \"rules\": [], \"obligations\": []}} if input.action == \"read\""
    );
    assert_eq!(codes(load(&rules)), ["evaluation_error"]);
}

#[test]
fn what_never_ends_is_cut_off_at_the_same_step() {
    let digits = "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]";
    let loops = |n: usize| {
        let nested: String = (0..n).map(|i| format!("  some x{i} in {digits}\n")).collect();
        answer(&format!(
            "{{\"effect\": \"permit\", \"rules\": [{{\"id\": \"r\"}}], \"obligations\": [o | {nested}  x0 > 9\n  o := 1]}}"
        ))
    };
    assert_eq!(codes(loops(3)), [""; 0]);
    assert_eq!(codes(loops(12)), ["step_limit"]);
    let snapshot = Evaluator::new(loops(12).unwrap());
    let asked = input("db:prod", &["read"]);
    // Both at once: each thread counts its own steps.
    std::thread::scope(|scope| {
        let run = || snapshot.evaluate(&asked);
        let (a, b) = (scope.spawn(run), scope.spawn(run));
        assert_eq!(a.join().unwrap(), b.join().unwrap());
    });
}

#[test]
fn the_deepest_that_loads_is_evaluated_from_the_smallest_stack() {
    let chain = |name: &str, n: usize, rule: &dyn Fn(usize) -> String, last: &str| {
        let mut text: String = (0..n).map(rule).collect();
        text.push_str(last);
        let decision = format!(
            "{{\"effect\": \"deny\", \"rules\": [], \"obligations\": [{{\"type\": \"n\", \"properties\": {name}}}]}}"
        );
        (text, decision)
    };
    let deep: [(String, String); 3] = [
        chain("r0", 3000, &|i| format!("r{i} := r{}\n", i + 1), "r3000 := 1\n"),
        chain(
            "f0(1)",
            900,
            &|i| format!("f{i}(x) := {}f{}(x){}\n", "1+(".repeat(6), i + 1, ")".repeat(6)),
            "f900(x) := x\n",
        ),
        chain(
            "s0",
            350,
            &|i| format!("s{i} := {}s{}{}\n", "count([1 | 1 < ".repeat(7), i + 1, "])".repeat(7)),
            "s350 := 2\n",
        ),
    ];
    for (text, decision) in deep {
        let text = format!("package jit\n# METADATA\n# labels:\n#   id: r\nr := \"r\"\ndecision := {decision}\n{text}");
        let small = std::thread::Builder::new().stack_size(96 * 1024);
        let run = move || codes(load_all(&[("a.rego", &text)]));
        assert_eq!(small.spawn(run).unwrap().join().unwrap(), ["unknown_obligation"]);
    }
}

#[test]
fn hostile_texts_are_refused_and_nothing_overflows() {
    let n = 100_000;
    let mut loaded = Vec::new();
    for text in [
        format!("x := 1{}", "+1".repeat(n)),
        format!("x := 1{}", "\n+1".repeat(n / 2)),
        format!("x := {}1", "-".repeat(n)),
        format!("x := 1 if {{ {} true }}", "not ".repeat(n / 2)),
        format!("x := {}1{}", "(\n".repeat(n / 2), ")".repeat(n / 2)),
        format!("x := {}1{}", "[\n".repeat(n / 2), "]".repeat(n / 2)),
        format!("x := {}1{}", "{\n".repeat(n / 2), "}".repeat(n / 2)),
        format!("x := {}", "{\"a\":\n".repeat(n / 8)),
        format!("x := input{}", ".a\n".repeat(n / 4)),
        format!("x := input{}", "[0]\n".repeat(n / 4)),
        format!("x := {}1{}", "count(\n".repeat(n / 8), ")".repeat(n / 8)),
        format!("x := 1 if {{ {} true {} }}", "every x in [1] {\n".repeat(1000), "}".repeat(1000)),
        format!("x := {}", "\"".repeat(n)),
        format!("x := \"\n\" {}", "[".repeat(40)),
        format!("x := 1 if true{}", " with input as 1\n".repeat(n / 20)),
        format!("x{} := 1", "[1]\n".repeat(n / 4)),
        format!("x := 1 if true {}", "else := 1 if true\n".repeat(n / 20)),
        "import data.a\n".repeat(n / 16),
        "\u{feff}\u{0}".to_owned(),
        "`".to_owned(),
    ] {
        let shown: String = text.chars().take(40).collect();
        if let Ok(snapshot) = load(&format!("{READ}{text}")) {
            let decision = Evaluator::new(snapshot).evaluate(&input("db:prod", &["read"]));
            loaded.push((shown, decision.outcome));
        }
    }
    // `with` and `else` in thousands nest nothing.
    assert_eq!(loaded.len(), 2, "{loaded:?}");
}

#[test]
fn the_order_of_files_and_the_process_do_not_change_a_decision() {
    const VARIABLE: &str = "JIT_POLICY_PRINT_REGO";
    let file = |rules: &str| format!("package jit\n{rules}");
    let (a, b, c) = (file(READ), file(WRITE), file(NEVER));
    let one = load_all(&[("base.rego", BASE_POLICY), ("a.rego", &a), ("b.rego", &b), ("c.rego", &c)]).unwrap();
    let other = load_all(&[("c.rego", &c), ("b.rego", &b), ("a.rego", &a), ("base.rego", BASE_POLICY)]).unwrap();
    assert_eq!(one.document().digest(), other.document().digest());
    let asked = input("db:prod/orders", &["read", "write"]);
    let decided = Evaluator::new(one).evaluate(&asked);
    assert!(decided.permits());
    let other = Evaluator::new(other);
    for _ in 0..50 {
        assert_eq!(other.evaluate(&asked), decided);
    }
    let line = format!("decided {}", String::from_utf8(canonical::to_bytes(&decided).unwrap()).unwrap());
    if std::env::var_os(VARIABLE).is_some() {
        println!("{line}");
        return;
    }
    for _ in 0..4 {
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "the_order_of_files_and_the_process_do_not_change_a_decision", "--nocapture"])
            .env(VARIABLE, "1")
            .output()
            .unwrap();
        let printed = String::from_utf8(output.stdout).unwrap();
        assert!(printed.lines().any(|l| l.ends_with(&line)), "{printed}\nis not\n{line}");
    }
}

#[test]
fn the_version_that_is_recorded_is_the_one_that_is_built() {
    let manifest = include_str!("../../../Cargo.toml");
    let version = RegoEngine::new().unwrap().descriptor().version.to_string();
    assert!(manifest.contains(&format!("regorus = {{ version = \"={version}\"")));
}
