//! Pure: messages of one service that left its mailbox and are not handled. In: messages that were set aside while the service
//! could not handle them, messages that are tried again later, the time. Out: the next one to handle. Owns them, in order.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use crate::mailbox::Delivery;

/// A message and how often it was tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    /// The message.
    pub delivery: Delivery,
    /// Attempts so far.
    pub attempts: u32,
}

/// Messages that are not handled.
#[derive(Debug, Default)]
pub struct Backlog {
    /// What they take.
    bytes: usize,
    /// In the order of their coming.
    waiting: VecDeque<Delivery>,
    /// By the time of their next attempt; the number keeps those of one instant apart.
    later: BTreeMap<(Instant, u64), Tried>,
    last: u64,
}

impl Backlog {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.waiting.len() + self.later.len()
    }

    /// How many bytes they take.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether one can be handled, whatever the time.
    pub fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Puts messages behind those that wait.
    pub fn extend(&mut self, deliveries: impl IntoIterator<Item = Delivery>) {
        for delivery in deliveries {
            self.bytes += delivery.message.weight();
            self.waiting.push_back(delivery);
        }
    }

    /// Puts a message away until `at`.
    pub fn later(&mut self, tried: Tried, at: Instant) {
        self.last += 1;
        self.bytes += tried.delivery.message.weight();
        self.later.insert((at, self.last), tried);
    }

    /// When the next one that was put away is to be tried; `None`: there is none.
    pub fn due(&self) -> Option<Instant> {
        self.later.keys().next().map(|(at, _)| *at)
    }

    /// The next one to handle at `now`: one whose time has come, or the first that waits.
    pub fn take(&mut self, now: Instant) -> Option<Tried> {
        let tried = if self.due().is_some_and(|at| at <= now) {
            self.later.pop_first().map(|(_, tried)| tried)
        } else {
            self.waiting.pop_front().map(|delivery| Tried { delivery, attempts: 0 })
        }?;
        self.bytes -= tried.delivery.message.weight();
        Some(tried)
    }

    /// All that are left, whatever the time.
    pub fn drain(&mut self) -> Vec<Delivery> {
        self.bytes = 0;
        let later = std::mem::take(&mut self.later).into_values().map(|tried| tried.delivery);
        later.chain(self.waiting.drain(..)).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::Duration;

    use super::*;
    use crate::message::{Message, Qos, Receipt};
    use crate::topic::Topic;

    fn delivery(number: u64) -> Delivery {
        let message = Message::new(Topic::new("t").unwrap(), number.to_string(), Qos::AtLeastOnce, false);
        Delivery::new(message, Some(Receipt::Kept(number)))
    }

    #[test]
    fn what_is_due_comes_first_and_what_waits_keeps_its_order() {
        let (mut backlog, start) = (Backlog::default(), Instant::now());
        let second = Duration::from_secs(1);
        backlog.extend([delivery(1), delivery(2)]);
        backlog.later(Tried { delivery: delivery(8), attempts: 2 }, start + 2 * second);
        backlog.later(Tried { delivery: delivery(9), attempts: 1 }, start + second);
        assert_eq!((backlog.len(), backlog.due()), (4, Some(start + second)));
        let mut taken =
            |after| backlog.take(start + after).map(|tried| (tried.delivery.receipt.unwrap(), tried.attempts));
        assert_eq!(taken(Duration::ZERO), Some((Receipt::Kept(1), 0)));
        assert_eq!(taken(second), Some((Receipt::Kept(9), 1)));
        assert_eq!(taken(second), Some((Receipt::Kept(2), 0)));
        assert_eq!(taken(second), None);
        assert_eq!(taken(2 * second), Some((Receipt::Kept(8), 2)));
        assert_eq!(backlog.len(), 0);
    }

    #[test]
    fn nothing_is_left_behind() {
        let (mut backlog, start) = (Backlog::default(), Instant::now());
        backlog.extend([delivery(1)]);
        backlog.later(Tried { delivery: delivery(2), attempts: 1 }, start);
        assert_eq!(backlog.drain().len(), 2);
        assert_eq!((backlog.len(), backlog.is_waiting(), backlog.due()), (0, false, None));
    }
}
