//! What the next broker finds, and makes of it.

use std::{
    collections::BTreeSet,
    env,
    os::unix::process::ExitStatusExt as _,
    process::Stdio,
    sync::Arc,
    time::{Duration, Instant},
};

use jit_broker::BrokerError;
use jit_core::{Case, Clock as _, CredentialId, DueTask, MintState, Phase, RevocationState, Timestamp};
use jit_testkit::KillPoint;
use tokio::process::Command;

use crate::{
    deed::{Deed, Order},
    instance::{Instance, LEASE},
    journal::minted,
    store::Store,
    support::{HOUR, assert_invariants, start},
    target::{Target, TargetKind, roles_made},
};

/// After this, what a dead process left without outcome is taken over.
const TAKEN_OVER: Duration = Duration::from_secs(180);
/// How long quiet may take to come.
const PATIENCE: Duration = Duration::from_secs(20);
/// More moments than any deed has.
const TOO_MANY: u64 = 500;

/// One store and one target, on which brokers die.
pub struct Trial {
    test: &'static str,
    store: Store,
    target: Target,
}

/// What a process said.
#[derive(Debug, Default)]
struct Said {
    released: Vec<CredentialId>,
    killed: Option<String>,
    ended: Option<u64>,
}

impl Trial {
    pub fn new(test: &'static str, store: Store, target: Target) -> Self {
        Self { test, store, target }
    }

    pub async fn kill_at_every_step(self, deeds: &[Deed]) {
        self.target.kind.prepare(self.store.folder.path());
        Instance::create(&self.order(deeds[0], 0, 0)).await;
        let (mut number, mut report) = (0, Vec::new());
        for deed in deeds {
            let mut moments = 0;
            loop {
                number += 1;
                assert!(moments < TOO_MANY, "{deed:?} does not end");
                let order = self.order(*deed, number, moments);
                if *deed == Deed::EndOrphan {
                    self.target.kind.plant(order.begin).await;
                }
                let said = self.run(&order).await;
                self.recover(&order, &said).await;
                if let Some(passed) = said.ended {
                    assert_eq!(passed, moments, "every moment was tried");
                    break;
                }
                moments += 1;
            }
            assert!(moments > 2, "{deed:?} does something");
            // Of all that was ever recorded: nothing is ever taken from the log.
            let after = self.order(*deed, number + 1, 0);
            let instance = Instance::open(&after, after.begin, Arc::new(KillPoint::never())).await;
            assert_invariants(instance.broker.log(), after.begin).await;
            report.push(format!("{deed:?} at {moments} moments"));
        }
        println!("{}: {}", self.test, report.join(", "));
    }

    /// Each process has a day of its own, so that what it left is over before the next begins.
    fn order(&self, deed: Deed, number: u64, kill_at: u64) -> Order {
        Order {
            deed,
            number,
            kill_at,
            begin: start().saturating_add(HOUR * 24 * u32::try_from(number).unwrap()),
            folder: self.store.folder.path().to_owned(),
            store: self.store.kind.clone(),
            target: self.target.kind.clone(),
        }
    }

    /// Waits without blocking, so that what is left of the broker before lets go of its file.
    async fn run(&self, order: &Order) -> Said {
        let (name, value) = order.to_environment();
        let mut command = Command::new(env::current_exe().unwrap());
        command.args([self.test, "--exact", "--nocapture"]).env(name, value).stderr(Stdio::piped());
        let output = command.output().await.unwrap();
        let mut said = Said::default();
        for line in String::from_utf8(output.stdout).unwrap().lines() {
            // The first line begins with what the test harness says.
            if let Some((_, credential)) = line.split_once("released ") {
                said.released.push(credential.parse().unwrap());
            } else if let Some((_, moment)) = line.split_once("killed ") {
                said.killed = Some(moment.to_owned());
            } else if let Some((_, passed)) = line.split_once("ended ") {
                said.ended = Some(passed.parse().unwrap());
            }
        }
        let as_said = match (&said.killed, said.ended) {
            (Some(_), None) => output.status.signal() == Some(9),
            (None, Some(_)) => output.status.success(),
            _ => false,
        };
        assert!(as_said, "{said:?} {}: {}", output.status, String::from_utf8_lossy(&output.stderr));
        said
    }

