//! The time limit of a guest call, also where the guest waits in a host function and notices no ticks.

use std::future::poll_fn;
use std::pin::pin;
use std::task::{Poll, ready};
use std::time::{Duration, Instant};

use crate::guest::fault::DeadlineReached;
use crate::guest::wait_clock::WaitClock;

/// How much longer than its deadline a call may take to notice it: a call that waits in a host function notices no ticks and
/// is cut off after this.
const GRACE: Duration = Duration::from_millis(20);

/// Ends `call` some time after `limit`, also when it waits in a host function and sees no ticks. A call that is ready at once
/// costs nothing: the timer is made when it is first found to be waiting.
pub(super) async fn within<T>(
    limit: Duration,
    wait_clock: &WaitClock,
    call: impl Future<Output = wasmtime::Result<T>>,
) -> wasmtime::Result<T> {
    let (mut call, mut end, mut since) = (pin!(call), pin!(None), None);
    poll_fn(|cx| {
        if let Poll::Ready(result) = call.as_mut().poll(cx) {
            return Poll::Ready(result);
        }
        let since = *since.get_or_insert_with(Instant::now);
        loop {
            if end.is_none() {
                let at = since + limit + GRACE + wait_clock.waited(Instant::now());
                end.set(Some(tokio::time::sleep_until(at.into())));
            }
            let Some(timer) = end.as_mut().as_pin_mut() else {
                return Poll::Pending;
            };
            ready!(timer.poll(cx));
            let now = Instant::now();
            if now
                .saturating_duration_since(since)
                .saturating_sub(wait_clock.waited(now))
                >= limit
            {
                return Poll::Ready(Err(DeadlineReached(limit).into()));
            }

            // it waited for others meanwhile, which does not count
            end.set(None);
        }
    })
    .await
}
