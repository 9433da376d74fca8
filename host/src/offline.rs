//! Rules for a service's messages while there is no connection to the broker. Each message carries the rule that it matches.

use crate::topic::Filter;

/// Rule for messages on the topics of one filter while there is no connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfflineRule {
    /// The full filter.
    pub filter: Filter,
    /// Policy for these messages.
    pub policy: OfflinePolicy,
    /// Whether waiting messages are also kept on disk, so that they survive the host.
    pub persist: bool,
}

/// Policy for a message while there is no connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OfflinePolicy {
    /// It is dropped.
    Drop,
    /// It waits, and replaces the waiting message on the same topic.
    KeepLast,
    /// It waits behind the other messages of the rule.
    Queue {
        /// Messages of the rule that may wait.
        limit: usize,
        /// Message that is dropped when as many wait.
        overflow: Overflow,
        /// Whether messages of QoS 0 wait at all.
        qos0: bool,
        /// Whether a message waits that equals a waiting one (topic, payload, QoS and retain).
        duplicates: bool,
    },
}

/// Message that is dropped when too many wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overflow {
    /// The message that has waited longest.
    DropOldest,
    /// The new message.
    DropNewest,
}
