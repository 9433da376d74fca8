//! Actor: the session's task. In: commands, the broker. Out: status, log lines. Owns everything of the session; connects, serves
//! a connection until it is lost, waits, and begins again.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::{Sleep, sleep_until};
use tracing::{Span, error, info};

use super::attempt::Failure;
use super::command::{ConnectionStatus, Inputs, Order, Stopped};
use super::connection::{CloseReason, ServedConnection};
use super::dispatcher::Dispatcher;
use super::fallback::Fallback;
use super::framed::FramedStream;
use super::group::{Group, Member, Welcome};
use super::packet::{ConnAck, Connect};
use super::state::{EndedBy, State};
use super::{SessionError, now};
use crate::config::{Connection, Protocol};
use crate::message::Message;
use crate::router::Router;
use crate::span;

/// Commands taken at once.
const BATCH: usize = 512;
/// How long a stop may take when all handles were dropped without `Command::Stop`.
const ABANDONED: Duration = Duration::from_secs(5);
/// After so many short connections in a row it is likely that another client has the same identifier: not every broker says so.
const FIGHT: u32 = 5;

/// The session's task.
#[derive(Debug)]
pub struct Task {
    connection: Arc<Connection>,
    connect: Connect,
    status: watch::Sender<ConnectionStatus>,
    /// Its place among the connections of the host: when it may connect.
    member: Arc<Member>,
    /// Connections so far.
    count: u64,
    pub(super) dispatcher: Dispatcher,
    pub(super) orders: Orders,
    /// Announces for a presence connection without a place.
    pub(super) fallback: Option<Fallback>,
}

/// How waiting for something has ended.
enum Meanwhile<T> {
    /// What was waited for is done.
    Done(T),
    /// Told to stop, and nothing is left or the time is over.
    Stop,
    /// There are new settings to connect with.
    Renew,
}

/// Commands as they come, and whether it is time to stop.
#[derive(Debug)]
pub struct Orders {
    inputs: Inputs,
    batch: Vec<Order>,
    /// Commands were not looked at because there was no room.
    held_up: bool,
    /// Until when a stop may take.
    stop: Option<Pin<Box<Sleep>>>,
    /// All handles are gone.
    abandoned: bool,
    /// When a service is to be told that a message was not taken in time.
    timer: Option<Pin<Box<Sleep>>>,
    /// Settings to connect with from now on.
    pub renewal: Option<Box<Connection>>,
}

impl Orders {
    /// Takes commands while there is room for what they publish, and notes an order to stop.
    pub fn poll(&mut self, context: &mut Context<'_>, dispatcher: &mut Dispatcher) {
        if self.stop.is_none()
            && let Poll::Ready(deadline) = self.inputs.stop.poll_recv(context)
        {
            let deadline = deadline.unwrap_or_else(|| now() + ABANDONED);
            self.stop = Some(Box::pin(sleep_until(deadline.into())));
            dispatcher.state.close();
        }
        self.expire(context, dispatcher);
        if let Poll::Ready(Some(connection)) = self.inputs.renewals.poll_recv(context) {
            self.renewal = Some(connection);
            // the next one may have come already
            context.waker().wake_by_ref();
        }
        while !self.abandoned && dispatcher.state.has_room() {
            match self
                .inputs
                .commands
                .poll_recv_many(context, &mut self.batch, BATCH)
            {
                Poll::Pending => break,
                Poll::Ready(0) => self.abandoned = true,
                Poll::Ready(_) => self
                    .batch
                    .drain(..)
                    .for_each(|order| dispatcher.take(order.command)),
            }
        }
        self.held_up = !dispatcher.state.has_room();
    }

    /// Whether there is room now for commands that were not looked at: nobody wakes the task for them.
    pub fn may_go_on(&self, dispatcher: &Dispatcher) -> bool {
        self.held_up && dispatcher.state.has_room()
    }

    fn expire(&mut self, context: &mut Context<'_>, dispatcher: &mut Dispatcher) {
        while let Some(deadline) = dispatcher.deadline() {
            let timer = self
                .timer
                .get_or_insert_with(|| Box::pin(sleep_until(deadline.into())));
            if timer.as_mut().poll(context).is_pending() {
                return;
            }
            self.timer = None;
            dispatcher.expire(now());
        }
    }

