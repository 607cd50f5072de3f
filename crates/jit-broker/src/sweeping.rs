//! Work that falls due: windows that end, credentials that expire, outcomes that are missing, revocations to try again.
//!
//! What is due is in the store, and claimed by lease: any number of brokers share it without a leader, and a broker that
//! starts loads nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use jit_core::{Case, CaseId, DueTask, MintState, RevocationState, StepOrigin, StreamId};
use jit_store::DueWork;
use tokio::{sync::watch, task::JoinSet};
use tracing::Instrument as _;

use crate::{
    broker::Broker,
    error::BrokerError,
    turn::{NotTaken, Turn, may_leave_children},
};

/// How much work one claim takes. The next is made when fewer cases than this are being worked on.
const BATCH: usize = 256;
/// For how long an end that has been followed is left alone, while its case cannot be closed yet.
const FOLLOWED: Duration = Duration::from_secs(24 * 3600);

/// What a sweep did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// How much due work it took and finished.
    pub done: usize,
    /// How much it took and could not finish; it stays due.
    pub failed: usize,
}

impl Broker {
    /// Does everything that is due now and that nobody else is doing, each once. What fails stays due and is taken again by a
    /// later sweep, after its lease, so one damaged case does not keep the others waiting.
    ///
    /// Dropping the future leaves the rest to the next sweep.
    ///
    /// # Errors
    /// [`BrokerError`] if no work can be claimed.
    #[tracing::instrument(skip_all, err)]
    pub async fn sweep(&self) -> Result<Swept, BrokerError> {
        let mut swept = Swept::default();
        // What stays due is claimable again after its lease, which may be before the rest is done.
        let (mut worked, mut repeated) = (BTreeSet::new(), 0_usize);
        let (mut working, mut may_be_more) = (JoinSet::new(), true);
        loop {
            // More is claimed before the last is done: else the slowest of a claim would keep everything waiting.
            if may_be_more && working.len() < BATCH {
                let mut claimed = self.log.claim(self.clock.now().at, self.settings.lease, BATCH).await?;
                let found = claimed.len();
                claimed.retain(|work| worked.insert(*work.id()));
                repeated = repeated.saturating_add(found.saturating_sub(claimed.len()));
                // Work that is claimed again and again would keep a sweep from its end.
                let over = found == 0 || (claimed.is_empty() && repeated > worked.len());
                if over && working.is_empty() {
                    return Ok(swept);
                }
                // What falls due little by little is claimed together, once this is done.
                may_be_more = !over && found >= BATCH / 2;
                // Cases side by side, so that the log commits them together and a slow target keeps no other case waiting; the work
                // of one case in its order.
                let mut cases: BTreeMap<StreamId, Vec<DueWork>> = BTreeMap::new();
                for work in claimed {
                    cases.entry(work.id().stream).or_default().push(work);
                }
                for work in cases.into_values() {
                    let broker = self.clone();
                    working.spawn(async move { broker.work_all(&work).await }.in_current_span());
                }
                continue;
            }
            let Some(done) = working.join_next().await else {
                // What was done may have made other work due.
                may_be_more = true;
                continue;
            };
            // A task that was ended leaves its work due.
            let done = done.unwrap_or(Swept { done: 0, failed: 1 });
            swept.done = swept.done.saturating_add(done.done);
            swept.failed = swept.failed.saturating_add(done.failed);
        }
    }

    async fn work_all(&self, due: &[DueWork]) -> Swept {
        let mut swept = Swept::default();
        // Whether all has been recorded that is due in this case by itself.
        let mut settled = false;
        for work in due {
            if settled && is_settled_alone(&work.id().task) {
                swept.done = swept.done.saturating_add(1);
                continue;
            }
            let worked = self.work(work).await;
            settled = worked.is_ok();
            match worked {
                Ok(()) => swept.done = swept.done.saturating_add(1),
                Err(error) => {
                    swept.failed = swept.failed.saturating_add(1);
                    tracing::warn!(stream = %work.id().stream, %error, "due work failed and stays due");
                }
            }
        }
        swept
    }

