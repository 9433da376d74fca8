//! Machine: the queue of a mailbox. In: messages, rings, notices. Out: what comes next, and what a full mailbox does with a message.
//! Owns the messages in memory, those on disk, the policy and the counters.

use std::collections::VecDeque;
use std::task::Waker;

use super::{Counters, Delivered, Delivery, Limits, Next, Notice, Overflow, Unreadable};
use crate::config::WhenFull;
use crate::message::{Qos, Receipt};

/// So many messages may wait in the buffers into which they were read. Each keeps all of its buffer, which may have brought a thousand
/// messages to others; the next have memory of their own.
const IN_BUFFERS: usize = 512;
/// So many bytes of messages are taken at once to be put elsewhere.
const AT_ONCE: usize = 1 << 20;

#[derive(Debug)]
pub(super) struct State {
    pub(super) limits: Limits,
    queue: VecDeque<Delivery>,
    /// What comes after those in `queue`.
    pub(super) overflow: Overflow,
    /// What was in `overflow` and cannot be read any more.
    unreadable: VecDeque<Unreadable>,
    /// What the messages in `queue` take.
    bytes: usize,
    /// Timers are due and the service does not know yet.
    pub(super) rung: bool,
    pub(super) notices: VecDeque<Notice>,
    /// How many of the messages the broker holds until they are acknowledged.
    unacknowledged: usize,
    pub(super) flow: Flow,
    /// What the service was given last: something else has the turn.
    last: Turn,
    pub(super) senders: usize,
    pub(super) receiver_gone: bool,
    /// The receiver, when it waits.
    pub(super) sleeper: Option<Waker>,
    pub(super) counters: Counters,
}

/// What the session says about the flow of messages from and to the broker.
#[derive(Debug)]
pub(super) struct Flow {
    /// Receipts below this number have held up the broker's messages for too long; zero: none has.
    pub(super) overdue: u64,
    /// How many messages a service may hold unacknowledged while others wait in its spool.
    pub(super) share: usize,
    /// The service has published as much as it may until the broker has taken some of it: nothing more is handed out.
    pub(super) congested: bool,
    /// The service ends: what is left is handed out nonetheless.
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

/// Of what there is too much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Full {
    Messages,
    Bytes,
}

/// Kinds of things that take turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Turn {
    #[default]
    Delivery,
    Timers,
    Notice,
}

impl State {
    pub(super) fn new(limits: Limits, overflow: Overflow) -> Self {
        Self {
            limits,
            queue: VecDeque::new(),
            overflow,
            unreadable: VecDeque::new(),
            bytes: 0,
            rung: false,
            notices: VecDeque::new(),
            unacknowledged: 0,
            flow: Flow::default(),
            last: Turn::default(),
            senders: 1,
            receiver_gone: false,
            sleeper: None,
            counters: Counters::default(),
        }
    }

    /// How many messages wait.
    pub(super) fn len(&self) -> usize {
        self.queue.len() + self.overflow.len()
    }

    /// Whether some wait in the overflow.
    #[cfg(test)]
    pub(super) fn overflows(&self) -> bool {
        !self.overflow.is_empty()
    }

