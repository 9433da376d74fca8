//! Snapshot of one service: its version, the calls since it began, and the work that waits.
//!
//! A service makes it between two calls, so that nothing on the message path is counted twice or locked for it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Serialize, Serializer};

use super::status::Status;
use super::usage::statistics::{CallTotals, Durations, LastFault};
use crate::config;
use crate::fault_kind::FaultKind;
use crate::message::Qos;
use crate::rollout::history::VersionHistory;
use crate::topic::Filter;
use crate::version::Version;

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
    /// The version in the component file that does not take over by itself, if there is one.
    pub available: Option<AvailableVersion>,
    /// The versions that the service can go back to, and those that it does not run again.
    pub versions: Versions,
    /// Dead letters on disk; `None` when they cannot be read.
    pub dead_letters: Option<u64>,
    /// The base topic, the limits and the grants of the configuration.
    pub configured: Allowances,
    /// The activity since the service began; `None` while the service is in a long call and cannot be asked.
    pub activity: Option<Activity>,
}

/// A version in the component file that waits for a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AvailableVersion {
    /// The version.
    pub version: Version,
    /// When the host found it, in UTC.
    pub since: String,
}

/// Former and rejected versions of a service. They become JSON outside the message path.
#[derive(Debug, Clone, PartialEq)]
pub struct Versions(pub Arc<VersionHistory>);

impl Serialize for Versions {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let hashes = |versions: &[Version]| -> Vec<String> {
            versions.iter().map(ToString::to_string).collect()
        };
        let lists = BTreeMap::from([
            ("kept", hashes(self.0.former_versions())),
            ("refused", hashes(self.0.rejected())),
        ]);
        lists.serialize(serializer)
    }
}

/// Base topic, limits and grants of a service. They become JSON outside the message path.
#[derive(Debug, Clone, PartialEq)]
pub struct Allowances(pub Arc<config::Service>);

impl Serialize for Allowances {
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
    /// The last failed call or start.
    pub last_fault: Option<LastFault>,
    /// The messages that wait, and those that were dropped.
    #[serde(flatten)]
    pub queued: QueuedMessages,
    /// Use of the limits.
    pub used: UsedLimits,
    /// How often each limit was exceeded, and each kind of failure occurred.
    pub faults: BTreeMap<FaultKind, u64>,
    /// Use of the grants.
    pub grants: UsedGrants,
    /// The subscriptions, in the order of their filters.
    pub subscriptions: Vec<SubscriptionSnapshot>,
    /// The timers, in the order of their names.
    pub scheduled: Vec<TimerSnapshot>,
}

/// Messages that wait for a service, and those that it lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct QueuedMessages {
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
}

/// Things that a service holds in all, under the keys of `limits`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct UsedLimits {
    /// Bytes of the instance's memories; `None` while nothing runs.
    pub memory: Option<usize>,
    /// Bytes of the state.
    pub state: usize,
    /// Values in the state.
    pub state_keys: usize,
    /// Subscriptions of the guest.
    pub subscriptions: usize,
    /// Timers.
    pub timers: usize,
    /// Messages that wait.
    pub mailbox: usize,
}

/// Grants that a guest has used, and those that it was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UsedGrants {
    /// Entries of `grants.publish`, `subscribe`, `http` and `sockets` that were used since the configuration is in force.
    pub used: BTreeMap<&'static str, Vec<String>>,
    /// Lines of `miqro.yml` that would grant what the guest was refused since the host has started.
    pub refused: Vec<String>,
}

/// A subscription of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SubscriptionSnapshot {
    /// The filter.
    #[serde(serialize_with = "filter")]
    pub filter: Filter,
    /// The highest quality of service that a service of the host asked for; `None` until the broker has confirmed it.
    pub requested_qos: Option<Qos>,
    /// The quality of service that the broker granted.
    pub granted_qos: Option<Qos>,
}

fn filter<S: Serializer>(filter: &Filter, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(filter.as_str())
}

/// A timer of a service.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TimerSnapshot {
    /// The name.
    pub name: String,
    /// The period; `None`: due once.
    #[serde(rename = "period_s", serialize_with = "seconds")]
    pub period: Option<Duration>,
    /// The time until it is due; `None`: never.
    #[serde(rename = "due_in_s", serialize_with = "seconds")]
    pub due_in: Option<Duration>,
}

fn seconds<S: Serializer>(span: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    span.map(|span| span.as_secs_f64()).serialize(serializer)
}
