//! Actor: the end of a service. In: what still waits for it. Out: that, handled as far as the deadline allows; what the guest says at
//! its stop; what is left, kept on disk where the broker will not deliver it again. Owns nothing.

use tracing::{error, warn};

use super::work::Work;
use super::{Stop, Task};
use crate::guest::Call;
use crate::mailbox::{Delivery, Next};
use crate::message::Receipt;
use crate::session;

/// So many bytes of messages are kept at once.
const AT_ONCE: usize = 1 << 20;

impl Task {
    /// Handles what waits, as long as the deadline allows, and lets the guest stop.
    pub(super) async fn end(&mut self, stop: &Stop) {
        if stop.leaves {
            let (mailbox, subscriptions) = (self.sender.clone(), Vec::new());
            self.session
                .send(session::Command::Attach {
                    service: self.id,
                    mailbox,
                    subscriptions,
                    retained: false,
                })
                .await;
            self.keep_current().await;
        }
        let drained = tokio::time::timeout_at(stop.deadline.into(), async {
            // without an instance it stays where it is
            while self.instance.is_some()
                && let Some(delivery) = self.next_left().await
            {
                self.last_work(delivery).await;
                if stop.leaves {
                    self.keep_current().await;
                }
            }
        });
        let in_time = drained.await.is_ok();
        if stop.leaves {
            self.keep_rest().await;
        } else if !in_time {
            warn!(
                service = self.setting.name.as_str(),
                "stopped with messages left; those of QoS 1 and 2 are handled at the next start"
            );
        }
        self.stop_guest().await;
    }

    async fn next_left(&mut self) -> Option<Delivery> {
        if !self.queue.backlog.is_spooling() {
            self.queue.finish_writing().await;
        }
        if let Some(tried) = self.queue.next_of_backlog().await {
            return Some(tried.delivery);
        }
        self.next_of_mailbox().await
    }

    async fn next_of_mailbox(&mut self) -> Option<Delivery> {
        loop {
            match self.queue.mailbox.try_next()? {
                Next::Delivery(delivery) => return Some(delivery),
                Next::Closed | Next::Congested => return None,
                Next::Unreadable(unreadable) => self.lose(unreadable).await,
                Next::Timers | Next::Notice(_) => {}
            }
        }
    }

    /// A message at the stop is tried once: what fails comes again at the next start.
    async fn last_work(&mut self, delivery: Delivery) {
        let work = match self.switch.admit(delivery, &self.setting.name) {
            Ok(delivery) => Work::Message(delivery),
            Err(receipt) => return self.settle(receipt).await,
        };
        let (call, what) = (work.call(1), work.describe());
        self.queue.current = Some(work);
        match self.perform(call, true).await {
            Ok(_) => self.queue.current = None,
            Err(fault) => warn!(
                service = self.setting.name.as_str(),
                "{what} failed while stopping: {fault}"
            ),
        }
    }

    /// Keeps what is in hand on disk: the service is no longer configured, and the session goes on.
    async fn keep_current(&mut self) {
        self.queue.spool_current().await;
        if let Some(work) = self.queue.current.take() {
            let receipts: Vec<_> = work.receipt().into_iter().collect();
            let others = usize::from(receipts.is_empty());
            self.keep(receipts, 0, others).await;
        }
    }

    /// Keeps everything that is left on disk.
    async fn keep_rest(&mut self) {
        self.queue.mailbox.ignore_congestion();
        self.keep_current().await;
        let (mut receipts, mut on_disk) = self.queue.backlog.drain();
        let mut others = 0;
        loop {
            let left = self.take_left().await;
            if left.is_empty() {
                break;
            }
            let (arrived, unconfirmed): (Vec<_>, Vec<_>) = left
                .into_iter()
                .partition(|delivery| matches!(delivery.receipt, Some(Receipt::Arrived(_))));
            others += unconfirmed.len();
            let refused = self.queue.spool_all(arrived).await;
            receipts.extend(refused.into_iter().filter_map(|delivery| delivery.receipt));
            let (spooled, more_on_disk) = self.queue.backlog.drain();
            receipts.extend(spooled);
            on_disk += more_on_disk;
        }
        self.keep(receipts, on_disk, others).await;
    }

    /// The next that are left: not all at once, since most may wait on disk.
    async fn take_left(&mut self) -> Vec<Delivery> {
        let (mut left, mut weight) = (Vec::new(), 0);
        while weight < AT_ONCE
            && let Some(delivery) = self.next_of_mailbox().await
        {
            weight += delivery.message.weight();
            left.push(delivery);
        }
        left
    }

    /// Says what becomes of messages with these receipts, of others that are `on_disk`, and of `others` that have no receipt: those that
    /// are not on disk are given up.
    async fn keep(&mut self, receipts: Vec<Receipt>, on_disk: usize, others: usize) {
        let (mut kept, mut given_up) = (on_disk, others);
        for receipt in receipts {
            match receipt {
                Receipt::Kept(_) => kept += 1,
                Receipt::Arrived(_) => {
                    given_up += 1;
                    self.settle(Some(receipt)).await;
                }
            }
        }
        let service = self.setting.name.as_str();
        if kept > 0 {
            warn!(
                service,
                "{kept} messages are kept on disk until the service is configured again"
            );
        }
        if given_up > 0 {
            error!(
                service,
                "{given_up} messages are given up: the service is no longer configured"
            );
        }
    }

    pub(super) async fn stop_guest(&mut self) {
        if self.instance.is_none() {
            return;
        }
        if let Err(fault) = self.perform(Call::Stop, false).await {
            warn!(service = self.setting.name.as_str(), "stop failed: {fault}");
        }
        self.instance = None;
    }
}
