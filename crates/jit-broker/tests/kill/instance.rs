//! A broker as one process has it: nothing is carried over from another but what store, anchor and target hold.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use jit_broker::{Broker, Settings};
use jit_core::{Entropy as _, IssuerName, SystemName, Timestamp, WriterId};
use jit_issuer::CredentialIssuer as _;
use jit_log::{KeyName, SignerKey};
use jit_policy::EntityDirectory;
use jit_store::{Anchor, AnchorError, Ed25519Signer, FileAnchor, Log, LogConfig, OsEntropy, Published};
use jit_testkit::{FailingBackend, KillPoint, ManualClock};

use crate::{
    deed::Order,
    journal::Journal,
    support::{DIRECTORY, index_key, person, retention, snapshot},
};

/// Work of a killed process is free again after this.
pub const LEASE: Duration = Duration::from_millis(50);

pub struct Instance {
    pub broker: Broker,
    pub clock: Arc<ManualClock>,
    pub journal: Arc<Journal>,
}

impl Instance {
    /// Creates the log, and publishes the policy.
    pub async fn create(order: &Order) {
        let backend = order.store.open(&order.folder).await;
        let clock = Arc::new(ManualClock::at(order.begin));
        let log = Log::create(backend, config(order, clock, Arc::default())).await.unwrap();
        let directory = Arc::new(directory());
        let broker = Broker::builder(log, directory).build();
        broker.publish(snapshot(), person("policy-owner").id()).await.unwrap();
    }

    pub async fn open(order: &Order, at: Timestamp, point: Arc<KillPoint>) -> Self {
        let backend = order.store.open(&order.folder).await;
        let backend = Arc::new(FailingBackend::with_kill_point(backend, point.clone()));
        let clock = Arc::new(ManualClock::at(at));
        let log = Log::open(backend, config(order, clock.clone(), point.clone())).await.unwrap();
        let issuer = order.target.issuer(&order.folder, at, &log).await;
        let journal = Arc::new(Journal::new(issuer, &order.folder, point));
        let directory = Arc::new(directory());
        let broker = Broker::builder(log, directory.clone())
            .facts(directory)
            .issuer(journal.clone())
            .settings(Settings::default().lease(LEASE))
            .build();
        broker.adopt(snapshot()).await.unwrap();
        Self { broker, clock, journal }
    }

    pub fn issuer(&self) -> &IssuerName {
        self.journal.name()
    }
}

fn config(order: &Order, clock: Arc<ManualClock>, point: Arc<KillPoint>) -> LogConfig {
    let name = KeyName::parse("jit.example/evidence/killed").unwrap();
    let signer = Arc::new(Ed25519Signer::new(SignerKey::from_seed(name, [3; 32])));
    let anchor = Arc::new(AnchorWithKillPoint(FileAnchor::new(order.folder.join("checkpoint")), point));
    let mut writer = [0; 16];
    OsEntropy.fill(&mut writer).unwrap();
    LogConfig::new(signer, anchor, retention(), index_key(), WriterId::v8(writer), clock)
}

fn directory() -> EntityDirectory {
    EntityDirectory::parse(SystemName::new("directory").unwrap(), DIRECTORY.as_bytes()).unwrap()
}

#[derive(Debug)]
struct AnchorWithKillPoint(FileAnchor, Arc<KillPoint>);

#[async_trait]
impl Anchor for AnchorWithKillPoint {
    async fn load(&self) -> Result<Option<Vec<u8>>, AnchorError> {
        self.0.load().await
    }

    async fn publish(&self, expected: Option<&[u8]>, note: &[u8]) -> Result<Published, AnchorError> {
        self.1.around("anchor", self.0.publish(expected, note)).await
    }
}
