//! Interruption of a guest call that waits for an answer while a command for its service waits behind the call.
//!
//! A guest may wait for an answer for a day, and a service carries commands out between two calls. Without an interruption it could
//! not be restarted, replaced or removed meanwhile. The guest's wait ends with an error, and the invocation is handled again
//! after the command.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::timeout_at;

/// Time that a wait may still take once a command waits: most answers come in it, and no invocation has to be repeated.
pub const INTERRUPTION_GRACE: Duration = Duration::from_secs(10);

/// Reason that guests and the log get.
pub(super) const INTERRUPTED: &str =
    "the wait was interrupted, because the service is to be restarted, replaced or stopped";

/// The commands that wait for a running call of one service.
#[derive(Debug, Default)]
pub struct Interruption {
    commands: AtomicUsize,
    /// Milliseconds that a wait may still take, as the last command says.
    grace: AtomicU64,
    arrived: Notify,
    /// Whether a wait was interrupted.
    is_interrupted: AtomicBool,
}

impl Interruption {
    /// Notes that a command waits, which lets a wait take `grace` from now on.
    pub fn request(&self, grace: Duration) {
        let grace = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        self.grace.store(grace, Ordering::Relaxed);
        self.commands.fetch_add(1, Ordering::Relaxed);
        self.arrived.notify_waiters();
    }

    /// Notes that a command no longer waits.
    pub fn complete(&self) {
        self.commands.fetch_sub(1, Ordering::Relaxed);
    }

    /// Returns whether a wait was interrupted since the last call, or a command waits. A call that fails then is to be made again: a host
    /// that stops fails its requests as well.
    pub fn take(&self) -> bool {
        let is_interrupted = self.is_interrupted.swap(false, Ordering::Relaxed);
        is_interrupted || self.is_requested()
    }

    fn is_requested(&self) -> bool {
        self.commands.load(Ordering::Relaxed) > 0
    }

    /// Waits for `event`; `None`: the wait was interrupted.
    pub(super) async fn wait<T>(&self, event: impl Future<Output = T>) -> Option<T> {
        let interrupted = async {
            let mut end: Option<Instant> = None;
            loop {
                let mut arrived = pin!(self.arrived.notified());
                // a command that comes from here on is noticed, and so is one that waits already
                arrived.as_mut().enable();
                if self.is_requested() {
                    let new = Instant::now() + self.grace();
                    end = Some(end.map_or(new, |end| end.min(new)));
                }
                match end {
                    None => arrived.await,
                    Some(end) if timeout_at(end.into(), arrived).await.is_err() => return,
                    Some(_) => {}
                }
            }
        };

        tokio::select! {
            biased;
            output = event => Some(output),
            () = interrupted => {
                self.is_interrupted.store(true, Ordering::Relaxed);
                None
            }
        }
    }

    fn grace(&self) -> Duration {
        Duration::from_millis(self.grace.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    const SHORT: Duration = Duration::from_millis(1);
    const LONG: Duration = Duration::from_secs(3600);

    #[tokio::test]
    async fn wait_ends_some_time_after_a_command_arrives() {
        let interruption = Interruption::default();
        let waits = interruption.wait(pending::<()>());
        let (outcome, ()) = tokio::join!(waits, async { interruption.request(SHORT) });
        assert_eq!(outcome, None);
        let further = interruption.wait(pending::<()>());
        assert_eq!(further.await, None, "the command waits still");
        assert!(interruption.take());
        interruption.complete();
        assert!(!interruption.take());
    }

    #[tokio::test]
    async fn urgent_command_shortens_a_wait_that_is_to_end() {
        let interruption = Interruption::default();
        interruption.request(LONG);
        let waits = interruption.wait(pending::<()>());
        let (outcome, ()) = tokio::join!(waits, async { interruption.request(SHORT) });
        assert_eq!(outcome, None);
    }

    #[tokio::test]
    async fn answer_in_time_is_returned_although_a_command_waits() {
        let interruption = Interruption::default();
        interruption.request(SHORT);
        assert_eq!(interruption.wait(ready(1)).await, Some(1));
        interruption.request(LONG);
        let late = async {
            tokio::time::sleep(SHORT).await;
            2
        };
        assert_eq!(interruption.wait(late).await, Some(2));
    }

    #[tokio::test]
    async fn command_that_was_carried_out_interrupts_nothing() {
        let interruption = Interruption::default();
        interruption.request(SHORT);
        interruption.complete();
        let late = async {
            tokio::time::sleep(20 * SHORT).await;
            3
        };
        assert_eq!(interruption.wait(late).await, Some(3));
        assert!(!interruption.take());
    }
}
