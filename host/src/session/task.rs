//! The session's task: connects, runs a connection until it is lost, waits, and begins again.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tracing::{Span, error, info};

use super::clock::now;
use super::close_reason::CloseReason;
use super::command::{ConnectionStatus, Inputs, StopSummary};
use super::command_source::CommandSource;
use super::connect::connect;
use super::connect_error::ConnectError;
use super::connection::Connection;
use super::dispatcher::Dispatcher;
use super::error::SessionError;
use super::fallback::Fallback;
use super::framed::FramedStream;
use super::group::{ConnectedReport, Group, Member};
use super::message_tracer::MessageTracer;
use super::packet::{ConnAck, Connect};
use super::state::{EndedBy, State};
use crate::config::{self, Protocol};
use crate::message::Message;
use crate::router::Router;
use crate::span;
use crate::traces::Tracer;

/// After this number of short connections in a row another client probably has the same identifier: not every broker says so.
const TAKEOVER_SUSPECTED: u32 = 5;

/// The session's task.
#[derive(Debug)]
pub(super) struct Task {
    settings: Arc<config::Connection>,
    connect: Connect,
    status: watch::Sender<ConnectionStatus>,
    /// Its place among the connections of the host: when it may connect.
    member: Arc<Member>,
    /// Number of connections so far.
    count: u64,
    pub(super) dispatcher: Dispatcher,
    commands: CommandSource,
    /// Announces for a presence connection without a place.
    pub(super) fallback: Option<Fallback>,
}

/// The result of waiting for something while commands are taken.
enum WaitOutcome<T> {
    /// It is done.
    Done(T),
    /// The session has to stop.
    Stop,
    /// There are new settings to connect with.
    Reconfigure,
}

impl Task {
    pub(super) fn new(
        settings: Arc<config::Connection>,
        member: Member,
        will: Option<Message>,
        router: Router,
        (inputs, status): (Inputs, watch::Sender<ConnectionStatus>),
    ) -> Self {
        let state = State::new(settings.session.protocol, settings.session.outbox);
        let dispatcher = Dispatcher::new(
            router,
            state,
            settings.session.delivery_timeout,
            member.is_presence(),
        );

        Self {
            connect: connect_packet(&settings, will),
            settings,
            status,
            member: Arc::new(member),
            count: 0,
            dispatcher,
            commands: CommandSource::new(inputs),
            fallback: None,
        }
    }

    /// Records traces of messages from now on.
    pub(super) fn trace_with(&mut self, tracer: Tracer) {
        let tracer = MessageTracer::new(tracer, &self.settings);
        self.dispatcher.observers.tracer = Some(Box::new(tracer));
    }

    /// The state that the connections of the host share.
    pub(super) fn group(&self) -> Group {
        self.member.group.clone()
    }

    /// The span of the connection; that of a presence connection lies in its service's.
    pub(super) fn span(&self) -> Span {
        let connection = || span::session(&self.settings.client_id);

        match self.member.presence_of() {
            Some(service) => span::service(service).in_scope(connection),
            None => connection(),
        }
    }

    /// Connects again and again, until the session is told to stop.
    pub(super) async fn run(mut self) -> Result<StopSummary, SessionError> {
        let outcome = self.run_connections().await;
        self.status.send_replace(ConnectionStatus::Stopped);
        outcome
    }

    async fn run_connections(&mut self) -> Result<StopSummary, SessionError> {
        loop {
            self.apply_new_settings();

            let settings = Arc::clone(&self.settings);
            let packet = self.connect.clone();
            let member = Arc::clone(&self.member);
            let connecting = connect(&settings, &packet, &member);
            let (stream, ack) = match self.wait_for(connecting).await {
                WaitOutcome::Stop => return Ok(self.on_stopped()),
                WaitOutcome::Reconfigure => continue,
                WaitOutcome::Done(Ok(connected)) => connected,
                WaitOutcome::Done(Err(ConnectError::Settings(source))) => {
                    return Err(SessionError::Settings {
                        peer: self.peer(),
                        source,
                    });
                }
                WaitOutcome::Done(Err(error)) => {
                    self.on_connect_failed(&error);
                    continue;
                }
            };

            let since = now();
            match self.run_connection(stream, &ack, since).await {
                CloseReason::Stopped => return Ok(self.on_stopped()),
                CloseReason::TakenOver => return Err(self.taken_over_error()),
                CloseReason::Reconfigured => {}
                CloseReason::Unsupported(feature, reason) => {
                    self.member.on_unsupported(feature);
                    self.on_connection_lost(reason, since);
                }
                CloseReason::ClosedByBroker(reason) | CloseReason::Lost(reason) => {
                    self.on_connection_lost(reason, since);
                }
            }
        }
    }

    /// Runs a connection until it ends.
    async fn run_connection(
        &mut self,
        stream: FramedStream,
        ack: &ConnAck,
        since: Instant,
    ) -> CloseReason {
        let report = self.on_connected(ack);
        let keepalive = self
            .dispatcher
            .state
            .start_keepalive(self.settings.session.keepalive, since);
        let running =
            Connection::new(stream, keepalive).run(&mut self.dispatcher, &mut self.commands);
        let close_reason = self.member.supervise(report, running).await;

        match &close_reason {
            CloseReason::ClosedByBroker(_) => self.dispatcher.on_connection_lost(EndedBy::Broker),
            CloseReason::Lost(_) => self.dispatcher.on_connection_lost(EndedBy::Other),
            CloseReason::Stopped
            | CloseReason::TakenOver
            | CloseReason::Reconfigured
            | CloseReason::Unsupported(..) => self.dispatcher.on_disconnected(),
        }

        close_reason
    }

