//! State of a mailbox: its messages in memory and on disk, its policy and its counters. Pure, apart from the files of the spill queue.

use std::collections::VecDeque;
use std::task::Waker;

use super::memory_queue::MemoryQueue;
use super::{Counters, Delivery, Limits, Next, Notice, PushOutcome, SpillQueue, Unreadable};
use crate::config::WhenFull;
use crate::message::{Qos, Receipt};

/// Bytes of messages that are taken at once to be put elsewhere.
const AT_ONCE: usize = 1 << 20;

#[derive(Debug)]
pub(super) struct State {
    pub(super) limits: Limits,
    queue: MemoryQueue,
    /// Messages behind those in `queue`.
    pub(super) spill: SpillQueue,
    /// Messages of `spill` that cannot be read any more.
    unreadable: VecDeque<Unreadable>,
    pub(super) events: Events,
    /// Messages that the broker keeps until they are acknowledged.
    unacknowledged: usize,
    pub(super) flow: Flow,
    pub(super) senders: usize,
    pub(super) receiver_gone: bool,
    /// Waker of the receiver while it waits.
    pub(super) sleeper: Option<Waker>,
    pub(super) counters: Counters,
}

/// Everything besides messages that a service has to know.
#[derive(Debug, Default)]
pub(super) struct Events {
    /// Whether timers are due of which the service does not know yet.
    pub(super) timers_due: bool,
    pub(super) notices: VecDeque<Notice>,
    /// Kind that was taken last: another one has the next turn.
    last: Turn,
}

/// Flow of messages from and to the broker, as the session sees it.
#[derive(Debug)]
pub(super) struct Flow {
    /// Receipts below this number have held up the broker's messages for too long; zero: none has.
    pub(super) overdue: u64,
    /// Messages that a service may hold unacknowledged while others wait in its spool.
    pub(super) share: usize,
    /// Whether the service has published as much as it may until the broker has taken some of it; then nothing is returned.
    pub(super) congested: bool,
    /// Whether the service ends; then congestion is ignored.
    pub(super) ends: bool,
}

impl Default for Flow {
    fn default() -> Self {
        Self {
            overdue: 0,
            share: 1,
            congested: false,
            ends: false,
        }
    }
}

/// Limit that is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Full {
    Messages,
    Bytes,
}

/// Kinds that take turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Turn {
    #[default]
    Delivery,
    Timers,
    Notice,
}

impl State {
    pub(super) fn new(limits: Limits, spill: SpillQueue) -> Self {
        Self {
            limits,
            queue: MemoryQueue::default(),
            spill,
            unreadable: VecDeque::new(),
            events: Events::default(),
            unacknowledged: 0,
            flow: Flow::default(),
            senders: 1,
            receiver_gone: false,
            sleeper: None,
            counters: Counters::default(),
        }
    }

    /// Number of waiting messages.
    pub(super) fn len(&self) -> usize {
        self.queue.len() + self.spill.len()
    }

    /// Whether some wait on disk.
    #[cfg(test)]
    pub(super) fn spills(&self) -> bool {
        !self.spill.is_empty()
    }

    pub(super) fn put(&mut self, delivery: Delivery) -> PushOutcome {
        self.counters.received += 1;
        if self.receiver_gone {
            self.counters.undelivered += 1;
            return PushOutcome::Refused(delivery);
        }
        let weight = delivery.message.weight();
        let held_back = self.holds_back(&delivery);
        let mut dropped = Vec::new();
        while let Some(full) = self.full(weight) {
            match self.limits.when_full {
                WhenFull::DropOldest => {
                    self.counters.dropped_oldest += 1;
                    dropped.extend(self.pop());
                }
                // the broker stops at the receive maximum, unless it disregards it
                WhenFull::Hold if held_back => break,
                WhenFull::DropNewest | WhenFull::Hold => {
                    self.counters.dropped_newest += 1;
                    self.counters.dropped_for_bytes += u64::from(full == Full::Bytes);
                    return PushOutcome::Refused(delivery);
                }
            }

            self.counters.dropped_for_bytes += u64::from(full == Full::Bytes);
        }

        self.append(delivery, weight, held_back);
        self.counters.high_water = self.counters.high_water.max(self.len());
        if dropped.is_empty() {
            PushOutcome::Taken
        } else {
            PushOutcome::Replaced(dropped)
        }
    }

    /// Whether the broker keeps it until it is handled.
    fn holds_back(&self, delivery: &Delivery) -> bool {
        let receipt = delivery.message.qos != Qos::AtMostOnce && delivery.receipt.is_some();
        receipt && self.limits.when_full == WhenFull::Hold
    }

    fn append(&mut self, delivery: Delivery, weight: usize, held_back: bool) {
        let threshold = self.spill.threshold().min(self.limits.bytes);
        let too_much = held_back && self.queue.bytes().saturating_add(weight) > threshold;
        // a message that waits alone is about to be handled, whatever its size
        if (too_much && !self.queue.is_empty()) || !self.spill.is_empty() {
            self.unacknowledged += usize::from(is_unacknowledged(delivery.receipt));
            return self.spill.push(delivery, weight);
        }
        self.unacknowledged += usize::from(is_unacknowledged(delivery.receipt));
        self.queue.push_back(delivery, weight);
    }

