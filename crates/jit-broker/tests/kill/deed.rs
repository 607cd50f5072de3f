//! What a broker does until it is killed.

use std::{env, path::PathBuf, sync::Arc, time::Duration};

use jit_broker::BrokerError;
use jit_core::{CaseId, Justification, Principal, Request, Timestamp, Window};
use jit_testkit::KillPoint;

use crate::{
    instance::Instance,
    store::StoreKind,
    support::{HOUR, class, key, scope},
    target::TargetKind,
};

const ORDER: &str = "JIT_KILL_ORDER";

/// What is done, from the moment it is armed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// A credential is issued, and given back.
    MintAndGiveBack,
    /// The window ends, and a sweep sees to it.
    Expire,
    /// A sweep finds out what became of a mint whose answer was lost.
    FindOut,
    /// A comparison with the target finds what no record explains.
    EndOrphan,
}

impl Deed {
    pub const OF_SELF_CONTAINED: [Self; 2] = [Self::MintAndGiveBack, Self::Expire];
    pub const OF_STATEFUL: [Self; 4] = [Self::MintAndGiveBack, Self::Expire, Self::FindOut, Self::EndOrphan];

    /// Where grants share what stands at the target.
    pub const OF_SHARED: [Self; 2] = [Self::MintAndGiveBack, Self::FindOut];

    /// Whether it is a sweep's, which claims what is due.
    pub fn claims(self) -> bool {
        matches!(self, Self::Expire | Self::FindOut)
    }

    /// How long after the request it begins.
    pub fn after(self) -> Duration {
        match self {
            Self::MintAndGiveBack | Self::EndOrphan => Duration::ZERO,
            Self::FindOut => Duration::from_secs(180),
            Self::Expire => HOUR * 2,
        }
    }
}

/// What one process is to do, and where it is killed.
#[derive(Clone)]
pub struct Order {
    pub deed: Deed,
    /// Tells the requests of one test apart.
    pub number: u64,
    /// The moment.
    pub kill_at: u64,
    pub begin: Timestamp,
    pub folder: PathBuf,
    pub store: StoreKind,
    pub target: TargetKind,
}

impl Order {
    pub fn to_environment(&self) -> (&'static str, String) {
        let deed = Deed::OF_STATEFUL.iter().position(|deed| *deed == self.deed).unwrap();
        let parts = [
            deed.to_string(),
            self.number.to_string(),
            self.kill_at.to_string(),
            self.begin.as_micros().to_string(),
            self.folder.to_str().unwrap().to_owned(),
            self.store.to_text(),
            self.target.to_text(),
        ];
        (ORDER, parts.join("\n"))
    }

    pub fn from_environment() -> Option<Self> {
        let text = env::var(ORDER).ok()?;
        let mut parts = text.splitn(7, '\n');
        let mut next = || parts.next().unwrap();
        Some(Self {
            deed: Deed::OF_STATEFUL[next().parse::<usize>().unwrap()],
            number: next().parse().unwrap(),
            kill_at: next().parse().unwrap(),
            begin: Timestamp::from_micros(next().parse().unwrap()).unwrap(),
            folder: next().into(),
            store: StoreKind::from_text(next()),
            target: TargetKind::from_text(next()),
        })
    }

    /// The process that is killed. It says what it released, and how many moments it passed if it came to its end.
    pub async fn carry_out(&self) {
        let point = Arc::new(KillPoint::at(self.kill_at));
        let instance = Instance::open(self, self.begin, point.clone()).await;
        if self.deed == Deed::EndOrphan {
            point.arm();
            let found = instance.broker.reconcile(instance.issuer(), self.begin).await.unwrap();
            assert_eq!((found.orphans_ended.len(), found.unclear.len()), (1, 0), "{found:?}");
        } else {
            let case = self.submit(&instance).await;
            if self.deed == Deed::MintAndGiveBack {
                point.arm();
            }
            instance.journal.lose_answers(self.deed == Deed::FindOut);
            match self.issue(&instance, case).await {
                Ok(issued) => println!("released {}", issued.descriptor.id),
                Err(BrokerError::MintUnknown(_)) if self.deed == Deed::FindOut => {}
                Err(error) => panic!("{error:?}"),
            }
            if self.deed == Deed::MintAndGiveBack {
                self.give_back(&instance, case).await.unwrap();
            } else {
                instance.clock.advance(self.deed.after());
                point.arm();
                assert_eq!(instance.broker.sweep().await.unwrap().failed, 0);
            }
        }
        println!("ended {}", point.passed());
    }

    /// The same case, whoever asks.
    pub async fn submit(&self, instance: &Instance) -> CaseId {
        let submitted = instance.broker.submit(&key(&format!("submit {}", self.number)), self.request()).await;
        submitted.unwrap().case
    }

    pub async fn issue(&self, instance: &Instance, case: CaseId) -> Result<jit_broker::Issued, BrokerError> {
        instance.broker.issue(&key("issue"), case, &requester().id(), instance.issuer()).await
    }

    pub async fn give_back(&self, instance: &Instance, case: CaseId) -> Result<(), BrokerError> {
        instance.broker.terminate(&key("give back"), case, requester().id(), None).await.map(drop)
    }

    fn request(&self) -> Request {
        let window = Window::new(self.begin, self.begin.saturating_add(HOUR)).unwrap();
        let why = Justification::new("release 1.4.2").unwrap();
        Request::builder(requester(), scope("cluster:prod/web", "deploy"), window, why, class("access"))
            .build()
            .unwrap()
    }
}

pub fn requester() -> Principal {
    Principal::Workload { spiffe_id: "spiffe://example.org/ci/deployer".parse().unwrap() }
}