    /// Whether the session is to end now: told to stop, and nothing is left or the time is over.
    pub fn poll_stop(&mut self, context: &mut Context<'_>, drained: bool) -> Poll<()> {
        let Some(deadline) = &mut self.stop else {
            return Poll::Pending;
        };
        if drained && self.inputs.commands.is_empty() {
            return Poll::Ready(());
        }
        deadline.as_mut().poll(context)
    }
}

impl Task {
    pub fn new(
        (connection, member): (Arc<Connection>, Member),
        will: Option<Message>,
        router: Router,
        inputs: Inputs,
        status: watch::Sender<ConnectionStatus>,
    ) -> Self {
        let connect = connect_packet(&connection, will);
        let state = State::new(connection.session.protocol, connection.session.outbox);
        let mut dispatcher = Dispatcher::new(router, state, connection.session.delivery_timeout);
        dispatcher.quiet = member.is_presence();
        let batch = Vec::with_capacity(BATCH);
        let orders = Orders {
            inputs,
            batch,
            held_up: false,
            stop: None,
            abandoned: false,
            timer: None,
            renewal: None,
        };
        Self {
            connection,
            connect,
            status,
            member: Arc::new(member),
            count: 0,
            dispatcher,
            orders,
            fallback: None,
        }
    }

    /// What the connections of its host share.
    pub fn group(&self) -> Group {
        self.member.group.clone()
    }

    /// Span of the connection; that of a presence connection lies in its service's.
    pub fn span(&self) -> Span {
        let connection = || span::session(&self.connection.client_id);

        match self.member.presence_of() {
            Some(service) => span::service(service).in_scope(connection),
            None => connection(),
        }
    }

    /// Waits for its turn, connects and serves, again and again, until it is told to stop.
    pub async fn run(mut self) -> Result<Stopped, SessionError> {
        let outcome = self.keep().await;
        self.status.send_replace(ConnectionStatus::Stopped);
        outcome
    }

    async fn keep(&mut self) -> Result<Stopped, SessionError> {
        loop {
            self.renew();
            let (connection, connect, member) = (
                Arc::clone(&self.connection),
                self.connect.clone(),
                Arc::clone(&self.member),
            );
            match self
                .meanwhile(super::connect::connect(&connection, &connect, &member))
                .await
            {
                Meanwhile::Stop => return Ok(self.stopped()),
                Meanwhile::Renew => {}
                Meanwhile::Done(Err(Failure::Settings(source))) => {
                    return Err(SessionError::Settings {
                        peer: self.peer(),
                        source,
                    });
                }
                Meanwhile::Done(Err(failure)) => self.failed(&failure),
                Meanwhile::Done(Ok((wire, ack))) => match self.serve(wire, &ack).await {
                    (CloseReason::Stopped, _) => return Ok(self.stopped()),
                    (CloseReason::TakenOver, _) => return Err(self.taken_over()),
                    (CloseReason::Reconfigured, _) => {}
                    (CloseReason::Unsupported(what, reason), since) => {
                        self.member.unsupported(what);
                        self.lost(reason, since);
                    }
                    (CloseReason::ClosedByBroker(reason) | CloseReason::Lost(reason), since) => {
                        self.lost(reason, since)
                    }
                },
            }
        }
    }

    /// Serves a connection until it ends; since when it was there.
    async fn serve(&mut self, wire: FramedStream, ack: &ConnAck) -> (CloseReason, Instant) {
        let since = now();
        let welcome = self.connected(ack);
        let keepalive = self
            .dispatcher
            .state
            .watch(self.connection.session.keepalive, since);
        let serving =
            ServedConnection::new(wire, keepalive).run(&mut self.dispatcher, &mut self.orders);
        let ended = self.member.during(welcome, serving).await;
        match &ended {
            CloseReason::ClosedByBroker(_) => self.dispatcher.lost(EndedBy::Broker),
            CloseReason::Lost(_) => self.dispatcher.lost(EndedBy::Other),
            CloseReason::Stopped
            | CloseReason::TakenOver
            | CloseReason::Reconfigured
            | CloseReason::Unsupported(..) => self.dispatcher.disconnected(),
        }
        (ended, since)
    }

