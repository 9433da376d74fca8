//! Snapshot of one service: its version, the calls since it began, and the work that waits.
//!
//! A service makes it between two calls, so that nothing on the message path is counted twice or locked for it.

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Serialize, Serializer};

use super::status::Status;
use super::usage::statistics::{CallTotals, Durations};
use crate::config;

/// A service as operators see it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ServiceSnapshot {
    /// The name.
    pub name: String,
    /// The status.
    pub status: Status,
    /// The component file.
    pub component: Option<PathBuf>,
    /// The version that runs, or is started again: the hash of the component in hexadecimal digits.
    pub version: Option<String>,
    /// Whether the version is on probation.
    pub on_probation: bool,
    /// Dead letters on disk; `None` when they cannot be read.
    pub dead_letters: Option<u64>,
    /// The base topic, the limits and the grants of the configuration.
    pub configured: Configured,
    /// The activity since the service began; `None` while the service is in a long call and cannot be asked.
    pub activity: Option<Activity>,
}

/// Base topic, limits and grants of a service. They become JSON outside the message path.
#[derive(Debug, Clone, PartialEq)]
pub struct Configured(pub Arc<config::Service>);

impl Serialize for Configured {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.allowances().serialize(serializer)
    }
}

/// The activity of a service since it began.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Activity {
    /// Calls of `handle`.
    pub messages: CallTotals,
    /// Calls of `tick`, one for each timer that was due.
    pub timers: CallTotals,
    /// Calls of all other exports.
    pub other: CallTotals,
    /// Durations of the measured calls of `handle`, which are one in some on a busy service.
    pub durations_us: Durations,
    /// Whether the service is switched on, and gets messages.
    pub enabled: bool,
    /// The text of the last failed call.
    pub last_failure: Option<String>,
    /// Messages that wait in the mailbox, in memory or in its file.
    pub waiting: usize,
    /// The largest number of messages that ever waited in the mailbox.
    pub high_water: usize,
    /// Messages that the mailbox was offered.
    pub received: u64,
    /// Messages that the mailbox dropped because it was full.
    pub dropped: u64,
    /// Messages that were deferred or spooled.
    pub spooled: usize,
    /// Bytes of the instance's memories; `None` while nothing runs.
    pub memory_bytes: Option<usize>,
    /// The filters that the service has subscribed to.
    pub subscriptions: Vec<String>,
    /// The timers.
    pub timer_names: Vec<String>,
}
