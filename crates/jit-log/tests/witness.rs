//! A witness cosigns what extends the last it cosigned, refuses everything else with the status of the protocol, and reads
//! requests strictly.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    unreachable_pub,
    reason = "tests may panic"
)]

use jit_log::{
    Accepted, AddCheckpoint, AddCheckpointError, Checkpoint, ConsistencyProof, CosignatureTime, CosignerKey, Hash,
    HeldCheckpoint, KeyName, MAX_ADD_CHECKPOINT_LEN, Note, NoteError, Origin, ProofPlan, SignerKey, TrustPolicy,
    VerifierKey, Witness, WitnessRefusal, leaf_hash, witness_path,
};
use proptest::collection::vec;
use proptest::prelude::*;

mod golden;

const ORIGIN: &str = "log.example/a";

fn log() -> SignerKey {
    SignerKey::from_seed(Origin::parse(ORIGIN).unwrap(), [1; 32])
}

fn cosigner() -> CosignerKey {
    CosignerKey::from_seed(KeyName::parse("witness.example/w").unwrap(), [2; 32])
}

fn witness() -> Witness {
    Witness::new(cosigner(), &TrustPolicy::new_log_only(log().verifier()).unwrap())
}

fn time(seconds: u64) -> CosignatureTime {
    CosignatureTime::from_unix_seconds(seconds).unwrap()
}

/// A log of leaves that differ by branch from `fork` on.
struct Leaves(Vec<Hash>);

impl Leaves {
    fn new(count: u64, branch: u8, fork: u64) -> Self {
        Self(
            (0..count)
                .map(|n| leaf_hash(&[&n.to_be_bytes()[..], &[if n < fork { 0 } else { branch }]].concat()))
                .collect(),
        )
    }

    fn root(&self, size: u64) -> Hash {
        let leaves = &self.0[..usize::try_from(size).unwrap()];
        ProofPlan::<Hash>::root(size).unwrap().finish(|tile| Some(&leaves[..usize::from(tile.width())])).unwrap()
    }

    fn note(&self, size: u64) -> Note {
        let root = if size == 0 { Hash::EMPTY_ROOT } else { self.root(size) };
        Checkpoint::new(Origin::parse(ORIGIN).unwrap(), size, root).unwrap().sign(&[&log()]).unwrap()
    }

    fn proof(&self, old: u64, new: u64) -> ConsistencyProof {
        if old == 0 || old > new {
            return ConsistencyProof::from_hashes(vec![]).unwrap();
        }
        let leaves = &self.0[..usize::try_from(new).unwrap()];
        let plan = ProofPlan::<ConsistencyProof>::consistency(old, new).unwrap();
        plan.finish(|tile| Some(&leaves[..usize::from(tile.width())])).unwrap()
    }

    fn ask(&self, old: u64, new: u64) -> AddCheckpoint {
        AddCheckpoint::new(old, self.proof(old, new), self.note(new)).unwrap()
    }
}

/// A witness with a memory.
struct Held(Witness, Option<HeldCheckpoint>);

impl Held {
    fn ask(&mut self, request: &AddCheckpoint) -> Result<Accepted, WitnessRefusal> {
        let accepted = self.0.decide(self.1.as_ref(), request, time(7))?;
        self.1 = Some(self.0.read(accepted.note()).unwrap());
        Ok(accepted)
    }

    fn status(&mut self, request: &AddCheckpoint) -> u16 {
        self.ask(request).map_or_else(|refusal| refusal.status(), |_| 200)
    }
}

#[test]
fn each_case_of_the_protocol_has_its_status() {
    let (leaves, fork) = (Leaves::new(100, 0, 0), Leaves::new(100, 1, 20));
    let mut witness = Held(witness(), None);
    assert_eq!(witness.status(&leaves.ask(3, 9)), 409, "nothing is held yet");
    assert_eq!(witness.status(&leaves.ask(0, 0)), 200);
    assert_eq!(witness.status(&leaves.ask(0, 0)), 200, "again");
    let proven = AddCheckpoint::new(0, leaves.proof(3, 9), leaves.note(9)).unwrap();
    assert_eq!(witness.status(&proven), 422, "nothing is to be proved from size 0");
    assert_eq!(witness.status(&leaves.ask(0, 30)), 200);
    for old in [0, 1, 29, 31, 40] {
        assert_eq!(witness.ask(&leaves.ask(old, 50)).unwrap_err(), WitnessRefusal::Conflict { held: 30 });
    }
    assert_eq!(witness.status(&leaves.ask(40, 30)), 400, "old > new comes before the conflict");
    assert_eq!(witness.status(&leaves.ask(30, 20)), 400);
    assert_eq!(witness.status(&leaves.ask(20, 20)), 409);
    assert_eq!(witness.status(&fork.ask(30, 30)), 422, "another root of the same size");
    assert_eq!(witness.status(&fork.ask(30, 60)), 422, "a fork proves itself alone");
    assert_eq!(witness.status(&AddCheckpoint::new(30, leaves.proof(30, 59), leaves.note(60)).unwrap()), 422);
    let empty = ConsistencyProof::from_hashes(vec![]).unwrap();
    assert_eq!(witness.status(&AddCheckpoint::new(30, empty, leaves.note(60)).unwrap()), 422);
    let wordy = AddCheckpoint::new(30, leaves.proof(29, 60), leaves.note(30)).unwrap();
    assert_eq!(witness.status(&wordy), 422, "the same size needs no proof");
    assert_eq!(witness.status(&leaves.ask(30, 30)), 200);
    assert_eq!(witness.status(&leaves.ask(30, 60)), 200);
    assert_eq!(witness.1.unwrap().checkpoint().size(), 60);
}

