//! Actor: messages that cannot be handled now. In: messages whose handling failed, and those that come while the guest is down. Out:
//! the same, acknowledged and kept on disk, so that they hold up nobody's acknowledgements; dead letters. Owns nothing.
//!
//! Acknowledgements leave in the order of arrival (MQTT 5, section 4.6): one message that waits unacknowledged would hold up those of
//! all services, and at the receive maximum all messages.

use std::time::Instant;

use tracing::{error, warn};

use super::swapping::now;
use super::work::Work;
use super::{Flow, Task};
use crate::config::WhenFull;
use crate::effects::Effects;
use crate::guest::Component;
use crate::mailbox::{Delivery, Unreadable};
use crate::message::{Publication, Receipt};
use crate::service::dead_letter::{Verdict, dead_letter};
use crate::service::lifecycle::Status;
use crate::store::Letter;

/// Messages of a failed service that become dead letters at once.
const BATCH: usize = 64;

impl Task {
    /// Handles one message of the backlog, and one other thing, so that timers do not starve.
    pub(super) async fn catch_up(&mut self) -> Flow {
        if let Ok(command) = self.commands.try_recv() {
            return self.obey(Some(command)).await;
        }
        if let Some(tried) = self.backlog.take(Instant::now()) {
            self.message(tried).await?;
        }
        match self.mailbox.try_next_but_messages() {
            Some(next) if self.instance.is_some() => self.handle(next).await,
            _ => Flow::Continue(()),
        }
    }

    /// How many messages may be set aside while the service waits. Where a full mailbox drops, nothing is held up.
    pub(super) fn room_aside(&self) -> usize {
        let limits = &self.config.limits;
        if limits.when_full != WhenFull::Unacknowledged {
            return 0;
        }
        match self.aside_is_full() {
            false => limits.mailbox - self.backlog.len(),
            true if self.has_failed() => BATCH,
            true => 0,
        }
    }

    fn aside_is_full(&self) -> bool {
        let limits = &self.config.limits;
        self.backlog.len() >= limits.mailbox || self.backlog.bytes() >= limits.mailbox_bytes
    }

    fn has_failed(&self) -> bool {
        *self.status.borrow() == Status::Failed
    }

    /// Takes messages that came while the service waits: how many more there is room for.
    pub(super) async fn take_aside(&mut self, came: Vec<Delivery>) -> usize {
        if self.aside_is_full() && self.has_failed() {
            error!(
                service = self.setting.name.as_str(),
                "{} messages become dead letters: the service has failed, and as many wait as limits.mailbox and \
                 limits.mailbox_bytes allow",
                came.len()
            );
            for delivery in came {
                let reason = "the service has failed, and as many messages wait as limits.mailbox and limits.mailbox_bytes allow";
                self.bury(&Work::Message(delivery), 0, reason).await;
            }
            return self.room_aside();
        }
        let (kept, on_disk) = self.set_aside(came).await;
        self.backlog.extend(kept);
        if on_disk { self.room_aside() } else { 0 }
    }

    /// Acknowledges a message of which nothing is left here: unacknowledged it would hold up all that came later.
    pub(super) async fn lose(&mut self, Unreadable { receipt, reason }: Unreadable) {
        error!(
            service = self.setting.name.as_str(),
            "a message is lost: it waited in a file, which cannot be read any more: {reason}"
        );
        self.settle(receipt).await;
    }

    /// Acknowledges the message in hand and keeps it on disk: it has to wait.
    pub(super) async fn set_hand_aside(&mut self) {
        let Some(work) = self.hand.take() else { return };
        self.hand = match work {
            Work::Message(delivery) if matches!(delivery.receipt, Some(Receipt::Arrived(_))) => {
                self.set_aside(vec![delivery]).await.0.pop().map(Work::Message)
            }
            other => Some(other),
        };
    }

    /// Keeps messages on disk in place of at the broker. When that does not work they stay unacknowledged.
    pub(super) async fn set_aside(&mut self, mut deliveries: Vec<Delivery>) -> (Vec<Delivery>, bool) {
        let messages = deliveries.iter().map(|delivery| delivery.message.clone()).collect();
        match self.store.set_aside(&self.setting.name, messages).await {
            Ok(first) => {
                for (number, delivery) in (first..).zip(&mut deliveries) {
                    let arrived = delivery.receipt.replace(Receipt::Kept(number));
                    delivery.message = delivery.message.detached();
                    self.settle(arrived).await;
                }
                (deliveries, true)
            }
            Err(error) => {
                let service = self.setting.name.as_str();
                warn!(service, "{} messages wait unacknowledged and hold up others: {error}", deliveries.len());
                (deliveries, false)
            }
        }
    }

    /// Gives up what is in hand: a message becomes a dead letter.
    pub(super) async fn give_up_hand(&mut self, attempts: u32, reason: &str) {
        if let Some(work) = self.hand.take() {
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
        drop(self.commit(Effects { publishes, ..Effects::default() }, work.receipt()).await);
    }

    async fn dead_letter(&mut self, delivery: &Delivery, attempts: u32, reason: &str) -> Vec<Publication> {
        let (service, message) = (self.setting.name.as_str(), &delivery.message);
        let component = self.component.as_ref().map(Component::version);
        let letter = Letter {
            message: message.clone(),
            reason: reason.to_owned(),
            attempts,
            component: component.map(|version| version.to_string()),
            at: now(),
        };
        let most = self.config.limits.dead_letters;
        match self.store.bury(service, letter, most).await {
            Ok(0) => {}
            Ok(dropped) => warn!(service, "{dropped} old dead letters are gone: limits.dead_letters keeps {most}"),
            Err(error) => error!(service, "a dead letter cannot be kept for replay: {error}"),
        }
        let verdict = Verdict { service, reason, attempts, component };
        let topic = self.config.dead_letter.clone();
        topic.map(|topic| dead_letter(topic, message, verdict, self.protocol).into()).into_iter().collect()
    }
}
