//! Machine: what waits for one service. In: messages from the router, rings from the timers. Out: one thing after the other
//! to the service's task. Owns both ends of it and the words for what goes in and comes out.
//!
//! The sender never waits for the receiver. The lock is held for a few instructions and both ends live on the message path's thread, so it
//! is hardly ever contended; the receiver's waker is called only when the receiver sleeps.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

mod delivery;
mod overflow;
mod state;

use crate::config::{self, WhenFull};
use crate::message::{Outcome, Receipt, Token};

pub use delivery::{Delivered, Delivery, Trace};
pub use overflow::{Overflow, Unreadable};
use state::State;

/// What a service is told beside messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// The connection to the broker is there.
    Connected {
        /// Whether the broker still knew the session.
        session_present: bool,
    },
    /// The connection to the broker is lost.
    Disconnected,
    /// It is known what became of a published message.
    Outcome(Token, Outcome),
}

/// How much a mailbox holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Messages that may wait; 0 counts as 1.
    pub messages: usize,
    /// Bytes that they may take, their topics and properties included; a message that waits alone may take any number.
    pub bytes: usize,
    /// What happens to a message when so many wait.
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

/// What comes next for a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Nothing until the service may publish again: see `Mailbox::uncongested`.
    Congested,
    /// Timers are due.
    Timers,
    /// Something to be told.
    Notice(Notice),
    /// A message.
    Delivery(Delivery),
    /// A message waited on disk and cannot be read any more.
    Unreadable(Unreadable),
    /// All senders are gone and nothing waits.
    Closed,
}

/// What happened to a mailbox so far, in messages. What was taken out is
/// `received - dropped_oldest - dropped_newest - undelivered - depth`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Offered by the router.
    pub received: u64,
    /// Dropped because a newer one needed the place.
    pub dropped_oldest: u64,
    /// Dropped because there was no place for them.
    pub dropped_newest: u64,
    /// Of those dropped, the ones for which there was a place and not enough bytes.
    pub dropped_for_bytes: u64,
    /// Left behind by the receiver, or offered after it was gone.
    pub undelivered: u64,
    /// Waiting now.
    pub depth: usize,
    /// The most that ever waited.
    pub high_water: usize,
}

/// A new mailbox of the host itself: the end to put in and the end to take out. What waits does so in memory, and it hands everything
/// out however much is published.
pub fn mailbox(limits: Limits) -> (Sender, Mailbox) {
    let (sender, mailbox) = with_overflow(limits, Overflow::default());
    mailbox.ignore_congestion();
    (sender, mailbox)
}

/// A new mailbox of a service, whose messages wait in `overflow` where there are too many for memory.
pub fn with_overflow(limits: Limits, overflow: Overflow) -> (Sender, Mailbox) {
    let shared = Arc::new(Shared {
        state: Mutex::new(State::new(limits, overflow)),
    });
    (
        Sender {
            shared: Arc::clone(&shared),
        },
        Mailbox { shared },
    )
}

/// The end to put in: for the router and the timers.
#[derive(Debug)]
pub struct Sender {
    shared: Arc<Shared>,
}

impl Sender {
    /// Puts a message in; never waits. The receipt of what was dropped is for the caller to settle.
    pub fn deliver(&self, delivery: Delivery) -> Delivered {
        let mut state = self.shared.lock();
        let delivered = state.put(delivery);
        wake(state);
        delivered
    }

    /// The name of the service, where it has one.
    pub fn service(&self) -> Option<Arc<str>> {
        self.shared.lock().overflow.service()
    }

    /// From now on these limits hold; what waits already stays.
    pub fn set_limits(&self, limits: Limits) {
        self.shared.lock().limits = limits;
    }

    /// Says that timers are due; rings that were not heard yet count as one.
    pub fn ring(&self) {
        let mut state = self.shared.lock();
        state.rung = true;
        wake(state);
    }

