//! Which witnesses meet a quorum, for every subset of them, against an evaluation by the words of the format.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "tests may panic"
)]

use std::time::{Duration, Instant};

use jit_log::{
    Checkpoint, CosignatureTime, CosignerKey, Hash, KeyName, MAX_POLICY_LEN, Origin, SignerKey, TrustError, TrustPolicy,
};
use proptest::collection::vec;
use proptest::prelude::*;

/// A witness, or a group of things that are in no other group.
#[derive(Debug, Clone)]
enum Tree {
    Witness(usize),
    Group(usize, Vec<Tree>),
}

/// So many witnesses, split into groups anyhow, with the thresholds drawn.
fn tree(witnesses: usize) -> impl Strategy<Value = Tree> {
    let joins = vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<prop::sample::Index>()), 0..6);
    joins.prop_map(move |joins| {
        let mut forest: Vec<Tree> = (0..witnesses).map(Tree::Witness).collect();
        for (from, count, threshold) in joins {
            let from = from.index(forest.len());
            let count = 1 + count.index(forest.len() - from);
            let members: Vec<Tree> = forest.splice(from..from + count, []).collect();
            forest.insert(from, Tree::Group(1 + threshold.index(count), members));
        }
        let threshold = 1 + witnesses % forest.len();
        Tree::Group(threshold, forest)
    })
}

impl Tree {
    /// By recursion over the tree, which the verifier does not do.
    fn is_met(&self, cosigned: u32) -> bool {
        match self {
            Self::Witness(at) => cosigned >> at & 1 == 1,
            Self::Group(threshold, members) => {
                members.iter().filter(|member| member.is_met(cosigned)).count() >= *threshold
            }
        }
    }

    /// Writes the group lines, innermost first, and returns the name.
    fn write(&self, lines: &mut String, number: &mut usize) -> String {
        match self {
            Self::Witness(at) => format!("w{at}"),
            Self::Group(threshold, members) => {
                let names: Vec<String> = members.iter().map(|member| member.write(lines, number)).collect();
                *number += 1;
                let threshold = match *threshold {
                    1 if number.is_multiple_of(2) => "any".to_owned(),
                    all if all == members.len() && number.is_multiple_of(2) => "all".to_owned(),
                    k => k.to_string(),
                };
                lines.push_str(&format!("group g{number} {threshold} {}\n", names.join(" ")));
                format!("g{number}")
            }
        }
    }
}

fn witness(at: usize) -> CosignerKey {
    let name = KeyName::parse(&format!("witness.example/{at}")).unwrap();
    CosignerKey::from_seed(name, [10 + u8::try_from(at).unwrap(); 32])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn every_subset_of_witnesses((witnesses, tree) in (1usize..6).prop_flat_map(|n| (Just(n), tree(n)))) {
        let origin = Origin::parse("log.example/a").unwrap();
        let log = SignerKey::from_seed(&origin, [1; 32]);
        let checkpoint = Checkpoint::new(origin, 3, Hash::from_bytes([9; 32])).unwrap();
        let keys: Vec<CosignerKey> = (0..witnesses).map(witness).collect();
        let mut text = format!("log {}\n", log.verifier());
        for (at, key) in keys.iter().enumerate() {
            text.push_str(&format!("witness w{at} {}\n", key.verifier()));
        }
        let quorum = tree.write(&mut text, &mut 0);
        text.push_str(&format!("quorum {quorum}\n"));
        let policy = TrustPolicy::parse(&text).unwrap();
        prop_assert_eq!(TrustPolicy::parse(&policy.to_text()).unwrap(), policy.clone());
        for cosigned in 0..1u32 << witnesses {
            let mut note = checkpoint.sign(&[&log]).unwrap();
            // In another order than the policy's.
            for (at, key) in keys.iter().enumerate().rev().filter(|(at, _)| cosigned >> at & 1 == 1) {
                let time = CosignatureTime::from_unix_seconds(at as u64).unwrap();
                note.push(key.cosign(&checkpoint, time)).unwrap();
            }
            match policy.verify(&note.to_bytes()) {
                Ok(verified) => {
                    prop_assert!(tree.is_met(cosigned), "{cosigned:b} of\n{text}");
                    prop_assert_eq!(verified.cosignatures().len(), cosigned.count_ones() as usize);
                }
                Err(error) => {
                    prop_assert!(!tree.is_met(cosigned), "{cosigned:b} of\n{text}");
                    let count = cosigned.count_ones() as usize;
                    prop_assert_eq!(error, TrustError::QuorumNotMet { quorum: quorum.clone(), cosigned: count });
                }
            }
        }
    }
}

#[test]
fn the_deepest_policy_that_fits_is_evaluated_without_recursion() {
    let origin = Origin::parse("log.example/a").unwrap();
    let log = SignerKey::from_seed(&origin, [1; 32]);
    let checkpoint = Checkpoint::new(origin, 3, Hash::from_bytes([9; 32])).unwrap();
    let mut text = format!("log {}\nwitness 0 {}\n", log.verifier(), witness(0).verifier());
    let mut depth = 0;
    while text.len() < MAX_POLICY_LEN - 100 {
        text.push_str(&format!("group {} any {depth}\n", depth + 1));
        depth += 1;
    }
    text.push_str(&format!("quorum {depth}\n"));
    assert!(depth > 40_000);
    let started = Instant::now();
    let policy = TrustPolicy::parse(&text).unwrap();
    let mut note = checkpoint.sign(&[&log]).unwrap();
    assert!(policy.verify(&note.to_bytes()).is_err());
    note.push(witness(0).cosign(&checkpoint, CosignatureTime::from_unix_seconds(1).unwrap())).unwrap();
    assert!(policy.verify(&note.to_bytes()).is_ok());
    assert!(started.elapsed() < Duration::from_secs(10), "linear in its length");
}
