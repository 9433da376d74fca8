//! Mailbox of one service: messages from the router, wake-ups from the timers, notices from the session.
//!
//! The sender never waits for the receiver: a full mailbox applies its policy (`limits.when_full`). The lock is held for a few
//! instructions and both ends live on the message path's thread, so it is hardly ever contended. The receiver's waker is called
//! only when the receiver sleeps.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

mod delivery;
mod memory_queue;
mod spill_queue;
mod state;

use crate::config::{self, WhenFull};
use crate::message::{Outcome, Receipt, Token};

pub use delivery::{Delivery, PushOutcome, Trace};
pub use memory_queue::READ_BUFFER;
pub use spill_queue::{SpillQueue, Unreadable};
use state::State;

/// Notice to a service about something other than a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// The connection to the broker was established.
    Connected {
        /// Whether the broker still knew the session.
        session_present: bool,
    },
    /// The connection to the broker was lost.
    Disconnected,
    /// The outcome of a published message is known.
    Outcome(Token, Outcome),
}

/// Limits of a mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Messages that may wait; 0 counts as 1.
    pub messages: usize,
    /// Bytes that they may take, with topics and properties. A message that waits alone may take any number.
    pub bytes: usize,
    /// Policy for a message that exceeds the limits.
    pub when_full: WhenFull,
}

impl From<&config::Limits> for Limits {
    fn from(limits: &config::Limits) -> Self {
        Self {
            messages: limits.mailbox.messages,
            bytes: limits.mailbox.bytes,
            when_full: limits.mailbox.when_full,
        }
    }
}

/// The next thing in a mailbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Nothing until the service may publish again: see [`Mailbox::wait_until_uncongested`].
    Congested,
    /// Timers are due.
    Timers,
    /// A notice.
    Notice(Notice),
    /// A message.
    Delivery(Delivery),
    /// A message that waited on disk and cannot be read any more.
    Unreadable(Unreadable),
    /// Nothing, and there is no sender any more.
    Closed,
}

/// Counters of a mailbox, in messages. The number of messages that were taken out is
/// `received - dropped_oldest - dropped_newest - undelivered - depth`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Messages that the router offered.
    pub received: u64,
    /// Messages that were dropped for newer ones.
    pub dropped_oldest: u64,
    /// Messages that were dropped because there was no room for them.
    pub dropped_newest: u64,
    /// Dropped messages that exceeded the limit of bytes and not that of messages.
    pub dropped_for_bytes: u64,
    /// Messages that the receiver left, or that were offered after it had ended.
    pub undelivered: u64,
    /// Messages that wait now.
    pub depth: usize,
    /// Largest number of messages that ever waited.
    pub high_water: usize,
}

/// Creates a mailbox of the host itself. Messages wait in memory, and congestion does not stop it.
pub fn mailbox(limits: Limits) -> (Sender, Mailbox) {
    let (sender, mailbox) = with_spill_queue(limits, SpillQueue::default());
    mailbox.ignore_congestion();
    (sender, mailbox)
}

/// Creates a mailbox of a service. Messages that do not fit into memory wait in `spill`.
pub fn with_spill_queue(limits: Limits, spill: SpillQueue) -> (Sender, Mailbox) {
    let shared = Arc::new(Shared {
        state: Mutex::new(State::new(limits, spill)),
    });
    (
        Sender {
            shared: Arc::clone(&shared),
        },
        Mailbox { shared },
    )
}

/// Sending end of a mailbox, for the router, the timers and the session.
#[derive(Debug)]
pub struct Sender {
    shared: Arc<Shared>,
}

impl Sender {
    /// Puts a message in; never waits. The caller acknowledges messages that were dropped.
    pub fn deliver(&self, delivery: Delivery) -> PushOutcome {
        let mut state = self.shared.lock();
        let delivered = state.put(delivery);
        wake(state);
        delivered
    }

    /// Returns the name of the service, if it has one.
    pub fn service(&self) -> Option<Arc<str>> {
        self.shared.lock().spill.service()
    }

    /// Changes the limits; waiting messages stay.
    pub fn set_limits(&self, limits: Limits) {
        self.shared.lock().limits = limits;
    }

    /// Wakes the service because timers are due; wake-ups that it has not taken yet count as one.
    pub fn wake_timers(&self) {
        let mut state = self.shared.lock();
        state.events.timers_due = true;
        wake(state);
    }

    /// Puts a notice in. Outcomes are bounded by the service's own publishes. A notice about the connection replaces an earlier one
    /// that was not taken yet, so that they do not pile up.
    pub fn notify(&self, notice: Notice) {
        let mut state = self.shared.lock();
        if state.receiver_gone {
            return;
        }
        if !matches!(notice, Notice::Outcome(..)) {
            state
                .events
                .notices
                .retain(|waiting| matches!(waiting, Notice::Outcome(..)));
        }

        state.events.notices.push_back(notice);
        wake(state);
    }

