//! Rules for a service's messages while there is no connection to the broker. Messages carry their
//! rule.

use crate::topic::Filter;

/// Rule for messages on the topics of one filter while there is no connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfflineRule {
    /// The full filter.
    pub filter: Filter,
    /// Their policy.
    pub policy: OfflinePolicy,
    /// Whether those that wait are also kept on disk, so that they survive the host.
    pub persist: bool,
}

/// Policy for a message while there is no connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OfflinePolicy {
    /// It is dropped.
    Drop,
    /// It waits, in place of the one that waits on the same topic.
    KeepLast,
    /// It waits behind the others of the rule.
    Queue {
        /// How many of the rule may wait.
        limit: usize,
        /// Which of them is dropped when so many wait.
        overflow: Overflow,
        /// Whether messages of QoS 0 wait at all.
        qos0: bool,
        /// Whether a message waits that equals one that waits already (topic, payload, QoS and retain).
        duplicates: bool,
    },
}

/// Which message is dropped when too many wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overflow {
    /// The one that has waited longest.
    DropOldest,
    /// The new one.
    DropNewest,
}
