//! End of a service: handles waiting messages until the deadline, stops the guest, and keeps the rest on disk where the broker will
//! not deliver it again.

use tracing::{error, warn};

use super::{Stop, Task};
use crate::guest::Call;
use crate::mailbox::{Delivery, Next};
use crate::message::Receipt;
use crate::service::invocation::Invocation;
use crate::service::outputs::Completion;

/// Bytes of messages that are written to the spool at once.
const AT_ONCE: usize = 1 << 20;

impl Task {
    /// Handles waiting messages as long as the deadline allows, then stops the guest.
    pub(super) async fn end(&mut self, stop: &Stop) {
        if stop.leaves {
            let mailbox = self.queue.sender();
            self.outputs.attach(mailbox, Vec::new(), false).await;
            self.keep_current().await;
        }

        let drained = tokio::time::timeout_at(stop.deadline.into(), async {
            // without an instance the messages stay where they are
            while self.runner.is_ready()
                && let Some(delivery) = self.next_left().await
            {
                self.handle_last(delivery).await;
                if stop.leaves {
                    self.keep_current().await;
                }
            }
        });

        let in_time = drained.await.is_ok();

        if stop.leaves {
            self.keep_rest().await;
        } else if !in_time {
            warn!("stopped with messages left; those of QoS 1 and 2 are handled at the next start");
        }
        self.stop_guest().await;
    }

    async fn next_left(&mut self) -> Option<Delivery> {
        if !self.queue.backlog.is_spooling() {
            self.queue.finish_writing().await;
        }
        if let Some(pending) = self.queue.next_pending().await {
            return Some(pending.delivery);
        }
        self.next_of_mailbox().await
    }

    async fn next_of_mailbox(&mut self) -> Option<Delivery> {
        loop {
            match self.queue.mailbox.try_next()? {
                Next::Delivery(delivery) => return Some(delivery),
                Next::Closed | Next::Congested => return None,
                Next::Unreadable(unreadable) => self.on_unreadable(unreadable).await,
                Next::Timers | Next::Notice(_) => {}
            }
        }
    }

    /// Handles a message once: one that fails is delivered again at the next start.
    async fn handle_last(&mut self, delivery: Delivery) {
        let invocation = match self.queue.filter(delivery) {
            Ok(delivery) => Invocation::Message(delivery),
            Err(receipt) => return self.outputs.acknowledge(receipt).await,
        };
        let call = invocation.call(1);
        let description = invocation.describe();
        self.queue.current = Some(invocation);

        let sample = self.rollout.sample(&call);
        let outcome = match self.runner.call(call, &mut self.queue).await {
            Ok(effects) => self.complete(effects, sample).await,
            Err(fault) => Err(fault),
        };
        match outcome {
            Ok(_) => self.queue.current = None,
            Err(fault) => warn!("{description} failed while stopping: {fault}"),
        }
    }

    /// Keeps the current message on disk: the service is no longer configured, and the session continues.
    async fn keep_current(&mut self) {
        self.queue.spool_current().await;
        if let Some(invocation) = self.queue.current.take() {
            let receipts: Vec<_> = invocation.receipt().into_iter().collect();
            let others = usize::from(receipts.is_empty());
            self.report_left(receipts, 0, others).await;
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

        self.report_left(receipts, on_disk, others).await;
    }

    /// Takes the next messages that are left: not all at once, since most may wait on disk.
    async fn take_left(&mut self) -> Vec<Delivery> {
        let mut left = Vec::new();
        let mut weight = 0;
        while weight < AT_ONCE
            && let Some(delivery) = self.next_of_mailbox().await
        {
            weight += delivery.message.weight();
            left.push(delivery);
        }

        left
    }

    /// Logs the fate of messages with these receipts, of others that are `on_disk`, and of `others` that have no receipt.
    /// Acknowledges those that are not on disk: they are given up.
    async fn report_left(&mut self, receipts: Vec<Receipt>, on_disk: usize, others: usize) {
        let mut kept = on_disk;
        let mut given_up = others;
        for receipt in receipts {
            match receipt {
                Receipt::Kept(_) => kept += 1,
                Receipt::Arrived(_) => {
                    given_up += 1;
                    self.outputs.acknowledge(Some(receipt)).await;
                }
            }
        }

        if kept > 0 {
            warn!("{kept} messages are kept on disk until the service is configured again");
        }
        if given_up > 0 {
            error!("{given_up} messages are given up: the service is no longer configured");
        }
    }

    /// Calls the guest's `stop` and drops its instance.
    pub(super) async fn stop_guest(&mut self) {
        if !self.runner.is_ready() {
            return;
        }
        let outcome = match self.runner.call(Call::Stop, &mut self.queue).await {
            Ok(effects) => self.commit(effects, Completion::default()).await,
            Err(fault) => Err(fault),
        };
        if let Err(fault) = outcome {
            warn!("stop failed: {fault}");
        }
        self.runner.kill();
    }
}