    /// Puts new settings in force, if there are any. There is no connection now.
    fn apply_new_settings(&mut self) {
        let Some(settings) = self.commands.new_settings.take() else {
            return;
        };
        let settings = Arc::new(*settings);
        let old = std::mem::replace(&mut self.settings, Arc::clone(&settings));
        let same_session = (&old.host, old.port, &old.client_id)
            == (&settings.host, settings.port, &settings.client_id);

        self.connect = connect_packet(&settings, self.connect.will.take());
        // a clean start is for the first connection: the session that is there already must not be thrown away
        self.connect.clean_start &= settings.session.protocol == Protocol::V311 || !same_session;
        self.member.reconfigure(
            settings.session.reconnect.min,
            settings.session.reconnect.max,
        );
        self.dispatcher
            .reconfigure(settings.session.protocol, settings.session.outbox);
        if let Some(tracer) = &mut self.dispatcher.observers.tracer {
            tracer.reconfigure(&settings);
        }

        info!("connecting to {} with new settings", self.peer());
        self.status.send_replace(ConnectionStatus::Disconnected {
            reason: "its settings have changed".to_owned(),
        });
    }

    /// Waits for `work` and takes commands meanwhile.
    async fn wait_for<F: Future>(&mut self, work: F) -> WaitOutcome<F::Output> {
        let mut work = pin!(work);
        poll_fn(|context| {
            self.commands.poll(context, &mut self.dispatcher);
            if let Some(fallback) = &mut self.fallback
                && self.member.is_without_place()
            {
                fallback.announce(self.dispatcher.announced(), now());
            }
            self.dispatcher.drain_outputs();

            let is_drained = self.dispatcher.state.is_drained();
            if self.commands.poll_stop(context, is_drained).is_ready() {
                return Poll::Ready(WaitOutcome::Stop);
            }
            if self.commands.new_settings.is_some() {
                return Poll::Ready(WaitOutcome::Reconfigure);
            }
            work.as_mut().poll(context).map(WaitOutcome::Done)
        })
        .await
    }

    /// Handles a CONNACK with success. Returns the log line that comes when the connection has lasted for a while.
    fn on_connected(&mut self, ack: &ConnAck) -> Option<(Duration, ConnectedReport)> {
        self.count += 1;
        // in MQTT 5 a clean start is for the first connection: the session is then kept for as long as it may last
        self.connect.clean_start &= self.settings.session.protocol == Protocol::V311;
        if let Some(assigned) = &ack.server.assigned_client_id {
            self.connect.client_id.clone_from(assigned);
        }

        let report = self.member.on_connected(ConnectedReport {
            client_id: self.connect.client_id.clone(),
            session_present: ack.session_present,
            peer: self.peer(),
        });
        if let Some(fallback) = &mut self.fallback {
            fallback.end();
        }
        self.dispatcher.on_connected(ack);
        self.status.send_replace(ConnectionStatus::Connected {
            session_present: ack.session_present,
            count: self.count,
        });
        report
    }

    /// Handles the loss of a connection that was there since `since`.
    fn on_connection_lost(&mut self, reason: String, since: Instant) {
        // the back-off decides how long to wait, unless a search for a poison packet wants less
        let max_wait = self
            .dispatcher
            .state
            .max_reconnect_wait()
            .unwrap_or(Duration::MAX);
        let short = self
            .member
            .on_disconnected(&reason, &self.peer(), since, max_wait);
        if short == TAKEOVER_SUSPECTED {
            let id = &self.connect.client_id;
            error!(
                "{TAKEOVER_SUSPECTED} short connections one after the other; does another client use the client id {id:?} too?"
            );
        }

        self.status
            .send_replace(ConnectionStatus::Disconnected { reason });
    }

    fn on_connect_failed(&mut self, error: &ConnectError) {
        self.member.on_connect_failed(error, &self.peer());
        self.status.send_replace(ConnectionStatus::Disconnected {
            reason: error.to_string(),
        });
    }

    fn taken_over_error(&self) -> SessionError {
        SessionError::TakenOver {
            peer: self.peer(),
            client_id: self.connect.client_id.clone(),
        }
    }

    fn on_stopped(&mut self) -> StopSummary {
        self.dispatcher.drain_outputs();
        self.dispatcher.log.summarize(true);
        StopSummary {
            unsent: self.dispatcher.state.unsent(),
            failures: self.dispatcher.log.failures,
        }
    }

    fn peer(&self) -> String {
        format!("{}:{}", self.settings.host, self.settings.port)
    }
}

fn connect_packet(settings: &config::Connection, will: Option<Message>) -> Connect {
    Connect {
        client_id: settings.client_id.clone(),
        clean_start: settings.session.clean_start,
        keepalive: u16::try_from(settings.session.keepalive.as_secs()).unwrap_or(u16::MAX),
        session_expiry: u32::try_from(settings.session.session_expiry.as_secs())
            .unwrap_or(u32::MAX),
        receive_maximum: settings.session.receive_maximum,
        maximum_packet_size: settings.session.max_packet_size,
        credentials: settings.credentials.clone(),
        will,
    }
}
