//! Calls whose future is dropped: at its first await, at its second, and so on until it is faster.

use std::{future::poll_fn, task::Poll, time::Duration};

use tokio::time::sleep;

/// How long a call that was given up is left alone before it is dropped, so that the database may have answered.
pub(super) const LINGER: [Duration; 2] = [Duration::ZERO, Duration::from_millis(15)];
/// No call awaits more often than this.
const MOST_POLLS: usize = 200;

/// The result, or `None` if it is not there after so many polls; then the future is dropped.
pub(super) async fn give_up<T>(polls: usize, linger: Duration, future: impl Future<Output = T>) -> Option<T> {
    let mut future = Box::pin(future);
    let mut left = polls;
    let result = poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(result) => Poll::Ready(Some(result)),
        Poll::Pending => {
            left -= 1;
            if left == 0 { Poll::Ready(None) } else { Poll::Pending }
        }
    })
    .await;
    if result.is_none() && !linger.is_zero() {
        sleep(linger).await;
    }
    result
}

/// Every number of polls from one on, each with and without lingering.
pub(super) fn patience() -> impl Iterator<Item = (usize, Duration)> {
    (1..MOST_POLLS).flat_map(|polls| LINGER.map(|linger| (polls, linger)))
}
