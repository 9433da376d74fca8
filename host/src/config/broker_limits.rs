//! The section `broker.embedded.limits`.

use std::time::Duration;

use super::OutboxLimits;
use super::format::{Number, Span, Words};
use super::nested::NestedSection;
use super::settings::settings;

const MS: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3600);
/// The highest count that is accepted.
const MOST: usize = 1_000_000;

settings! {
    /// The load that clients may put on the embedded broker. The defaults are for a machine with 512 MB.
    pub struct BrokerLimits {
        /// Connections at once.
        pub connections: usize = 500, "connections": Number(1..=MOST);
        /// Connections that have not sent CONNECT yet.
        pub pending: usize = 100, "pending": Number(1..=MOST);
        /// How long a connection may take to send CONNECT.
        pub connect_timeout: Duration = Duration::from_secs(10), "connect_timeout": Span(MS..=HOUR);
        /// Sessions that outlive their connection.
        pub sessions: usize = 200, "sessions": Number(1..=MOST);
        /// Subscriptions of one client.
        pub subscriptions: usize = 1000, "subscriptions": Number(1..=MOST);
        /// Messages that wait for one client that is connected and does not read. Messages of QoS 0 are dropped beyond it.
        pub waiting: OutboxLimits = OutboxLimits::default(), "waiting": NestedSection;
        /// The treatment of a client that reads nothing for 10 s while messages of QoS 1 and 2 wait for it: it is disconnected and
        /// its session keeps the messages in its queue (`disconnect`), or it stays and the oldest messages of its queue are
        /// dropped (`drop`).
        pub when_full: WhenClientFull = WhenClientFull::Disconnect, "when_full": Words(&WHEN_FULL);
        /// Messages of QoS 1 and 2 that wait for one client that is away or does not acknowledge. The oldest are dropped beyond it.
        pub queue: OutboxLimits = OutboxLimits::default(), "queue": NestedSection;
        /// Retained messages of all clients.
        pub retained: OutboxLimits = OutboxLimits::default(), "retained": NestedSection;
    }
}

/// The treatment of a client that does not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenClientFull {
    /// It is disconnected; its session keeps the messages in its queue.
    Disconnect,
    /// It stays; the oldest messages of its queue are dropped.
    Drop,
}

/// The words of `when_full`.
const WHEN_FULL: [(&str, WhenClientFull); 2] = [
    ("disconnect", WhenClientFull::Disconnect),
    ("drop", WhenClientFull::Drop),
];
