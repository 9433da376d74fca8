//! Wiring: the MQTT connections of the host. In: the connection's configuration and the loaded services. Out: the session
//! that carries all messages, and the presence connections, whose wills say `0` for one service each. Owns their tasks.
//!
//! One MQTT connection has one will. The first service's is the main session's; each further service has a connection of
//! its own that carries nothing else. With more services than `presence_connections` the main session's will stands for the
//! whole host, and each service's `1` expires by itself unless it is renewed.

use std::time::{Duration, Instant};

use anyhow::anyhow;
use tokio::task::JoinSet;
use tracing::warn;

use crate::config::Connection;
use crate::message::{Message, Qos};
use crate::router::{Router, ServiceId};
use crate::service;
use crate::session::{self, Command, Keeper, Session, SessionError, Stopped};
use crate::topic::{BaseTopic, Topic};

use super::start::Loaded;
use super::state::State;

/// How long an `online` of `1` lasts without renewal where no will stands behind it.
const EXPIRY: Duration = Duration::from_secs(180);

/// The running sessions.
pub struct Sessions {
    main: session::Handle,
    presences: Vec<session::Handle>,
    expiry: Option<Duration>,
    /// What is to be said for the whole host at a clean stop, where the services have no wills of their own.
    offline: Option<Message>,
    tasks: JoinSet<Result<Stopped, SessionError>>,
}

/// Opens the sessions. The routes of all services are in place before the first one connects.
///
/// # Errors
/// When a base topic leaves no room for `online`.
pub fn open(connection: &Connection, loaded: &[Loaded], limit: usize, state: &mut State) -> anyhow::Result<Sessions> {
    let shared_will = loaded.len() > limit.saturating_add(1);
    let mut router = Router::default();
    for one in loaded {
        // the session subscribes to all that the router holds when it connects, so the difference is not needed
        router.attach(one.id, one.mailbox.0.clone(), &one.subscriptions);
    }
    let will = match loaded.first() {
        Some(first) if !shared_will => Some(service::will(&first.config.base)?),
        _ => Some(host_will(connection)?),
    };
    let (mut session, main) = Session::new(connection.clone(), will.clone(), router);
    let store = state.store.clone();
    session.keep_with(Keeper(Box::new(move |changes| store.keep(changes))), std::mem::take(&mut state.waiting));
    let mut tasks = JoinSet::new();
    tasks.spawn(session.run());
    let mut presences = Vec::new();
    if shared_will {
        let most = limit.saturating_add(1);
        warn!(
            "more than {most} services: they share one will, on {}; `online` of a service expires {EXPIRY:?} after the host is gone",
            will.as_ref().map_or("", |will| will.topic.as_str())
        );
        announce_host(&main, connection)?;
    } else {
        for one in loaded.iter().skip(1) {
            let own = presence_connection(connection, &one.config.name);
            let (session, handle) = Session::new(own, Some(service::will(&one.config.base)?), Router::default());
            tasks.spawn(session.run());
            presences.push(handle);
        }
    }
    let (expiry, offline) = (shared_will.then_some(EXPIRY), will.filter(|_| shared_will));
    Ok(Sessions { main, presences, expiry, offline, tasks })
}

impl Sessions {
    /// The session that carries the messages.
    pub fn main(&self) -> session::Handle {
        self.main.clone()
    }

    /// Where the `online` of a service is announced, and how long a `1` lasts there.
    pub fn presence(&self, service: ServiceId) -> (session::Handle, Option<Duration>) {
        let own = (service.0 as usize).checked_sub(1).and_then(|index| self.presences.get(index));
        (own.unwrap_or(&self.main).clone(), self.expiry)
    }

    /// Waits until a session ends by a fault that reconnecting cannot mend.
    pub async fn failed(&mut self) -> anyhow::Error {
        loop {
            match self.tasks.join_next().await {
                Some(Ok(Err(error))) => return error.into(),
                Some(Ok(Ok(_))) => {}
                Some(Err(bug)) => return anyhow!("the MQTT session failed in the host, which is a bug: {bug}"),
                None => std::future::pending().await,
            }
        }
    }

    /// Says that a service is offline which did not come to say so itself.
    pub async fn offline(&self, service: ServiceId, base: &BaseTopic) {
        if let Ok(offline) = service::will(base) {
            self.presence(service).0.send(Command::Announce(offline)).await;
        }
    }

    /// Takes no more messages from the broker.
    pub async fn quiesce(&self) {
        self.main.send(Command::Quiesce).await;
    }

    /// Sends what waits, acknowledges what was handled, and disconnects.
    pub async fn stop(&mut self, deadline: Instant) {
        if let Some(offline) = self.offline.take() {
            self.main.send(Command::Announce(offline)).await;
        }
        for handle in self.presences.iter().chain([&self.main]) {
            handle.send(Command::Stop { deadline }).await;
        }
        while let Some(ended) = self.tasks.join_next().await {
            if let Ok(Err(error)) = ended {
                warn!("{error}");
            }
        }
    }
}

fn presence_connection(connection: &Connection, service: &str) -> Connection {
    Connection {
        client_id: format!("{}-{service}", connection.client_id),
        clean_start: true,
        session_expiry: Duration::ZERO,
        ..connection.clone()
    }
}

fn host_topic(connection: &Connection) -> anyhow::Result<Topic> {
    Ok(Topic::new(format!("miqro/{}/online", connection.client_id))?)
}

fn host_will(connection: &Connection) -> anyhow::Result<Message> {
    Ok(Message::new(host_topic(connection)?, "0", Qos::AtLeastOnce, true))
}

fn announce_host(main: &session::Handle, connection: &Connection) -> anyhow::Result<()> {
    let online = Message::new(host_topic(connection)?, "1", Qos::AtLeastOnce, true);
    main.try_send(Command::Announce(online)).map_err(|_| anyhow!("the session takes no commands"))
}
