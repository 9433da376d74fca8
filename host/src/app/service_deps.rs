//! Parts of the host from which every service is built.

use std::time::Duration;

use crate::config::HostSettings;
use crate::rollout::loader::Loader;
use crate::service::{Pools, Shared};
use crate::timers;

/// Shared parts from which services are built.
pub(super) struct ServiceDeps {
    /// Loads their components.
    pub loader: Loader,
    /// Executors for slow guest calls and background work.
    pub pools: Pools,
    /// The timers task.
    pub timers: timers::Handle,
    /// Parts that all services share.
    pub shared: Shared,
    /// Intervals of repeated work.
    pub intervals: Intervals,
}

/// Intervals of repeated work.
#[derive(Debug, Clone, Copy)]
pub(super) struct Intervals {
    /// Time between two announcements that a service is online; zero: it is not repeated.
    pub online: Duration,
    /// Time between two reports of statistics in the log; zero: never.
    pub statistics: Duration,
}

impl Intervals {
    /// The intervals of the configuration.
    pub(super) fn from_config(settings: &HostSettings) -> Self {
        Self {
            online: settings.online_interval,
            statistics: settings.statistics_interval,
        }
    }
}
