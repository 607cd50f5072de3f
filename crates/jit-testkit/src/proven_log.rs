//! A log in memory that proves every record at once: a tree, a key, a signed checkpoint after each append.

use std::sync::Arc;

use jit_core::{
    Clock as _, ExternalId, IssuerName, LogOrigin, OrphanFound, Record, Recorded, Recorder, Refs, RetentionClass,
    StreamId, WriterId,
};
use jit_issuer::OrphanAuthorization;
use jit_log::{Checkpoint, Hash, InclusionProof, Origin, SignerKey, TrustPolicy, leaf_hash, node_hash};

use crate::{CaseSetup, ManualClock, SeededEntropy};

/// A log without a store. Its tree is computed naively, by the definitions of RFC 6962 section 2.1.
#[derive(Debug)]
pub struct ProvenLog {
    origin: Origin,
    key: SignerKey,
    trust: TrustPolicy,
    leaves: Vec<Hash>,
    records: Vec<Record>,
}

impl ProvenLog {
    /// An empty log of this name, signed with a key from this seed.
    #[must_use]
    pub fn new(origin: &str, seed: [u8; 32]) -> Self {
        let origin = Origin::parse(origin).expect("an origin");
        let key = SignerKey::from_seed(&origin, seed);
        let trust = TrustPolicy::new_log_only(key.verifier()).expect("a log key");
        Self { origin, key, trust, leaves: Vec::new(), records: Vec::new() }
    }

    /// The name of the log.
    #[must_use]
    pub fn origin(&self) -> LogOrigin {
        self.origin.clone().into()
    }

    /// What a verifier of this log trusts.
    #[must_use]
    pub fn trust(&self) -> &TrustPolicy {
        &self.trust
    }

    /// The records appended so far, in order.
    #[must_use]
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// Appends the records, signs, and proves each of them under the new checkpoint.
    pub fn append(&mut self, records: &[Record]) -> Vec<Recorded> {
        let first = self.leaves.len();
        self.records.extend_from_slice(records);
        self.leaves.extend(records.iter().map(|r| leaf_hash(r.header_bytes())));
        let size = u64::try_from(self.leaves.len()).expect("a size");
        let checkpoint = Checkpoint::new(self.origin.clone(), size, root(&self.leaves)).expect("a checkpoint");
        let note = checkpoint.sign(&[&self.key]).expect("a note").to_bytes();
        let verified = self.trust.verify(&note).expect("a checkpoint of this log");
        let prove = |(i, record): (usize, &Record)| {
            let proof = InclusionProof::from_hashes(path(first + i, &self.leaves)).expect("a proof");
            let index = u64::try_from(first + i).expect("an index");
            Recorded::verify_under(record.header_bytes(), index, &proof, &verified).expect("a proven record")
        };
        records.iter().enumerate().map(prove).collect()
    }

    /// Records that a credential was found which nothing explains, and gives what lets its issuer end it.
    pub fn orphan_found(&mut self, issuer: IssuerName, name: ExternalId) -> OrphanAuthorization {
        let seed = u64::try_from(self.leaves.len()).expect("a size");
        let clock = Arc::new(ManualClock::at(CaseSetup::default().window.start()));
        let read = clock.now();
        let recorder = Recorder::new(self.origin(), WriterId::v8([1; 16]), clock, Arc::new(SeededEntropy::new(seed)));
        // Each in a stream of its own, which it begins.
        let stream = StreamId::Ops(WriterId::v8(recorder.random().expect("entropy")));
        let retain = RetentionClass::new("access").expect("a class");
        let event = OrphanFound { issuer, name };
        let draft = recorder.draft(stream, event.into(), Refs::default(), retain, read).expect("a record");
        let record = draft.seal(None, None).expect("the first of its stream");
        let recorded = self.append(std::slice::from_ref(&record)).swap_remove(0);
        OrphanAuthorization::new(&record, &recorded).expect("a record of an orphan")
    }
}

fn root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Hash::EMPTY_ROOT,
        [leaf] => *leaf,
        _ => {
            let (left, right) = halves(leaves);
            node_hash(&root(left), &root(right))
        }
    }
}

fn path(index: usize, leaves: &[Hash]) -> Vec<Hash> {
    if leaves.len() < 2 {
        return Vec::new();
    }
    let (left, right) = halves(leaves);
    let (mut path, sibling) = if index < left.len() {
        (path(index, left), root(right))
    } else {
        (path(index - left.len(), right), root(left))
    };
    path.push(sibling);
    path
}

/// Split at the largest power of two below the number of leaves.
fn halves(leaves: &[Hash]) -> (&[Hash], &[Hash]) {
    leaves.split_at(leaves.len().next_power_of_two() / 2)
}