    /// Sweeps now and whenever `every` has passed, until `stop` says so or its sender is gone. A sweep under way is finished.
    pub async fn run(&self, every: Duration, mut stop: watch::Receiver<bool>) {
        let mut ticks = tokio::time::interval(every);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                changed = stop.changed() => if changed.is_err() || *stop.borrow() { return },
                _ = ticks.tick() => {
                    // The error is in the span; what could not be claimed now is due still.
                    let _claimed_later = self.sweep().await;
                    if let Err(error) = self.log.heartbeat().await {
                        tracing::warn!(%error, "no heartbeat");
                    }
                }
            }
        }
    }

    async fn work(&self, work: &DueWork) -> Result<(), BrokerError> {
        let StreamId::Case(id) = work.id().stream else {
            if work.id().task == DueTask::EndMany {
                let ended = self.end_many(work.id().stream).await?;
                return ended.failed.into_iter().next().map_or(Ok(()), |(_, error)| Err(error));
            }
            return Ok(());
        };
        match work.id().task {
            DueTask::ResolveMint(credential) => self.resolve_mint(id, credential).await?,
            DueTask::Revocation(credential) => self.resolve_revocation(id, credential).await?,
            DueTask::Open => self.open(id).await?,
            DueTask::Announce => self.announce(id).await?,
            DueTask::FollowEnd => return self.follow_end(work, id).await,
            _ => {}
        }
        self.settle(id).await
    }

    /// Does what follows from an end. Where nothing but the death of credentials or an obligation is waited for, each of which is
    /// due by itself, the work is put off: the end has been followed, and only the closing of the case takes it from what is due.
    async fn follow_end(&self, work: &DueWork, id: CaseId) -> Result<(), BrokerError> {
        let case = self.load_existing(id).await?;
        let case = self.after_end(case).await?;
        if !case.is_closed() && !is_to_be_taken_back(&case) {
            self.log.put_off(work, FOLLOWED).await?;
        }
        Ok(())
    }

    /// Records everything that is due in a case by itself, and what follows from it. What hangs below a case ends before it is
    /// closed.
    pub(crate) async fn settle(&self, id: CaseId) -> Result<(), BrokerError> {
        self.settle_after(id, false).await.map(drop)
    }

    /// The same; `below_ended` says that the grant has ended and everything that hung below it too. Gives the case as it is afterwards.
    pub(crate) async fn settle_after(&self, id: CaseId, below_ended: bool) -> Result<Case, BrokerError> {
        loop {
            let case = self.load_existing(id).await?;
            let Some(retain) = case.retain().cloned() else { return Ok(case) };
            let origin = StepOrigin::internal(retain);
            let ended = case.grant().is_some_and(|g| g.end.is_some());
            let turn = if may_leave_children(&case) && case.due_command(self.clock.now().at).is_some() {
                if !below_ended {
                    self.end_children(&case).await?;
                }
                self.closing_turn(case, &origin).await
            } else {
                self.try_turn(case, &[], &origin, Vec::new()).await
            };
            match turn {
                Ok(Turn { case, .. }) => {
                    // Nothing follows from the end of a case that is closed with it.
                    if !ended && !case.is_closed() && case.grant().is_some_and(|g| g.end.is_some()) {
                        return self.after_end(case).await;
                    }
                    return Ok(case);
                }
                Err(NotTaken::Conflict) => {}
                Err(NotTaken::Failed(error)) => return Err(error),
            }
        }
    }
}

/// Whether such work is done once everything is recorded that is due in its case by itself.
fn is_settled_alone(task: &DueTask) -> bool {
    matches!(
        task,
        DueTask::Lapse | DueTask::Expire | DueTask::CredentialExpiry(_) | DueTask::Approvals | DueTask::Obligation(_)
    )
}

/// Whether a credential may live that nobody has tried to take back, now or once its mint has an outcome.
fn is_to_be_taken_back(case: &Case) -> bool {
    case.credentials().values().any(|known| match known.mint {
        MintState::Pending | MintState::Prepared => true,
        MintState::Issued | MintState::FoundExisting => known.may_live() && known.revocation == RevocationState::None,
        _ => false,
    })
}
