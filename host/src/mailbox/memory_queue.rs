//! Queue of messages in memory, bounded in how much of the session's read buffers it retains. Pure.
//!
//! A message from the broker is a slice of the buffer into which it was read, and retains all of that: a small message among large
//! ones of other services would retain much more memory than it takes itself. So only messages that lie close together, and a few
//! others, wait where they were read; the next ones are copied.

use std::collections::VecDeque;

use super::Delivery;
use crate::message::Message;

/// Size of a buffer into which the session reads, in bytes, and so of one read: some hundred small messages, so that no mailbox
/// overflows from one read.
pub const READ_BUFFER: usize = 32 * 1024;

/// Largest sum of the distances between neighbours in the queue, in bytes. Messages beyond it are copied.
const MAX_SPAN: usize = 1 << 20;

/// A message from this weight on is never copied: a buffer has room for few of them, and the queue is bounded in bytes anyway.
const LARGE: usize = READ_BUFFER / 4;

/// Messages in memory.
#[derive(Debug, Default)]
pub(super) struct MemoryQueue {
    deliveries: VecDeque<Delivery>,
    /// Weight of the messages, in bytes.
    bytes: usize,
    /// Sum of the distances between neighbours, in bytes: roughly how much of read buffers they retain.
    span: usize,
}

impl MemoryQueue {
    pub(super) fn is_empty(&self) -> bool {
        self.deliveries.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.deliveries.len()
    }

    /// Weight of the messages, in bytes.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Delivery> {
        self.deliveries.iter()
    }

    pub(super) fn into_deliveries(self) -> VecDeque<Delivery> {
        self.deliveries
    }

    /// Appends a message of `weight` bytes; copies it out of its read buffer when the queue retains enough of such buffers.
    pub(super) fn push_back(&mut self, mut delivery: Delivery, weight: usize) {
        let last = self.deliveries.back();
        let mut distance = last.map_or(0, |last| distance(last, &delivery));
        if self.span + distance > MAX_SPAN && weight < LARGE {
            delivery.message = delivery.message.to_detached();
            distance = last.map_or(0, |last| self::distance(last, &delivery));
        }

        self.span += distance;
        self.bytes += weight;
        self.deliveries.push_back(delivery);
    }

    /// Puts a message that was taken last back to the front.
    pub(super) fn push_front(&mut self, delivery: Delivery) {
        let next = self.deliveries.front();
        self.span += next.map_or(0, |next| distance(&delivery, next));
        self.bytes += delivery.message.weight();
        self.deliveries.push_front(delivery);
    }

    pub(super) fn pop_front(&mut self) -> Option<Delivery> {
        let delivery = self.deliveries.pop_front()?;
        let next = self.deliveries.front();
        self.span -= next.map_or(0, |next| distance(&delivery, next));
        self.bytes -= delivery.message.weight();
        Some(delivery)
    }
}

/// Distance of two messages in memory, in bytes; at most the size of a read buffer, since farther ones lie in different buffers.
fn distance(one: &Delivery, other: &Delivery) -> usize {
    address(&one.message)
        .abs_diff(address(&other.message))
        .min(READ_BUFFER)
}

fn address(message: &Message) -> usize {
    if message.payload.is_empty() {
        message.topic.as_str().as_ptr().addr()
    } else {
        message.payload.as_ptr().addr()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use bytes::Bytes;

    use super::*;
    use crate::message::Qos;
    use crate::topic::Topic;

    fn delivery(payload: Bytes) -> Delivery {
        let topic = Topic::new("t").unwrap();
        Delivery::new(Message::new(topic, payload, Qos::AtMostOnce, false), None)
    }

    /// A read buffer with messages of `size` bytes in it.
    fn buffer(size: usize) -> impl Iterator<Item = Bytes> {
        let buffer = Bytes::from(vec![b'x'; READ_BUFFER]);
        (0..READ_BUFFER / size).map(move |number| buffer.slice(number * size..(number + 1) * size))
    }

    #[test]
    fn one_small_message_of_each_buffer_retains_few_buffers() {
        let mut queue = MemoryQueue::default();
        let buffers: Vec<Bytes> = (0..1_000).filter_map(|_| buffer(20).next()).collect();
        for payload in &buffers {
            let delivery = delivery(payload.clone());
            let weight = delivery.message.weight();
            queue.push_back(delivery, weight);
        }

        let retains = |payload: &&Bytes| {
            let address = payload.as_ptr();
            queue
                .iter()
                .any(|one| one.message.payload.as_ptr() == address)
        };
        let retained = buffers.iter().filter(retains).count();
        assert!(
            (1..=2 * MAX_SPAN / READ_BUFFER).contains(&retained),
            "{retained} of {}",
            buffers.len()
        );
    }

    #[test]
    fn messages_that_fill_their_buffers_are_not_copied() {
        let mut queue = MemoryQueue::default();
        let payloads: Vec<Bytes> = (0..20).flat_map(|_| buffer(64)).collect();
        for payload in &payloads {
            let delivery = delivery(payload.clone());
            let weight = delivery.message.weight();
            queue.push_back(delivery, weight);
        }

        let same =
            |(one, payload): (&Delivery, &Bytes)| one.message.payload.as_ptr() == payload.as_ptr();
        assert!(queue.iter().zip(&payloads).all(same));
    }

    #[test]
    fn span_and_bytes_of_an_empty_queue_are_zero() {
        let mut queue = MemoryQueue::default();
        let payloads = (0..100).flat_map(|_| buffer(8_000));
        for (number, payload) in payloads.chain([Bytes::new()]).enumerate() {
            let delivery = delivery(payload);
            let weight = delivery.message.weight();
            queue.push_back(delivery, weight);
            if number.is_multiple_of(3) {
                let first = queue.pop_front().unwrap();
                let second = queue.pop_front();
                second.into_iter().for_each(|one| queue.push_front(one));
                queue.push_front(first);
            }
        }

        assert!(queue.len() > 300 && queue.bytes() > 300 * 8_000 && queue.span > 0);
        while queue.pop_front().is_some() {}
        assert_eq!((queue.bytes(), queue.span, queue.is_empty()), (0, 0, true));
    }
}
