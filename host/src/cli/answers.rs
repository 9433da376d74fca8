//! Surface: what `pub --answers` shows. In: a filter. Out: the first message on it that is an answer, as a line on standard
//! output. Owns the mailbox that it waits in.

use std::time::Duration;

use anyhow::bail;

use super::print::print_line;
use crate::config::WhenFull;
use crate::mailbox::{Limits, Mailbox, Next, mailbox};
use crate::message::{Qos, Subscription};
use crate::router::ServiceId;
use crate::session::{Command, Handle};
use crate::topic::{Filter, Topic};

const WAITING: Limits = Limits {
    messages: 1_000,
    bytes: usize::MAX,
    when_full: WhenFull::DropNewest,
};

/// A subscription that was made before the question is sent.
pub(super) struct Answers {
    filter: Filter,
    mailbox: Mailbox,
}

impl Answers {
    /// Subscribes.
    pub(super) async fn open(session: &Handle, filter: Filter) -> Self {
        let (sender, mailbox) = mailbox(WAITING);
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

    /// Shows the first message that is neither the question itself nor one that the broker had kept.
    ///
    /// # Errors
    /// When none comes in time.
    pub(super) async fn first(
        mut self,
        question: &Topic,
        patience: Duration,
    ) -> anyhow::Result<()> {
        let answer = async {
            loop {
                match self.mailbox.next().await {
                    Next::Delivery(delivery) if delivery.message.topic == *question => {}
                    Next::Delivery(delivery) if delivery.message.retain => {}
                    Next::Delivery(delivery) => break Some(delivery.message),
                    Next::Congested | Next::Timers | Next::Notice(_) | Next::Unreadable(_) => {}
                    Next::Closed => break None,
                }
            }
        };
        match tokio::time::timeout(patience, answer).await {
            Ok(Some(message)) => print_line(format_args!(
                "{} {}",
                message.topic,
                String::from_utf8_lossy(&message.payload)
            )),
            _ => bail!(
                "no answer on {} within {} s",
                self.filter,
                patience.as_secs_f64()
            ),
        }
    }
}