    /// Tells something. Outcomes are bounded by what the service itself has published; of what happened to the connection, what
    /// is not told before the next thing happens is not told any more, so that it does not pile up.
    pub fn tell(&self, notice: Notice) {
        let mut state = self.shared.lock();
        if state.receiver_gone {
            return;
        }
        if !matches!(notice, Notice::Outcome(..)) {
            state
                .notices
                .retain(|waiting| matches!(waiting, Notice::Outcome(..)));
        }
        state.notices.push_back(notice);
        wake(state);
    }

    /// Says that messages whose receipt is below `number` hold up the broker's next ones, and how many messages a service may hold
    /// unacknowledged while others wait in its spool: see `Mailbox::overdue`.
    pub fn mark_overdue(&self, number: u64, share: usize) {
        let mut state = self.shared.lock();
        (state.flow.overdue, state.flow.share) = (number, share);
        wake(state);
    }

    /// Says whether the service has published as much as it may for now. While it has, the mailbox hands nothing out.
    pub fn set_congested(&self, congested: bool) {
        let mut state = self.shared.lock();
        state.flow.congested = congested;
        wake(state);
    }

    /// Forgets what still waits when the receiver is gone, and gives the receipts of it; empty while it lives.
    pub fn left_behind(&self) -> Vec<Receipt> {
        let mut state = self.shared.lock();
        if state.receiver_gone {
            state.clear()
        } else {
            Vec::new()
        }
    }

    /// What happened so far.
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

/// The end to take out: for the service's task. Dropping it closes the mailbox.
#[derive(Debug)]
pub struct Mailbox {
    shared: Arc<Shared>,
}

impl Mailbox {
    /// Waits for what comes next. Cancel-safe: what was not returned stays in the mailbox.
    pub async fn next(&mut self) -> Next {
        poll_fn(|context| self.poll(context)).await
    }

    /// What is there without waiting. Timers and messages alternate, so that neither starves the other.
    pub fn try_next(&mut self) -> Option<Next> {
        self.shared.lock().take()
    }

    /// As `try_next`, but leaves messages where they are.
    pub fn try_next_but_messages(&mut self) -> Option<Next> {
        self.shared.lock().take_but_messages()
    }

    /// Waits until messages hold up the broker's next ones: as many as `share` wait unacknowledged, or one of them is overdue, here or
    /// `in_hand`, which has left the mailbox and is not handled. Cancel-safe.
    pub async fn overdue(&self, share: Option<usize>, in_hand: Option<u64>) {
        poll_fn(|context| {
            let mut state = self.shared.lock();
            if state.is_overdue(share, in_hand) {
                return Poll::Ready(());
            }
            state.sleeper = Some(context.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// As `overdue`, now.
    pub fn is_overdue(&self, share: Option<usize>, in_hand: Option<u64>) -> bool {
        self.shared.lock().is_overdue(share, in_hand)
    }

    /// How many messages may wait here unacknowledged while others wait in the service's spool.
    pub fn share(&self) -> usize {
        self.shared.lock().flow.share
    }

    /// Takes the first messages that have a receipt: `most`, or less when they are heavy.
    pub fn take_with_receipt(&mut self, most: usize) -> Vec<Delivery> {
        self.shared.lock().take_with_receipt(most)
    }

    /// Puts messages back that were taken last, before all others.
    pub fn put_back(&mut self, deliveries: Vec<Delivery>) {
        self.shared.lock().put_back(deliveries);
    }

    /// Counts messages that were taken out and dropped because there were too many.
    pub fn count_dropped(&self, messages: u64) {
        self.shared.lock().counters.dropped_newest += messages;
    }

    /// Hands everything out from now on, however much the service has published.
    pub fn ignore_congestion(&self) {
        self.shared.lock().flow.ends = true;
    }

    /// Waits until the service may publish. Cancel-safe.
    pub async fn uncongested(&self) {
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

    /// Whether nothing is handed out because the service has published as much as it may.
    pub fn is_congested(&self) -> bool {
        self.shared.lock().is_congested()
    }

    /// What happened so far.
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
