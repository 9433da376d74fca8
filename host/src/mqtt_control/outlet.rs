//! The way of the messages of this surface to the broker.

use crate::mailbox;
use crate::message::{Message, Publication, Qos, Receipt, Subscription};
use crate::router::ServiceId;
use crate::session::{Command, Commit, Handle};
use crate::topic::Filter;

/// The ID under which the router delivers requests.
const SERVICE_ID: ServiceId = ServiceId::MQTT_CONTROL;

/// The way to the broker.
#[derive(Debug, Clone)]
pub(super) struct Outlet(Handle);

impl Outlet {
    /// Sends over the main session.
    pub(super) const fn new(session: Handle) -> Self {
        Self(session)
    }

    /// The main session.
    pub(super) const fn session(&self) -> &Handle {
        &self.0
    }

    /// Has messages of these filters delivered to `mailbox`, those that the broker has kept included. QoS 0: a request that comes while
    /// the host is away is not carried out later, and none has to be acknowledged in order with the messages of services.
    pub(super) async fn subscribe(&self, filters: Vec<Filter>, mailbox: mailbox::Sender) {
        let subscriptions = filters.into_iter().map(|filter| Subscription {
            filter,
            qos: Qos::AtMostOnce,
        });
        let attach = Command::Attach {
            service: SERVICE_ID,
            mailbox,
            subscriptions: subscriptions.collect(),
            retained: true,
        };

        self.0.send(attach).await;
    }

    /// Publishes messages. Waits while the session has no room for them.
    pub(super) async fn publish(&self, messages: Vec<Message>) {
        let commit = Commit {
            publishes: messages.into_iter().map(Publication::from).collect(),
            ..Commit::new(SERVICE_ID)
        };
        self.0.send(Command::Commit(commit)).await;
    }

    /// Acknowledges a message.
    pub(super) async fn acknowledge(&self, receipt: Receipt) {
        let commit = Commit {
            receipt: Some(receipt),
            ..Commit::new(SERVICE_ID)
        };
        self.0.send(Command::Commit(commit)).await;
    }
}
