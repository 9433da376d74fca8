//! The retained states, made of the snapshot. Their members have the names that they have there.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::home_assistant;
use super::topics::Topics;
use crate::control::HostSnapshot;
use crate::service::{AvailableVersion, CallTotals, LastFault, ServiceSnapshot};
use crate::topic::Topic;

/// Version, services and commands.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Info<'a> {
    pub version: &'a str,
    /// Client identifier of the session.
    pub client_id: &'a str,
    /// Address of the broker.
    pub broker: &'a str,
    /// Names of the services.
    pub services: Vec<&'a str>,
    /// The commands that may be asked for.
    pub commands: &'a [&'static str],
    /// The topic below which Home Assistant is told of host and services; `None`: it is not.
    pub home_assistant: Option<&'a str>,
}

/// The part of a retained `info` that tells the states of an earlier run.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub(super) struct FormerInfo {
    /// Names of the services.
    #[serde(default)]
    pub services: Vec<String>,
    /// The topic below which Home Assistant was told of them.
    #[serde(default)]
    pub home_assistant: Option<String>,
}

impl FormerInfo {
    /// The topics of the retained messages besides the ones of the host.
    pub(super) fn topics(&self, topics: &Topics) -> Vec<Topic> {
        let states = self.services.iter().filter_map(|name| topics.service(name));
        let mut all: Vec<Topic> = states.collect();

        let prefix = self.home_assistant.clone().map(Topic::new);
        if let Some(Ok(prefix)) = prefix {
            let services = self.services.iter().map(|name| Some(name.as_str()));
            let devices = services.chain([None]);
            all.extend(devices.filter_map(|name| home_assistant::topic(&prefix, topics, name)));
        }
        all
    }
}

/// Figures of the host.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Health<'a> {
    /// The number of connections since the host has started.
    pub connections: u64,
    /// Filters that are not subscribed to, because the broker ends the connection for them.
    pub quarantined: &'a [String],
    pub log_lines_lost: u64,
    pub spans_lost: u64,
    /// The number of services of each status.
    pub services: BTreeMap<&'static str, usize>,
    /// Failed calls of all services.
    pub failures: u64,
    /// Dead letters of all services.
    pub dead_letters: u64,
}

/// State of a service.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct ServiceState<'a> {
    pub name: &'a str,
    pub status: &'static str,
    pub version: Option<&'a str>,
    pub on_probation: bool,
    pub available: Option<&'a AvailableVersion>,
    pub dead_letters: Option<u64>,
    #[serde(flatten)]
    pub activity: &'a ActivityState,
}

/// The activity of a service since it began.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct ActivityState {
    pub enabled: bool,
    pub messages: CallTotals,
    pub timers: CallTotals,
    pub waiting: usize,
    pub spooled: usize,
    pub received: u64,
    pub dropped: u64,
    /// Bytes of the instance's memories; `None` while nothing runs.
    pub memory: Option<usize>,
    pub last_fault: Option<LastFault>,
}

impl<'a> Info<'a> {
    /// The state in the snapshot.
    pub(super) fn of(
        snapshot: &'a HostSnapshot,
        commands: &'a [&'static str],
        home_assistant: Option<&'a str>,
    ) -> Self {
        let services = snapshot.services.iter();
        Self {
            version: snapshot.version,
            client_id: &snapshot.broker.client_id,
            broker: &snapshot.broker.address,
            services: services.map(|service| service.name.as_str()).collect(),
            commands,
            home_assistant,
        }
    }
}

impl<'a> Health<'a> {
    /// The state in the snapshot. `activities`: those that are known, by service.
    pub(super) fn of(
        snapshot: &'a HostSnapshot,
        activities: &BTreeMap<String, ActivityState>,
    ) -> Self {
        let mut services = BTreeMap::new();
        for service in &snapshot.services {
            *services.entry(service.status.into()).or_default() += 1;
        }

        let failures = activities.values();
        let letters = snapshot.services.iter();
        Self {
            connections: snapshot.broker.connections,
            quarantined: &snapshot.broker.quarantined,
            log_lines_lost: snapshot.log_lines_lost,
            spans_lost: snapshot.spans_lost,
            services,
            failures: failures
                .map(|one| one.messages.failures + one.timers.failures)
                .sum(),
            dead_letters: letters.filter_map(|service| service.dead_letters).sum(),
        }
    }
}

impl<'a> ServiceState<'a> {
    /// The state in the snapshot. `activity`: the last one that is known.
    pub(super) fn of(service: &'a ServiceSnapshot, activity: &'a ActivityState) -> Self {
        Self {
            name: &service.name,
            status: service.status.into(),
            version: service.version.as_deref(),
            on_probation: service.on_probation,
            available: service.available.as_ref(),
            dead_letters: service.dead_letters,
            activity,
        }
    }
}

impl ActivityState {
    /// The activity in the snapshot; `None` while the service cannot be asked.
    pub(super) fn of(service: &ServiceSnapshot) -> Option<Self> {
        let activity = service.activity.as_ref()?;
        Some(Self {
            enabled: activity.enabled,
            messages: activity.messages,
            timers: activity.timers,
            waiting: activity.queued.waiting,
            spooled: activity.queued.spooled,
            received: activity.queued.received,
            dropped: activity.queued.dropped,
            memory: activity.used.memory,
            last_fault: activity.last_fault.clone(),
        })
    }
}