    pub(super) fn put(&mut self, delivery: Delivery) -> Delivered {
        self.counters.received += 1;
        if self.receiver_gone {
            self.counters.undelivered += 1;
            return Delivered::Refused(delivery);
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
                // the broker stops by itself at the receive maximum, unless it does not keep to that
                WhenFull::Hold if held_back => break,
                WhenFull::DropNewest | WhenFull::Hold => {
                    self.counters.dropped_newest += 1;
                    self.counters.dropped_for_bytes += u64::from(full == Full::Bytes);
                    return Delivered::Refused(delivery);
                }
            }
            self.counters.dropped_for_bytes += u64::from(full == Full::Bytes);
        }
        self.append(delivery, weight, held_back);
        self.counters.high_water = self.counters.high_water.max(self.len());
        if dropped.is_empty() {
            Delivered::Taken
        } else {
            Delivered::Replaced(dropped)
        }
    }

    /// Whether the broker has it until it is handled.
    fn holds_back(&self, delivery: &Delivery) -> bool {
        let receipt = delivery.message.qos != Qos::AtMostOnce && delivery.receipt.is_some();
        receipt && self.limits.when_full == WhenFull::Hold
    }

    fn append(&mut self, mut delivery: Delivery, weight: usize, held_back: bool) {
        let begins_at = self.overflow.begins_at().min(self.limits.bytes);
        let too_much = held_back && self.bytes.saturating_add(weight) > begins_at;
        // one that waits alone is about to be handled, whatever it weighs
        if (too_much && !self.queue.is_empty()) || !self.overflow.is_empty() {
            self.unacknowledged += usize::from(is_unacknowledged(delivery.receipt));
            return self.overflow.push(delivery, weight);
        }
        self.unacknowledged += usize::from(is_unacknowledged(delivery.receipt));
        if self.queue.len() >= IN_BUFFERS {
            delivery.message = delivery.message.detached();
        }
        self.bytes += weight;
        self.queue.push_back(delivery);
    }

    /// Why a message that takes `weight` bytes has no place.
    fn full(&self, weight: usize) -> Option<Full> {
        if self.len() >= self.limits.messages.max(1) {
            return Some(Full::Messages);
        }
        let all = self
            .bytes
            .saturating_add(self.overflow.bytes())
            .saturating_add(weight);
        (self.len() > 0 && all > self.limits.bytes).then_some(Full::Bytes)
    }

    fn pop(&mut self) -> Option<Delivery> {
        if let Some(delivery) = self.queue.pop_front() {
            self.bytes -= delivery.message.weight();
            self.unacknowledged -= usize::from(is_unacknowledged(delivery.receipt));
            return Some(delivery);
        }
        loop {
            match self.overflow.pop()? {
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

    /// Forgets all messages, and gives their receipts.
    pub(super) fn clear(&mut self) -> Vec<Receipt> {
        (self.bytes, self.unacknowledged) = (0, 0);
        let queue = std::mem::take(&mut self.queue)
            .into_iter()
            .filter_map(|delivery| delivery.receipt);
        let unreadable = std::mem::take(&mut self.unreadable)
            .into_iter()
            .filter_map(|one| one.receipt);
        unreadable
            .chain(queue)
            .chain(self.overflow.clear())
            .collect()
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
        // each kind in its turn, so that none starves another; hardly ever does more than one wait
        if self.rung || !self.notices.is_empty() {
            let turns = match self.last {
                Turn::Delivery => [Turn::Notice, Turn::Timers, Turn::Delivery],
                Turn::Notice => [Turn::Timers, Turn::Delivery, Turn::Notice],
                Turn::Timers => [Turn::Delivery, Turn::Notice, Turn::Timers],
            };
            return turns.into_iter().find_map(|turn| self.take_one(turn));
        }
        self.last = Turn::Delivery;
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
        let turns = if self.last == Turn::Timers {
            [Turn::Notice, Turn::Timers]
        } else {
            [Turn::Timers, Turn::Notice]
        };
        turns.into_iter().find_map(|turn| self.take_one(turn))
    }

    fn take_one(&mut self, turn: Turn) -> Option<Next> {
        let next = match turn {
            Turn::Delivery => self.pop().map(Next::Delivery),
            Turn::Notice => self.notices.pop_front().map(Next::Notice),
            Turn::Timers => std::mem::take(&mut self.rung).then_some(Next::Timers),
        }?;
        self.last = turn;
        Some(next)
    }

    /// Whether messages hold up the broker's next ones: as many as `share`, or one that is overdue, here or `in_hand`.
    pub(super) fn is_overdue(&mut self, share: Option<usize>, in_hand: Option<u64>) -> bool {
        let bound = self.flow.overdue;
        if share.is_some_and(|share| self.unacknowledged >= share)
            || in_hand.is_some_and(|number| number < bound)
        {
            return true;
        }
        // looking for the oldest one takes time, which is well spent once for each time that some are overdue
        let overdue = bound > 0
            && self
                .oldest_unacknowledged()
                .is_some_and(|number| number < bound);
        if !overdue {
            self.flow.overdue = 0;
        }
        overdue
    }

    /// The oldest message that the broker holds until it is acknowledged; `None`: there is none.
    fn oldest_unacknowledged(&self) -> Option<u64> {
        let queued = self.queue.iter().map(|delivery| delivery.receipt);
        queued
            .chain(self.overflow.receipts())
            .flatten()
            .find_map(|receipt| match receipt {
                Receipt::Arrived(number) => Some(number),
                Receipt::Kept(_) => None,
            })
    }

    /// Puts messages back that were taken last, before all others.
    pub(super) fn put_back(&mut self, deliveries: Vec<Delivery>) {
        for delivery in deliveries.into_iter().rev() {
            self.bytes += delivery.message.weight();
            self.unacknowledged += usize::from(is_unacknowledged(delivery.receipt));
            self.queue.push_front(delivery);
        }
    }

    /// The first messages that have a receipt: `most`, or less when they are heavy. The others stay, in order.
    pub(super) fn take_with_receipt(&mut self, most: usize) -> Vec<Delivery> {
        let (mut taken, mut others, mut weight) = (Vec::new(), Vec::new(), 0);
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