#[test]
fn who_asks_must_be_known_and_have_signed() {
    let leaves = Leaves::new(10, 0, 0);
    let mut witness = Held(witness(), None);
    let text = leaves.note(5).text().to_owned();
    let ask = |note: Note| AddCheckpoint::new(0, leaves.proof(0, 5), note).unwrap();
    let impostor = SignerKey::from_seed(Origin::parse(ORIGIN).unwrap(), [9; 32]);
    let stranger = SignerKey::from_seed(Origin::parse("log.example/b").unwrap(), [1; 32]);
    assert_eq!(witness.status(&ask(Note::sign(&text, &[&impostor]).unwrap())), 403);
    assert_eq!(witness.status(&ask(Note::sign(&text, &[&stranger]).unwrap())), 403);
    let foreign = Note::sign(&text.replace(ORIGIN, "log.example/b"), &[&stranger]).unwrap();
    assert_eq!(witness.status(&ask(foreign)), 404);
    let damaged = String::from_utf8(leaves.note(5).to_bytes()).unwrap().replace("\n5\n", "\n6\n");
    assert_eq!(witness.status(&ask(Note::parse(damaged.as_bytes()).unwrap())), 403);
    assert_eq!(witness.status(&ask(Note::sign("no checkpoint\n", &[&log()]).unwrap())), 400);
    let rootless = Note::sign(&text.replace("\n5\n", "\n0\n"), &[&log()]).unwrap();
    assert_eq!(witness.status(&ask(rootless)), 422);
    assert!(witness.1.is_none());
}

#[test]
fn what_is_stored_has_the_logs_signature_and_the_cosignature_and_nothing_else() {
    let leaves = Leaves::new(10, 0, 0);
    let mut note = leaves.note(5);
    let stranger = SignerKey::from_seed(Origin::parse("log.example/b").unwrap(), [1; 32]);
    for _ in 0..63 {
        note.push(stranger.sign(note.text())).unwrap();
    }
    let mut witness = Held(witness(), None);
    let accepted = witness.ask(&AddCheckpoint::new(0, leaves.proof(0, 5), note).unwrap()).unwrap();
    let stored = Note::parse(accepted.note()).unwrap();
    assert_eq!(stored.signatures().len(), 2);
    assert_eq!(stored.signatures()[1], *accepted.cosignature());
    let keys = format!("log {}\nwitness w {}\nquorum w\n", log().verifier(), cosigner().verifier());
    let verified = TrustPolicy::parse(&keys).unwrap().verify(accepted.note()).unwrap();
    assert_eq!((verified.checkpoint().size(), verified.cosignatures()[0].time()), (5, time(7)));
}

#[test]
fn a_witness_believes_only_its_own_memory() {
    let leaves = Leaves::new(10, 0, 0);
    let witness = witness();
    let accepted = witness.decide(None, &leaves.ask(0, 5), time(7)).unwrap();
    let other = CosignerKey::from_seed(KeyName::parse("witness.example/w").unwrap(), [3; 32]);
    let other = Witness::new(other, &TrustPolicy::new_log_only(log().verifier()).unwrap());
    assert!(other.read(accepted.note()).is_err());
    assert!(witness.read(&leaves.note(5).to_bytes()).is_err(), "not cosigned");
    assert!(witness.read(b"").is_err());
    // A file that was swapped for that of another log.
    let held = witness.read(accepted.note()).unwrap();
    let b = SignerKey::from_seed(Origin::parse("log.example/b").unwrap(), [4; 32]);
    let both = format!("log {}\nlog {}\nquorum none\n", log().verifier(), b.verifier());
    let witness = Witness::new(cosigner(), &TrustPolicy::parse(&both).unwrap());
    let note =
        Checkpoint::new(Origin::parse("log.example/b").unwrap(), 5, leaves.root(5)).unwrap().sign(&[&b]).unwrap();
    let request = AddCheckpoint::new(5, leaves.proof(5, 5), note).unwrap();
    let refusal = witness.decide(Some(&held), &request, time(7)).unwrap_err();
    assert_eq!((refusal.status(), refusal), (500, WitnessRefusal::HoldsOtherLog));
}

