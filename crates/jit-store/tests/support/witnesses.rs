//! Witnesses in this process: the real judgement of a witness, with a memory that tests can look at and turn back.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

use async_trait::async_trait;
use jit_log::{
    AddCheckpoint, CosignatureTime, CosignerKey, KeyName, Origin, SignerKey, TrustPolicy, VerifierKey, Witness,
    WitnessRefusal,
};
use jit_store::{Cosigning, WitnessAnswer, WitnessClient, WitnessError};
use tokio::sync::Semaphore;

use super::{ORIGIN, key};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    Honest,
    /// Cannot be reached.
    Away,
    /// Never answers.
    Silent,
    /// Cosigns, but its answer is lost.
    LosesAnswers,
    /// Signs with another key under its own name.
    OtherKey,
    /// Claims to hold more than there is.
    Boasts,
    /// Claims another size at every request.
    Wavers,
}

#[derive(Debug)]
pub(crate) struct LocalWitness {
    key: VerifierKey,
    witness: Witness,
    impostor: CosignerKey,
    held: Mutex<Option<Vec<u8>>>,
    mood: Mutex<Mood>,
    clock: AtomicU64,
    /// How many requests it got, and how many of them it answered with a conflict.
    pub(crate) asked: AtomicUsize,
    pub(crate) conflicts: AtomicUsize,
    /// Sizes in the order in which it cosigned them.
    pub(crate) cosigned: Mutex<Vec<u64>>,
}

impl LocalWitness {
    pub(crate) fn new(number: u8) -> Arc<Self> {
        let name = KeyName::parse(&format!("witness.example/w{number}")).unwrap();
        let key = CosignerKey::from_seed(name.clone(), [100 + number; 32]);
        Arc::new(Self {
            key: key.verifier(),
            witness: Witness::new(key, &TrustPolicy::new_log_only(super::key(ORIGIN, 7).verifier()).unwrap()),
            impostor: CosignerKey::from_seed(name, [200 + number; 32]),
            held: Mutex::default(),
            mood: Mutex::new(Mood::Honest),
            clock: AtomicU64::new(1_700_000_000),
            asked: AtomicUsize::default(),
            conflicts: AtomicUsize::default(),
            cosigned: Mutex::default(),
        })
    }

    pub(crate) fn set(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    /// The note it holds.
    pub(crate) fn note(&self) -> Option<Vec<u8>> {
        self.held.lock().unwrap().clone()
    }

    pub(crate) fn size(&self) -> Option<u64> {
        self.note().map(|note| self.witness.read(&note).unwrap().checkpoint().size())
    }

    fn unavailable(&self) -> WitnessError {
        WitnessError::Unavailable { witness: self.key.name().clone(), source: "away".into() }
    }

    fn mood(&self) -> Mood {
        *self.mood.lock().unwrap()
    }

    fn decide(&self, request: &AddCheckpoint) -> Result<WitnessAnswer, WitnessRefusal> {
        let mut held = self.held.lock().unwrap();
        let read = held.as_deref().map(|note| self.witness.read(note).unwrap());
        let now = CosignatureTime::from_unix_seconds(self.clock.fetch_add(1, Ordering::SeqCst)).unwrap();
        let accepted = self.witness.decide(read.as_ref(), request, now)?;
        *held = Some(accepted.note().to_vec());
        self.cosigned.lock().unwrap().push(accepted.checkpoint().size());
        let cosignature = match self.mood() {
            Mood::OtherKey => self.impostor.cosign(accepted.checkpoint(), now),
            _ => accepted.cosignature().clone(),
        };
        Ok(WitnessAnswer::Cosigned(vec![cosignature]))
    }
}

#[async_trait]
impl WitnessClient for LocalWitness {
    fn verifier(&self) -> &VerifierKey {
        &self.key
    }

    async fn add_checkpoint(&self, request: AddCheckpoint) -> Result<WitnessAnswer, WitnessError> {
        let asked = self.asked.fetch_add(1, Ordering::SeqCst);
        match self.mood() {
            Mood::Away => return Err(self.unavailable()),
            Mood::Silent => Semaphore::new(0).acquire().await.map(|_| ()).unwrap(),
            Mood::Boasts => return Ok(WitnessAnswer::Holds(u64::MAX)),
            Mood::Wavers => return Ok(WitnessAnswer::Holds(asked as u64 % 2)),
            _ => {}
        }
        // What is sent is what is read on the other side.
        let request = AddCheckpoint::parse(&request.to_bytes()).unwrap();
        match self.decide(&request) {
            Ok(_) if self.mood() == Mood::LosesAnswers => Err(self.unavailable()),
            Ok(answer) => Ok(answer),
            Err(WitnessRefusal::Conflict { held }) => {
                self.conflicts.fetch_add(1, Ordering::SeqCst);
                Ok(WitnessAnswer::Holds(held))
            }
            Err(refusal) => Err(WitnessError::Refused { witness: self.key.name().clone(), status: refusal.status() }),
        }
    }

    async fn held(&self, origin: &Origin) -> Result<Option<Vec<u8>>, WitnessError> {
        assert_eq!(origin.as_str(), ORIGIN);
        match self.mood() {
            Mood::Away => Err(self.unavailable()),
            _ => Ok(self.note()),
        }
    }
}

/// The policy under which so many of the witnesses must cosign.
pub(crate) fn policy(witnesses: &[Arc<LocalWitness>], threshold: usize) -> TrustPolicy {
    policy_of(&key(ORIGIN, 7), witnesses, threshold)
}

pub(crate) fn policy_of(log: &SignerKey, witnesses: &[Arc<LocalWitness>], threshold: usize) -> TrustPolicy {
    let mut text = format!("log {}\n", log.verifier());
    let mut names = String::new();
    for (at, witness) in witnesses.iter().enumerate() {
        text.push_str(&format!("witness w{at} {}\n", witness.key));
        names.push_str(&format!(" w{at}"));
    }
    TrustPolicy::parse(&format!("{text}group g {threshold}{names}\nquorum g\n")).unwrap()
}

pub(crate) fn clients(witnesses: &[Arc<LocalWitness>]) -> Vec<Arc<dyn WitnessClient>> {
    witnesses.iter().map(|witness| Arc::clone(witness) as Arc<dyn WitnessClient>).collect()
}

pub(crate) fn cosigning(witnesses: &[Arc<LocalWitness>], threshold: usize) -> Cosigning {
    Cosigning::new(policy(witnesses, threshold), clients(witnesses)).unwrap()
}
