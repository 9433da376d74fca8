//! Messages that the service cannot handle now: those of its spool, those for which there is no more room, and those that are given up.

use std::time::Instant;

use tracing::{error, warn};

use super::swapping::now;
use super::work::Work;
use super::{AT_ONCE, Flow, Task};
use crate::effects::Effects;
use crate::fault_kind::FaultKind;
use crate::guest::Component;
use crate::mailbox::{Delivery, Unreadable};
use crate::message::Publication;
use crate::service::dead_letter::{Verdict, dead_letter};
use crate::store::Letter;

/// Messages of a failed service that become dead letters at once.
const BATCH: usize = 64;

impl Task {
    /// Handles messages of the spool, and one other thing, so that timers do not starve. A service that has published as much as it may
    /// waits here.
    pub(super) async fn catch_up(&mut self) -> Flow {
        self.drop_surplus().await;
        if let Ok(command) = self.commands.try_recv() {
            return self.obey(Some(command)).await;
        }
        if self.queue.mailbox.is_congested() {
            return self.wait_for_outbox().await;
        }
        if !self.queue.backlog.is_spooling() {
            // what is being written comes before what is in the mailbox
            self.queue.finish_writing().await;
        }
        for _ in 0..AT_ONCE {
            let Some(tried) = self.queue.next_of_backlog().await else {
                break;
            };
            self.message(tried).await?;
            if !self.caller.is_fast() || self.instance.is_none() || !self.commands.is_empty() {
                break;
            }
        }
        match self.queue.mailbox.try_next_but_messages() {
            Some(next) if self.instance.is_some() => self.handle(next).await,
            _ => Flow::Continue(()),
        }
    }

    async fn wait_for_outbox(&mut self) -> Flow {
        self.exceeded(FaultKind::Outbox, 1, Instant::now());
        tokio::select! {
            command = self.commands.recv() => self.obey(command).await,
            () = self.queue.publishing_allowed() => Flow::Continue(()),
        }
    }

    /// Makes the messages dead letters for which there is no more room: the oldest ones where the policy drops those, the next ones
    /// where the service has failed.
    pub(super) async fn drop_surplus(&mut self) {
        while self.queue.exceeds_limits() {
            let Some(tried) = self.queue.next_of_backlog().await else {
                return;
            };
            let reason = "as many messages wait as limits.mailbox, limits.mailbox_bytes and limits.spool allow";
            warn!(
                service = self.setting.name.as_str(),
                "the oldest message becomes a dead letter: {reason}"
            );
            self.bury(&Work::Message(tried.delivery), tried.attempts, reason)
                .await;
        }
        let came = if self.queue.room() == 0 {
            self.queue.mailbox.take_with_receipt(BATCH)
        } else {
            Vec::new()
        };
        if came.is_empty() {
            return;
        }
        let reason = "the service has failed, and as many messages wait as limits.mailbox and limits.mailbox_bytes allow";
        error!(
            service = self.setting.name.as_str(),
            "{} messages become dead letters: {reason}",
            came.len()
        );
        for delivery in came {
            self.bury(&Work::Message(delivery), 0, reason).await;
        }
    }

    /// Acknowledges a message of which nothing is left here: unacknowledged it would hold up all that came later.
    pub(super) async fn lose(&mut self, Unreadable { receipt, reason }: Unreadable) {
        error!(
            service = self.setting.name.as_str(),
            "a message is lost: it waited in a file, which cannot be read any more: {reason}"
        );
        self.settle(receipt).await;
    }

    /// Gives up the work in hand: a message becomes a dead letter.
    pub(super) async fn give_up_current(&mut self, attempts: u32, reason: &str) {
        if self.queue.is_writing_current() {
            Box::pin(self.queue.finish_writing()).await;
        }
        if let Some(work) = self.queue.current.take() {
            self.bury(&work, attempts, reason).await;
        }
    }

    /// Makes a message a dead letter, on disk and at the broker; it is finished when the broker has taken that.
    async fn bury(&mut self, work: &Work, attempts: u32, reason: &str) {
        let publishes = match work {
            Work::Message(delivery) => self.dead_letter(delivery, attempts, reason).await,
            Work::Tick(_) | Work::Notice(_) => Vec::new(),
        };
        // without changes of the state a commit cannot fail
        drop(
            self.commit(
                Effects {
                    publishes,
                    ..Effects::default()
                },
                work.receipt(),
            )
            .await,
        );
    }

    async fn dead_letter(
        &mut self,
        delivery: &Delivery,
        attempts: u32,
        reason: &str,
    ) -> Vec<Publication> {
        let (service, message) = (self.setting.name.as_str(), &delivery.message);
        let component = self.component.as_ref().map(Component::version);
        let letter = Letter {
            message: message.clone(),
            reason: reason.to_owned(),
            attempts,
            component: component.map(|version| version.to_string()),
            at: now(),
            outgoing: false,
        };
        let most = self.config.limits.retry.dead_letters;
        match self.store.bury(service, letter, most).await {
            Ok(0) => {}
            Ok(dropped) => warn!(
                service,
                "{dropped} old dead letters are gone: limits.dead_letters keeps {most}"
            ),
            Err(error) => error!(service, "a dead letter cannot be kept for replay: {error}"),
        }
        let verdict = Verdict {
            service,
            reason,
            attempts,
            component,
        };
        let topic = self.config.dead_letter.clone();
        topic
            .map(|topic| dead_letter(topic, message, verdict, self.protocol).into())
            .into_iter()
            .collect()
    }
}