    /// Marks messages whose receipt is below `number` as holding up the broker's next ones. `share`: messages that a service may hold
    /// unacknowledged while others wait in its spool. See [`Mailbox::overdue`].
    pub fn mark_overdue(&self, number: u64, share: usize) {
        let mut state = self.shared.lock();
        (state.flow.overdue, state.flow.share) = (number, share);
        wake(state);
    }

    /// Sets whether the service has published as much as it may for now; then the mailbox returns nothing.
    pub fn set_congested(&self, congested: bool) {
        let mut state = self.shared.lock();
        state.flow.congested = congested;
        wake(state);
    }

    /// Removes all messages if the receiver has ended. Returns their receipts; nothing while it lives.
    pub fn drain_receipts(&self) -> Vec<Receipt> {
        let mut state = self.shared.lock();
        if state.receiver_gone {
            state.clear()
        } else {
            Vec::new()
        }
    }

    /// Current counters.
    pub fn counters(&self) -> Counters {
        self.shared.counters()
    }
}

impl Clone for Sender {
    fn clone(&self) -> Self {
        self.shared.lock().senders += 1;
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.senders -= 1;
        if state.senders == 0 {
            wake(state);
        }
    }
}

/// Receiving end of a mailbox, for the service's task. Dropping it closes the mailbox.
#[derive(Debug)]
pub struct Mailbox {
    shared: Arc<Shared>,
}

impl Mailbox {
    /// Waits for the next thing. Cancel-safe.
    pub async fn next(&mut self) -> Next {
        poll_fn(|context| self.poll(context)).await
    }

    /// Takes the next thing if there is one. Timers, notices and messages take turns, so that none starves another.
    pub fn try_next(&mut self) -> Option<Next> {
        self.shared.lock().take()
    }

    /// As `try_next`, without messages.
    pub fn try_next_but_messages(&mut self) -> Option<Next> {
        self.shared.lock().take_but_messages()
    }

    /// Waits until messages hold up the broker's next ones: as many as `share` wait unacknowledged, or one of them is overdue, here or
    /// `current`, which has left the mailbox and is not handled. Cancel-safe.
    pub async fn overdue(&self, share: Option<usize>, current: Option<u64>) {
        poll_fn(|context| {
            let mut state = self.shared.lock();
            if state.is_overdue(share, current) {
                return Poll::Ready(());
            }
            state.sleeper = Some(context.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// As `overdue`, now.
    pub fn is_overdue(&self, share: Option<usize>, current: Option<u64>) -> bool {
        self.shared.lock().is_overdue(share, current)
    }

    /// Messages that may wait here unacknowledged while others wait in the service's spool.
    pub fn share(&self) -> usize {
        self.shared.lock().flow.share
    }

    /// Takes the first messages that have a receipt: at most `most`, and fewer when they are large.
    pub fn take_with_receipt(&mut self, most: usize) -> Vec<Delivery> {
        self.shared.lock().take_with_receipt(most)
    }

    /// Puts the messages that were taken last back to the front.
    pub fn put_back(&mut self, deliveries: Vec<Delivery>) {
        self.shared.lock().put_back(deliveries);
    }

    /// Counts messages that were taken out and dropped because too many waited.
    pub fn count_dropped(&self, messages: u64) {
        self.shared.lock().counters.dropped_newest += messages;
    }

    /// Ignores congestion from now on.
    pub fn ignore_congestion(&self) {
        self.shared.lock().flow.ends = true;
    }

    /// Waits until the service may publish. Cancel-safe.
    pub async fn wait_until_uncongested(&self) {
        poll_fn(|context| {
            let mut state = self.shared.lock();
            if state.is_congested() {
                state.sleeper = Some(context.waker().clone());
                return Poll::Pending;
            }
            Poll::Ready(())
        })
        .await
    }

    /// Whether the service has published as much as it may, so that the mailbox returns nothing.
    pub fn is_congested(&self) -> bool {
        self.shared.lock().is_congested()
    }

    /// Current counters.
    pub fn counters(&self) -> Counters {
        self.shared.counters()
    }

    fn poll(&mut self, context: &Context<'_>) -> Poll<Next> {
        let mut state = self.shared.lock();
        match state.take() {
            Some(next) => Poll::Ready(next),
            None => {
                state.sleeper = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.receiver_gone = true;
        state.counters.undelivered += state.len() as u64;
        state.sleeper = None;
    }
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // a poisoned lock is no reason to stop: every change below is complete before anything could panic
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn counters(&self) -> Counters {
        let state = self.lock();
        let depth = if state.receiver_gone { 0 } else { state.len() };
        Counters {
            depth,
            ..state.counters
        }
    }
}

/// Unlocks and wakes the receiver if it sleeps: after unlocking, so that it does not wake into a held lock.
fn wake(mut state: MutexGuard<'_, State>) {
    let sleeper = state.sleeper.take();
    drop(state);
    if let Some(sleeper) = sleeper {
        sleeper.wake();
    }
}

#[cfg(test)]
mod tests;
