//! Everything that waits for one service: its mailbox, its backlog, and the current invocation.
//!
//! Acknowledgements leave in the order of arrival (MQTT 5, section 4.6), and a broker sends no more than the receive maximum without
//! them. So a message that waits unacknowledged for one service would hold up those of all services. When it has waited for too long,
//! or when the service cannot handle messages, the messages go to the service's spool on disk and are acknowledged there; from then
//! on, until the spool is empty, later messages go there too, so that the order stays.
//!
//! Writing to the spool continues during a guest call and while the service waits: [`Queue::advance`] does as much as is possible at once, and
//! [`Queue::progress`] waits for the next thing that can be done. Both are safe to be cancelled.

use std::future::pending;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tracing::error;

use crate::config;
use crate::mailbox::{self, Delivery, Mailbox};
use crate::message::Receipt;
use crate::router::ServiceId;
use crate::session;
use crate::store::{Segment, Store, StoreError};
use crate::timers::sleep_until;

use super::enabled::EnabledFlag;
use super::invocation::Invocation;
use super::local_call::is_local;
use super::outputs::Completion;

mod backlog;
mod limits;
mod writing;

pub(super) use backlog::EarlierAttempts;
use backlog::{Backlog, PendingMessage};
use writing::{PendingWrite, SpoolWrites};

/// Messages that are written to the spool at once.
const BATCH: usize = 512;
/// Bytes of the spool that are read at once.
const PORTION: usize = 1 << 18;
/// Time to wait after the disk has failed.
const RETRY: Duration = Duration::from_secs(1);

/// Queue of one service.
pub(super) struct Queue {
    id: ServiceId,
    config: Arc<config::Service>,
    session: session::Handle,
    store: Store,
    sender: mailbox::Sender,
    pub(super) mailbox: Mailbox,
    enabled: EnabledFlag,
    pub(super) backlog: Backlog,
    /// Invocation that is being handled, until it succeeded, was deferred or given up. It survives a panic.
    pub(super) current: Option<Invocation>,
    writes: SpoolWrites,
    /// Whether messages were overdue while the spool was full; that was logged.
    holds_up_others: bool,
    /// Whether the service has failed: then no more than `limits.mailbox` messages are spooled.
    has_failed: bool,
}

impl Queue {
    pub(super) fn new(
        id: ServiceId,
        config: Arc<config::Service>,
        (session, store): (session::Handle, Store),
        (sender, mailbox): (mailbox::Sender, Mailbox),
        spool: Option<Segment>,
    ) -> Self {
        let mut backlog = Backlog::default();
        if let Some(segment) = spool {
            backlog.push_segment(segment);
        }
        Self {
            id,
            enabled: EnabledFlag::new(&config),
            config,
            session,
            store,
            sender,
            mailbox,
            backlog,
            current: None,
            writes: SpoolWrites::default(),
            holds_up_others: false,
            has_failed: false,
        }
    }

    /// The end of the mailbox for the router and the timers.
    pub(super) fn sender(&self) -> mailbox::Sender {
        self.sender.clone()
    }

    /// Whether the service is switched on.
    pub(super) const fn is_enabled(&self) -> bool {
        self.enabled.is_enabled()
    }

    /// Returns the delivery when the service is to handle it.
    ///
    /// # Errors
    /// The receipt to acknowledge, if any: see [`EnabledFlag::filter`].
    pub(super) fn filter(&mut self, delivery: Delivery) -> Result<Delivery, Option<Receipt>> {
        self.enabled.filter(delivery)
    }

    /// Receipt and trace that the effects of the current invocation carry.
    pub(super) fn completion(&self) -> Completion {
        Completion {
            receipt: self.current.as_ref().and_then(Invocation::receipt),
            trace: self.current.as_ref().and_then(Invocation::trace),
        }
    }

    /// Whether the current invocation is a call that came without the broker; so does its answer go.
    pub(super) fn is_local_call(&self) -> bool {
        matches!(&self.current, Some(Invocation::Message(delivery)) if is_local(&delivery.message))
    }

    /// As `completion`, for effects that follow from the current invocation and do not complete it.
    pub(super) fn origin(&self) -> Completion {
        Completion {
            receipt: None,
            ..self.completion()
        }
    }

    /// Changes the limits of the mailbox; waiting messages stay.
    pub(super) fn set_limits(&self, limits: &config::Limits) {
        self.sender.set_limits(mailbox::Limits::from(limits));
    }

    /// Changes the section of the configuration that is in force.
    pub(super) fn set_config(&mut self, config: Arc<config::Service>) {
        self.config = config;
    }

    /// Whether messages have to be handled before those in the mailbox, or acknowledgements of spooled ones wait.
    pub(super) fn is_behind(&self) -> bool {
        self.backlog.is_spooling()
            || self.writes.pending.is_some()
            || !self.writes.written.is_empty()
    }

    /// Takes the next message that has to be handled before those in the mailbox; reads it from disk where it is there only.
    pub(super) async fn next_pending(&mut self) -> Option<PendingMessage> {
        if self.backlog.due().is_none_or(|at| at > Instant::now()) && !self.load().await {
            return None;
        }
        self.backlog.take(Instant::now())
    }

