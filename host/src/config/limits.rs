//! The limits of one service: the section `limits`, whose keys stand side by side in the file and in groups here.

use std::time::Duration;

use super::format::{Number, Size, Span, WaitRange, Waits, Words};
use super::settings::{Settings, settings};
use super::units::{KIB, MIB, MOST_BYTES};
use crate::fault_kind::FaultKind;

/// One page of WebAssembly's linear memory.
const PAGE: usize = 64 * KIB;
/// The highest count that is accepted.
const MOST: usize = 100_000_000;
/// The highest rates per second: of counts, and of bytes.
const FASTEST: u64 = 1_000_000_000;
const FASTEST_BYTES: u64 = 1 << 40;
/// MQTT 5, section 2.1.4: the largest remaining length.
const LARGEST_PAYLOAD: usize = 268_435_455;
const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);

settings! {
    /// Limits of one service.
    pub struct Limits {
        /// The memory of its component.
        pub memory: flatten MemoryLimits;
        /// One call of the guest.
        pub call: flatten CallLimits;
        /// Messages that wait for it.
        pub mailbox: flatten MailboxLimits;
        /// Attempts and restarts after a fault.
        pub retry: flatten RetryLimits;
        /// Things that it holds in all.
        pub total: flatten TotalLimits;
        /// Things that it does in a second.
        pub rates: flatten RateLimits;
    }
}

settings! {
    /// Limits on the memory of a component.
    pub struct MemoryLimits {
        /// Linear memory, all memories of the component together.
        pub bytes: usize = 64 * MIB, "memory": Size(PAGE..=MOST_BYTES), fault Memory;
        /// Table elements, all tables of the component together.
        pub table_elements: usize = 200_000, "table": Number(0..=MOST), fault Table;
        /// Core instances of the component; tables and memories too, each.
        pub instances: usize = 200, "instances": Number(1..=MOST), fault Instances;
    }
}

settings! {
    /// Limits on one call of the guest.
    pub struct CallLimits {
        /// How long one guest call may run. The guest of a service that takes longer is started again.
        pub time: Duration = SECOND, "call": Span(MS..=DAY), fault Call;
        /// Publishes and requests in one call.
        pub publishes: usize = 1000, "publishes": Number(0..=MOST), fault Publishes;
        /// Bytes that the publishes and requests of one call may take.
        pub publish_bytes: usize = 64 * MIB, "publish_bytes": Size(0..=MOST_BYTES), fault PublishBytes;
        /// The size of one payload.
        pub payload: usize = MIB, "payload": Size(1..=LARGEST_PAYLOAD), fault Payload;
        /// Changes of subscriptions and timers in one call.
        pub changes: usize = 4000, "changes": Number(0..=MOST), fault Changes;
        /// Log lines in one call.
        pub log_lines: usize = 1000, "log_lines": Number(0..=MOST), fault LogLines;
    }
}

settings! {
    /// Limits on the messages that wait for a service.
    pub struct MailboxLimits {
        /// Messages that may wait. Beyond it `when_full` decides.
        pub messages: usize = 10_000, "mailbox": Number(1..=MOST), fault Mailbox;
        /// Bytes that waiting messages may take. One message may always wait, however large it is. Beyond it `when_full` decides.
        pub bytes: usize = 16 * MIB, "mailbox_bytes": Size(1..=MOST_BYTES), fault MailboxBytes;
        /// The treatment of a message when the mailbox is full: the oldest waiting message is dropped (`drop-oldest`), the new one
        /// is dropped (`drop-newest`), or nothing of QoS 1 and 2 is dropped (`hold`, formerly `unacknowledged`). Messages of QoS 0
        /// cannot be held back: they are dropped. Dropped messages are counted.
        pub when_full: WhenFull = WhenFull::Hold, "when_full": Words(&WHEN_FULL);
        /// Bytes of acknowledged messages that may wait on disk. Messages of QoS 1 and 2 that would keep the broker from sending
        /// to other services wait there. Beyond it `when_full` decides: the oldest becomes a dead letter (`drop-oldest`), the
        /// newest is dropped (`drop-newest`), or the next ones wait at the broker, and with them those of all other services
        /// (`hold`).
        pub spool: usize = 64 * MIB, "spool": Size(1..=MOST_BYTES);
    }
}

