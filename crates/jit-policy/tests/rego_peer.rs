//! rego-cpp, an implementation of Rego in C++, decides the scenarios as regorus does, and evaluates small policies to the same
//! values.
//!
//! Needs a Python that has `scripts/python-requirements.txt`; `scripts/test` installs one and names it in `JIT_TEST_PYTHON`.
#![cfg(feature = "rego")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs, reason = "tests may panic")]

mod scenarios;

use std::{
    collections::VecDeque,
    env,
    io::Write,
    process::{Command, Stdio},
    sync::{Arc, Mutex},
};

use jit_core::*;
use jit_policy::{
    rego::{BASE_POLICY, ENTRYPOINT, input_document},
    *,
};
use scenarios::{DATA, REGO, said, scenarios};
use serde::Deserialize;
use serde_json::{Value as Json, json};

/// Evaluates each piece of work, `{modules, data?, input?, query}`, to `{"value"}`, `{}` if it is undefined, or `{"error"}`.
const PEER: &str = r#"
import json, sys
from regopy import Interpreter
answers = []
for work in json.load(sys.stdin):
    try:
        rego = Interpreter()
        rego.strict_built_in_errors = True
        for name, text in work["modules"]:
            rego.add_module(name, text)
        if "data" in work:
            rego.add_data(work["data"])
        if "input" in work:
            rego.set_input(work["input"])
        output = str(rego.query(work["query"]))
        answers.append({} if output == "undefined" else {"value": json.loads(output)["expressions"][0]})
    except Exception as error:
        answers.append({"error": str(error)})
json.dump(answers, sys.stdout)
"#;

