//! Packets that wait for one client, for their batch or because it does not read: whether one more
//! waits, is dropped, or is the one too many. Pure.

use std::collections::{HashSet, VecDeque};
use std::io::IoSlice;

use crate::config::OutboxLimits;

use super::frame::OutboundPacket;

/// Limit in bytes for packets other than messages (acknowledgements, answers to pings), for a client that sends and never reads.
const MAX_ANSWER_BYTES: usize = 1 << 20;
/// How many packets are written at once.
pub(super) const BATCH_PACKETS: usize = 64;
/// How many bytes of small packets are gathered before they are written.
const BATCH_BYTES: usize = 16 << 10;
/// The share of a client that waits when all clients together have much waiting.
const SCARCE_SHARE: usize = 16;

/// Fate of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PushResult {
    /// It waits.
    Queued,
    /// It is dropped: a message of QoS 0 beyond the bounds.
    Dropped,
    /// The client does not read its answers.
    Overflow,
}

/// Packets that wait for one client.
#[derive(Debug)]
pub(super) struct ClientQueue {
    limits: OutboxLimits,
    packets: VecDeque<(Box<[u8]>, OutboundPacket)>,
    /// How much of the first one is written.
    written: usize,
    bytes: usize,
    /// Number of messages in `packets`.
    messages: usize,
    /// Number of messages of QoS 1 and 2.
    confirmed: usize,
    /// Bytes of the packets that are not messages.
    answers: usize,
    /// Identifiers of messages that the client has not acknowledged.
    unacknowledged: HashSet<u16>,
    /// How many of them the broker has under way at most.
    window: usize,
}

impl ClientQueue {
    /// `window`: how many messages of QoS 1 and 2 the broker has under way at most.
    pub(super) fn new(limits: OutboxLimits, window: usize) -> Self {
        Self {
            limits,
            packets: VecDeque::new(),
            written: 0,
            bytes: 0,
            messages: 0,
            confirmed: 0,
            answers: 0,
            unacknowledged: HashSet::new(),
            window,
        }
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    /// Whether messages of QoS 1 or 2 wait.
    pub(super) fn has_confirmed(&self) -> bool {
        self.confirmed > 0
    }

    /// Returns the waiting bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Notes a message that the client will have to acknowledge.
    pub(super) fn on_sent(&mut self, packet: OutboundPacket) {
        if let OutboundPacket::Acknowledged(id) = packet {
            self.unacknowledged.insert(id);
        }
    }

    /// The client has acknowledged a message.
    pub(super) fn on_acknowledged(&mut self, id: u16) {
        self.unacknowledged.remove(&id);
    }

    /// Whether the broker sends no further message of QoS 1 or 2 before one is acknowledged.
    pub(super) fn is_full(&self) -> bool {
        self.unacknowledged.len() >= self.window
    }

    /// Takes a packet of which `written` bytes are written already. `scarce`: all clients together have much waiting, so that one
    /// may have only its share.
    pub(super) fn push(
        &mut self,
        packet: &[u8],
        kind: OutboundPacket,
        written: usize,
        scarce: bool,
    ) -> PushResult {
        let message = is_message(kind);
        let most = if scarce {
            self.limits.bytes / SCARCE_SHARE
        } else {
            self.limits.bytes
        };
        let beyond = self.messages >= self.limits.messages || self.bytes + packet.len() > most;
        if kind == OutboundPacket::AtMostOnce && written == 0 && beyond {
            return PushResult::Dropped;
        }
        if !message {
            self.answers += packet.len();
            if self.answers > MAX_ANSWER_BYTES {
                return PushResult::Overflow;
            }
        }

        if self.packets.is_empty() {
            self.written = written;
        }
        self.bytes += packet.len();
        self.messages += usize::from(message);
        self.confirmed += usize::from(matches!(kind, OutboundPacket::Acknowledged(_)));
        self.packets.push_back((packet.into(), kind));
        PushResult::Queued
    }

    /// Whether a packet of so many bytes may wait for others, to be written with them. A batch is never the reason why a message of
    /// QoS 0 is dropped.
    pub(super) fn fits_batch(&self, length: usize) -> bool {
        self.packets.len() < BATCH_PACKETS.min(self.limits.messages)
            && self.bytes + length <= BATCH_BYTES.min(self.limits.bytes / SCARCE_SHARE)
    }

    /// Returns the bytes to write next, in `slices`.
    pub(super) fn next_batch<'b, 'a: 'b>(
        &'a self,
        slices: &'b mut [IoSlice<'a>],
    ) -> &'b [IoSlice<'a>] {
        let mut count = 0;
        for (slice, (packet, _)) in slices.iter_mut().zip(&self.packets) {
            let start = if count == 0 { self.written } else { 0 };
            *slice = IoSlice::new(packet.get(start..).unwrap_or_default());
            count += 1;
        }
        &slices[..count]
    }

    /// So many bytes of the batch are written.
    pub(super) fn advance(&mut self, count: usize) {
        self.written += count;
        while let Some((packet, kind)) = self
            .packets
            .pop_front_if(|(packet, _)| packet.len() <= self.written)
        {
            self.written -= packet.len();
            self.bytes -= packet.len();
            self.messages -= usize::from(is_message(kind));
            self.confirmed -= usize::from(matches!(kind, OutboundPacket::Acknowledged(_)));
            self.answers -= if is_message(kind) { 0 } else { packet.len() };
        }
    }
}

