//! Requests of guests on their way to the broker, and the values of properties that come back.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::guest::property_cache::PropertyCache;
use crate::mailbox;
use crate::message::Message;
use crate::router::ServiceId;
use crate::topic::{Filter, Topic};

/// The response topic of requests that skip the broker. No message on it ever leaves the host.
pub const LOCAL_RESPONSES: &str = "$miqro/responses";

/// A request.
#[derive(Debug)]
pub struct Request {
    /// The message; response topic and correlation data are added on the way.
    pub message: Message,
    /// How long the guest waits.
    pub deadline: Duration,
    /// Whether a service of this host that serves the topic gets it without the broker.
    pub is_local: bool,
    /// The channel for the answer.
    pub answer: oneshot::Sender<Result<Message, RequestFailure>>,
}

/// Reasons why a request has no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestFailure {
    /// It could not be sent; says why.
    Unavailable(String),
    /// No answer came in time.
    TimedOut,
}

/// A command for the task that carries requests.
#[derive(Debug)]
pub enum RequestCommand {
    /// Send a request and hand out its answer.
    Send(Request),
    /// Keep the values of properties, which are retained messages.
    Watch(Filter),
    /// Keep them for one watcher less.
    Unwatch(Filter),
    /// Hand out the answer to a request that skipped the broker.
    Answer(Message),
    /// Deliver local requests to this mailbox from now on.
    Serve(LocalService),
}

/// A service that takes requests without the broker.
#[derive(Debug)]
pub struct LocalService {
    /// The service.
    pub service: ServiceId,
    /// The interfaces that it serves: topics of the form `io.world/Hello`. Those before are forgotten.
    pub prefixes: Vec<Topic>,
    /// Its mailbox.
    pub mailbox: mailbox::Sender,
}

/// The channel that carries requests to the broker. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Requests {
    commands: mpsc::Sender<RequestCommand>,
    properties: Arc<PropertyCache>,
}

impl Requests {
    /// A channel with the cache that its receiver feeds.
    pub fn new(commands: mpsc::Sender<RequestCommand>, properties: Arc<PropertyCache>) -> Self {
        Self {
            commands,
            properties,
        }
    }

    /// Sends a command. Returns `false` when the receiver has ended.
    pub async fn send(&self, command: RequestCommand) -> bool {
        self.commands.send(command).await.is_ok()
    }

    /// The values of the properties that are watched.
    pub fn properties(&self) -> &PropertyCache {
        &self.properties
    }

    /// Keeps the values of the properties that `filter` matches, as long as the guard lives.
    pub async fn watch(&self, filter: Filter) -> WatchGuard {
        self.send(RequestCommand::Watch(filter.clone())).await;
        WatchGuard {
            commands: self.commands.clone(),
            filter,
        }
    }
}

/// Keeps the values of properties while it lives.
#[derive(Debug)]
pub struct WatchGuard {
    commands: mpsc::Sender<RequestCommand>,
    filter: Filter,
}

impl Drop for WatchGuard {
    fn drop(&mut self) {
        // when the queue is full, the host keeps values that nobody needs
        let _ = self
            .commands
            .try_send(RequestCommand::Unwatch(self.filter.clone()));
    }
}
