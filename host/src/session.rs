//! Actor: the MQTT session. In: commands from services and wiring, bytes from the broker. Out: messages into mailboxes, bytes to
//! the broker, the connection's status. Owns the router, the session state and the socket; one task, one `Session` for the
//! host, a presence connection or a command line tool.
//!
//! It reads all that the socket has, routes the batch, lets the services run, takes all commits that wait and writes once.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::watch;
use tracing::Instrument;

use crate::config::Connection;
use crate::message::Message;
use crate::router::Router;

mod attempt;
mod capability_probe;
pub mod codec;
mod command;
mod connect;
mod connection;
mod delivery_tracker;
mod dispatcher;
mod event_throttle;
mod fallback;
mod framed;
mod group;
mod head_of_line;
mod loop_detector;
mod outage;
pub mod packet;
mod presence_status;
mod republisher;
mod retained_cache;
mod schedule;
pub mod state;
mod task;
pub mod transport;

pub use command::{Command, Commit, ConnectionStatus, Handle, PersistSink, Stopped};
pub use fallback::EXPIRY;

use fallback::Fallback;
pub use group::Group;
use group::Member;
use state::RestoredMessage;
use task::Task;

/// Why a session ended that was not told to.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// Another client connected with our client identifier. Coming back would throw it out, and it us, for ever.
    #[error(
        "another client connected to {peer} with the client id {client_id:?} and took the session over; \
         give each host a client_id of its own"
    )]
    TakenOver {
        /// The broker as `host:port`.
        peer: String,
        /// Ours, and the other client's.
        client_id: String,
    },
    /// The connection settings cannot be expressed in MQTT.
    #[error("cannot connect to {peer}: {source}")]
    Settings {
        /// The broker as `host:port`.
        peer: String,
        /// What cannot be written.
        source: codec::CodecError,
    },
}

/// A session that was not started yet.
#[derive(Debug)]
pub struct Session {
    task: Task,
}

impl Session {
    /// A session over `connection`, with the routes that are there already, and the handle to command it. `will`: what the
    /// broker publishes when the connection ends without a clean stop.
    pub fn new(connection: Connection, will: Option<Message>, router: Router) -> (Self, Handle) {
        let member = Group::new(
            connection.session.reconnect.min,
            connection.session.reconnect.max,
        )
        .main();
        Self::with(connection, will, router, member)
    }

    /// A further connection of this session's host, which has the will of `service`. It comes after the session itself, with
    /// which it shares the waits between attempts, and which announces for it while it finds no place.
    pub fn presence(
        (group, main): (&Group, Handle),
        connection: Connection,
        will: Message,
        service: String,
    ) -> (Self, Handle) {
        let fallback = Fallback::new(main, will.clone());
        let member = group.clone().presence(service);
        let (mut session, handle) = Self::with(connection, Some(will), Router::default(), member);
        session.task.fallback = Some(fallback);
        (session, handle)
    }

    /// What the connections of this session's host share.
    pub fn group(&self) -> Group {
        self.task.group()
    }

    fn with(
        connection: Connection,
        will: Option<Message>,
        router: Router,
        member: Member,
    ) -> (Self, Handle) {
        let (status, seen) = watch::channel(ConnectionStatus::Connecting);
        let (mut handle, inputs) = command::channel(seen);
        let task = Task::new((Arc::new(connection), member), will, router, inputs, status);
        handle.quarantine = task.dispatcher.quarantine();
        (Self { task }, handle)
    }

    /// Before the session runs: `waiting` was kept on disk by an earlier run and is to be sent; `keeper` keeps what waits from now
    /// on, where its rule asks for it.
    pub fn persist_with(&mut self, keeper: PersistSink, waiting: Vec<RestoredMessage>) {
        self.task.dispatcher.persist_with(keeper, waiting);
    }

    /// Keeps the session until `Command::Stop`, or until all handles are gone: connects, serves, and reconnects for ever.
    ///
    /// # Errors
    /// When going on would make no sense: see `SessionError`. An absent broker or refused credentials are no such reason; they
    /// are logged and tried again.
    pub async fn run(self) -> Result<Stopped, SessionError> {
        let span = self.task.span();

        self.task.run().instrument(span).await
    }
}

/// The time, taken once for everything that is done in one turn.
fn now() -> Instant {
    Instant::now()
}
