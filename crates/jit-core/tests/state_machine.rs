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

use std::{cell::RefCell, collections::BTreeSet, thread};

use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{RngAlgorithm, TestRunner},
};
use sequences::{REACHED, op, reached, try_sequence};

/// Runs some of the sequences, and says what they came to.
fn run_sequences() -> BTreeSet<String> {
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
    seen.into_inner()
}

/// Four times 2,500 sequences beside each other. What is rare is in one of them.
#[test]
fn no_sequence_violates_an_invariant() {
    let seen: BTreeSet<String> = thread::scope(|scope| {
        let parts: Vec<_> = (0..4).map(|_| scope.spawn(run_sequences)).collect();
        parts.into_iter().flat_map(|part| part.join().expect("no sequence violates an invariant")).collect()
    });
    let missing: Vec<_> = REACHED.iter().filter(|what| !seen.contains(**what)).collect();
    assert!(missing.is_empty(), "the sequences never came to {missing:?}");
}
