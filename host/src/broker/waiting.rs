//! Packets that wait for one client because it does not read: whether one more waits, is dropped, or
//! is the one too many. Pure.

use std::collections::{HashSet, VecDeque};

use crate::config::OutboxLimits;

use super::frame::Outbound;

/// Limit in bytes for packets other than messages (acknowledgements, answers to pings), for a client that sends and never reads.
const ANSWERS: usize = 1 << 20;

/// Fate of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It waits.
    Waits,
    /// It is dropped: a message of QoS 0 beyond the bounds.
    Dropped,
    /// The client does not read its answers.
    TooMany,
}

/// Packets that wait for one client.
#[derive(Debug)]
pub struct Waiting {
    limits: OutboxLimits,
    packets: VecDeque<(Box<[u8]>, Outbound)>,
    /// How much of the first one is written.
    written: usize,
    bytes: usize,
    /// Number of messages in `packets`.
    messages: usize,
    /// Number of messages of QoS 1 and 2.
    owed: usize,
    /// Bytes of the packets that are not messages.
    answers: usize,
    /// Identifiers of messages that the client has not acknowledged.
    unacknowledged: HashSet<u16>,
    /// How many of them the broker has under way at most.
    window: usize,
}

impl Waiting {
    /// `window`: how many messages of QoS 1 and 2 the broker has under way at most.
    pub fn new(limits: OutboxLimits, window: usize) -> Self {
        let (packets, unacknowledged) = (VecDeque::new(), HashSet::new());
        Self {
            limits,
            packets,
            written: 0,
            bytes: 0,
            messages: 0,
            owed: 0,
            answers: 0,
            unacknowledged,
            window,
        }
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    /// Whether messages of QoS 1 or 2 wait.
    pub fn is_owed(&self) -> bool {
        self.owed > 0
    }

    /// Returns the waiting bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Notes a message that the client will have to acknowledge.
    pub fn sent(&mut self, packet: Outbound) {
        if let Outbound::Acknowledged(id) = packet {
            self.unacknowledged.insert(id);
        }
    }

    /// The client has acknowledged a message.
    pub fn acknowledged(&mut self, id: u16) {
        self.unacknowledged.remove(&id);
    }

    /// Whether the broker sends no further message of QoS 1 or 2 before one is acknowledged.
    pub fn is_full(&self) -> bool {
        self.unacknowledged.len() >= self.window
    }

    /// Takes a packet of which `written` bytes are written already. `scarce`: all clients together have much waiting, so that one
    /// may have only its share.
    pub fn push(&mut self, packet: &[u8], kind: Outbound, written: usize, scarce: bool) -> Verdict {
        let message = is_message(kind);
        let most = if scarce {
            self.limits.bytes / 16
        } else {
            self.limits.bytes
        };
        let beyond = self.messages >= self.limits.messages || self.bytes + packet.len() > most;
        if kind == Outbound::AtMostOnce && written == 0 && beyond {
            return Verdict::Dropped;
        }
        if !message {
            self.answers += packet.len();
            if self.answers > ANSWERS {
                return Verdict::TooMany;
            }
        }
        if self.packets.is_empty() {
            self.written = written;
        }
        self.bytes += packet.len();
        self.messages += usize::from(message);
        self.owed += usize::from(matches!(kind, Outbound::Acknowledged(_)));
        self.packets.push_back((packet.into(), kind));
        Verdict::Waits
    }

    /// Returns the bytes to write next.
    pub fn next(&self) -> Option<&[u8]> {
        self.packets
            .front()
            .and_then(|(packet, _)| packet.get(self.written..))
    }

    /// So many bytes of it are written.
    pub fn wrote(&mut self, count: usize) {
        self.written += count;
        if self
            .packets
            .front()
            .is_some_and(|(packet, _)| packet.len() <= self.written)
            && let Some((packet, kind)) = self.packets.pop_front()
        {
            self.written = 0;
            self.bytes -= packet.len();
            self.messages -= usize::from(is_message(kind));
            self.owed -= usize::from(matches!(kind, Outbound::Acknowledged(_)));
            self.answers -= if is_message(kind) { 0 } else { packet.len() };
        }
    }
}

fn is_message(kind: Outbound) -> bool {
    matches!(kind, Outbound::AtMostOnce | Outbound::Acknowledged(_))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    fn waiting(messages: usize, bytes: usize) -> Waiting {
        Waiting::new(OutboxLimits { messages, bytes }, 2)
    }

    #[test]
    fn only_qos_0_is_dropped_beyond_a_bound() {
        let mut waiting = waiting(3, 100);
        assert_eq!(
            waiting.push(&[0; 60], Outbound::AtMostOnce, 0, false),
            Verdict::Waits
        );
        assert_eq!(
            waiting.push(&[0; 60], Outbound::AtMostOnce, 0, false),
            Verdict::Dropped
        );
        assert_eq!(
            waiting.push(&[0; 60], Outbound::Acknowledged(1), 0, false),
            Verdict::Waits
        );
        assert_eq!(
            waiting.push(&[0; 1], Outbound::AtMostOnce, 0, false),
            Verdict::Dropped
        );
        assert_eq!(
            waiting.push(&[0; 1], Outbound::Other, 0, false),
            Verdict::Waits
        );
        assert_eq!(waiting.bytes(), 121);
    }

    #[test]
    fn one_of_which_a_part_is_written_is_never_dropped() {
        let mut waiting = waiting(1, 10);
        assert_eq!(
            waiting.push(&[7; 60], Outbound::AtMostOnce, 59, false),
            Verdict::Waits
        );
        assert_eq!(waiting.next().unwrap(), [7]);
        waiting.wrote(1);
        assert!(waiting.is_empty());
    }

    #[test]
    fn a_client_that_never_reads_answers_is_disconnected() {
        let mut waiting = waiting(10, 10);
        let verdicts = (0..ANSWERS).map(|_| waiting.push(&[0xD0, 0], Outbound::Other, 0, false));
        assert_eq!(
            verdicts
                .filter(|verdict| *verdict == Verdict::TooMany)
                .count(),
            ANSWERS / 2
        );
    }

    #[test]
    fn a_window_is_full_until_something_is_acknowledged() {
        let mut waiting = waiting(10, 10);
        waiting.sent(Outbound::Acknowledged(1));
        waiting.sent(Outbound::Acknowledged(1));
        waiting.sent(Outbound::AtMostOnce);
        assert!(!waiting.is_full());
        waiting.sent(Outbound::Acknowledged(2));
        assert!(waiting.is_full());
        waiting.acknowledged(9);
        assert!(waiting.is_full());
        waiting.acknowledged(1);
        assert!(!waiting.is_full());
    }

    proptest! {
        /// Whatever is written in whatever portions: it comes out in order, and messages of QoS 0 never take more than the bound.
        #[test]
        fn waiting_messages_leave_in_order(steps in proptest::collection::vec((1_usize..40, any::<bool>(), 1_usize..50), 0..100)) {
            let (mut waiting, mut pushed, mut out) = (waiting(20, 300), Vec::new(), Vec::new());
            for (number, (size, push, portion)) in steps.into_iter().enumerate() {
                if push {
                    let packet = vec![number as u8; size];
                    if waiting.push(&packet, Outbound::AtMostOnce, 0, false) == Verdict::Waits {
                        pushed.extend(packet);
                    }
                    prop_assert!(waiting.bytes() <= 300);
                } else if let Some(next) = waiting.next() {
                    let part = next[..next.len().min(portion)].to_vec();
                    waiting.wrote(part.len());
                    out.extend(part);
                }
            }
            while let Some(next) = waiting.next().map(<[u8]>::to_vec) {
                waiting.wrote(next.len());
                out.extend(next);
            }
            prop_assert_eq!(pushed, out);
            prop_assert_eq!(waiting.bytes(), 0);
        }
    }
}
