//! What `scripts/soak sweep` does with many more.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests may panic")]

use std::process::Command;

/// Has so many grants end within a second.
fn sweep(place: &str, grants: u32) {
    let output = Command::new(env!("CARGO_BIN_EXE_sweep")).args([place, &grants.to_string(), "1"]).output().unwrap();
    let (said, failed) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{failed}");
    assert!(said.contains(&format!("{grants} grants, each ended once by one of 3 brokers")), "{said}");
    print!("{said}");
}

#[test]
fn five_thousand_grants_due_in_the_same_second_end_once_each_by_three_processes() {
    sweep("postgres", 5000);
}

#[test]
fn a_thousand_grants_due_in_the_same_second_end_once_each_in_memory() {
    sweep("memory", 1000);
}
