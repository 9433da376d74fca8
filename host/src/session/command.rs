//! Words of the session actor: what it can be told and what it tells. In: services, wiring, command line. Out: the session task.
//! Owns the channels' sending ends.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::time::timeout;

use super::state::PersistOp;
use crate::config::Connection;
use crate::mailbox::{self, Trace};
use crate::message::{Message, Publication, Receipt, Subscription, SubscriptionChange};
use crate::router::ServiceId;
use crate::topic::Filter;

/// How long a broker may take to answer what it is asked about subscriptions until nobody waits for it any more.
const CONFIRMATION: Duration = Duration::from_secs(30);

/// How many commands may wait; who sends more waits.
const COMMANDS: usize = 4096;
/// How many bytes the messages of commands may take that wait; who sends more waits.
const BYTES: usize = 4 << 20;
/// Of commands with less, so many cannot wait.
const LIGHT: usize = BYTES / COMMANDS;

/// What the session can be told.
#[derive(Debug)]
pub enum Command {
    /// Route these subscriptions, and no others, to the service's mailbox from now on.
    Attach {
        /// The service.
        service: ServiceId,
        /// Where its messages go.
        mailbox: mailbox::Sender,
        /// What it is subscribed to.
        subscriptions: Vec<Subscription>,
        /// Whether it is to get the retained messages of subscriptions which the broker has already and sends none for.
        retained: bool,
    },
    /// Whether the service's retained messages are published again when the broker has forgotten the session, and perhaps them.
    Republish {
        /// The service.
        service: ServiceId,
        /// Whether they are.
        on: bool,
    },
    /// Route nothing to the service any more.
    Detach {
        /// The service.
        service: ServiceId,
    },
    /// What a guest call came to.
    Commit(Commit),
    /// Publish this now, if there is a connection, and again after each CONNACK; the last one of a topic counts.
    Announce(Message),
    /// Publish this now, if there is a connection.
    AnnounceOnce(Message),
    /// Answer when the broker has answered everything that was asked before about subscriptions, or cannot be asked now.
    Confirm(oneshot::Sender<()>),
    /// Take no more messages from the broker; those that come are left unacknowledged, so that they come again.
    Quiesce,
    /// Take no more messages, get everything to the broker that waits, say goodbye, end. Overtakes the other commands, but
    /// those sent before are still carried out.
    Stop {
        /// When to end even if something is left.
        deadline: Instant,
    },
}

/// What a guest call came to.
#[derive(Debug)]
pub struct Commit {
    /// Whose call it was.
    pub service: ServiceId,
    /// The message that was handled; `None`: a timer, or a message of QoS 0.
    pub receipt: Option<Receipt>,
    /// Subscriptions to make and to end.
    pub subscriptions: Vec<SubscriptionChange>,
    /// Messages to send.
    pub publishes: Vec<Publication>,
    /// The way that the message has come, where that is followed.
    pub trace: Option<Arc<Trace>>,
}

impl Command {
    /// What its messages take, in bytes.
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
    /// A call of `service` that came to nothing.
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

/// Takes changes to what is kept on disk; never waits.
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
        /// Why, in a sentence for people.
        reason: String,
    },
    /// The session has ended.
    Stopped,
}

/// How a session that was told to stop has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopped {
    /// Messages with QoS 1 or 2 that the broker has not acknowledged, and any that were never sent.
    pub unsent: usize,
    /// Messages and subscriptions that the broker refused or that were given up since the start; each has its log line.
    pub failures: u64,
}

/// Commands a session. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Handle {
    commands: mpsc::Sender<Order>,
    room: Arc<Semaphore>,
    stop: mpsc::Sender<Instant>,
    renewals: mpsc::Sender<Box<Connection>>,
    status: watch::Receiver<ConnectionStatus>,
    pub(super) quarantine: watch::Receiver<Vec<Filter>>,
}

