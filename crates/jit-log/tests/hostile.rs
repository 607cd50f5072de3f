//! No input makes a parser panic, and what is accepted has only one form.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    unreachable_pub,
    reason = "tests may panic"
)]

use std::sync::LazyLock;

use jit_log::{
    AddCheckpoint, Checkpoint, ConsistencyProof, CosignatureTime, EntryBundle, EntryError, Frontier, Hash,
    InclusionProof, MAX_ENTRY_LEN, MAX_NOTE_LEN, MAX_POLICY_LEN, MAX_PROOF_LEN, MAX_SIGNATURES, MAX_TLOG_PROOF_LEN,
    MAX_TREE_SIZE, Note, NoteError, NoteSignature, PolicyError, ProofError, ProofPlan, SignerKey, TileBuilder, TileId,
    TlogProof, TlogProofError, TreeError, TrustPolicy, VerifierKey, full_tiles_between, leaf_hash, node_hash,
    partial_tiles,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

mod golden;

fn config() -> ProptestConfig {
    ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() }
}

const NOTE: &str = "\
jit.example/evidence/golden
300
rrsCfVw90Ihx7lJXemH8gxItDRQ1J5GUNjm9TBLTaUM=

— jit.example/evidence/golden dCmQI+anI+cX3kvUJ6DNCdIK8BhWwcbo8VeWR0xelQgWlDupmTi98rExfsf550mma7RjMvoXsMpCIyLtRSGG4W5ibwg=
— witness.example/w1 JaafmgAAAABlU/EAi2/fnjPEDbhB8wPRSoh1V8ICu8YDOHAn33r+8o+KdHYF8DlTiOJRRtKxGOUEP1P9T5FcX4kd3d8lXZ5FHEN/AA==
";

/// Pieces that the grammars are sensitive to.
const PIECES: [&str; 30] = [
    "",
    "\n",
    "\n\n",
    "\r\n",
    "\t",
    " ",
    "\0",
    "\u{7f}",
    "\u{a0}",
    "é",
    "—",
    "— a b\n",
    "+",
    "=",
    "==",
    "/",
    "x",
    "0",
    "00",
    "1",
    "256",
    "18446744073709551616",
    ".p/",
    "extra ",
    "index ",
    "#",
    "log ",
    "quorum none\n",
    "group g 1 w\n",
    "AAAA",
];

/// `original` with a few of its stretches replaced; also, seldom, anything at all.
fn near(original: &str) -> impl Strategy<Value = Vec<u8>> + use<> {
    let original = original.as_bytes().to_vec();
    let edit =
        (any::<Index>(), 0..4usize, prop_oneof![select(&PIECES[..]).prop_map(Vec::from), vec(any::<u8>(), 1..3)]);
    let edited = vec(edit, 0..4).prop_map(move |edits| {
        let mut bytes = original.clone();
        for (at, removed, piece) in edits {
            let at = at.index(bytes.len() + 1);
            let end = bytes.len().min(at + removed);
            bytes.splice(at..end, piece);
        }
        bytes
    });
    prop_oneof![9 => edited, 1 => vec(any::<u8>(), 0..200)]
}

