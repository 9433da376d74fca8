//! The messages of a command that waits for some of them.

use crate::config::WhenFull;
use crate::mailbox::{Limits, Mailbox, Next, mailbox};
use crate::message::{Message, Qos, Subscription};
use crate::router::ServiceId;
use crate::session::{Command, Handle};
use crate::topic::Filter;

/// Messages that may wait to be looked at.
const MAILBOX: Limits = Limits {
    messages: 1_000,
    bytes: usize::MAX,
    when_full: WhenFull::DropNewest,
};

/// A subscription with QoS 0, whose messages need no acknowledgement.
pub(super) struct Receiver {
    mailbox: Mailbox,
}

impl Receiver {
    /// Subscribes to `filters`. Everything that the session sends later arrives at the broker after the subscription.
    pub(super) async fn open(session: &Handle, filters: &[Filter]) -> Self {
        let (sender, mailbox) = mailbox(MAILBOX);
        let subscription = |filter: &Filter| Subscription {
            filter: filter.clone(),
            qos: Qos::AtMostOnce,
        };
        let subscriptions = filters.iter().map(subscription).collect();
        session
            .send(Command::Attach {
                service: ServiceId(0),
                mailbox: sender,
                subscriptions,
                retained: false,
            })
            .await;

        Self { mailbox }
    }

    /// The next message; `None` when the session has ended.
    pub(super) async fn next(&mut self) -> Option<Message> {
        loop {
            match self.mailbox.next().await {
                Next::Delivery(delivery) => return Some(delivery.message),
                Next::Congested | Next::Timers | Next::Notice(_) | Next::Unreadable(_) => {}
                Next::Closed => return None,
            }
        }
    }
}
