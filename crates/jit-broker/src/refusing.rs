//! Refusals outside any case: bad content from somebody authenticated, and input from nobody known. Few records, no content.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use jit_core::{
    Code, Draft, Expected, PrincipalId, Record, Refs, RequestRefused, RetentionClass, StreamHead, StreamId, Timestamp,
};
use jit_store::{AppendError, AppendRequest, Appended};

use crate::{broker::Broker, error::BrokerError};

/// The most principals and reasons remembered at a time; beyond it, everybody new shares the entry of nobody known.
const MAX_REMEMBERED: usize = 10_000;

/// Counts refusals between records.
pub(crate) struct Refusals {
    interval: Duration,
    seen: Mutex<BTreeMap<(Option<PrincipalId>, Code), Seen>>,
    /// The end of this writer's own stream; held over an append, so that two refusals do not conflict.
    head: tokio::sync::Mutex<Option<StreamHead>>,
}

#[derive(Clone, Copy)]
struct Seen {
    recorded_at: Timestamp,
    since: u64,
}

impl Refusals {
    pub(crate) fn new(interval: Duration) -> Self {
        Self { interval, seen: Mutex::default(), head: tokio::sync::Mutex::new(None) }
    }

    /// Counts a refusal; the number to record now, if it is time to.
    fn count(&self, who: &Option<PrincipalId>, code: &Code, now: Timestamp) -> Option<(Option<PrincipalId>, u64)> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.retain(|_, s| s.since > 0 || now.since(s.recorded_at) < self.interval);
        let mut key = (who.clone(), code.clone());
        if !seen.contains_key(&key) && seen.len() >= MAX_REMEMBERED {
            key.0 = None;
        }
        let who = key.0.clone();
        match seen.get_mut(&key) {
            Some(s) if now.since(s.recorded_at) < self.interval => {
                s.since = s.since.saturating_add(1);
                None
            }
            Some(s) => {
                let count = s.since.saturating_add(1);
                *s = Seen { recorded_at: now, since: 0 };
                Some((who, count))
            }
            None => {
                seen.insert(key, Seen { recorded_at: now, since: 0 });
                Some((who, 1))
            }
        }
    }
}

impl Broker {
    /// Records that a request could not even be read: the code of the error, never its content. `who` is absent if nobody
    /// was authenticated. Repetitions within an interval are counted and recorded with the next one after it.
    ///
    /// # Errors
    /// Whatever kept the refusal from being recorded.
    #[tracing::instrument(skip_all, err)]
    pub async fn refuse(
        &self,
        who: Option<PrincipalId>,
        code: Code,
        retain: RetentionClass,
    ) -> Result<(), BrokerError> {
        let read = self.clock.now();
        let Some((requester, count)) = self.refusals.count(&who, &code, read.at) else { return Ok(()) };
        let stream = StreamId::Ops(self.recorder.writer());
        let event = RequestRefused { requester, code, count }.into();
        let draft = self.recorder.draft(stream, event, Refs::default(), retain, read)?;
        self.note(draft).await.map(drop)
    }

    /// Appends to this writer's own stream: what it saw outside any case.
    pub(crate) async fn note(&self, draft: Draft) -> Result<(Record, Appended), BrokerError> {
        let stream = draft.stream();
        let mut head = self.refusals.head.lock().await;
        loop {
            let record = draft.clone().seal(*head, None)?;
            let next = record.head();
            let request = AppendRequest::new().records(stream, Expected::from_head(*head), vec![record.clone()]);
            match self.log.append(request).await {
                Ok(appended) => {
                    *head = Some(next);
                    return Ok((record, appended));
                }
                // Another part of this process wrote to its stream.
                Err(AppendError::Conflict { current, .. }) => *head = current,
                Err(error) => return Err(error.into()),
            }
        }
    }
}
