//! The reply that `pub --answers` waits for.

use std::time::Duration;

use anyhow::bail;

use super::print::print_line;
use crate::config::WhenFull;
use crate::mailbox::{Limits, Mailbox, Next, mailbox};
use crate::message::{Qos, Subscription};
use crate::router::ServiceId;
use crate::session::{Command, Handle};
use crate::topic::{Filter, Topic};

/// Messages that may wait to be looked at.
const MAILBOX: Limits = Limits {
    messages: 1_000,
    bytes: usize::MAX,
    when_full: WhenFull::DropNewest,
};

/// A subscription that exists before the request is published.
pub(super) struct ReplySubscription {
    filter: Filter,
    mailbox: Mailbox,
}

impl ReplySubscription {
    /// Subscribes to `filter`.
    pub(super) async fn open(session: &Handle, filter: Filter) -> Self {
        let (sender, mailbox) = mailbox(MAILBOX);
        let subscriptions = vec![Subscription {
            filter: filter.clone(),
            qos: Qos::AtMostOnce,
        }];
        session
            .send(Command::Attach {
                service: ServiceId(0),
                mailbox: sender,
                subscriptions,
                retained: false,
            })
            .await;

        Self { filter, mailbox }
    }

    /// Prints the first message that is neither the request itself nor a retained one.
    ///
    /// # Errors
    /// When none arrives within `timeout`.
    pub(super) async fn print_first(
        mut self,
        request: &Topic,
        timeout: Duration,
    ) -> anyhow::Result<()> {
        let reply = async {
            loop {
                match self.mailbox.next().await {
                    Next::Delivery(delivery) if delivery.message.topic == *request => {}
                    Next::Delivery(delivery) if delivery.message.retain => {}
                    Next::Delivery(delivery) => break Some(delivery.message),
                    Next::Congested | Next::Timers | Next::Notice(_) | Next::Unreadable(_) => {}
                    Next::Closed => break None,
                }
            }
        };

        match tokio::time::timeout(timeout, reply).await {
            Ok(Some(message)) => print_line(format_args!(
                "{} {}",
                message.topic,
                String::from_utf8_lossy(&message.payload)
            )),
            _ => bail!(
                "no answer on {} within {} s",
                self.filter,
                timeout.as_secs_f64()
            ),
        }
    }
}
