//! Commands for a session, and the handle that sends them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::time::timeout;

use super::state::{GrantedQos, PersistOp};
use crate::config::Connection;
use crate::mailbox::{self, Trace};
use crate::message::{Message, Publication, Receipt, Subscription, SubscriptionChange};
use crate::router::ServiceId;
use crate::topic::Filter;

/// How long to wait for the broker's answers to SUBSCRIBE and UNSUBSCRIBE.
const CONFIRMATION_TIMEOUT: Duration = Duration::from_secs(30);

/// How many commands may wait; a sender of more waits.
const COMMANDS: usize = 4096;
/// How many bytes the messages of waiting commands may take; a sender of more waits.
const BYTES: usize = 4 << 20;
/// Commands below this weight need no permit: even a full queue of them stays below `BYTES`.
const PERMIT_THRESHOLD: usize = BYTES / COMMANDS;

/// A command for the session.
#[derive(Debug)]
pub enum Command {
    /// Route these subscriptions, and no others, to the service's mailbox from now on.
    Attach {
        /// The service.
        service: ServiceId,
        /// The destination of its messages.
        mailbox: mailbox::Sender,
        /// Its subscriptions.
        subscriptions: Vec<Subscription>,
        /// Whether the service gets the retained messages of all its subscriptions, also of those that it has already.
        retained: bool,
    },
    /// Publish the service's retained messages again when the broker has lost the session, and perhaps them; or stop doing so.
    Republish {
        /// The service.
        service: ServiceId,
        /// Whether to publish them again.
        on: bool,
    },
    /// Route nothing to the service any more.
    Detach {
        /// The service.
        service: ServiceId,
    },
    /// The result of a guest call.
    Commit(Commit),
    /// Publish this now, if there is a connection, and again after each CONNACK; the last one of a topic counts.
    Announce(Message),
    /// Publish this now, if there is a connection.
    AnnounceOnce(Message),
    /// Drop the sender when the broker has answered all earlier requests about subscriptions, or cannot be asked now.
    ConfirmSubscriptions(oneshot::Sender<()>),
    /// Answer with the subscriptions that the broker has confirmed.
    GrantedSubscriptions(oneshot::Sender<HashMap<Filter, GrantedQos>>),
    /// Take no more messages from the broker. Those that come stay unacknowledged, so that they come again.
    Quiesce,
}

/// The result of a guest call.
#[derive(Debug)]
pub struct Commit {
    /// The service that was called.
    pub service: ServiceId,
    /// The receipt of the message that was handled; `None`: a timer, or a QoS 0 message.
    pub receipt: Option<Receipt>,
    /// Subscriptions to make and to end.
    pub subscriptions: Vec<SubscriptionChange>,
    /// Messages to send.
    pub publishes: Vec<Publication>,
    /// The trace of the message, if the loop detector follows it.
    pub trace: Option<Arc<Trace>>,
}

impl Command {
    /// The weight of its messages, in bytes.
    fn weight(&self) -> usize {
        match self {
            Self::Commit(commit) => commit
                .publishes
                .iter()
                .map(|publication| publication.message.weight())
                .sum(),
            _ => 0,
        }
    }
}

impl Commit {
    /// An empty result of `service`.
    pub const fn new(service: ServiceId) -> Self {
        Self {
            service,
            receipt: None,
            subscriptions: Vec::new(),
            publishes: Vec::new(),
            trace: None,
        }
    }
}

/// A callback for changes to the messages on disk. It never waits.
pub struct PersistSink(pub Box<dyn FnMut(Vec<PersistOp>) + Send>);

impl std::fmt::Debug for PersistSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PersistSink")
    }
}

/// How the connection is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConnectionStatus {
    /// The first attempt is under way.
    Connecting,
    /// CONNACK came.
    Connected {
        /// Whether the broker kept the session.
        session_present: bool,
        /// How many connections there were, this one included.
        count: u64,
    },
    /// There is none; the next attempt will come.
    Disconnected {
        /// The reason, in a sentence for people.
        reason: String,
    },
    /// The session has ended.
    Stopped,
}

impl ConnectionStatus {
    /// Whether there is a connection.
    pub const fn is_connected(&self) -> bool {
        matches!(self, Self::Connected { .. })
    }
}

/// The result of a session that was told to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StopSummary {
    /// Number of QoS 1 and 2 messages that the broker has not acknowledged, and of all messages that were never sent.
    pub unsent: usize,
    /// Number of messages and subscriptions that the broker refused or that were given up; each has its log line.
    pub failures: u64,
}

/// Sends commands to a session. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Handle {
    commands: mpsc::Sender<QueuedCommand>,
    room: Arc<Semaphore>,
    stop: mpsc::Sender<Instant>,
    settings: mpsc::Sender<Box<Connection>>,
    status: watch::Receiver<ConnectionStatus>,
    pub(super) quarantine: watch::Receiver<Vec<Filter>>,
}