    /// Puts new settings in force, if there are any; there is no connection now.
    fn renew(&mut self) {
        let Some(connection) = self.orders.renewal.take() else {
            return;
        };
        let connection = Arc::new(*connection);
        let old = std::mem::replace(&mut self.connection, Arc::clone(&connection));
        let same = (&old.host, old.port, &old.client_id)
            == (&connection.host, connection.port, &connection.client_id);
        self.connect = connect_packet(&connection, self.connect.will.take());
        // a clean start is for the first connection: the session that is there already must not be thrown away
        self.connect.clean_start &= connection.session.protocol == Protocol::V311 || !same;
        self.member.renew(
            connection.session.reconnect.min,
            connection.session.reconnect.max,
        );
        self.dispatcher
            .renew(connection.session.protocol, connection.session.outbox);
        info!("connecting to {} with new settings", self.peer());
        self.status.send_replace(ConnectionStatus::Disconnected {
            reason: "its settings have changed".to_owned(),
        });
    }

    /// Waits for `work` and takes commands meanwhile.
    async fn meanwhile<F: Future>(&mut self, work: F) -> Meanwhile<F::Output> {
        let mut work = pin!(work);
        poll_fn(|context| {
            self.orders.poll(context, &mut self.dispatcher);
            if let Some(fallback) = &mut self.fallback
                && self.member.is_without_place()
            {
                fallback.announce(self.dispatcher.announced(), now());
            }
            self.dispatcher.report();
            if self
                .orders
                .poll_stop(context, self.dispatcher.state.is_drained())
                .is_ready()
            {
                return Poll::Ready(Meanwhile::Stop);
            }
            if self.orders.renewal.is_some() {
                return Poll::Ready(Meanwhile::Renew);
            }
            work.as_mut().poll(context).map(Meanwhile::Done)
        })
        .await
    }

    /// CONNACK came with success. Gives back what the log says of it later.
    fn connected(&mut self, ack: &ConnAck) -> Option<(Duration, Welcome)> {
        self.count += 1;
        // in MQTT 5 a clean start is for the first connection: the session is then kept for as long as it may last
        self.connect.clean_start &= self.connection.session.protocol == Protocol::V311;
        if let Some(assigned) = &ack.server.assigned_client_id {
            self.connect.client_id.clone_from(assigned);
        }
        let (session_present, client_id) = (ack.session_present, self.connect.client_id.clone());
        let welcome = self.member.connected(Welcome {
            client_id,
            session_present,
            peer: self.peer(),
        });
        if let Some(fallback) = &mut self.fallback {
            fallback.end();
        }
        self.dispatcher.connected(ack);
        self.status.send_replace(ConnectionStatus::Connected {
            session_present,
            count: self.count,
        });
        welcome
    }

    fn lost(&mut self, reason: String, since: Instant) {
        let short = self
            .member
            .lost(&reason, &self.peer(), since, self.longest_wait());
        if short == FIGHT {
            let id = &self.connect.client_id;
            error!(
                "{FIGHT} short connections one after the other; does another client use the client id {id:?} too?"
            );
        }
        self.status
            .send_replace(ConnectionStatus::Disconnected { reason });
    }

    /// The longest wait after a connection was lost: the back-off decides, unless something has to be found out sooner.
    fn longest_wait(&self) -> Duration {
        self.dispatcher.state.retry().unwrap_or(Duration::MAX)
    }

    fn failed(&mut self, failure: &Failure) {
        self.member.failed(failure, &self.peer());
        self.status.send_replace(ConnectionStatus::Disconnected {
            reason: failure.to_string(),
        });
    }

    fn taken_over(&self) -> SessionError {
        SessionError::TakenOver {
            peer: self.peer(),
            client_id: self.connect.client_id.clone(),
        }
    }

    fn stopped(&mut self) -> Stopped {
        self.dispatcher.report();
        self.dispatcher.summarize(true);
        Stopped {
            unsent: self.dispatcher.state.unsent(),
            failures: self.dispatcher.failures,
        }
    }

    fn peer(&self) -> String {
        format!("{}:{}", self.connection.host, self.connection.port)
    }
}

fn connect_packet(connection: &Connection, will: Option<Message>) -> Connect {
    Connect {
        client_id: connection.client_id.clone(),
        clean_start: connection.session.clean_start,
        keepalive: u16::try_from(connection.session.keepalive.as_secs()).unwrap_or(u16::MAX),
        session_expiry: u32::try_from(connection.session.session_expiry.as_secs())
            .unwrap_or(u32::MAX),
        receive_maximum: connection.session.receive_maximum,
        maximum_packet_size: connection.session.max_packet_size,
        credentials: connection.credentials.clone(),
        will,
    }
}
