//! Writes waiting messages to the service's spool: chooses them, and handles the outcome.

use std::collections::VecDeque;
use std::time::Instant;

use tokio::sync::oneshot;
use tracing::warn;

use crate::config::WhenFull;
use crate::mailbox::Delivery;
use crate::message::Receipt;
use crate::session::{self, Commit};
use crate::store::StoreError;

use super::{BATCH, Queue, RETRY};
use crate::service::invocation::Invocation;

/// Messages on their way to the spool.
pub(super) struct PendingWrite {
    /// Whether the first of `deliveries` is the current message.
    pub(super) with_current: bool,
    pub(super) deliveries: Vec<Delivery>,
    pub(super) answer: oneshot::Receiver<Result<u64, StoreError>>,
}

/// Progress of messages to the spool and of their acknowledgements.
#[derive(Default)]
pub(super) struct SpoolWrites {
    /// Messages on their way to the spool.
    pub(super) pending: Option<PendingWrite>,
    /// Receipts of messages that are in the spool, to be acknowledged.
    pub(super) written: VecDeque<Receipt>,
    /// Time of the next attempt after the disk has failed.
    pub(super) retry_at: Option<Instant>,
}

impl Queue {
    /// Messages that may wait unacknowledged in the mailbox; `None`: any number, until they are overdue.
    pub(super) fn share(&self, waits: bool) -> Option<usize> {
        if waits && self.config.limits.mailbox.when_full == WhenFull::Hold {
            return Some(1);
        }
        self.backlog.is_spooling().then(|| self.mailbox.share())
    }

    /// Receipt of the current message, when the broker waits for its acknowledgement.
    pub(super) fn unacknowledged(&self) -> Option<u64> {
        match self.current.as_ref().and_then(Invocation::receipt) {
            Some(Receipt::Arrived(number)) => Some(number),
            _ => None,
        }
    }

    /// Begins to write the messages that the broker waits for: the current one and those in the mailbox.
    pub(super) fn begin(&mut self) {
        let deliveries = self.mailbox.take_with_receipt(self.room().min(BATCH));
        let (kept, surplus) = self.within_limits(deliveries);
        if !surplus.is_empty() {
            self.mailbox.count_dropped(surplus.len() as u64);
            self.writes
                .written
                .extend(surplus.into_iter().filter_map(|delivery| delivery.receipt));
        }

        let refused = self.write(self.unacknowledged().is_some(), kept);
        self.mailbox.put_back(refused);
    }

    /// Begins to write messages. Returns those that cannot be written now.
    pub(super) fn write(
        &mut self,
        with_current: bool,
        mut deliveries: Vec<Delivery>,
    ) -> Vec<Delivery> {
        if with_current && let Some(Invocation::Message(delivery)) = &self.current {
            deliveries.insert(0, delivery.clone());
        }
        if deliveries.is_empty() {
            return Vec::new();
        }
        let messages = deliveries
            .iter()
            .map(|delivery| delivery.message.clone())
            .collect();
        match self.store.begin_spool(&self.config.name, messages) {
            Ok(answer) => {
                self.writes.pending = Some(PendingWrite {
                    with_current,
                    deliveries,
                    answer,
                });
                Vec::new()
            }
            Err(error) => self.on_refused(with_current, deliveries, &error),
        }
    }

    pub(super) fn on_written(&mut self, outcome: Result<u64, StoreError>) {
        let refused = self.end_writing(outcome);
        self.mailbox.put_back(refused);
    }

    /// Ends writing. Returns the messages that are not in the spool.
    pub(super) fn end_writing(&mut self, outcome: Result<u64, StoreError>) -> Vec<Delivery> {
        let Some(PendingWrite {
            with_current,
            deliveries,
            ..
        }) = self.writes.pending.take()
        else {
            return Vec::new();
        };

        match outcome {
            Ok(first) => {
                let mut numbered = (first..).zip(deliveries);
                if with_current && let Some((number, delivery)) = numbered.next() {
                    self.on_current_spooled(number, delivery.receipt);
                }
                for (number, mut delivery) in numbered {
                    self.writes
                        .written
                        .extend(delivery.receipt.replace(Receipt::Kept(number)));
                    self.backlog.push(delivery, number);
                }

                Vec::new()
            }
            Err(error) => self.on_refused(with_current, deliveries, &error),
        }
    }

    /// Notes that the message with this receipt is in the spool. One that was given up meanwhile is removed from there.
    pub(super) fn on_current_spooled(&mut self, number: u64, receipt: Option<Receipt>) {
        match &mut self.current {
            Some(Invocation::Message(current)) if current.receipt == receipt => {
                self.writes
                    .written
                    .extend(current.receipt.replace(Receipt::Kept(number)));
                current.message = current.message.to_detached();
            }
            _ => self.writes.written.push_back(Receipt::Kept(number)),
        }
    }

    pub(super) fn on_refused(
        &mut self,
        with_current: bool,
        mut deliveries: Vec<Delivery>,
        error: &StoreError,
    ) -> Vec<Delivery> {
        let count = deliveries.len();
        warn!("{count} messages wait unacknowledged and hold up others: {error}");
        self.writes.retry_at = Some(Instant::now() + RETRY);
        if with_current {
            deliveries.remove(0);
        }
        deliveries
    }

    /// Acknowledges spooled messages, as far as the session takes that now.
    pub(super) fn acknowledge(&mut self) {
        while let Some(receipt) = self.writes.written.front() {
            let commit = Commit {
                receipt: Some(*receipt),
                ..Commit::new(self.id)
            };
            if self
                .session
                .try_send(session::Command::Commit(commit))
                .is_err()
            {
                return;
            }

            self.writes.written.pop_front();
        }
    }
}