/// Creates a handle and the session's ends of its channels.
pub(super) fn channel(status: watch::Receiver<ConnectionStatus>) -> (Handle, Inputs) {
    let (commands, command_receiver) = mpsc::channel(COMMANDS);
    let (stop, stop_receiver) = mpsc::channel(1);
    let (settings, settings_receiver) = mpsc::channel(1);
    let inputs = Inputs {
        commands: command_receiver,
        stop: stop_receiver,
        settings: settings_receiver,
    };
    let room = Arc::new(Semaphore::new(BYTES));
    let quarantine = watch::Sender::default().subscribe();
    (
        Handle {
            commands,
            room,
            stop,
            settings,
            status,
            quarantine,
        },
        inputs,
    )
}

impl Handle {
    /// Sends a command; waits while the queue is full. A session that has ended takes it without effect.
    pub async fn send(&self, command: Command) {
        // `try_send` first, which is outside tokio's cooperative budget: a service that yields in the middle of its mailbox would
        // let the session read, and overflow it
        if let Err(command) = self.try_send(command) {
            // an error means that the session has ended
            let room = Arc::clone(&self.room)
                .acquire_many_owned(permits(&command))
                .await
                .ok();
            let queued = QueuedCommand {
                command,
                _room: room,
            };
            let _ = self.commands.send(queued).await;
        }
    }

    /// Waits until the broker has answered all earlier requests about subscriptions: messages that are published from then on come.
    /// Returns early without a connection, or when the broker does not answer in time.
    pub async fn wait_for_subscriptions(&self) {
        let (done, confirmed) = oneshot::channel();
        self.send(Command::ConfirmSubscriptions(done)).await;
        // an error means that there is nothing to wait for
        let _ = timeout(CONFIRMATION_TIMEOUT, confirmed).await;
    }

    /// The subscriptions that the broker has confirmed; none when the session has ended.
    pub async fn granted_subscriptions(&self) -> HashMap<Filter, GrantedQos> {
        let (answer, answered) = oneshot::channel();
        self.send(Command::GrantedSubscriptions(answer)).await;
        answered.await.unwrap_or_default()
    }

    /// Sends a command without waiting.
    ///
    /// # Errors
    /// Returns the command when the queue is full. A session that has ended takes it without effect.
    pub fn try_send(&self, command: Command) -> Result<(), Command> {
        let room = match permits(&command) {
            0 => None,
            count => match Arc::clone(&self.room).try_acquire_many_owned(count) {
                Ok(room) => Some(room),
                Err(_) => return Err(command),
            },
        };

        match self.commands.try_send(QueuedCommand {
            command,
            _room: room,
        }) {
            Err(TrySendError::Full(queued)) => Err(queued.command),
            Ok(()) | Err(TrySendError::Closed(_)) => Ok(()),
        }
    }

    /// Waits until a command without publishes can be sent without waiting, or the session has ended. Cancel-safe.
    pub async fn wait_for_room(&self) {
        // an error means that the session has ended
        let _ = self.commands.reserve().await;
    }

    /// Stops the session: takes no more messages, sends everything that waits to the broker, disconnects, and ends, at `deadline` even
    /// if something is left. Overtakes all commands, but those sent before are still carried out.
    pub fn stop(&self, deadline: Instant) {
        // an error means that the session was told before: the first deadline holds
        let _ = self.stop.try_send(deadline);
    }

    /// Ends the connection cleanly and connects with these settings from now on. The session, its routes and waiting messages stay.
    /// Overtakes all commands: waiting messages must not hold up the settings with which they could be sent.
    pub async fn reconfigure(&self, connection: Connection) {
        // fails only when the session has ended
        let _ = self.settings.send(Box::new(connection)).await;
    }

    /// The filters that are not subscribed to because the broker ends the connection for them.
    pub fn quarantine(&self) -> watch::Receiver<Vec<Filter>> {
        self.quarantine.clone()
    }

    /// The status of the connection.
    pub fn status(&self) -> watch::Receiver<ConnectionStatus> {
        self.status.clone()
    }
}

/// The number of permits that a command needs. One that is heavier than the limit needs all of them.
fn permits(command: &Command) -> u32 {
    let weight = command.weight().min(BYTES);
    if weight < PERMIT_THRESHOLD {
        0
    } else {
        u32::try_from(weight).unwrap_or(u32::MAX)
    }
}

/// A command in the queue.
#[derive(Debug)]
pub(super) struct QueuedCommand {
    pub command: Command,
    /// Released when the session has taken the command.
    _room: Option<OwnedSemaphorePermit>,
}

/// The session's ends of the channels.
#[derive(Debug)]
pub(super) struct Inputs {
    pub commands: mpsc::Receiver<QueuedCommand>,
    pub stop: mpsc::Receiver<Instant>,
    pub settings: mpsc::Receiver<Box<Connection>>,
}
