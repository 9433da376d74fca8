//! Interruption of a guest call that waits for an answer while a command for its service waits behind the call.
//!
//! A guest may wait for an answer for a day, and a service carries commands out between two calls. Without an interruption it could
//! not be restarted, replaced or removed meanwhile. The guest's wait ends with an error, and the invocation is handled again
//! after the command.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

/// Time that a wait may still take once a command waits: most answers come in it, and no invocation has to be repeated.
const GRACE: Duration = Duration::from_secs(10);

/// Reason that guests and the log get.
pub(super) const INTERRUPTED: &str =
    "the wait was interrupted, because the service is to be restarted, replaced or stopped";

/// The commands that wait for a running call of one service.
#[derive(Debug, Default)]
pub struct Interruption {
    commands: AtomicUsize,
    arrived: Notify,
    /// Whether a wait was interrupted.
    is_interrupted: AtomicBool,
}

impl Interruption {
    /// Notes that a command waits.
    pub fn request(&self) {
        self.commands.fetch_add(1, Ordering::Relaxed);
        self.arrived.notify_waiters();
    }

    /// Notes that a command no longer waits.
    pub fn complete(&self) {
        self.commands.fetch_sub(1, Ordering::Relaxed);
    }

    /// Returns whether a wait was interrupted since the last call.
    pub fn take(&self) -> bool {
        self.is_interrupted.swap(false, Ordering::Relaxed)
    }

    /// Waits for `event`; `None`: the wait was interrupted.
    pub(super) async fn wait<T>(&self, event: impl Future<Output = T>) -> Option<T> {
        self.wait_at_most(GRACE, event).await
    }

    async fn wait_at_most<T>(&self, grace: Duration, event: impl Future<Output = T>) -> Option<T> {
        let interrupted = async {
            let mut arrived = pin!(self.arrived.notified());
            // a command that comes from here on is noticed, and so is one that waits already
            arrived.as_mut().enable();
            if self.commands.load(Ordering::Relaxed) == 0 {
                arrived.await;
            }
            tokio::time::sleep(grace).await;
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
        let waits = interruption.wait_at_most(SHORT, pending::<()>());
        let (outcome, ()) = tokio::join!(waits, async { interruption.request() });
        assert_eq!(outcome, None);
        assert!(interruption.take() && !interruption.take());

        let further = interruption.wait_at_most(SHORT, pending::<()>());
        assert_eq!(further.await, None, "the command waits still");
    }

    #[tokio::test]
    async fn answer_in_time_is_returned_although_a_command_waits() {
        let interruption = Interruption::default();
        interruption.request();
        assert_eq!(interruption.wait_at_most(SHORT, ready(1)).await, Some(1));
        let late = async {
            tokio::time::sleep(SHORT).await;
            2
        };
        assert_eq!(interruption.wait_at_most(LONG, late).await, Some(2));
        assert!(!interruption.take());
    }

    #[tokio::test]
    async fn command_that_was_carried_out_interrupts_nothing() {
        let interruption = Interruption::default();
        interruption.request();
        interruption.complete();
        let late = async {
            tokio::time::sleep(20 * SHORT).await;
            3
        };
        assert_eq!(interruption.wait_at_most(SHORT, late).await, Some(3));
    }
}