    async fn recover(&self, order: &Order, said: &Said) {
        let context = format!("{:?} {}", order.deed, said.killed.as_deref().unwrap_or("not killed"));
        match &order.target {
            TargetKind::Members(..) => order.store.forget_leases().await,
            // What the dead process had claimed is free again.
            _ if order.deed.claims() => tokio::time::sleep(LEASE).await,
            _ => {}
        }
        let at = order.begin.saturating_add(order.deed.after()).saturating_add(TAKEN_OVER);
        let instance = Instance::open(order, at, Arc::new(KillPoint::never())).await;
        if order.deed == Deed::EndOrphan {
            self.quiet(&instance, order.begin).await;
            assert_eq!(self.target.kind.standing().await, Some(BTreeSet::new()), "{context}");
            return;
        }
        let id = order.submit(&instance).await;
        let before = instance.broker.case(id).await.unwrap();
        for credential in &said.released {
            assert_eq!(before.credentials()[credential].mint, MintState::Issued, "{context}: released, so recorded");
        }

        // Whoever asked and got no answer asks again.
        let mints = mints(order, &before);
        match order.issue(&instance, id).await {
            Ok(_) => assert_eq!((mints, before.credentials().len()), (0, 0), "{context}: asked anew"),
            Err(BrokerError::Refused { .. }) => {}
            Err(error) => panic!("{context}: {error:?}"),
        }
        self.quiet(&instance, order.begin).await;
        let resolved = instance.broker.case(id).await.unwrap();
        for (credential, known) in resolved.credentials() {
            // What is on no list stays unknown until it has died.
            let unknown = matches!(order.target, TargetKind::Vending) && known.mint == MintState::Unknown;
            assert!(unknown || !known.is_unresolved(), "{context}: {credential} is {:?}", known.mint);
        }
        self.assert_nothing_unexplained(&resolved, &context).await;

        // And has the access ended, if it had begun.
        match order.give_back(&instance, id).await {
            Ok(()) | Err(BrokerError::Refused { .. }) => {}
            Err(error) => panic!("{context}: {error:?}"),
        }
        self.quiet(&instance, order.begin).await;
        // An attempt that had no outcome is made again, within the window.
        for _ in 0..3 {
            if instance.broker.unsettled(None, 1).await.unwrap().found.is_empty() {
                break;
            }
            instance.clock.advance(Duration::from_secs(60));
            self.quiet(&instance, order.begin).await;
        }
        let ended = instance.broker.case(id).await.unwrap();
        assert_eq!(ended.phase(), Phase::Ended, "{context}");
        self.assert_taken_back(order, &ended, &context);
        self.assert_nothing_unexplained(&ended, &context).await;

        // What could not be taken back dies by itself.
        let mut times = 0;
        while !instance.broker.unsettled(None, 10).await.unwrap().found.is_empty() {
            times += 1;
            assert!(times < 8, "{context}: not settled");
            instance.clock.advance(HOUR / 2);
            self.quiet(&instance, order.begin).await;
        }
        let over = instance.broker.case(id).await.unwrap();
        assert!(over.is_closed(), "{context}");
        assert!(over.credentials().values().all(|c| !c.may_live()), "{context}");
        if let Some(standing) = self.target.kind.standing().await {
            assert_eq!(standing, BTreeSet::new(), "{context}");
        }
        self.assert_minted_once(order, &over, &context);
    }

    /// Does all that is due, and what is due after that, until it changes nothing.
    async fn quiet(&self, instance: &Instance, since: Timestamp) {
        let (log, until) = (instance.broker.log(), Instant::now() + PATIENCE);
        loop {
            let before = log.size().await.unwrap();
            let swept = instance.broker.sweep().await.unwrap();
            let found = instance.broker.reconcile(instance.issuer(), since).await.unwrap();
            let due = log.due(None, instance.clock.now().at, 1000).await.unwrap();
            // An end that has been followed stays due until its case can be closed, and is put off.
            let left = due.iter().filter(|work| work.id().task != DueTask::FollowEnd).count();
            let all_done = swept.failed == 0 && found.unclear.is_empty() && left <= swept.done;
            if all_done && log.size().await.unwrap() == before {
                return;
            }
            assert!(Instant::now() < until, "no quiet: {swept:?} {found:?} {due:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// What stands at the target is on record, as something that lives. Nothing of an earlier case does.
    async fn assert_nothing_unexplained(&self, case: &Case, context: &str) {
        let Some(standing) = self.target.kind.standing().await else { return };
        let exists = |mint: &MintState| matches!(mint, MintState::Issued | MintState::FoundExisting);
        let live = case.credentials().iter().filter(|(_, known)| exists(&known.mint) && known.may_live());
        let live: BTreeSet<String> = live.filter_map(|(id, _)| self.target.kind.name_of(*id)).collect();
        assert_eq!(standing, live, "{context}");
    }

    /// A credential that was taken back is refused by what its target reads.
    fn assert_taken_back(&self, order: &Order, case: &Case, context: &str) {
        for known in case.credentials().values() {
            let Some(descriptor) = &known.descriptor else { continue };
            let tried = known.revocation != RevocationState::None;
            assert!(tried || known.expired, "{context}: {:?}", known.revocation);
            match &self.target.kind {
                TargetKind::Jwt | TargetKind::Vending => {
                    assert_eq!(known.revocation == RevocationState::Irrevocable, tried, "{context}")
                }
                TargetKind::Ssh if tried => assert_eq!(known.revocation, RevocationState::Confirmed, "{context}"),
                TargetKind::Roles(..) | TargetKind::Members(..) => {
                    assert_eq!(known.revocation, RevocationState::Confirmed, "{context}")
                }
                TargetKind::Ssh | TargetKind::X509 => {}
            }
            if tried && let Some(listed) = self.target.kind.lists(&order.folder, descriptor) {
                assert!(listed, "{context}: {} is not listed", descriptor.id);
            }
        }
    }

    /// One command has minted one credential, once, by the account of everybody who was asked.
    fn assert_minted_once(&self, order: &Order, case: &Case, context: &str) {
        assert_eq!(case.credentials().len(), 1, "{context}: one command, one credential");
        let effects = minted(&order.folder);
        for credential in case.credentials().keys() {
            let (mints, commits) = effects.get(credential).copied().unwrap_or_default();
            assert!(mints <= 1 && commits <= 1, "{context}: {credential} {mints} {commits}");
            if let (Some(server), Some(name)) = (self.target.server, self.target.kind.name_of(*credential)) {
                let made = roles_made(server).iter().filter(|role| **role == name).count();
                assert!(made <= 1, "{context}: {name} was made {made} times");
            }
        }
    }
}

/// How often the target was asked to mint for a case.
fn mints(order: &Order, case: &Case) -> u32 {
    let effects = minted(&order.folder);
    case.credentials().keys().filter_map(|credential| effects.get(credential)).map(|(mints, _)| mints).sum()
}
