//! Actor: the end of a service. In: what still waits in its mailbox. Out: that, handled as far as the deadline allows; what the
//! guest says at its stop. Owns nothing.

use tracing::{error, warn};

use super::work::Work;
use super::{Stop, Task};
use crate::guest::Call;
use crate::mailbox::{Delivery, Next};
use crate::session;

impl Task {
    /// Handles what waits in the mailbox, as long as the deadline allows, and lets the guest stop.
    pub(super) async fn end(&mut self, stop: &Stop) {
        if stop.leaves {
            let (mailbox, subscriptions) = (self.sender.clone(), Vec::new());
            self.session.send(session::Command::Attach { service: self.id, mailbox, subscriptions }).await;
            self.give_up().await;
        }
        let drained = tokio::time::timeout_at(stop.deadline.into(), async {
            // without an instance it stays in the mailbox, for whoever ends the routes
            while self.instance.is_some()
                && let Some(next) = self.mailbox.try_next()
            {
                if let Next::Delivery(delivery) = next {
                    self.last_work(delivery).await;
                    if stop.leaves {
                        self.give_up().await;
                    }
                }
            }
        });
        let in_time = drained.await.is_ok();
        let left = self.mailbox.counters().depth;
        if stop.leaves && left > 0 {
            let service = self.setting.name.as_str();
            error!(service, "{left} messages are given up: the service is no longer configured");
        } else if !in_time && !stop.leaves {
            warn!(
                service = self.setting.name.as_str(),
                "stopped with messages left; the broker delivers those of QoS 1 and 2 again"
            );
        }
        self.stop_guest().await;
    }

    /// A message at the stop is tried once: what fails stays unacknowledged and is delivered again at the next start.
    async fn last_work(&mut self, delivery: Delivery) {
        let work = match self.switch.admit(delivery, &self.setting.name) {
            Ok(delivery) => Work::Message(delivery),
            Err(receipt) => return self.settle(receipt).await,
        };
        self.open = work.receipt();
        if let Err(fault) = self.perform(work.call(1), work.receipt()).await {
            warn!(service = self.setting.name.as_str(), "{} failed while stopping: {fault}", work.describe());
        }
    }

    /// Settles the message in work, if there is one: nobody will handle it.
    pub(super) async fn give_up(&mut self) {
        if let Some(receipt) = self.open.take() {
            error!(service = self.setting.name.as_str(), "a message is given up: the service is no longer configured");
            self.settle(Some(receipt)).await;
        }
    }

    pub(super) async fn stop_guest(&mut self) {
        if self.instance.is_none() {
            return;
        }
        if let Err(fault) = self.perform(Call::Stop, None).await {
            warn!(service = self.setting.name.as_str(), "stop failed: {fault}");
        }
        self.instance = None;
    }
}
