//! Barring an identity: its grants end, its requests are denied, and nothing can be requested by or issued for it until the bar is
//! lifted.
//!
//! The bar stands in a stream of the identity's own, and whoever gives access guards the streams of everyone the access serves.
//! So a request that races with a bar is refused, or was submitted before it and ends with the others.

use std::collections::BTreeSet;

use jit_core::{
    Code, Event, Expected, IdempotencyKey, IdentityBarred, IdentityReinstated, LeafHash, Principal, PrincipalId, Prose,
    Refs, StreamId, Timestamp,
};
use jit_store::{AppendError, LogRecord};

use crate::{broker::Broker, ending_many::EndedMany, error::BrokerError, ops::OpsStream};

/// A bar in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bar {
    /// Whose.
    pub identity: PrincipalId,
    /// Who barred it.
    pub by: PrincipalId,
    /// Why, as a code.
    pub cause: Code,
    /// Since when.
    pub since: Timestamp,
    /// The leaf of its record.
    pub leaf: LeafHash,
}

/// Whether anybody whom an access serves is barred.
pub(crate) enum Standing {
    /// Nobody is, as long as these streams end so.
    Free(Vec<(StreamId, Expected)>),
    Barred(Bar),
}

impl Broker {
    /// Bars an identity and ends every grant that serves it: those it asked for, receives or is acted for under, and those of
    /// agents it owns. Each ends as `grant.eligibility_withdrawn` with the bar as its cause, and each request that still waits is
    /// denied, for good. Nothing can be submitted by or issued for it afterwards until [`reinstate`](Self::reinstate); who may bar
    /// is for the caller to establish.
    ///
    /// Repeated, under this or another key, it goes on with what is left to end. What a crash leaves is ended by the sweep.
    ///
    /// # Errors
    /// [`BrokerError`] if the bar could not be recorded, or the grants could not be found. Grants that could not be ended are
    /// in the result, and stay due.
    #[tracing::instrument(skip_all, err, fields(%identity))]
    pub async fn offboard(
        &self,
        key: &IdempotencyKey,
        identity: &PrincipalId,
        by: PrincipalId,
        cause: Code,
        reason: Option<Prose>,
    ) -> Result<EndedMany, BrokerError> {
        let stream = self.index_key.standing_stream(identity);
        let command = self.index_key.command(&by, key);
        loop {
            let standing = self.ops_stream(stream).await?;
            if standing.under(command).is_some_and(|event| !matches!(event, Event::IdentityBarred(_))) {
                return Err(BrokerError::ActKeyReused);
            }
            if standing.under(command).is_some() || bar_in(&standing).is_some() {
                return self.end_many(stream).await;
            }
            let barred = IdentityBarred {
                identity: identity.clone(),
                by: by.clone(),
                cause: cause.clone(),
                reason: reason.clone(),
            };
            let refs = Refs { command: Some(command), ..Refs::default() };
            match self.append_ops(&standing, barred.into(), refs).await {
                Ok(appended) => {
                    appended.receipt().await?;
                }
                // The next round answers from what somebody else wrote.
                Err(BrokerError::Append(AppendError::Conflict { .. })) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Lifts a bar. What it ended and denied stays so; what it had yet to end, after a crash for example, ends first. Writes nothing
    /// if there is no bar.
    ///
    /// # Errors
    /// Whatever kept it from being recorded, or something from ending; the bar is in force then.
    #[tracing::instrument(skip_all, err, fields(%identity))]
    pub async fn reinstate(
        &self,
        key: &IdempotencyKey,
        identity: &PrincipalId,
        by: PrincipalId,
        reason: Option<Prose>,
    ) -> Result<(), BrokerError> {
        let stream = self.index_key.standing_stream(identity);
        let command = self.index_key.command(&by, key);
        loop {
            let standing = self.ops_stream(stream).await?;
            match standing.under(command) {
                Some(Event::IdentityReinstated(_)) => return Ok(()),
                Some(_) => return Err(BrokerError::ActKeyReused),
                None => {}
            }
            let Some(bar) = bar_in(&standing) else { return Ok(()) };
            if !has_ended_all(&standing, &bar) {
                match self.end_many(stream).await?.failed.into_iter().next() {
                    Some((_, error)) => return Err(error),
                    None => continue,
                }
            }
            let event = IdentityReinstated { identity: identity.clone(), by: by.clone(), reason: reason.clone() };
            let refs = Refs { command: Some(command), cause: Some(bar.leaf), ..Refs::default() };
            match self.append_ops(&standing, event.into(), refs).await {
                Ok(appended) => {
                    appended.receipt().await?;
                    return Ok(());
                }
                Err(BrokerError::Append(AppendError::Conflict { .. })) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The bar in force for an identity.
    ///
    /// # Errors
    /// [`BrokerError::Read`] if the log cannot be read.
    pub async fn bar(&self, identity: &PrincipalId) -> Result<Option<Bar>, BrokerError> {
        Ok(bar_in(&self.ops_stream(self.index_key.standing_stream(identity)).await?))
    }

    /// Whether anybody whom access of this requester and recipient serves is barred.
    pub(crate) async fn standing(
        &self,
        requester: &Principal,
        recipient: &PrincipalId,
    ) -> Result<Standing, BrokerError> {
        let mut guards = Vec::new();
        for identity in served(requester, recipient) {
            let standing = self.ops_stream(self.index_key.standing_stream(&identity)).await?;
            match bar_in(&standing) {
                Some(bar) => return Ok(Standing::Barred(bar)),
                None => guards.push((standing.id(), standing.expected())),
            }
        }
        Ok(Standing::Free(guards))
    }
}

/// Everyone whom access serves: whoever has an interest in it, and the owner of an agent.
pub(crate) fn served(requester: &Principal, recipient: &PrincipalId) -> BTreeSet<PrincipalId> {
    let mut served: BTreeSet<PrincipalId> = requester.interested().into_iter().collect();
    served.insert(recipient.clone());
    if let Principal::Agent(agent) = requester {
        served.insert(PrincipalId::Identity(agent.owner().clone()));
    }
    served
}

/// Whether nothing is left of what a bar is to end.
fn has_ended_all(standing: &OpsStream, bar: &Bar) -> bool {
    let of_bar = |record: &LogRecord| record.record().header().refs.cause == Some(bar.leaf);
    standing.events().any(|(record, event)| matches!(event, Event::BulkEndCompleted(_)) && of_bar(record))
}

/// The bar that is in force at the end of a stream.
fn bar_in(standing: &OpsStream) -> Option<Bar> {
    let mut bar = None;
    for (record, event) in standing.events() {
        match event {
            Event::IdentityBarred(e) => {
                bar = Some(Bar {
                    identity: e.identity.clone(),
                    by: e.by.clone(),
                    cause: e.cause.clone(),
                    since: record.record().header().at,
                    leaf: record.record().leaf(),
                });
            }
            Event::IdentityReinstated(_) => bar = None,
            _ => {}
        }
    }
    bar
}
