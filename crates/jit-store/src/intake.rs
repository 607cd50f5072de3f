//! What callers hand in, collected into batches.

use std::collections::VecDeque;
use std::task::{Context, Poll};

use tokio::sync::{mpsc, oneshot};

use crate::append::AppendError;
use crate::committer::Written;
use crate::prepared::PreparedRequest;

/// No more records than this are committed at once, unless one request has more.
const MAX_BATCH_RECORDS: usize = 1024;
/// No more payload bytes than this are committed at once, unless one request has more.
const MAX_BATCH_BYTES: usize = 8 << 20;
/// From so many requests on, half of them are sent while the other half is under way, where batches may be under way side by side.
const HALVED: usize = 64;

/// One caller's append.
pub(crate) struct Submission {
    pub(crate) request: PreparedRequest,
    pub(crate) answer: oneshot::Sender<Result<Written, AppendError>>,
}

/// The queue of what is to be appended.
pub(crate) struct Intake {
    queue: mpsc::Receiver<Submission>,
    waiting: VecDeque<Submission>,
    over: bool,
}

impl Intake {
    pub(crate) fn new(queue: mpsc::Receiver<Submission>) -> Self {
        Self { queue, waiting: VecDeque::new(), over: false }
    }

    /// Whether nothing waits, and nothing will.
    pub(crate) fn is_over(&self) -> bool {
        self.over && self.waiting.is_empty()
    }

    /// Ready when so many requests wait, or no more come.
    pub(crate) fn poll_waiting(&mut self, wanted: usize, context: &mut Context<'_>) -> Poll<()> {
        while !self.over && self.waiting.len() < wanted {
            match self.queue.poll_recv(context) {
                Poll::Ready(Some(submission)) => self.waiting.push_back(submission),
                Poll::Ready(None) => self.over = true,
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(())
    }

    /// The next batch, beside so many requests that are under way; `None` where one batch at a time is written.
    pub(crate) async fn batch(&mut self, under_way: Option<usize>) -> Vec<Submission> {
        // Callers that were just answered come back at once; nobody else is waited for.
        loop {
            let before = self.waiting.len();
            tokio::task::yield_now().await;
            while self.waiting.len() < MAX_BATCH_RECORDS
                && let Ok(submission) = self.queue.try_recv()
            {
                self.waiting.push_back(submission);
            }
            if self.waiting.len() == before || self.waiting.len() == MAX_BATCH_RECORDS {
                break;
            }
        }
        let all = self.waiting.len().saturating_add(under_way.unwrap_or(0));
        self.take(if under_way.is_none() || all < HALVED { all } else { all.div_ceil(2) })
    }

    /// As many as may be committed at once, at most so many.
    fn take(&mut self, requests: usize) -> Vec<Submission> {
        let (mut records, mut bytes) = (0_usize, 0_usize);
        let mut fits = |submission: &&Submission| {
            records = records.saturating_add(submission.request.len());
            bytes = bytes.saturating_add(submission.request.bytes());
            records <= MAX_BATCH_RECORDS && bytes <= MAX_BATCH_BYTES
        };
        let fitting = self.waiting.iter().take(requests).take_while(|submission| fits(submission)).count();
        self.waiting.drain(..fitting.max(1).min(self.waiting.len())).collect()
    }
}