fn peer(work: &Json) -> Vec<Json> {
    const NEEDED: &str = "regopy is needed: run scripts/test, or `pip install -r scripts/python-requirements.txt` for a Python named in JIT_TEST_PYTHON";
    let python = env::var_os("JIT_TEST_PYTHON").unwrap_or_else(|| "python3".into());
    let mut child = Command::new(&python)
        .args(["-c", PEER])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{python:?}: {error}; {NEEDED}"));
    let written = child.stdin.take().unwrap().write_all(work.to_string().as_bytes());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && written.is_ok(), "{NEEDED}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What the peer answered, in the order of the questions, as an engine says it.
struct Answered {
    document: SnapshotDocument,
    engine: Engine,
    answers: Mutex<VecDeque<Json>>,
}

#[derive(Deserialize)]
struct Answer {
    effect: String,
    rules: Vec<Rule>,
    obligations: Vec<Obliged>,
}

#[derive(Deserialize)]
struct Rule {
    id: RuleId,
}

#[derive(Deserialize)]
struct Obliged {
    r#type: Code,
    properties: Json,
}

impl PolicySnapshot for Answered {
    fn document(&self) -> &SnapshotDocument {
        &self.document
    }

    fn engine(&self) -> &Engine {
        &self.engine
    }

    fn evaluate(&self, input: &CanonicalInput) -> RawEvaluation {
        let mut answers = self.answers.lock().unwrap();
        let each = input.parts().actions.iter().map(|_| match answers.pop_front().unwrap() {
            Json::Object(mut answer) if answer.contains_key("value") => {
                raw(serde_json::from_value(answer.remove("value").unwrap()).unwrap())
            }
            _ => RawEvaluation::failed(code!("evaluation_error")),
        });
        each.collect::<Vec<_>>().into_iter().reduce(RawEvaluation::and).unwrap()
    }
}

fn raw(answer: Answer) -> RawEvaluation {
    let permitted = answer.effect == "permit";
    let effect = if permitted { Effect::Permit } else { Effect::Forbid };
    let obligation =
        |o: Obliged| RawObligation { kind: o.r#type, properties: canonical::to_value(&o.properties).unwrap() };
    RawEvaluation {
        permitted,
        determining: answer.rules.into_iter().map(|rule| DeterminingRule::new(rule.id, effect)).collect(),
        errors: Vec::new(),
        obligations: answer.obligations.into_iter().map(obligation).collect(),
    }
}

#[test]
fn rego_cpp_decides_the_scenarios_alike() {
    let ours = scenarios::rego();
    let modules = json!([["base.rego", BASE_POLICY], ["rules.rego", REGO]]);
    let data: Json = serde_json::from_str(DATA).unwrap();
    let mut work = Vec::new();
    for scenario in scenarios() {
        for action in &scenario.input.parts().actions {
            let input = input_document(&scenario.input, action).unwrap();
            let input: Json = serde_json::from_str(&input).unwrap();
            work.push(json!({ "modules": modules, "data": data, "input": input, "query": ENTRYPOINT }));
        }
    }
    let answers = peer(&Json::Array(work));
    assert!(answers.len() >= 40);
    let engine = Engine { name: code!("rego_cpp"), ..ours.evaluate(&scenarios()[0].input).engine };
    let document = ours.document().clone();
    let theirs = Evaluator::new(Arc::new(Answered { document, engine, answers: Mutex::new(answers.into()) }));
    for scenario in scenarios() {
        let (theirs, ours) = (theirs.evaluate(&scenario.input), ours.evaluate(&scenario.input));
        assert_eq!(said(&theirs), said(&ours), "{}", scenario.row);
        assert_eq!(theirs.errors, ours.errors, "{}", scenario.row);
        assert_eq!(theirs.default_applied, ours.default_applied, "{}", scenario.row);
    }
}

/// What an evaluation gives.
#[derive(Debug, Clone, PartialEq)]
enum Gives {
    Value(Json),
    Undefined,
    Error,
}

fn regorus_gives(text: &str) -> Gives {
    let mut engine = regorus::Engine::new();
    engine.set_strict_builtin_errors(true);
    engine.set_input(regorus::Value::from_json_str(INPUT).unwrap());
    let given = engine.add_policy("p.rego".to_owned(), text.to_owned());
    match given.and_then(|_| engine.eval_rule("data.p.x".to_owned())) {
        Ok(regorus::Value::Undefined) => Gives::Undefined,
        Ok(value) => Gives::Value(serde_json::from_str(&value.to_json_str().unwrap()).unwrap()),
        Err(_) => Gives::Error,
    }
}

const INPUT: &str = r#"{"list": ["a", "b", "a"], "n": 7, "deep": {"a": {"b": [1, 2]}}, "roles": {"alice": ["dev", "ops"], "bob": ["ops"]}}"#;

/// Small policies of package `p`, of which `x` is asked, by what they are about.
const POLICIES: [(&str, &str); 30] = [
    // Emitted one element only, which loses denials (regorus issue 712).
    ("a partial set with iteration", "x contains e if { some e in input.list }"),
    (
        "a partial set with iteration and a condition",
        "x contains msg if {\n some i, e in input.list\n e == \"a\"\n msg := sprintf(\"%d is %s\", [i, e])\n}",
    ),
    ("a partial set that iterates twice", "x contains [u, r] if {\n some u, rs in input.roles\n some r in rs\n}"),
    ("a partial set by an index", "x contains input.list[i] if { input.list[i] != \"b\" }"),
    (
        "a partial set of several bodies",
        "x contains 1 if true\nx contains 2 if input.n == 7\nx contains 3 if input.n == 8",
    ),
    ("a partial object", "x[u] := count(rs) if { some u, rs in input.roles }"),
    ("every", "x if { every e in input.list { e != \"z\" } }"),
    ("every that fails", "default x := \"no\"\nx if { every e in input.list { e == \"a\" } }"),
    ("every of nothing", "x if { every e in [] { e == 1 } }"),
    ("a large integer and one", "x := 123456789012345678901234567890 + 1"),
    ("an integer beyond 64 bits compared", "x := 18446744073709551617 > 18446744073709551616"),
    ("the order of mixed types", "x := sort([\"b\", 1, [2], {\"k\": 1}, true, null, 0])"),
    ("a default of a function", "default f(_) := \"none\"\nf(y) := \"one\" if y == 1\nx := [f(1), f(2)]"),
    ("else", "x := 1 if { input.n == 8 } else := 2 if { input.n == 7 } else := 3"),
    ("rules that conflict", "x := 1 if input.n == 7\nx := 2 if input.n > 1"),
    ("division by zero", "x := input.n / 0"),
    ("integer division that comes out even", "x := 14 / input.n"),
    ("a remainder of negatives", "x := [-7 % 3, 7 % 3]"),
    ("texts put together", "x := sprintf(\"%s has %d: %v\", [\"alice\", 2, [1, \"a\"]])"),
    ("JSON out and in", "x := [json.marshal({\"b\": 1, \"a\": [1, \"x\"]}), json.unmarshal(\"{\\\"a\\\": 1}\")]"),
    ("nothing", "x := 1 if input.no.such"),
    ("nothing in a negation", "x := 1 if not input.no.such"),
    ("with", "a := input.n\nx := y if { y := a with input.n as 9 }"),
    ("with a function", "f(y) := y\ng(y) := y + 1\nx := y if { y := f(1) with f as g }"),
    ("a text that is no number", "x := to_number(\"x\")"),
    ("the largest of nothing", "x := max([])"),
    ("a union of objects", "x := object.union({\"a\": {\"b\": 1, \"c\": 2}}, {\"a\": {\"b\": 3}})"),
    ("walking", "x := {p | some p, v; walk(input.deep, [p, v]); v == 2}"),
    ("comprehensions in comprehensions", "x := {u: [r | some r in rs; r != \"dev\"] | some u, rs in input.roles}"),
    (
        "texts cut and searched",
        "x := [split(\"a/b/c\", \"/\"), startswith(\"a/b\", \"a/\"), trim_prefix(\"a/b\", \"a/\"), indexof(\"abc\", \"c\"), substring(\"abcdef\", 2, 3)]",
    ),
];

/// Where rego-cpp 1.5.2 differs, and regorus does as OPA's documentation says: rego-cpp sorts values by their text, and
/// `object.union` does not go deep.
const DIFFER: [&str; 2] = ["the order of mixed types", "a union of objects"];

#[test]
fn small_policies_give_the_same_values() {
    let text = |policy: &str| format!("package p\n{policy}\n");
    let input: Json = serde_json::from_str(INPUT).unwrap();
    let work = POLICIES
        .map(|(_, policy)| json!({ "modules": [["p.rego", text(policy)]], "input": input, "query": "data.p.x" }));
    let theirs = peer(&Json::from(work.to_vec()));
    let mut differ = Vec::new();
    for ((name, policy), theirs) in POLICIES.iter().zip(theirs) {
        let theirs = match theirs {
            Json::Object(answer) if answer.contains_key("value") => Gives::Value(answer["value"].clone()),
            Json::Object(answer) if answer.contains_key("error") => Gives::Error,
            _ => Gives::Undefined,
        };
        let ours = regorus_gives(&text(policy));
        if ours != theirs {
            println!("{name}: regorus {ours:?}, rego-cpp {theirs:?}");
            differ.push(*name);
        }
    }
    assert_eq!(differ, DIFFER);
}

#[test]
fn nothing_that_iterates_is_lost() {
    let Gives::Value(all) = regorus_gives(&format!("package p\n{}", POLICIES[2].1)) else { panic!("no value") };
    assert_eq!(all, json!([["alice", "dev"], ["alice", "ops"], ["bob", "ops"]]));
    let Gives::Value(all) = regorus_gives(&format!("package p\n{}", POLICIES[0].1)) else { panic!("no value") };
    assert_eq!(all, json!(["a", "b"]));
}
