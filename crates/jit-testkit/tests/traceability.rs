//! The tables of requirements and invariants name the tests that prove them; a name that is no test, and a claim without
//! a name, fail here.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests may panic")]

use std::{collections::BTreeSet, fs, path::Path};

/// One row: id, text, status, tests.
struct Row {
    id: String,
    status: String,
    tests: Vec<String>,
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// Reads the rows of a table whose columns are `id | … | status | tests`; a test is written `` `path#function` ``.
fn rows(document: &str, prefix: &str) -> Vec<Row> {
    let text = fs::read_to_string(root().join(document)).unwrap_or_else(|e| panic!("{document}: {e}"));
    text.lines()
        .filter_map(|line| {
            let cells: Vec<&str> = line.trim().trim_matches('|').split(" | ").map(str::trim).collect();
            let id = cells.first()?.trim_matches(|c: char| c == '|' || c.is_whitespace());
            let number = id.strip_prefix(prefix)?;
            number.chars().all(|c| c.is_ascii_digit()).then_some(())?;
            assert!(cells.len() >= 4, "{document}: row {id} has {} columns", cells.len());
            let tests =
                cells[cells.len() - 1].split('`').filter(|part| part.contains('#')).map(str::to_owned).collect();
            Some(Row { id: id.to_owned(), status: cells[cells.len() - 2].to_owned(), tests })
        })
        .collect()
}

/// Whether a file has a test function of this name: an attribute that makes it one stands in the lines before it, or it is
/// a property inside `proptest!`.
fn is_test(reference: &str) -> Result<(), String> {
    let (path, function) = reference.split_once('#').ok_or("not of the form path#function")?;
    let text = fs::read_to_string(root().join(path)).map_err(|e| format!("{path}: {e}"))?;
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let declaration = |line: &str| {
        let line = line.trim_start_matches("async ");
        line.strip_prefix("fn ")
            .is_some_and(|rest| rest.strip_prefix(function).is_some_and(|rest| rest.starts_with('(')))
    };
    let at = lines.iter().position(|line| declaration(line)).ok_or(format!("{path} has no function {function}"))?;
    let attributes = lines[..at].iter().rev().take_while(|line| line.starts_with("#[") || line.starts_with("///"));
    if attributes.clone().any(|a| a.starts_with("#[test]") || a.starts_with("#[tokio::test")) {
        return if attributes.clone().any(|a| a.contains("ignore")) {
            Err(format!("{function} is ignored"))
        } else {
            Ok(())
        };
    }
    Err(format!("{path}: {function} is not a test"))
}

fn check(document: &str, prefix: &str, expected: impl IntoIterator<Item = String>) {
    let rows = rows(document, prefix);
    let mut wrong = Vec::new();
    let ids: BTreeSet<String> = rows.iter().map(|r| r.id.clone()).collect();
    let expected: BTreeSet<String> = expected.into_iter().collect();
    if ids != expected || ids.len() != rows.len() {
        wrong.push(format!("rows are {:?}", rows.iter().map(|r| &r.id).collect::<Vec<_>>()));
    }
    for row in &rows {
        match row.status.as_str() {
            "proven" | "partly" if row.tests.is_empty() => {
                wrong.push(format!("{} is {} by no test", row.id, row.status))
            }
            "proven" | "partly" => {}
            "planned" if row.tests.is_empty() => {}
            "planned" => wrong.push(format!("{} is planned and names tests", row.id)),
            other => wrong.push(format!("{} has the unknown status {other:?}", row.id)),
        }
        wrong.extend(row.tests.iter().filter_map(|t| is_test(t).err().map(|e| format!("{}: {e}", row.id))));
    }
    assert!(wrong.is_empty(), "{document}:\n{}", wrong.join("\n"));
}

#[test]
fn requirements_name_tests_that_exist() {
    check("docs/requirements.md", "R", (1..=64).map(|n| format!("R{n:02}")));
}

#[test]
fn invariants_name_tests_that_exist() {
    check("docs/requirements.md", "INV-", (1..=22).map(|n| format!("INV-{n:02}")));
}

#[test]
fn a_name_that_is_no_test_is_found_out() {
    let this = "crates/jit-testkit/tests/traceability.rs";
    assert_eq!(is_test(&format!("{this}#a_name_that_is_no_test_is_found_out")), Ok(()));
    assert!(is_test(&format!("{this}#rows")).is_err());
    assert!(is_test(&format!("{this}#no_such_function")).is_err());
    assert!(is_test("crates/jit-testkit/tests/missing.rs#x").is_err());
}
