//! Messages that the service cannot handle now: spooled and deferred ones, and those that become dead letters.

use std::time::Instant;

use tracing::{error, warn};

use super::{AT_ONCE, Flow, Task};
use crate::fault_kind::FaultKind;
use crate::mailbox::{Delivery, Unreadable};
use crate::service::dead_letter::Verdict;
use crate::service::invocation::Invocation;

/// Messages of a failed service that become dead letters at once.
const BATCH: usize = 64;

impl Task {
    /// Handles spooled and deferred messages, then one other thing, so that timers do not starve. A service that has published as
    /// much as it may waits here.
    pub(super) async fn catch_up(&mut self) -> Flow {
        self.drop_surplus().await;
        if let Some(command) = self.commands.try_recv() {
            return self.on_command(Some(command)).await;
        }
        if self.queue.mailbox.is_congested() {
            return self.await_outbox().await;
        }
        if !self.queue.backlog.is_spooling() {
            // messages that are being written come before those in the mailbox
            self.queue.finish_writing().await;
        }

        for _ in 0..AT_ONCE {
            let Some(pending) = self.queue.next_pending().await else {
                break;
            };
            match self.queue.filter(pending.delivery) {
                Ok(delivery) => {
                    let invocation = Invocation::Message(delivery);
                    self.invoke(invocation, pending.earlier).await?;
                }
                Err(receipt) => self.outputs.acknowledge(receipt).await,
            }

            if !self.runner.is_ready()
                || !self.runner.executor.is_fast()
                || !self.commands.is_empty()
            {
                break;
            }
        }

        match self.queue.mailbox.try_next_but_messages() {
            Some(next) if self.runner.is_ready() => self.on_next(next).await,
            _ => Flow::Continue(()),
        }
    }

    async fn await_outbox(&mut self) -> Flow {
        self.usage.on_exceeded(FaultKind::Outbox, 1, Instant::now());
        tokio::select! {
            command = self.commands.recv() => self.on_command(command).await,
            () = self.queue.publishing_allowed() => Flow::Continue(()),
        }
    }

    /// Makes dead letters of messages for which there is no more room: the oldest ones where the policy drops those, the next ones
    /// where the service has failed.
    pub(super) async fn drop_surplus(&mut self) {
        while self.queue.exceeds_limits() {
            let Some(pending) = self.queue.next_pending().await else {
                return;
            };
            let reason = "as many messages wait as limits.mailbox, limits.mailbox_bytes and limits.spool allow";
            warn!("the oldest message becomes a dead letter: {reason}");
            self.push_dead_letter(&pending.delivery, pending.earlier.count, reason)
                .await;
        }

        if self.queue.room() > 0 {
            return;
        }
        let arrived = self.queue.mailbox.take_with_receipt(BATCH);
        if arrived.is_empty() {
            return;
        }
        let reason = "the service has failed, and as many messages wait as limits.mailbox and limits.mailbox_bytes allow";
        error!("{} messages become dead letters: {reason}", arrived.len());
        for delivery in arrived {
            self.push_dead_letter(&delivery, 0, reason).await;
        }
    }

    /// Acknowledges a message that cannot be read from its file: unacknowledged it would hold up all later ones.
    pub(super) async fn on_unreadable(&mut self, unreadable: Unreadable) {
        error!(
            "a message is lost: it waited in a file that cannot be read any more: {}",
            unreadable.reason
        );
        self.outputs.acknowledge(unreadable.receipt).await;
    }

    /// Gives the current invocation up: a message becomes a dead letter.
    pub(super) async fn give_up_current(&mut self, attempts: u32, reason: &str) {
        if self.queue.is_writing_current() {
            Box::pin(self.queue.finish_writing()).await;
        }
        if let Some(Invocation::Message(delivery)) = self.queue.current.take() {
            self.push_dead_letter(&delivery, attempts, reason).await;
        }
    }

    async fn push_dead_letter(&mut self, delivery: &Delivery, attempts: u32, reason: &str) {
        let verdict = Verdict {
            service: &self.ctx.config.name,
            reason,
            attempts,
            component: self.runner.version(),
        };

        self.outputs
            .push_dead_letter(&self.ctx.config, delivery, verdict)
            .await;
        self.refuse_call(delivery, reason).await;
    }
}
