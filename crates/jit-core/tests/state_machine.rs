//! Random sequences of commands, hostile ones among them, never violate an invariant, and every case can be brought to its end.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "tests may panic"
)]

mod sequences;
mod world;

use std::{cell::RefCell, collections::BTreeSet};

use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{RngAlgorithm, TestRunner},
};
use sequences::{REACHED, op, reached, try_sequence};

fn run_sequences() {
    let config = ProptestConfig {
        cases: 2_500,
        failure_persistence: None,
        rng_algorithm: RngAlgorithm::XorShift,
        ..ProptestConfig::default()
    };
    let seen = RefCell::new(BTreeSet::new());
    let ops = (any::<u8>(), vec((prop::bool::weighted(0.3), op()), 4..18));
    let result = TestRunner::new(config).run(&ops, |(begin, ops)| {
        let world = try_sequence(begin, &ops);
        seen.borrow_mut().extend(reached(&world));
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    let missing: Vec<_> = REACHED.iter().filter(|what| !seen.borrow().contains(**what)).collect();
    assert!(missing.is_empty(), "the sequences never came to {missing:?}");
}

// Four times 2,500 sequences, so that they run beside each other.

#[test]
fn no_sequence_violates_an_invariant_part_1() {
    run_sequences();
}

#[test]
fn no_sequence_violates_an_invariant_part_2() {
    run_sequences();
}

#[test]
fn no_sequence_violates_an_invariant_part_3() {
    run_sequences();
}

#[test]
fn no_sequence_violates_an_invariant_part_4() {
    run_sequences();
}