    /// Reads the next portion of the spool if none is in memory. Returns `false` when it cannot be read now.
    async fn load(&mut self) -> bool {
        sleep_if_some(self.writes.retry_at).await;
        self.writes.retry_at = None;
        let Some(segment) = self.backlog.next_segment() else {
            return true;
        };
        match self
            .store
            .read_spool(&self.config.name, segment, PORTION)
            .await
        {
            Ok(portion) => {
                let deliveries = portion
                    .messages
                    .into_iter()
                    .map(|(number, message)| Delivery::new(message, Some(Receipt::Kept(number))));
                self.backlog.put_first(deliveries.collect(), portion.rest);
                true
            }
            Err(error) => {
                error!("cannot read the spool, next attempt in {RETRY:?}: {error}");
                self.backlog.put_first(Vec::new(), Some(segment));
                self.writes.retry_at = Some(Instant::now() + RETRY);
                false
            }
        }
    }

    /// Works on messages that hold up the broker's next ones, without waiting.
    pub(super) fn advance(&mut self) {
        self.acknowledge();
        if let Some(writing) = &mut self.writes.pending {
            match writing.answer.try_recv() {
                Ok(outcome) => self.on_written(outcome),
                Err(oneshot::error::TryRecvError::Empty) => return,
                Err(oneshot::error::TryRecvError::Closed) => {
                    self.on_written(Err(StoreError::Ended))
                }
            }

            self.acknowledge();
        } else if self
            .mailbox
            .is_overdue(self.share(false), self.unacknowledged())
            && self.may_spool()
            && self.store.has_room()
        {
            self.begin();
        }
    }

    /// Waits until something can be done for messages that hold up the broker's next ones, and does it. Cancel-safe. `waits`: the
    /// service handles no messages, so all of them are to be spooled.
    pub(super) async fn progress(&mut self, waits: bool) {
        if !self.writes.written.is_empty() {
            self.session.wait_for_room().await;
            return self.acknowledge();
        }
        if let Some(writing) = &mut self.writes.pending {
            let outcome = (&mut writing.answer)
                .await
                .unwrap_or(Err(StoreError::Ended));
            self.on_written(outcome);
            return self.acknowledge();
        }

        sleep_if_some(self.writes.retry_at).await;
        self.writes.retry_at = None;
        self.mailbox
            .overdue(self.share(waits), self.unacknowledged())
            .await;
        if self.room() == 0 {
            // the caller makes dead letters of the messages
        } else if self.may_spool() {
            self.store.room().await;
            self.begin();
        } else {
            // until messages were handled
            pending().await
        }
    }

    /// Puts the current message into the spool, and waits until it is there: it is tried again later.
    pub(super) async fn spool_current(&mut self) {
        self.finish_writing().await;
        if self.unacknowledged().is_some() {
            self.store.room().await;
            let refused = self.write(true, Vec::new());
            self.mailbox.put_back(refused);
            self.finish_writing().await;
        }
    }

    /// Puts messages into the spool, and waits until they are there. Returns those that the store does not take.
    pub(super) async fn spool_all(&mut self, deliveries: Vec<Delivery>) -> Vec<Delivery> {
        self.finish_writing().await;
        self.store.room().await;
        let mut refused = self.write(false, deliveries);
        while let Some(PendingWrite { answer, .. }) = &mut self.writes.pending {
            let outcome = answer.await.unwrap_or(Err(StoreError::Ended));
            refused.extend(self.end_writing(outcome));
        }
        self.finish_writing().await;
        refused
    }

    /// Waits until the service may publish; messages that hold up others are spooled meanwhile.
    pub(super) async fn publishing_allowed(&mut self) {
        while self.mailbox.is_congested() {
            if self.writes.pending.is_some()
                || !self.writes.written.is_empty()
                || self.writes.retry_at.is_some()
            {
                self.progress(false).await;
                continue;
            }

            let may_spool = self.may_spool();
            let share = self.share(false);
            let current = self.unacknowledged();
            tokio::select! {
                biased;
                () = self.mailbox.wait_until_uncongested() => return,
                () = self.mailbox.overdue(share, current), if may_spool => {}
            }
            self.store.room().await;
            self.begin();
        }
    }

    /// Number of messages that are deferred, spooled or being written to the spool.
    pub(super) fn waiting(&self) -> usize {
        let writing = self.writes.pending.as_ref().map_or(0, |writing| {
            writing.deliveries.len() - usize::from(writing.with_current)
        });
        self.backlog.len() + writing
    }

    /// Defers the current message until its next attempt.
    pub(super) fn defer_current(&mut self, earlier: EarlierAttempts, wait: Duration) {
        match self.current.take() {
            Some(Invocation::Message(delivery)) => {
                let at = Instant::now() + wait;
                self.backlog.defer(PendingMessage { delivery, earlier }, at);
            }
            other => self.current = other,
        }
    }

    /// Whether the current message is on its way to the spool.
    pub(super) fn is_writing_current(&self) -> bool {
        self.writes
            .pending
            .as_ref()
            .is_some_and(|writing| writing.with_current)
    }

    /// Waits until nothing is on its way to the spool.
    pub(super) async fn finish_writing(&mut self) {
        while self.writes.pending.is_some() || !self.writes.written.is_empty() {
            self.progress(false).await;
        }
    }
}

async fn sleep_if_some(until: Option<Instant>) {
    if until.is_some() {
        sleep_until(until).await;
    }
}
