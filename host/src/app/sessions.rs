//! MQTT connections of the host: the main session, which carries all messages, and the presence connections.
//!
//! One MQTT connection has one will. The first service's is the main session's; each further service has a connection of
//! its own that carries nothing else. With control over MQTT the main session's will is the host's, and the first service has a
//! connection of its own as well. With more services than `presence_connections` the main session's will stands for the
//! whole host, and each service's `1` expires by itself unless it is renewed.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::anyhow;
use tokio::task::JoinSet;
use tracing::warn;

use crate::config::{self, Config, Connection};
use crate::message::{Message, Qos};
use crate::mqtt_control::Topics;
use crate::router::{Router, ServiceId};
use crate::service::{self, Shared};
use crate::session::state::RestoredMessage;
use crate::session::{self, Command, EXPIRY, PersistSink, Session, SessionError, StopSummary};
use crate::span;
use crate::topic::Topic;

use super::loaded_service::LoadedService;

/// Time that the presence connection of a removed service has to announce it and disconnect.
const PRESENCE_STOP: Duration = Duration::from_secs(2);

/// The running sessions.
pub(super) struct Sessions {
    main: session::Handle,
    /// State that all sessions share.
    group: session::Group,
    /// Settings of the connection, used by all sessions.
    connection: Connection,
    presences: HashMap<ServiceId, PresenceSession>,
    /// The service whose will is the main session's.
    first: Option<ServiceId>,
    /// Maximum number of presence connections; further services have none.
    limit: usize,
    /// Message that is published at a clean stop when the services share one will.
    offline: Option<Message>,
    tasks: JoinSet<Result<StopSummary, SessionError>>,
}

/// The wills of the sessions.
pub(super) struct Wills {
    /// Maximum number of presence connections.
    presence_connections: usize,
    /// Whether the host has a will of its own besides those of the services.
    has_host: bool,
}

impl Wills {
    /// The wills that the configuration asks for.
    pub(super) fn from_config(config: &Config) -> Self {
        Self {
            presence_connections: config.host.presence_connections,
            has_host: config.mqtt_control.is_some(),
        }
    }
}

/// A service's own presence connection.
struct PresenceSession {
    /// Suffix of its client identifier.
    suffix: String,
    handle: session::Handle,
}

/// Opens the sessions. The routes of all services are in place before the first one connects.
///
/// # Errors
/// When a base topic leaves no room for `online`.
pub(super) fn open(
    connection: &Connection,
    loaded: &[LoadedService],
    wills: &Wills,
    shared: &Shared,
    waiting: Vec<RestoredMessage>,
) -> anyhow::Result<Sessions> {
    let limit = wills.presence_connections;
    let most = limit.saturating_add(usize::from(!wills.has_host));
    let shared_will = loaded.len() > most;
    let is_host_will = shared_will || wills.has_host;
    let mut router = Router::default();
    for one in loaded {
        // the session subscribes to all that the router holds when it connects, so the difference is not needed
        router.attach(one.id, one.mailbox.0.clone(), &one.subscriptions);
    }
    let will = match loaded.first() {
        Some(first) if !is_host_will => Some(service::will(&first.ctx.config)?),
        _ => Some(host_will(connection)?),
    };
    let (mut session, main) = Session::new(connection.clone(), will.clone(), router);
    let store = shared.store.clone();
    session.persist_with(
        PersistSink(Box::new(move |changes| store.persist(changes))),
        waiting,
    );
    if let Some(tracer) = &shared.tracer {
        session.trace_with(tracer.clone());
    }
    let group = session.group();
    let mut tasks = JoinSet::new();
    tasks.spawn(session.run());
    let offline = will.clone().filter(|_| is_host_will);
    let first = loaded
        .first()
        .map(|first| first.id)
        .filter(|_| !is_host_will);
    let connection = connection.clone();
    let presences = HashMap::new();
    let mut sessions = Sessions {
        main,
        group,
        connection,
        presences,
        first,
        limit,
        offline,
        tasks,
    };

    if shared_will {
        sessions.limit = 0;
        warn!(
            "more than {most} services: they share one will, on {}; `online` of a service expires {EXPIRY:?} after the host is gone",
            will.as_ref().map_or("", |will| will.topic.as_str())
        );
    } else {
        for one in loaded.iter().filter(|one| Some(one.id) != first) {
            sessions.add(one.id, one.ctx.config.name.clone(), &one.ctx.config)?;
        }
    }

    if is_host_will {
        announce_host(&sessions.main, &sessions.connection)?;
    }

    Ok(sessions)
}

impl Sessions {
    /// The session that carries the messages.
    pub(super) fn main(&self) -> session::Handle {
        self.main.clone()
    }