    /// Returns the limit that leaves no room for a message of `weight` bytes, if any.
    fn full(&self, weight: usize) -> Option<Full> {
        if self.len() >= self.limits.messages.max(1) {
            return Some(Full::Messages);
        }
        let all = self
            .queue
            .bytes()
            .saturating_add(self.spill.bytes())
            .saturating_add(weight);
        (self.len() > 0 && all > self.limits.bytes).then_some(Full::Bytes)
    }

    fn pop(&mut self) -> Option<Delivery> {
        if let Some(delivery) = self.queue.pop_front() {
            self.unacknowledged -= usize::from(is_unacknowledged(delivery.receipt));
            return Some(delivery);
        }
        loop {
            match self.spill.pop()? {
                Ok(delivery) => {
                    self.unacknowledged -= usize::from(is_unacknowledged(delivery.receipt));
                    return Some(delivery);
                }
                Err(unreadable) => {
                    self.unacknowledged -= usize::from(is_unacknowledged(unreadable.receipt));
                    self.unreadable.push_back(unreadable);
                }
            }
        }
    }

    /// Removes all messages. Returns their receipts.
    pub(super) fn clear(&mut self) -> Vec<Receipt> {
        self.unacknowledged = 0;
        let queue = std::mem::take(&mut self.queue)
            .into_deliveries()
            .into_iter()
            .filter_map(|delivery| delivery.receipt);
        let unreadable = std::mem::take(&mut self.unreadable)
            .into_iter()
            .filter_map(|one| one.receipt);
        unreadable.chain(queue).chain(self.spill.clear()).collect()
    }

    pub(super) const fn is_congested(&self) -> bool {
        self.flow.congested && !self.flow.ends
    }

    pub(super) fn take(&mut self) -> Option<Next> {
        if self.is_congested() {
            return Some(Next::Congested);
        }
        if let Some(unreadable) = self.unreadable.pop_front() {
            return Some(Next::Unreadable(unreadable));
        }
        // the kinds take turns, so that none starves another; more than one hardly ever waits
        if self.events.timers_due || !self.events.notices.is_empty() {
            let turns = match self.events.last {
                Turn::Delivery => [Turn::Notice, Turn::Timers, Turn::Delivery],
                Turn::Notice => [Turn::Timers, Turn::Delivery, Turn::Notice],
                Turn::Timers => [Turn::Delivery, Turn::Notice, Turn::Timers],
            };
            return turns.into_iter().find_map(|turn| self.take_one(turn));
        }

        self.events.last = Turn::Delivery;
        match self.pop() {
            Some(delivery) => Some(Next::Delivery(delivery)),
            None if self.unreadable.is_empty() => (self.senders == 0).then_some(Next::Closed),
            None => self.take(),
        }
    }

    pub(super) fn take_but_messages(&mut self) -> Option<Next> {
        if self.is_congested() {
            return None;
        }
        let turns = if self.events.last == Turn::Timers {
            [Turn::Notice, Turn::Timers]
        } else {
            [Turn::Timers, Turn::Notice]
        };
        turns.into_iter().find_map(|turn| self.take_one(turn))
    }

    fn take_one(&mut self, turn: Turn) -> Option<Next> {
        let next = match turn {
            Turn::Delivery => self.pop().map(Next::Delivery),
            Turn::Notice => self.events.notices.pop_front().map(Next::Notice),
            Turn::Timers => std::mem::take(&mut self.events.timers_due).then_some(Next::Timers),
        }?;
        self.events.last = turn;
        Some(next)
    }

    /// Whether messages hold up the broker's next ones: as many as `share`, or one that is overdue, here or `current`.
    pub(super) fn is_overdue(&mut self, share: Option<usize>, current: Option<u64>) -> bool {
        let bound = self.flow.overdue;
        if share.is_some_and(|share| self.unacknowledged >= share)
            || current.is_some_and(|number| number < bound)
        {
            return true;
        }
        // the search for the oldest message takes time; it happens once for each time that some are overdue
        let overdue = bound > 0
            && self
                .oldest_unacknowledged()
                .is_some_and(|number| number < bound);
        if !overdue {
            self.flow.overdue = 0;
        }
        overdue
    }

    /// Number of the oldest message that the broker keeps until it is acknowledged.
    fn oldest_unacknowledged(&self) -> Option<u64> {
        let queued = self.queue.iter().map(|delivery| delivery.receipt);
        queued
            .chain(self.spill.receipts())
            .flatten()
            .find_map(|receipt| match receipt {
                Receipt::Arrived(number) => Some(number),
                Receipt::Kept(_) => None,
            })
    }

    /// Puts the messages that were taken last back to the front.
    pub(super) fn put_back(&mut self, deliveries: Vec<Delivery>) {
        for delivery in deliveries.into_iter().rev() {
            self.unacknowledged += usize::from(is_unacknowledged(delivery.receipt));
            self.queue.push_front(delivery);
        }
    }

    /// Takes the first messages that have a receipt: at most `most`, and fewer when they are large. The others stay, in order.
    pub(super) fn take_with_receipt(&mut self, most: usize) -> Vec<Delivery> {
        let mut taken = Vec::new();
        let mut others = Vec::new();
        let mut weight = 0;
        while taken.len() < most && weight < AT_ONCE {
            let Some(delivery) = self.pop() else { break };
            if delivery.receipt.is_some() {
                weight += delivery.message.weight();
                taken.push(delivery);
            } else {
                others.push(delivery);
            }
        }

        self.put_back(others);
        taken
    }
}

fn is_unacknowledged(receipt: Option<Receipt>) -> bool {
    matches!(receipt, Some(Receipt::Arrived(_)))
}
