//! Batches that were sent in the belief that nobody else writes, and are not answered yet.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::append::LogRecord;
use crate::backend::BackendError;
use crate::intake::Submission;
use crate::row::{Known, RecordKey};
use crate::tree::Tree;

/// While one batch is written, the next is made.
const MOST: usize = 2;

type Writing = Pin<Box<dyn Future<Output = Result<bool, BackendError>> + Send>>;

/// A batch under way.
pub(crate) struct Flight {
    pub(crate) submissions: Vec<Submission>,
    /// What each request wrote, if the batch is written.
    pub(crate) written: Vec<Vec<LogRecord>>,
    /// The first record, by which the batch is found again.
    pub(crate) first: (RecordKey, Known),
    /// The tree, if the batch is written.
    pub(crate) tree: Tree,
    pub(crate) writing: Writing,
}

/// A batch that was answered.
pub(crate) struct Landed {
    pub(crate) flight: Flight,
    pub(crate) answer: Result<bool, BackendError>,
}

/// All batches under way, in the order in which they were sent.
#[derive(Default)]
pub(crate) struct Flights {
    flights: VecDeque<(Flight, Option<Result<bool, BackendError>>)>,
}

impl Flights {
    pub(crate) fn is_empty(&self) -> bool {
        self.flights.is_empty()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.flights.len() >= MOST
    }

    /// How many requests are under way.
    pub(crate) fn requests(&self) -> usize {
        self.flights.iter().map(|(flight, _)| flight.submissions.len()).sum()
    }

    pub(crate) fn send(&mut self, flight: Flight) {
        self.flights.push_back((flight, None));
    }

    /// Drives all of them, first the one that was sent first. Ready when that one was answered, or there is none.
    pub(crate) fn poll_landed(&mut self, context: &mut Context<'_>) -> Poll<Option<Landed>> {
        for (flight, answer) in &mut self.flights {
            if answer.is_none()
                && let Poll::Ready(answered) = flight.writing.as_mut().poll(context)
            {
                *answer = Some(answered);
            }
        }
        match self.flights.pop_front() {
            None => Poll::Ready(None),
            Some((flight, Some(answer))) => Poll::Ready(Some(Landed { flight, answer })),
            Some(waiting) => {
                self.flights.push_front(waiting);
                Poll::Pending
            }
        }
    }

    /// The answers to all that are under way.
    pub(crate) async fn land_all(&mut self) -> Vec<Landed> {
        let mut all = Vec::new();
        while let Some(landed) = std::future::poll_fn(|context| self.poll_landed(context)).await {
            all.push(landed);
        }
        all
    }
}