fn near_text(original: &str) -> impl Strategy<Value = String> + use<> {
    near(original).prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

fn proof_file() -> String {
    let hash = "rrsCfVw90Ihx7lJXemH8gxItDRQ1J5GUNjm9TBLTaUM=";
    format!("c2sp.org/tlog-proof@v1\nextra AAA=\nindex 259\n{hash}\n{hash}\n\n{NOTE}")
}

fn policy_file() -> String {
    let (log, witness) = (golden::LOG_VKEY, golden::WITNESS_VKEY);
    format!("# trust\nlog {log} https://log.example/\nwitness w {witness}\ngroup g any w\nquorum g\n")
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_note_has_one_form(bytes in near(NOTE)) {
        if let Ok(note) = Note::parse(&bytes) {
            prop_assert_eq!(note.to_bytes(), bytes);
            let verified = note.verify(&*KEYS);
            prop_assert!(verified.is_err() || NOTE.starts_with(note.text()));
        }
    }

    #[test]
    fn a_signature_line_has_one_form(line in near_text(NOTE.lines().nth(4).unwrap())) {
        if let Some(signature) = NoteSignature::parse(&line) {
            prop_assert_eq!(signature.to_string(), format!("{line}\n"));
        }
    }

    #[test]
    fn a_checkpoint_has_one_form(text in near_text(&NOTE[..77])) {
        if let Ok(checkpoint) = Checkpoint::parse(&text) {
            prop_assert_eq!(checkpoint.to_text(), text);
        }
    }

    #[test]
    fn a_public_key_has_one_form(text in near_text(golden::LOG_VKEY)) {
        if let Ok(key) = VerifierKey::parse(&text) {
            prop_assert_eq!(key.to_string(), text);
        }
    }

    #[test]
    fn a_private_key_has_one_form_and_errors_do_not_hold_it(text in near_text(&golden::log_key().encode())) {
        let secret = golden::log_key().encode();
        let secret = &secret[secret.len() - 40..];
        match SignerKey::parse(&text) {
            Ok(key) => prop_assert_eq!(key.encode().to_string(), text),
            Err(error) => {
                let shown = format!("{error:?} {error}");
                prop_assert!(!shown.contains(secret), "{shown}");
            }
        }
    }

    #[test]
    fn a_tile_path_has_one_form(path in prop_oneof![
        near_text("tile/0/x001/x234/067"), near_text("tile/1/001.p/44"), near_text("tile/7/x001/234"),
    ]) {
        if let Ok(tile) = TileId::parse(&path) {
            prop_assert_eq!(tile.path(), path);
        }
    }

    #[test]
    fn a_tile_has_one_path(level in any::<u8>(), index in sizes(), width in 0..300u16) {
        if let Ok(tile) = TileId::new(level % 10, index, width) {
            prop_assert_eq!(TileId::parse(&tile.path()), Ok(tile));
        }
    }

    #[test]
    fn a_proof_file_has_one_form(bytes in near(&proof_file())) {
        if let Ok(proof) = TlogProof::parse(&bytes) {
            prop_assert_eq!(proof.to_bytes(), bytes);
            prop_assert!(proof.verify(&leaf_hash(b"entry-259"), &POLICY).is_err());
        }
    }

    #[test]
    fn a_request_to_a_witness_has_one_form(bytes in near(&format!("old 259\n{0}\n{0}\n\n{NOTE}", &NOTE.lines().nth(2).unwrap()))) {
        if let Ok(request) = AddCheckpoint::parse(&bytes) {
            prop_assert_eq!(request.to_bytes(), bytes);
        }
    }

    #[test]
    fn a_policy_keeps_its_meaning_in_canonical_layout(text in near_text(&policy_file())) {
        if let Ok(policy) = TrustPolicy::parse(&text) {
            let canonical = policy.to_text();
            prop_assert_eq!(TrustPolicy::parse(&canonical).unwrap(), policy.clone());
            prop_assert_eq!(policy.to_text(), canonical);
            // Whatever was edited, none but the given keys is trusted.
            prop_assert!(policy.log_keys().all(|key| key.to_string() == golden::LOG_VKEY));
        }
    }

    #[test]
    fn an_entry_bundle_has_one_form(bytes in prop_oneof![
        near("\0\u{7}entry-0\0\u{7}entry-1"), vec(0..3u8, 0..1000),
    ]) {
        if let Ok(entries) = EntryBundle::parse(&bytes) {
            let mut again = EntryBundle::new();
            for entry in entries {
                again.push(entry).unwrap();
            }
            prop_assert_eq!(again.as_bytes(), bytes);
        }
    }

    #[test]
    fn a_hash_has_one_form(
        hex in near_text(&Hash::EMPTY_ROOT.to_hex()),
        base64 in near_text(&Hash::EMPTY_ROOT.to_base64()),
        bytes in vec(any::<u8>(), 0..40),
    ) {
        if let Ok(hash) = Hash::from_hex(&hex) {
            prop_assert_eq!(hash.to_hex(), hex);
        }
        if let Ok(hash) = Hash::from_base64(&base64) {
            prop_assert_eq!(hash.to_base64(), base64);
        }
        prop_assert_eq!(Hash::from_slice(&bytes).is_ok(), bytes.len() == 32);
    }
}

/// Numbers of all magnitudes, mostly next to where a tree changes shape.
fn sizes() -> impl Strategy<Value = u64> {
    let edge = (0..=64u32, -2..=2i64).prop_map(|(bit, by)| {
        let power = 1u64.checked_shl(bit).unwrap_or(0);
        power.wrapping_add_signed(by)
    });
    prop_oneof![4 => edge, 2 => any::<u64>(), 1 => 0..1000u64]
}

/// A tree of any size in which all leaves are the same, so that its nodes are known without it.
struct Uniform(Vec<Hash>);

static UNIFORM: LazyLock<Uniform> = LazyLock::new(Uniform::new);
static KEYS: LazyLock<[VerifierKey; 2]> =
    LazyLock::new(|| [golden::log_key().verifier(), golden::witness_key().verifier()]);
static POLICY: LazyLock<TrustPolicy> = LazyLock::new(|| TrustPolicy::new_log_only(KEYS[0].clone()).unwrap());

impl Uniform {
    fn new() -> Self {
        let mut nodes = vec![leaf_hash(b"entry")];
        for height in 0..63 {
            nodes.push(node_hash(&nodes[height], &nodes[height]));
        }
        Self(nodes)
    }

    fn nodes(&self, size: u64) -> Vec<Hash> {
        (0..64).rev().filter(|bit| size >> bit & 1 == 1).map(|bit| self.0[bit]).collect()
    }

    fn root(&self, size: u64) -> Hash {
        Frontier::from_parts(size, self.nodes(size)).unwrap().root()
    }

    /// The hashes of any tile, level by level.
    fn tiles(&self) -> Vec<Vec<Hash>> {
        self.0.iter().step_by(8).map(|node| vec![*node; 256]).collect()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn proofs_from_tiles_hold_at_any_size(a in sizes(), b in sizes()) {
        let (uniform, index, old, size) = (&*UNIFORM, a.min(b), a.min(b), a.max(b));
        let tiles = uniform.tiles();
        let fetch = |tile: &TileId| Some(tiles[usize::from(tile.level())].as_slice());

        let inclusion = ProofPlan::inclusion(index, size);
        prop_assert_eq!(inclusion.is_ok(), index < size && size <= MAX_TREE_SIZE);
        if let Ok(plan) = inclusion {
            prop_assert!(plan.tiles().len() <= 16, "{:?}", plan.tiles());
            let proof = plan.finish(fetch).unwrap();
            prop_assert_eq!(proof.verify(&uniform.0[0], index, size, &uniform.root(size)), Ok(()));
            prop_assert!(proof.verify(&uniform.0[1], index, size, &uniform.root(size)).is_err());
        }
        let consistency = ProofPlan::consistency(old, size);
        prop_assert_eq!(consistency.is_ok(), old > 0 && size <= MAX_TREE_SIZE);
        if let Ok(plan) = consistency {
            prop_assert!(plan.tiles().len() <= 16, "{:?}", plan.tiles());
            let proof = plan.finish(fetch).unwrap();
            prop_assert_eq!(proof.verify(old, &uniform.root(old), size, &uniform.root(size)), Ok(()));
            prop_assert!(proof.verify(old, &uniform.0[1], size, &uniform.0[63]).is_err());
        }
        let root = ProofPlan::<Hash>::root(size);
        prop_assert_eq!(root.is_ok(), size <= MAX_TREE_SIZE);
        if let Ok(plan) = root {
            prop_assert!(plan.tiles().len() <= 8, "{:?}", plan.tiles());
            prop_assert_eq!(plan.finish(fetch).unwrap(), uniform.root(size));
        }
    }

    #[test]
    fn a_plan_refuses_missing_and_short_tiles(a in sizes(), b in sizes()) {
        if let Ok(plan) = ProofPlan::inclusion(a.min(b), a.max(b)) && !plan.tiles().is_empty() {
            prop_assert!(plan.finish(|_| None).is_err());
            let short = [Hash::EMPTY_ROOT; 255];
            let short = |tile: &TileId| short.get(..usize::from(tile.width()) - 1);
            prop_assert!(plan.finish(short).is_err());
        }
    }

    #[test]
    fn hostile_proofs_prove_nothing(
        hashes in vec(any::<[u8; 32]>(), 0..70), a in sizes(), b in sizes(), leaf in any::<[u8; 32]>(),
    ) {
        let (leaf, root) = (Hash::from_bytes(leaf), Hash::EMPTY_ROOT);
        let hashes: Vec<_> = hashes.into_iter().map(Hash::from_bytes).collect();
        let inclusion = InclusionProof::from_hashes(hashes.clone());
        let consistency = ConsistencyProof::from_hashes(hashes.clone());
        prop_assert_eq!(inclusion.is_ok(), hashes.len() <= MAX_PROOF_LEN);
        prop_assert_eq!(consistency.is_ok(), hashes.len() <= MAX_PROOF_LEN);
        if let (Ok(inclusion), Ok(consistency)) = (inclusion, consistency) {
            prop_assert!(inclusion.verify(&leaf, a, b, &root).is_err());
            prop_assert!(consistency.verify(a, &leaf, b, &root).is_err());
        }
    }

    #[test]
    fn a_tree_is_restored_and_extended_at_any_size(size in sizes()) {
        let uniform = &*UNIFORM;
        let width = |level: u64| (size >> (8 * level) & 255) as usize;
        let levels = (0..8).map(|level| vec![uniform.0[level as usize * 8]; width(level)]).collect();
        let frontier = Frontier::from_parts(size, uniform.nodes(size));
        let builder = TileBuilder::from_parts(size, levels);
        if size > MAX_TREE_SIZE {
            prop_assert_eq!(frontier, Err(TreeError::SizeTooLarge { size }));
            prop_assert_eq!(builder, Err(TreeError::SizeTooLarge { size }));
            return Ok(());
        }
        let (mut frontier, mut builder) = (frontier.unwrap(), builder.unwrap());
        prop_assert_eq!(builder.frontier(), frontier.clone());
        let partials: Vec<_> = builder.partials().map(|(tile, _)| tile).collect();
        prop_assert_eq!(partials, partial_tiles(size).unwrap().collect::<Vec<_>>());
        if size == MAX_TREE_SIZE {
            prop_assert_eq!(frontier.push(uniform.0[0]), Err(TreeError::Full));
            prop_assert_eq!(builder.push(uniform.0[0]), Err(TreeError::Full));
            return Ok(());
        }
        let completed: Vec<_> = builder.push(uniform.0[0]).unwrap().iter().map(|tile| tile.id()).collect();
        prop_assert_eq!(completed, full_tiles_between(size, size + 1).unwrap().collect::<Vec<_>>());
        frontier.push(uniform.0[0]).unwrap();
        prop_assert_eq!(frontier.root(), uniform.root(size + 1));
        prop_assert_eq!(builder.frontier(), frontier);
    }

    #[test]
    fn parts_that_do_not_fit_their_size_are_refused(size in sizes(), nodes in 0..70usize, widths in vec(0..300usize, 0..12)) {
        let hashes = vec![Hash::EMPTY_ROOT; nodes];
        let frontier = Frontier::from_parts(size, hashes).is_ok();
        prop_assert_eq!(frontier, size <= MAX_TREE_SIZE && nodes == size.count_ones() as usize);
        let fits = (0..16u32).all(|level| {
            let width = size.checked_shr(8 * level).unwrap_or(0) & 255;
            widths.get(level as usize).copied().unwrap_or(0) as u64 == width
        });
        let levels = widths.iter().map(|width| vec![Hash::EMPTY_ROOT; *width]).collect();
        prop_assert_eq!(TileBuilder::from_parts(size, levels).is_ok(), size <= MAX_TREE_SIZE && fits);
    }

    #[test]
    fn a_tile_lies_within_its_tree(level in 0..10u8, index in sizes(), size in sizes()) {
        if let Some(tile) = TileId::at_size(level, index, size) {
            let end = (u128::from(index) * 256 + u128::from(tile.width())) << (8 * level);
            prop_assert!(end <= u128::from(size), "{tile:?}");
            prop_assert_eq!(TileId::new(level, index, tile.width()), Ok(tile));
        }
    }
}

#[test]
fn a_tree_neither_shrinks_nor_extends_the_empty_one() {
    assert_eq!(ProofPlan::consistency(0, 5).unwrap_err(), ProofError::OldSizeZero);
    assert_eq!(ProofPlan::consistency(6, 5).unwrap_err(), ProofError::Shrinks { old: 6, new: 5 });
    let empty = ConsistencyProof::from_hashes(Vec::new()).unwrap();
    let root = Hash::EMPTY_ROOT;
    assert_eq!(empty.verify(0, &root, 0, &root), Err(ProofError::OldSizeZero));
    assert_eq!(empty.verify(0, &root, 5, &root), Err(ProofError::OldSizeZero));
    assert_eq!(empty.verify(6, &root, 5, &root), Err(ProofError::Shrinks { old: 6, new: 5 }));
    assert_eq!(empty.verify(5, &root, 5, &root), Ok(()));
}

#[test]
fn base64_in_two_padded_parts_is_refused() {
    // 2 + 30 and 31 + 1 bytes, in 44 characters each.
    for text in [format!("AAA={}", "A".repeat(40)), format!("{}=AA==", "A".repeat(39))] {
        assert!(Hash::from_base64(&text).is_err(), "{text}");
        assert!(Checkpoint::parse(&format!("log\n1\n{text}\n")).is_err(), "{text}");
        assert!(TlogProof::parse(format!("c2sp.org/tlog-proof@v1\nindex 0\n{text}\n\n").as_bytes()).is_err(), "{text}");
    }
    assert!(TlogProof::parse(b"c2sp.org/tlog-proof@v1\nextra AAA=AAA=\nindex 0\n\n").is_err());
    assert_eq!(NoteSignature::parse("— a AAAAAAA=AAA="), None);
}

#[test]
fn limits_hold_at_their_edge() {
    let line = "— a AAAAAAA=\n";
    let note = |signatures| format!("text\n\n{}", line.repeat(signatures));
    assert!(Note::parse(note(MAX_SIGNATURES).as_bytes()).is_ok());
    assert_eq!(Note::parse(note(MAX_SIGNATURES + 1).as_bytes()), Err(NoteError::TooManySignatures));
    let note = |bytes: usize| format!("{}\n\n{line}", "x".repeat(bytes - line.len() - 2));
    assert!(Note::parse(note(MAX_NOTE_LEN).as_bytes()).is_ok());
    let bytes = MAX_NOTE_LEN + 1;
    assert_eq!(Note::parse(note(bytes).as_bytes()), Err(NoteError::TooLong { bytes }));

    let bytes = MAX_TLOG_PROOF_LEN + 1;
    assert_eq!(TlogProof::parse(&vec![b'\n'; bytes]), Err(TlogProofError::TooLong { bytes }));
    let hashes =
        |count| format!("c2sp.org/tlog-proof@v1\nindex 0\n{}\n", format!("{}=\n", "A".repeat(43)).repeat(count));
    assert!(TlogProof::parse(hashes(MAX_PROOF_LEN).as_bytes()).is_ok());
    let count = MAX_PROOF_LEN + 1;
    let too_many = TlogProofError::Proof(ProofError::TooManyHashes { count });
    assert_eq!(TlogProof::parse(hashes(count).as_bytes()), Err(too_many));

    let policy = |bytes: usize| format!("quorum none\n#{}\n", "x".repeat(bytes - 14));
    assert!(TrustPolicy::parse(&policy(MAX_POLICY_LEN)).is_ok());
    let bytes = MAX_POLICY_LEN + 1;
    assert_eq!(TrustPolicy::parse(&policy(bytes)), Err(PolicyError::TooLong { bytes }));

    let mut bundle = EntryBundle::new();
    assert_eq!(bundle.push(&vec![0; MAX_ENTRY_LEN + 1]), Err(EntryError::TooLong { bytes: MAX_ENTRY_LEN + 1 }));
    for _ in 0..256 {
        bundle.push(&vec![0; MAX_ENTRY_LEN]).unwrap();
    }
    assert_eq!(bundle.push(b""), Err(EntryError::TooMany));
    assert_eq!(EntryBundle::parse(bundle.as_bytes()).unwrap().len(), 256);
    assert_eq!(EntryBundle::parse(&[bundle.as_bytes(), &[0, 0]].concat()), Err(EntryError::TooMany));

    assert!(CosignatureTime::from_unix_seconds(i64::MAX as u64).is_some());
    assert_eq!(CosignatureTime::from_unix_seconds(1 << 63), None);
}
