//! Cedar and Rego decide every row of docs/policy-scenarios.md as it says.
#![cfg(all(feature = "cedar", feature = "rego"))]
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "tests may panic")]

mod scenarios;

use std::collections::BTreeSet;

use jit_core::Outcome;
use jit_policy::Evaluator;
use scenarios::{cedar, rego, said, scenarios};

fn as_the_table_says(evaluator: &Evaluator) {
    for scenario in scenarios() {
        let (outcome, rules, demands) = said(&evaluator.evaluate(&scenario.input));
        assert_eq!(outcome, scenario.outcome, "{}", scenario.row);
        if outcome != Outcome::Indeterminate {
            assert_eq!((rules, demands), (scenario.rules, scenario.demands), "{}", scenario.row);
        }
    }
}

#[test]
fn cedar_decides_as_the_table_says() {
    as_the_table_says(&cedar());
}

#[test]
fn rego_decides_as_the_table_says() {
    as_the_table_says(&rego());
}

#[test]
fn both_have_the_same_rules_and_each_is_in_the_table() {
    let rules = |evaluator: &Evaluator| -> BTreeSet<String> {
        evaluator.document().manifest().rules().iter().map(|rule| rule.id.to_string()).collect()
    };
    let (cedar, rego) = (rules(&cedar()), rules(&rego()));
    assert_eq!(cedar, rego);
    let all = scenarios();
    assert!(all.len() >= 40);
    let mut decided: BTreeSet<String> = all.iter().flat_map(|scenario| scenario.rules.iter().cloned()).collect();
    // A rule that always fails decides nothing.
    decided.insert("fails".to_owned());
    assert_eq!(decided, rego);
}
