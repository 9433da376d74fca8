//! Backlog of one service: messages that left its mailbox and were not handled, which are its spool and its deferred messages. Pure.
//!
//! The spool is on disk. Its first messages are in memory too, so that the next one is at hand; of the others only the segments are
//! known, and the queue reads them.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use crate::mailbox::Delivery;
use crate::message::Receipt;
use crate::store::Segment;

/// Bytes of spooled messages that are kept in memory.
const IN_MEMORY: usize = 1 << 20;

/// A message that was not handled yet, and earlier attempts at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PendingMessage {
    /// The message.
    pub delivery: Delivery,
    /// Attempts before it was deferred.
    pub earlier: EarlierAttempts,
}

/// Attempts at an invocation before it was deferred.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct EarlierAttempts {
    /// Their number.
    pub count: u32,
    /// Whether a fault of theirs was logged: then the following ones are, too.
    pub is_logged: bool,
}

/// Messages of one service that were not handled yet.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    /// The first messages of the spool.
    first: VecDeque<Delivery>,
    /// Segments of the spool behind `first`.
    on_disk: VecDeque<Segment>,
    /// Number of messages that are on disk only.
    unread: usize,
    /// Deferred messages by the time of their next attempt; the number distinguishes those of one instant.
    deferred: BTreeMap<(Instant, u64), PendingMessage>,
    last: u64,
    /// Bytes that all messages take.
    bytes: usize,
    /// Bytes that the messages in `first` take.
    first_bytes: usize,
}

impl Backlog {
    /// Number of messages.
    pub(crate) fn len(&self) -> usize {
        self.first.len() + self.unread + self.deferred.len()
    }

    /// Bytes that all messages take.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether the spool has messages, so that later ones have to wait behind them.
    pub(crate) fn is_spooling(&self) -> bool {
        !self.first.is_empty() || !self.on_disk.is_empty()
    }

    /// Takes out the segment that must be read from disk before `take` returns the next message of the spool.
    pub(crate) fn next_segment(&mut self) -> Option<Segment> {
        if !self.first.is_empty() {
            return None;
        }
        let segment = self.on_disk.pop_front()?;
        self.forget(segment);
        Some(segment)
    }

    /// Puts messages that were read of a segment to the front, and the `rest` of the segment behind them.
    pub(crate) fn put_first(&mut self, messages: Vec<Delivery>, rest: Option<Segment>) {
        if let Some(rest) = rest {
            self.bytes += rest.bytes;
            self.unread += rest.messages;
            self.on_disk.push_front(rest);
        }
        for delivery in messages.into_iter().rev() {
            let weight = delivery.message.weight();
            self.bytes += weight;
            self.first_bytes += weight;
            self.first.push_front(delivery);
        }
    }

    /// Appends a segment of the spool.
    pub(crate) fn push_segment(&mut self, segment: Segment) {
        self.bytes += segment.bytes;
        self.unread += segment.messages;
        self.on_disk.push_back(segment);
    }

    /// Appends a message that is on disk under `number`.
    pub(crate) fn push(&mut self, delivery: Delivery, number: u64) {
        let weight = delivery.message.weight();
        self.bytes += weight;
        if self.on_disk.is_empty() && self.first_bytes + weight <= IN_MEMORY {
            self.first_bytes += weight;
            // a message from the broker keeps the whole buffer into which it was read
            return self.first.push_back(Delivery {
                message: delivery.message.to_detached(),
                ..delivery
            });
        }

        self.unread += 1;
        match self
            .on_disk
            .back_mut()
            .filter(|segment| segment.last < number)
        {
            Some(segment) => segment.push(number, weight),
            None => self.on_disk.push_back(Segment::new(number, weight)),
        }
    }

    /// Defers a message until `at`.
    pub(crate) fn defer(&mut self, pending: PendingMessage, at: Instant) {
        self.last += 1;
        self.bytes += pending.delivery.message.weight();
        self.deferred.insert((at, self.last), pending);
    }