fn is_message(kind: OutboundPacket) -> bool {
    matches!(
        kind,
        OutboundPacket::AtMostOnce | OutboundPacket::Acknowledged(_)
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    fn queue(messages: usize, bytes: usize) -> ClientQueue {
        ClientQueue::new(OutboxLimits { messages, bytes }, 2)
    }

    /// The bytes of the next batch.
    fn next(queue: &ClientQueue) -> Vec<u8> {
        let mut slices = [IoSlice::new(&[]); BATCH_PACKETS];
        let batch = queue.next_batch(&mut slices);
        batch.iter().flat_map(|slice| slice.to_vec()).collect()
    }

    #[test]
    fn a_batch_ends_with_its_packets_its_bytes_or_the_limits_of_the_client() {
        let fitting = |mut queue: ClientQueue, length: usize| {
            let mut count = 0;
            while queue.fits_batch(length) {
                let result = queue.push(&vec![0; length], OutboundPacket::AtMostOnce, 0, true);
                assert_eq!(result, PushResult::Queued);
                count += 1;
            }
            count
        };
        assert_eq!(fitting(queue(1_000, 1 << 20), 10), BATCH_PACKETS);
        assert_eq!(fitting(queue(1_000, 1 << 20), BATCH_BYTES / 3), 3);
        assert_eq!(fitting(queue(1_000, 1 << 20), BATCH_BYTES + 1), 0);
        assert_eq!(fitting(queue(3, 1 << 20), 10), 3);
        assert_eq!(fitting(queue(1_000, 16 * 50), 10), 5);
        assert_eq!(fitting(queue(0, 0), 10), 0);
    }

    #[test]
    fn only_qos_0_is_dropped_beyond_a_bound() {
        let mut queue = queue(3, 100);
        assert_eq!(
            queue.push(&[0; 60], OutboundPacket::AtMostOnce, 0, false),
            PushResult::Queued
        );
        assert_eq!(
            queue.push(&[0; 60], OutboundPacket::AtMostOnce, 0, false),
            PushResult::Dropped
        );
        assert_eq!(
            queue.push(&[0; 60], OutboundPacket::Acknowledged(1), 0, false),
            PushResult::Queued
        );
        assert_eq!(
            queue.push(&[0; 1], OutboundPacket::AtMostOnce, 0, false),
            PushResult::Dropped
        );
        assert_eq!(
            queue.push(&[0; 1], OutboundPacket::Other, 0, false),
            PushResult::Queued
        );
        assert_eq!(queue.bytes(), 121);
    }

    #[test]
    fn one_of_which_a_part_is_written_is_never_dropped() {
        let mut queue = queue(1, 10);
        assert_eq!(
            queue.push(&[7; 60], OutboundPacket::AtMostOnce, 59, false),
            PushResult::Queued
        );
        assert_eq!(next(&queue), [7]);
        queue.advance(1);
        assert!(queue.is_empty());
    }

    #[test]
    fn a_client_that_never_reads_answers_is_disconnected() {
        let mut queue = queue(10, 10);
        let results =
            (0..MAX_ANSWER_BYTES).map(|_| queue.push(&[0xD0, 0], OutboundPacket::Other, 0, false));
        assert_eq!(
            results
                .filter(|result| *result == PushResult::Overflow)
                .count(),
            MAX_ANSWER_BYTES / 2
        );
    }

    #[test]
    fn a_window_is_full_until_something_is_acknowledged() {
        let mut queue = queue(10, 10);
        queue.on_sent(OutboundPacket::Acknowledged(1));
        queue.on_sent(OutboundPacket::Acknowledged(1));
        queue.on_sent(OutboundPacket::AtMostOnce);
        assert!(!queue.is_full());
        queue.on_sent(OutboundPacket::Acknowledged(2));
        assert!(queue.is_full());
        queue.on_acknowledged(9);
        assert!(queue.is_full());
        queue.on_acknowledged(1);
        assert!(!queue.is_full());
    }

    proptest! {
        /// Bytes that are written in any portions come out in order, and messages of QoS 0 never take more than the bound.
        #[test]
        fn waiting_messages_leave_in_order(steps in proptest::collection::vec((1_usize..40, any::<bool>(), 1_usize..50), 0..100)) {
            let mut queue = queue(20, 300);
            let mut pushed = Vec::new();
            let mut out = Vec::new();
            for (number, (size, push, portion)) in steps.into_iter().enumerate() {
                if push {
                    let packet = vec![number as u8; size];
                    if queue.push(&packet, OutboundPacket::AtMostOnce, 0, false) == PushResult::Queued {
                        pushed.extend(packet);
                    }
                    prop_assert!(queue.bytes() <= 300);
                } else {
                    let next = next(&queue);
                    let part = &next[..next.len().min(portion)];
                    queue.advance(part.len());
                    out.extend_from_slice(part);
                }
            }

            while !queue.is_empty() {
                let next = next(&queue);
                queue.advance(next.len());
                out.extend(next);
            }
            prop_assert_eq!(pushed, out);
            prop_assert_eq!(queue.bytes(), 0);
        }
    }
}