/// The way to a session, and its end at the session.
pub(super) fn channel(status: watch::Receiver<ConnectionStatus>) -> (Handle, Inputs) {
    let (commands, waiting) = mpsc::channel(COMMANDS);
    let (stop, stopped) = mpsc::channel(1);
    let (renewals, renewed) = mpsc::channel(1);
    let inputs = Inputs {
        commands: waiting,
        stop: stopped,
        renewals: renewed,
    };
    let (room, quarantine) = (
        Arc::new(Semaphore::new(BYTES)),
        watch::Sender::default().subscribe(),
    );
    (
        Handle {
            commands,
            room,
            stop,
            renewals,
            status,
            quarantine,
        },
        inputs,
    )
}

impl Handle {
    /// Gives a command; waits while too much is waiting. A session that has ended takes it without effect.
    pub async fn send(&self, command: Command) {
        // without tokio's budget as long as there is room: a service that yields in the middle of its mailbox would let the
        // session read, and overflow it
        if let Err(command) = self.try_send(command) {
            // an error means that the session has ended
            let room = Arc::clone(&self.room)
                .acquire_many_owned(permits(&command))
                .await
                .ok();
            drop(
                self.commands
                    .send(Order {
                        command,
                        _room: room,
                    })
                    .await,
            );
        }
    }

    /// Waits until the broker has answered everything that was asked before about subscriptions: a message that is published from
    /// then on comes. Without a connection, or when the broker does not answer in time, there is nothing to wait for.
    pub async fn confirmed(&self) {
        let (answer, answered) = oneshot::channel();
        self.send(Command::Confirm(answer)).await;
        // an error means that there is nothing to wait for
        let _ = timeout(CONFIRMATION, answered).await;
    }

    /// Gives a command without waiting.
    ///
    /// # Errors
    /// Gives the command back when too much is waiting. A session that has ended takes it without effect.
    pub fn try_send(&self, command: Command) -> Result<(), Command> {
        if let Command::Stop { deadline } = command {
            // a second one changes nothing: the first deadline holds
            let _ = self.stop.try_send(deadline);
            return Ok(());
        }
        let room = match permits(&command) {
            0 => None,
            count => match Arc::clone(&self.room).try_acquire_many_owned(count) {
                Ok(room) => Some(room),
                Err(_) => return Err(command),
            },
        };
        match self.commands.try_send(Order {
            command,
            _room: room,
        }) {
            Err(TrySendError::Full(order)) => Err(order.command),
            Ok(()) | Err(TrySendError::Closed(_)) => Ok(()),
        }
    }

    /// Waits until a command without publishes can be given without waiting, or the session has ended. Cancel-safe.
    pub async fn room(&self) {
        // an error means that the session has ended
        let _ = self.commands.reserve().await;
    }

    /// Ends the connection cleanly and connects with these settings from now on; the session, its routes and what waits stay.
    /// Overtakes all commands: what waits must not keep the settings from coming with which it could be sent.
    pub async fn renew(&self, connection: Connection) {
        // fails only when the session has ended
        let _ = self.renewals.send(Box::new(connection)).await;
    }

    /// The filters that are not asked for, because the broker ends the connection for them, and when that changes.
    pub fn quarantine(&self) -> watch::Receiver<Vec<Filter>> {
        self.quarantine.clone()
    }

    /// How the connection is, and when that changes.
    pub fn connection(&self) -> watch::Receiver<ConnectionStatus> {
        self.status.clone()
    }
}

/// How much room a command needs: one that is too heavy for all of it gets all of it.
fn permits(command: &Command) -> u32 {
    let weight = command.weight().min(BYTES);
    if weight < LIGHT {
        0
    } else {
        u32::try_from(weight).unwrap_or(u32::MAX)
    }
}

/// A command that waits.
#[derive(Debug)]
pub(super) struct Order {
    pub command: Command,
    /// Given back when the session has taken it.
    _room: Option<OwnedSemaphorePermit>,
}

/// The session's ends of the channels.
#[derive(Debug)]
pub(super) struct Inputs {
    pub commands: mpsc::Receiver<Order>,
    pub stop: mpsc::Receiver<Instant>,
    pub renewals: mpsc::Receiver<Box<Connection>>,
}