settings! {
    /// Limits on attempts and restarts after a fault.
    pub struct RetryLimits {
        /// How often a failing message or timer is tried in all.
        pub attempts: u32 = 3, "attempts": Number(1..=u32::MAX);
        /// The treatment of the messages behind one that fails: they wait for it (`in-order`), so that messages are handled in
        /// the order of their arrival, or they continue (`out-of-order`).
        pub when_failing: WhenFailing = WhenFailing::InOrder, "when_failing": Words(&WHEN_FAILING);
        /// The waits before a restart and before another attempt: the first one, doubled up to the longest one, with jitter.
        pub backoff: WaitRange = WaitRange { min: Duration::from_millis(100), max: 30 * SECOND }, "backoff": Waits;
        /// How often the guest is started again after faults within `restart_window`. Beyond it the service has failed and waits
        /// for another component file.
        pub restarts: u32 = 20, "restarts": Number(0..=u32::MAX);
        /// The time in which restarts are counted.
        pub restart_window: Duration = 600 * SECOND, "restart_window": Span(SECOND..=30 * DAY);
        /// How many dead letters, messages that were given up, are kept for `miqro-host replay`.
        pub dead_letters: usize = 1000, "dead_letters": Number(0..=MOST);
    }
}

settings! {
    /// Limits on the things that a service holds in all.
    pub struct TotalLimits {
        /// Subscriptions in all.
        pub subscriptions: usize = 1000, "subscriptions": Number(0..=MOST), fault Subscriptions;
        /// Timers in all.
        pub timers: usize = 1000, "timers": Number(0..=MOST), fault Timers;
        /// The size of the state that the service keeps across restarts, keys included.
        pub state: usize = MIB, "state": Size(0..=MOST_BYTES), fault State;
        /// Values in the state.
        pub state_keys: usize = 10_000, "state_keys": Number(0..=MOST), fault StateKeys;
    }
}

settings! {
    /// Limits on the things that a service does in a second.
    pub struct RateLimits {
        /// Messages published in a second, beyond one for each message that the service handled.
        pub publishes: u64 = 10_000, "publish_rate": Number(1..=FASTEST), fault PublishRate;
        /// Bytes of payloads published in a second, beyond those of the messages that the service handled.
        pub payload: u64 = 2 << 20, "payload_rate": Size(1..=FASTEST_BYTES), fault PayloadRate;
        /// Log lines in a second.
        pub log_lines: u64 = 100, "log_rate": Number(1..=FASTEST), fault LogRate;
        /// Bytes of state written in a second, keys included, and 1 KiB more for each value.
        pub state: u64 = 1 << 20, "state_rate": Size(1..=FASTEST_BYTES), fault StateRate;
        /// Changes of subscriptions and timers in a second.
        pub changes: u64 = 1000, "change_rate": Number(1..=FASTEST), fault ChangeRate;
    }
}

impl Limits {
    /// The key of `limits` that a fault of this kind exceeds, as in `publish_rate`; `None` where it exceeds none of them.
    pub fn key_of(fault: FaultKind) -> Option<&'static str> {
        <Self as Settings>::key_of(fault)
    }
}

/// The treatment of a message when the mailbox, or the spool, is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenFull {
    /// The oldest waiting message is dropped and counted.
    DropOldest,
    /// The message is dropped and counted.
    DropNewest,
    /// Nothing of QoS 1 and 2 is dropped. Messages that would keep the broker from sending to other services are spooled. When
    /// `spool` is full too, the next messages wait at the broker. QoS 0 messages, which cannot be held back, are dropped and
    /// counted.
    Hold,
}

/// The treatment of the messages of a service behind one that fails and is to be tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenFailing {
    /// They wait, so that messages are handled in the order of their arrival.
    InOrder,
    /// They continue.
    OutOfOrder,
}

/// The words of `when_full`. `unacknowledged` is a former name.
const WHEN_FULL: [(&str, WhenFull); 4] = [
    ("drop-oldest", WhenFull::DropOldest),
    ("drop-newest", WhenFull::DropNewest),
    ("hold", WhenFull::Hold),
    ("unacknowledged", WhenFull::Hold),
];

/// The words of `when_failing`.
const WHEN_FAILING: [(&str, WhenFailing); 2] = [
    ("in-order", WhenFailing::InOrder),
    ("out-of-order", WhenFailing::OutOfOrder),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_of_a_limit_names_its_key() {
        let exceeding = [
            FaultKind::Memory,
            FaultKind::Table,
            FaultKind::Instances,
            FaultKind::Call,
            FaultKind::Publishes,
            FaultKind::PublishBytes,
            FaultKind::Payload,
            FaultKind::Subscriptions,
            FaultKind::Timers,
            FaultKind::Changes,
            FaultKind::State,
            FaultKind::StateKeys,
            FaultKind::LogLines,
            FaultKind::PublishRate,
            FaultKind::PayloadRate,
            FaultKind::LogRate,
            FaultKind::StateRate,
            FaultKind::ChangeRate,
            FaultKind::Mailbox,
            FaultKind::MailboxBytes,
        ];

        for fault in exceeding {
            let key = Limits::key_of(fault).map(|key| key.replace('_', "-"));
            assert_eq!(key.as_deref(), Some(fault.name()));
        }
        for fault in [
            FaultKind::Stack,
            FaultKind::Trap,
            FaultKind::Outbox,
            FaultKind::Start,
        ] {
            assert_eq!(Limits::key_of(fault), None);
        }
    }
}