    /// When the next one that was put away is to be pending; `None`: there is none.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.deferred.keys().next().map(|(at, _)| *at)
    }

    /// Takes the next message to handle at `now`: a deferred one that is due, or the first of the spool that is in memory.
    pub(crate) fn take(&mut self, now: Instant) -> Option<PendingMessage> {
        if self.due().is_some_and(|at| at <= now) {
            let (_, pending) = self.deferred.pop_first()?;
            self.bytes -= pending.delivery.message.weight();
            return Some(pending);
        }
        let delivery = self.first.pop_front()?;
        let weight = delivery.message.weight();
        self.bytes -= weight;
        self.first_bytes -= weight;
        Some(PendingMessage {
            delivery,
            earlier: EarlierAttempts::default(),
        })
    }

    /// Removes all messages. Returns the receipts of those in memory, and the number of those that are on disk only.
    pub(crate) fn drain(&mut self) -> (Vec<Receipt>, usize) {
        let Self {
            first,
            unread,
            deferred,
            ..
        } = std::mem::take(self);

        let deferred = deferred.into_values().map(|pending| pending.delivery);
        (
            deferred
                .chain(first)
                .filter_map(|delivery| delivery.receipt)
                .collect(),
            unread,
        )
    }

    const fn forget(&mut self, segment: Segment) {
        self.unread -= segment.messages;
        self.bytes -= segment.bytes;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::Duration;

    use super::*;
    use crate::message::{Message, Qos};
    use crate::topic::Topic;

    fn delivery(number: u64, bytes: usize) -> Delivery {
        let message = Message::new(
            Topic::new("t").unwrap(),
            vec![0; bytes],
            Qos::AtLeastOnce,
            false,
        );

        Delivery::new(message, Some(Receipt::Kept(number)))
    }

    fn attempts(count: u32) -> EarlierAttempts {
        EarlierAttempts {
            count,
            is_logged: true,
        }
    }

    fn push(backlog: &mut Backlog, number: u64, bytes: usize) {
        backlog.push(delivery(number, bytes), number);
    }

    fn take(backlog: &mut Backlog, now: Instant) -> Option<(Receipt, u32)> {
        backlog
            .take(now)
            .map(|pending| (pending.delivery.receipt.unwrap(), pending.earlier.count))
    }

    #[test]
    fn messages_that_are_due_come_before_the_spool_which_keeps_its_order() {
        let mut backlog = Backlog::default();
        let start = Instant::now();
        let second = Duration::from_secs(1);
        push(&mut backlog, 1, 1);
        push(&mut backlog, 2, 1);
        backlog.defer(
            PendingMessage {
                delivery: delivery(8, 1),
                earlier: attempts(2),
            },
            start + 2 * second,
        );

        backlog.defer(
            PendingMessage {
                delivery: delivery(9, 1),
                earlier: attempts(1),
            },
            start + second,
        );

        assert_eq!((backlog.len(), backlog.due()), (4, Some(start + second)));
        assert_eq!(take(&mut backlog, start), Some((Receipt::Kept(1), 0)));
        assert_eq!(
            take(&mut backlog, start + second),
            Some((Receipt::Kept(9), 1))
        );
        assert_eq!(
            take(&mut backlog, start + second),
            Some((Receipt::Kept(2), 0))
        );
        assert_eq!(take(&mut backlog, start + second), None);
        assert_eq!(
            take(&mut backlog, start + 2 * second),
            Some((Receipt::Kept(8), 2))
        );
        assert_eq!((backlog.len(), backlog.bytes()), (0, 0));
    }

    /// A disk with `count` messages of 64 KiB, of which the backlog has only the first MiB in memory.
    #[test]
    fn the_spool_is_read_in_portions_and_in_order() {
        const SIZE: usize = 64 << 10;
        let mut backlog = Backlog::default();
        let now = Instant::now();
        let count = 100;
        for number in 0..count {
            push(&mut backlog, 2 * number, SIZE);
        }
        assert!(
            backlog.first_bytes <= IN_MEMORY && backlog.first.len() >= 15,
            "{}",
            backlog.first.len()
        );
        let mut taken = Vec::new();
        while backlog.is_spooling() {
            if let Some(segment) = backlog.next_segment() {
                let read: Vec<_> = (segment.first..=segment.last).step_by(2).take(7).collect();
                let last = *read.last().unwrap();
                let weight = delivery(0, SIZE).message.weight();
                let rest = Segment {
                    first: last + 2,
                    last: segment.last,
                    messages: segment.messages - read.len(),
                    bytes: segment.bytes - read.len() * weight,
                };

                backlog.put_first(
                    read.into_iter()
                        .map(|number| delivery(number, SIZE))
                        .collect(),
                    (rest.messages > 0).then_some(rest),
                );
            }

            taken.extend(take(&mut backlog, now).map(|(receipt, _)| receipt));
        }

        assert_eq!(
            taken,
            (0..count)
                .map(|number| Receipt::Kept(2 * number))
                .collect::<Vec<_>>()
        );

        assert_eq!(
            (backlog.len(), backlog.bytes(), backlog.first_bytes),
            (0, 0, 0)
        );
    }

    #[test]
    fn a_drained_backlog_says_what_was_in_it() {
        let mut backlog = Backlog::default();
        let start = Instant::now();
        push(&mut backlog, 1, 1);
        push(&mut backlog, 2, IN_MEMORY);
        backlog.defer(
            PendingMessage {
                delivery: delivery(3, 1),
                earlier: attempts(1),
            },
            start,
        );

        assert_eq!(
            backlog.drain(),
            (vec![Receipt::Kept(3), Receipt::Kept(1)], 1)
        );
        assert_eq!(
            (backlog.len(), backlog.is_spooling(), backlog.due()),
            (0, false, None)
        );
    }
}
