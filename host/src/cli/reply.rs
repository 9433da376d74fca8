//! The reply that `pub --answers` waits for.

use std::time::Duration;

use anyhow::bail;

use super::print::print_line;
use super::receiver::Receiver;
use crate::session::Handle;
use crate::topic::{Filter, Topic};

/// A subscription that exists before the request is published.
pub(super) struct ReplySubscription {
    filter: Filter,
    receiver: Receiver,
}

impl ReplySubscription {
    /// Subscribes to `filter`.
    pub(super) async fn open(session: &Handle, filter: Filter) -> Self {
        let receiver = Receiver::open(session, std::slice::from_ref(&filter)).await;

        Self { filter, receiver }
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
                let message = self.receiver.next().await?;
                if message.topic != *request && !message.retain {
                    break Some(message);
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
