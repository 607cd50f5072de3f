//! Appending to the tree, beside one SHA-256 of a tree node and beside `ct-merkle`, in the same run.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used, reason = "a program that prints a table")]

use std::{hint::black_box, time::Instant};

use jit_log::{Frontier, Hash, TileBuilder, leaf_hash};
use sha2::{Digest as _, Sha256};

const LEAVES: u64 = 200_000;
const RUNS: usize = 7;

/// The median nanoseconds for one of `LEAVES` steps, over `RUNS` runs.
fn median(mut run: impl FnMut()) -> f64 {
    let mut times: Vec<f64> = (0..RUNS)
        .map(|_| {
            let begun = Instant::now();
            run();
            begun.elapsed().as_nanos() as f64 / LEAVES as f64
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times.get(RUNS / 2).copied().expect("there are runs")
}

fn main() {
    let leaves: Vec<Hash> = (0..LEAVES).map(|i| leaf_hash(&i.to_be_bytes())).collect();
    let node = median(|| {
        let mut block = [1_u8; 65];
        for i in 0..LEAVES {
            block.iter_mut().zip(i.to_be_bytes()).for_each(|(to, from)| *to = from);
            black_box(Sha256::digest(black_box(block)));
        }
    });
    let frontier = median(|| {
        let mut frontier = Frontier::new();
        for leaf in &leaves {
            frontier.push(*leaf).expect("the tree is not full");
        }
        black_box(frontier.root());
    });
    let tiles = median(|| {
        let mut builder = TileBuilder::new();
        for leaf in &leaves {
            black_box(builder.push(*leaf).expect("the tree is not full"));
        }
    });
    let peer = median(|| {
        let mut tree = ct_merkle::mem_backed_tree::MemoryBackedTree::<Sha256, Vec<u8>>::new();
        for i in 0..LEAVES {
            tree.push(i.to_be_bytes().to_vec());
        }
        black_box(tree.root());
    });
    println!("| one of {LEAVES} | ns, median of {RUNS} | × SHA-256 of 65 bytes |");
    println!("|---|---|---|");
    for (name, ns) in [
        ("SHA-256 of 65 bytes", node),
        ("frontier append (leaf hash excluded)", frontier),
        ("frontier append with full tiles", tiles),
        ("`ct-merkle` append (leaf hash included)", peer),
    ] {
        println!("| {name} | {ns:.0} | {:.2} |", ns / node);
    }
}
