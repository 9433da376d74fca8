//! Publishes the snapshot as retained states: only the differences to the published ones, at a bounded rate.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::changes::PublishedStates;
use super::home_assistant::{Discovery, Service};
use super::outlet::Outlet;
use super::states::{ActivityState, FormerInfo, Health, Info, ServiceState};
use super::topics::Topics;
use crate::config;
use crate::control::{self, Answer, Caller, HostSnapshot, PendingRequest, Reply, Request};
use crate::session::ConnectionStatus;
use crate::topic::Topic;

/// Shortest time between two reports.
const GAP: Duration = Duration::from_secs(1);

/// Messages that are handed to the session at once, so that those of services come between them.
const BATCH: usize = 32;

/// Something that the reporter has to know.
#[derive(Debug)]
pub(super) enum News {
    /// A command was carried out that changes something.
    Changed,
    /// The retained `info` that an earlier run has published.
    Former(FormerInfo),
}

/// Publishes states.
#[derive(Debug)]
pub(super) struct Reporter {
    settings: config::MqttControl,
    topics: Topics,
    discovery: Option<Discovery>,
    outlet: Outlet,
    requests: mpsc::Sender<PendingRequest>,
    news: mpsc::Receiver<News>,
    status: watch::Receiver<ConnectionStatus>,
    /// The number of the connection on which the states were published.
    connection: u64,
    published: PublishedStates,
    /// The last activity of each service that is known: one in a long call cannot be asked.
    activities: BTreeMap<String, ActivityState>,
    /// Topics of an earlier run that may have retained messages.
    former: Vec<Topic>,
}

impl Reporter {
    /// Reads the snapshot through `requests`.
    pub(super) fn new(
        settings: config::MqttControl,
        (topics, discovery): (Topics, Option<Discovery>),
        outlet: Outlet,
        (requests, news): (mpsc::Sender<PendingRequest>, mpsc::Receiver<News>),
    ) -> Self {
        Self {
            settings,
            topics,
            discovery,
            status: outlet.session().status(),
            outlet,
            requests,
            news,
            connection: 0,
            published: PublishedStates::default(),
            activities: BTreeMap::new(),
            former: Vec::new(),
        }
    }

    /// Publishes states until the session has ended.
    pub(super) async fn run(mut self) {
        while let Some(connection) = self.wait_for_connection().await {
            if connection != self.connection {
                // the retained info of an earlier run has to come before it is replaced
                self.outlet.session().wait_for_subscriptions().await;
                self.connection = connection;
                self.published.clear();
            }

            self.report().await;
            self.pause().await;
        }
    }

    /// The number of the connection, as soon as there is one; `None`: the session has ended.
    async fn wait_for_connection(&mut self) -> Option<u64> {
        let is_settled = |status: &ConnectionStatus| {
            status.is_connected() || *status == ConnectionStatus::Stopped
        };
        match *self.status.wait_for(is_settled).await.ok()? {
            ConnectionStatus::Connected { count, .. } => Some(count),
            _ => None,
        }
    }

    /// Waits until the next report: for `interval`, or less when something has happened.
    async fn pause(&mut self) {
        let now = Instant::now();
        let earliest = now + GAP;
        let mut until = now + self.settings.interval;
        loop {
            tokio::select! {
                () = sleep_until(until) => return,
                Some(news) = self.news.recv() => {
                    until = earliest;
                    if let News::Former(former) = news {
                        self.former.extend(former.topics(&self.topics));
                    }
                }
                Ok(()) = self.status.changed() => until = earliest,
            }
        }
    }

    /// Publishes the states that have changed.
    async fn report(&mut self) {
        let caller = Caller::Mqtt {
            response_topic: None,
            transaction: None,
        };
        let reply = control::ask(&self.requests, Request::Snapshot {}, caller).await;
        let Reply::Ok(Answer::Snapshot(snapshot)) = reply else {
            return;
        };

        self.remember_activities(&snapshot);
        let wanted = self.states(&snapshot);
        let former = std::mem::take(&mut self.former);
        let messages = self.published.update(wanted, former);
        for batch in messages.chunks(BATCH) {
            self.outlet.publish(batch.to_vec()).await;
        }
    }

    fn remember_activities(&mut self, snapshot: &HostSnapshot) {
        let services = &snapshot.services;
        self.activities
            .retain(|name, _| services.iter().any(|service| service.name == *name));
        let known = services
            .iter()
            .filter_map(|service| Some((service.name.clone(), ActivityState::of(service)?)));
        self.activities.extend(known);
    }

    /// The retained messages that there should be.
    fn states(&self, snapshot: &HostSnapshot) -> BTreeMap<Topic, Bytes> {
        let mut states = BTreeMap::new();
        let mut insert = |topic: Topic, payload: Option<Bytes>| {
            states.extend(payload.map(|payload| (topic, payload)));
        };

        let prefix = self.discovery.as_ref().map(|one| one.prefix.as_str());
        let info = Info::of(snapshot, &self.settings.commands, prefix);
        insert(self.topics.info.clone(), to_json(&info));
        let health = Health::of(snapshot, &self.activities);
        insert(self.topics.health.clone(), to_json(&health));
        for service in &snapshot.services {
            if let Some(topic) = self.topics.service(&service.name)
                && let Some(activity) = self.activities.get(&service.name)
            {
                insert(topic, to_json(&ServiceState::of(service, activity)));
            }
        }

        if let Some(discovery) = &self.discovery {
            let services = snapshot.services.iter();
            let known = services.filter(|service| self.activities.contains_key(&service.name));
            let known = known.map(|service| Service {
                name: &service.name,
                version: service.version.as_deref(),
            });
            states.extend(discovery.devices(snapshot.version, known));
        }

        states
    }
}

/// JSON of a state. None of them can fail, as their members are named.
fn to_json(state: &impl Serialize) -> Option<Bytes> {
    serde_json::to_vec(state).ok().map(Bytes::from)
}
