//! The tree agrees with the known answers of RFC 6962.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    unreachable_pub,
    reason = "tests may panic"
)]

use data_encoding::HEXLOWER;
use jit_log::{Frontier, Hash, InclusionProof, ProofError, TileBuilder, leaf_hash, node_hash};

const INPUTS: [&str; 8] =
    ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];

const ROOTS: [&str; 9] = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

fn leaves() -> Vec<Hash> {
    let input = |hex: &str| leaf_hash(&HEXLOWER.decode(hex.as_bytes()).unwrap());
    INPUTS.into_iter().map(input).collect()
}

#[test]
fn roots_of_the_first_eight_sizes() {
    let mut frontier = Frontier::new();
    let mut builder = TileBuilder::new();
    assert_eq!(frontier.root().to_hex(), ROOTS[0]);
    for (leaf, root) in leaves().into_iter().zip(&ROOTS[1..]) {
        frontier.push(leaf).unwrap();
        builder.push(leaf).unwrap();
        assert_eq!(frontier.root().to_hex(), *root);
        assert_eq!(builder.frontier(), frontier);
    }
}

#[test]
fn an_inclusion_proof_holds_for_its_leaf_index_size_and_root_alone() {
    let leaves = leaves();
    let (left, right) = (node_hash(&leaves[0], &leaves[1]), node_hash(&leaves[2], &leaves[3]));
    let root = node_hash(&left, &right);
    let proof = InclusionProof::from_hashes(vec![leaves[3], left]).unwrap();
    assert_eq!(proof.verify(&leaves[2], 2, 4, &root), Ok(()));
    assert_eq!(proof.verify(&leaves[1], 2, 4, &root), Err(ProofError::RootMismatch));
    assert_eq!(proof.verify(&leaves[2], 3, 4, &root), Err(ProofError::RootMismatch));
    assert_eq!(proof.verify(&leaves[2], 0, 4, &root), Err(ProofError::RootMismatch));
    assert_eq!(proof.verify(&leaves[2], 2, 4, &left), Err(ProofError::RootMismatch));
    assert_eq!(proof.verify(&leaves[2], 2, 8, &root), Err(ProofError::Length));
    assert_eq!(proof.verify(&leaves[2], 2, 3, &root), Err(ProofError::Length));
    let beyond = ProofError::IndexBeyondSize { index: 4, size: 4 };
    assert_eq!(proof.verify(&leaves[2], 4, 4, &root), Err(beyond));
}