#[test]
fn requests_are_bounded_and_strict() {
    let leaves = Leaves::new(10, 0, 0);
    let note = String::from_utf8(leaves.note(5).to_bytes()).unwrap();
    let hash = Hash::EMPTY_ROOT.to_base64();
    let parse = |text: &str| AddCheckpoint::parse(text.as_bytes());
    let proof = |count: usize| format!("old 3\n{}\n{note}", format!("{hash}\n").repeat(count));
    assert_eq!(parse(&proof(63)).unwrap().proof().hashes().len(), 63);
    assert_eq!(parse(&proof(64)), Err(AddCheckpointError::TooManyHashes));
    for (text, error) in [
        (String::new(), AddCheckpointError::Lines),
        (format!("old 3\n{note}"), AddCheckpointError::Hash(jit_log::HashError::Base64)),
        (format!("old 03\n\n{note}"), AddCheckpointError::OldSize),
        (format!("old -3\n\n{note}"), AddCheckpointError::OldSize),
        (format!("old 18446744073709551616\n\n{note}"), AddCheckpointError::OldSize),
        (format!("Old 3\n\n{note}"), AddCheckpointError::OldSize),
        (format!("\n\n{note}"), AddCheckpointError::OldSize),
        ("old 3\n\nno note".to_owned(), AddCheckpointError::Note(NoteError::NoSignatures)),
        (format!("old 3\r\n\n{note}"), AddCheckpointError::OldSize),
        ("x".repeat(MAX_ADD_CHECKPOINT_LEN + 1), AddCheckpointError::TooLong { bytes: MAX_ADD_CHECKPOINT_LEN + 1 }),
    ] {
        assert_eq!(parse(&text), Err(error), "{}", &text[..text.len().min(40)]);
    }
    // Whatever the numbers, the answer is a refusal.
    let vast = parse(&format!("old {}\n\n{note}", u64::MAX)).unwrap();
    assert_eq!(witness().decide(None, &vast, time(1)).unwrap_err().status(), 400);
}

#[test]
fn keys_of_witnesses_have_the_private_form_with_their_own_type() {
    let (key, encoded) = (golden::witness_key(), golden::witness_key().encode());
    assert_eq!(CosignerKey::parse(&encoded).unwrap().verifier(), key.verifier());
    assert!(SignerKey::parse(&encoded).is_err(), "a witness's key signs no log");
    assert!(CosignerKey::parse(&golden::log_key().encode()).is_err());
    assert_eq!(VerifierKey::parse(golden::WITNESS_VKEY).unwrap(), key.verifier());
}

#[test]
fn the_path_is_the_hash_of_the_origin() {
    // printf %s log.example/a | sha256sum
    let path = "b2d3e0cf2e483fbc179ff15f4e95ebef4f0ad5565d228215674c9ee83f0faf1d/checkpoint";
    assert_eq!(witness_path(&Origin::parse(ORIGIN).unwrap()), path);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever two forks of a log ask for in whatever order, what a witness has cosigned is one history.
    #[test]
    fn what_was_cosigned_is_one_history_that_grows(
        asks in vec((any::<bool>(), 0u64..70, 0u64..70, any::<bool>()), 1..30),
    ) {
        let branches = [Leaves::new(70, 0, 0), Leaves::new(70, 1, 20)];
        let mut witness = Held(witness(), None);
        let mut last: Option<Checkpoint> = None;
        for (branch, old, new, honest) in asks {
            let leaves = &branches[usize::from(branch)];
            let held = last.as_ref().map_or(0, Checkpoint::size);
            let old = if honest { held } else { old };
            let request = leaves.ask(old, new);
            let reparsed = AddCheckpoint::parse(&request.to_bytes()).unwrap();
            prop_assert_eq!(&reparsed, &request);
            match witness.ask(&reparsed) {
                Ok(accepted) => {
                    let new = accepted.checkpoint();
                    if let Some(last) = &last {
                        prop_assert!(new.size() >= last.size());
                        let one = branches.iter().any(|leaves| {
                            [last, new].iter().all(|seen| seen.size() == 0 || leaves.root(seen.size()) == seen.root())
                        });
                        prop_assert!(one, "both lie on one branch");
                    }
                    last = Some(new.clone());
                }
                Err(refusal) => {
                    let extends = last.as_ref().is_none_or(|last| last.size() == 0 || leaves.root(last.size()) == last.root());
                    prop_assert!(!(honest && extends && new >= held), "{refusal}");
                }
            }
        }
    }
}
