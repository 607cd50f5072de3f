//! Streams of what belongs to no case: acts on many grants, and the standing of identities.

use jit_core::{
    ClockReading, CommandId, Event, EventError, Expected, Record, RecordCaseError, Refs, StreamHead, StreamId,
};
use jit_store::{AppendRequest, Appended, LogRecord};

use crate::{broker::Broker, error::BrokerError};

/// One such stream, as read.
pub(crate) struct OpsStream {
    id: StreamId,
    records: Vec<(LogRecord, Event)>,
}

impl OpsStream {
    pub(crate) fn id(&self) -> StreamId {
        self.id
    }

    pub(crate) fn events(&self) -> impl DoubleEndedIterator<Item = (&LogRecord, &Event)> {
        self.records.iter().map(|(record, event)| (record, event))
    }

    /// What a command under its idempotency key wrote here.
    pub(crate) fn under(&self, command: CommandId) -> Option<&Event> {
        self.events().find(|(record, _)| record.record().header().refs.command == Some(command)).map(|(_, event)| event)
    }

    pub(crate) fn expected(&self) -> Expected {
        Expected::from_head(self.head())
    }

    fn head(&self) -> Option<StreamHead> {
        self.records.last().map(|(record, _)| record.record().head())
    }

    fn last(&self) -> Option<ClockReading> {
        let header = self.records.last()?.0.record().header();
        Some(ClockReading { at: header.at, clock: header.clock.clone() })
    }
}

impl Broker {
    pub(crate) async fn ops_stream(&self, id: StreamId) -> Result<OpsStream, BrokerError> {
        let records = self.log.stream(&id).await?;
        let read = |record: LogRecord| record.record().event().map(|event| (record, event));
        let records = records.into_iter().map(read).collect::<Result<_, EventError>>()?;
        Ok(OpsStream { id, records })
    }

    /// Appends one record after what was read.
    pub(crate) async fn append_ops(
        &self,
        after: &OpsStream,
        event: Event,
        refs: Refs,
    ) -> Result<Appended, BrokerError> {
        let read = self.clock.now();
        if let Some(last) = after.last().filter(|last| !read.may_follow(last)) {
            return Err(RecordCaseError::ClockBehind { now: read.at, last: last.at }.into());
        }
        let class = self.log.governance_class().clone();
        let record: Record = self.recorder.draft(after.id, event, refs, class, read)?.seal(after.head(), None)?;
        let request = AppendRequest::new().records(after.id, after.expected(), vec![record]);
        Ok(self.append(request).await?)
    }
}
