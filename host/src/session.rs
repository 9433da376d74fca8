//! The MQTT session: one task that owns the connection to the broker, the session state and the router.
//!
//! The host has one session, and a presence connection for each service that wants one; command line tools have one of their own. The
//! task reads all that the socket has, delivers the batch to mailboxes, lets the services run, takes all commits that wait, and writes
//! once. `state` explains the protocol.

use std::sync::Arc;

use tokio::sync::watch;
use tracing::Instrument;

use crate::config::Connection;
use crate::message::Message;
use crate::router::Router;
use crate::traces::Tracer;

mod capability_probe;
mod clock;
mod close_reason;
pub mod codec;
mod command;
mod command_source;
mod connect;
mod connect_error;
mod connection;
mod delivery_tracker;
mod dispatcher;
mod error;
mod event_throttle;
mod fallback;
mod framed;
mod group;
mod head_of_line;
mod loop_detector;
mod message_tracer;
mod outage;
pub mod packet;
mod presence_status;
mod republisher;
mod retained_cache;
mod schedule;
pub mod state;
mod task;
pub mod transport;

pub use command::{Command, Commit, ConnectionStatus, Handle, PersistSink, StopSummary};
pub use error::SessionError;
pub use fallback::EXPIRY;
pub use group::Group;

use fallback::Fallback;
use group::Member;
use state::RestoredMessage;
use task::Task;

/// A session that was not started yet.
#[derive(Debug)]
pub struct Session {
    task: Task,
}

impl Session {
    /// Creates a session over `connection` with existing routes, and the handle to command it. `will`: the message that the broker
    /// publishes when the connection ends without a clean stop.
    pub fn new(connection: Connection, will: Option<Message>, router: Router) -> (Self, Handle) {
        let member = Group::new(
            connection.session.reconnect.min,
            connection.session.reconnect.max,
        )
        .main();
        Self::with(connection, will, router, member)
    }

    /// Creates a further connection of this session's host, which has the will of `service`. It connects after the session itself,
    /// with which it shares the waits between attempts, and which announces for it while it finds no place.
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

    /// The state that the connections of this session's host share.
    pub fn group(&self) -> Group {
        self.task.group()
    }

    fn with(
        connection: Connection,
        will: Option<Message>,
        router: Router,
        member: Member,
    ) -> (Self, Handle) {
        let (status, status_receiver) = watch::channel(ConnectionStatus::Connecting);
        let (mut handle, inputs) = command::channel(status_receiver);
        let task = Task::new(Arc::new(connection), member, will, router, (inputs, status));
        handle.quarantine = task.dispatcher.quarantine();
        (Self { task }, handle)
    }

    /// Keeps waiting messages on disk through `sink`, where their offline rule asks for it. `waiting` was kept by an earlier run and is
    /// sent. To be called before the session runs.
    pub fn persist_with(&mut self, sink: PersistSink, waiting: Vec<RestoredMessage>) {
        self.task.dispatcher.persist_with(sink, waiting);
    }

    /// Records traces of its messages. To be called before the session runs.
    pub fn trace_with(&mut self, tracer: Tracer) {
        self.task.trace_with(tracer);
    }

    /// Runs the session until `Handle::stop`, or until all handles are gone: connects, and reconnects for ever.
    ///
    /// # Errors
    /// When another attempt makes no sense: see `SessionError`. An absent broker or refused credentials are logged and tried again.
    pub async fn run(self) -> Result<StopSummary, SessionError> {
        let span = self.task.span();

        self.task.run().instrument(span).await
    }
}