    /// Returns the session that announces a service's `online`, and the time after which a `1` expires there (`None`: never).
    pub(super) fn presence(&self, service: ServiceId) -> (session::Handle, Option<Duration>) {
        match self.presences.get(&service) {
            Some(own) => (own.handle.clone(), None),
            None => (
                self.main.clone(),
                (self.first != Some(service)).then_some(EXPIRY),
            ),
        }
    }

    /// Opens the presence connection of one more service, unless the limit is reached. Its client identifier ends in `suffix`.
    ///
    /// # Errors
    /// When the base topic leaves no room for `online`.
    pub(super) fn add(
        &mut self,
        service: ServiceId,
        suffix: String,
        config: &config::Service,
    ) -> anyhow::Result<()> {
        let will = service::will(config)?;
        if self.presences.len() >= self.limit {
            span::service(&config.name).in_scope(|| {
                warn!(
                    "has no presence connection, since there are {} already: its `online` expires {EXPIRY:?} after the host is gone",
                    self.limit
                );
            });
            return Ok(());
        }

        let own = presence_connection(&self.connection, &suffix);
        let main = (&self.group, self.main.clone());
        let (session, handle) = Session::presence(main, own, will, config.name.clone());
        self.tasks.spawn(session.run());
        self.presences
            .insert(service, PresenceSession { suffix, handle });
        Ok(())
    }

    /// Detaches a service that has ended, and closes its presence connection.
    pub(super) async fn remove(&mut self, service: ServiceId) {
        self.main.send(Command::Detach { service }).await;
        if let Some(own) = self.presences.remove(&service) {
            own.handle.stop(Instant::now() + PRESENCE_STOP);
        }
    }

    /// Reconnects with these settings; the session and its routes stay.
    pub(super) async fn renew(&mut self, connection: Connection) {
        self.main.reconfigure(connection.clone()).await;
        for own in self.presences.values() {
            own.handle
                .reconfigure(presence_connection(&connection, &own.suffix))
                .await;
        }
        self.connection = connection;
    }

    /// Settings of the connection.
    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Waits until a session ends with an error that reconnecting cannot fix.
    pub(super) async fn failed(&mut self) -> anyhow::Error {
        loop {
            match self.tasks.join_next().await {
                Some(Ok(Err(error))) => return error.into(),
                Some(Ok(Ok(_))) => {}
                Some(Err(bug)) => {
                    return anyhow!("the MQTT session failed in the host, which is a bug: {bug}");
                }
                None => std::future::pending().await,
            }
        }
    }

    /// Announces that a service is offline which could not do so itself.
    pub(super) async fn announce_offline(&self, id: ServiceId, service: &config::Service) {
        if let Ok(offline) = service::will(service) {
            self.presence(id).0.send(Command::Announce(offline)).await;
        }
    }

    /// Takes no more messages from the broker.
    pub(super) async fn quiesce(&self) {
        self.main.send(Command::Quiesce).await;
    }

    /// Sends waiting messages, acknowledges handled ones, and disconnects.
    pub(super) async fn stop(&mut self, deadline: Instant) {
        if let Some(offline) = self.offline.take() {
            self.main.send(Command::Announce(offline)).await;
        }
        // the main session announces for presence connections without a place, so it ends last, and has half of the time at least
        let now = Instant::now();
        let first = now + deadline.saturating_duration_since(now) / 2;
        for own in self.presences.values() {
            own.handle.stop(first);
        }
        self.join(1).await;
        self.main.stop(deadline);
        self.join(0).await;
    }

    /// Waits until at most `left` sessions are running.
    async fn join(&mut self, left: usize) {
        while self.tasks.len() > left
            && let Some(ended) = self.tasks.join_next().await
        {
            if let Ok(Err(error)) = ended {
                warn!("{error}");
            }
        }
    }
}

fn presence_connection(connection: &Connection, suffix: &str) -> Connection {
    let mut presence = connection.clone();
    presence.client_id = format!("{}-{suffix}", connection.client_id);
    presence.session.clean_start = true;
    presence.session.session_expiry = Duration::ZERO;
    presence
}

fn host_topic(connection: &Connection) -> anyhow::Result<Topic> {
    Ok(Topics::new(&connection.client_id)?.online)
}

fn host_will(connection: &Connection) -> anyhow::Result<Message> {
    Ok(Message::new(
        host_topic(connection)?,
        "0",
        Qos::AtLeastOnce,
        true,
    ))
}

fn announce_host(main: &session::Handle, connection: &Connection) -> anyhow::Result<()> {
    let online = Message::new(host_topic(connection)?, "1", Qos::AtLeastOnce, true);
    main.try_send(Command::Announce(online))
        .map_err(|_| anyhow!("the session takes no commands"))
}
