//! Outputs of one service: everything that a guest call asked for leaves through here.
//!
//! State is written first, because it is the only step that can fail ([`Outputs::persist`]). Timers, subscriptions, publishes and
//! the acknowledgement follow and cannot fail ([`Outputs::emit`]).

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::watch;
use tracing::{error, warn};

use crate::config::{self, Protocol};
use crate::effects::{Effects, StateChange};
use crate::guest::ServiceState;
use crate::mailbox::{self, Delivery, Trace};
use crate::message::{Publication, Receipt, Subscription, SubscriptionChange};
use crate::rollout::Timestamp;
use crate::router::ServiceId;
use crate::session::{self, Commit};
use crate::store::{DeadLetter, Store, StoreError, VersionRecord};
use crate::timers;

use super::dead_letter::{Verdict, dead_letter};
use super::presence::Presence;
use super::status::Status;
use super::swap::VersionStatus;

/// The message whose handling an output completes.
#[derive(Debug, Default)]
pub(super) struct Completion {
    /// Receipt to acknowledge; `None` for QoS 0, timers and notices.
    pub(super) receipt: Option<Receipt>,
    /// Topics that the message has passed, where they are followed.
    pub(super) trace: Option<Arc<Trace>>,
}

/// Outputs of one service.
pub(super) struct Outputs {
    pub(super) id: ServiceId,
    pub(super) session: session::Handle,
    pub(super) store: Store,
    pub(super) timers: timers::Handle,
    pub(super) presence: Presence,
    pub(super) status: watch::Sender<Status>,
    pub(super) versions: watch::Sender<VersionStatus>,
    pub(super) protocol: Protocol,
    /// Whether the mailbox has had routes since before the first instance, and so every retained message.
    pub(super) is_attached: bool,
}

impl Outputs {
    /// Writes changes of the state, and the record of the versions, to disk.
    ///
    /// # Errors
    /// When the store does not take them; then nothing has changed.
    pub(super) async fn persist(
        &self,
        service: &str,
        service_state: &ServiceState,
        changes: Vec<StateChange>,
        record: Option<VersionRecord>,
    ) -> Result<(), StoreError> {
        self.store
            .commit_with(service, changes.clone(), record)
            .await?;
        service_state.apply(changes);
        Ok(())
    }

    /// Sets timers and sends subscriptions, publishes and the acknowledgement. State is not its business: see `persist`.
    pub(super) async fn emit(
        &self,
        service_state: &ServiceState,
        effects: Effects,
        completion: Completion,
    ) {
        if !effects.timers.is_empty() {
            service_state.timers().apply(effects.timers, Instant::now());
            self.schedule(service_state).await;
        }

        let Completion { receipt, trace } = completion;
        if receipt.is_none() && effects.publishes.is_empty() && effects.subscriptions.is_empty() {
            return;
        }
        self.send(Commit {
            service: self.id,
            receipt,
            subscriptions: effects.subscriptions,
            publishes: effects.publishes,
            trace,
        })
        .await;
    }

    /// Publishes messages and acknowledges another one.
    pub(super) async fn publish(&self, publishes: Vec<Publication>, completion: Completion) {
        let Completion { receipt, trace } = completion;
        if receipt.is_none() && publishes.is_empty() {
            return;
        }
        self.send(Commit {
            receipt,
            publishes,
            trace,
            ..Commit::new(self.id)
        })
        .await;
    }

    /// Acknowledges a message that has no further effect.
    pub(super) async fn acknowledge(&self, receipt: Option<Receipt>) {
        if receipt.is_some() {
            self.send(Commit {
                receipt,
                ..Commit::new(self.id)
            })
            .await;
        }
    }

    /// Makes and ends subscriptions.
    pub(super) async fn subscribe(&self, subscriptions: Vec<SubscriptionChange>) {
        self.send(Commit {
            subscriptions,
            ..Commit::new(self.id)
        })
        .await;
    }

    /// Not an `async fn`, which would store the commit twice more in the future of each service.
    fn send(&self, commit: Commit) -> impl Future<Output = ()> + Send + '_ {
        self.session.send(session::Command::Commit(commit))
    }

    /// Tells the timers task when the next timer of the service is due.
    pub(super) async fn schedule(&self, service_state: &ServiceState) {
        let next = service_state.timers().next();
        self.timers.set(self.id, next).await;
    }

    /// Replaces all subscriptions of the service, which gets the retained messages of new ones. `retained`: also of those that it
    /// had before.
    pub(super) async fn attach(
        &self,
        mailbox: mailbox::Sender,
        subscriptions: Vec<Subscription>,
        retained: bool,
    ) {
        self.session
            .send(session::Command::Attach {
                service: self.id,
                mailbox,
                subscriptions,
                retained,
            })
            .await;
    }

    /// As `attach`, for a new instance: it gets the retained messages that earlier instances may have had.
    pub(super) async fn attach_instance(
        &mut self,
        mailbox: mailbox::Sender,
        subscriptions: Vec<Subscription>,
    ) {
        let retained = !std::mem::replace(&mut self.is_attached, false);
        self.attach(mailbox, subscriptions, retained).await;
    }

    /// Keeps the subscriptions that the guest has made at its start, for the next start of the host.
    pub(super) async fn remember(&self, service: &str, subscriptions: Vec<Subscription>) {
        self.store
            .remember_subscriptions(service, subscriptions)
            .await;
    }

    /// Keeps a record of the versions.
    pub(super) async fn record(&self, service: &str, record: VersionRecord) {
        self.store.record(service, record).await;
    }

    /// Tells the session whether to publish retained messages of the service again after a reconnect.
    pub(super) async fn set_republish(&self, on: bool) {
        self.session
            .send(session::Command::Republish {
                service: self.id,
                on,
            })
            .await;
    }

    /// Current status.
    pub(super) fn status(&self) -> Status {
        *self.status.borrow()
    }

    /// Changes the status and announces it.
    pub(super) async fn set_status(&mut self, status: Status) {
        self.status.send_replace(status);
        self.presence.update(status).await;
    }

    /// Makes a message a dead letter, on disk and at the broker. The broker's acknowledgement of the dead letter completes it.
    pub(super) async fn push_dead_letter(
        &self,
        config: &config::Service,
        delivery: &Delivery,
        verdict: Verdict<'_>,
    ) {
        let service = verdict.service;
        let letter = DeadLetter {
            message: delivery.message.clone(),
            reason: verdict.reason.to_owned(),
            attempts: verdict.attempts,
            component: verdict.component.map(|version| version.to_string()),
            at: Timestamp::now().unix_millis,
            outgoing: false,
        };

        let most = config.limits.retry.dead_letters;
        match self.store.push_dead_letter(service, letter, most).await {
            Ok(0) => {}
            Ok(dropped) => {
                warn!("{dropped} old dead letters are gone: limits.dead_letters keeps {most}")
            }
            Err(error) => error!("cannot keep a dead letter for replay: {error}"),
        }

        let topic = config.delivery.dead_letter.clone();
        let letter =
            topic.map(|topic| dead_letter(topic, &delivery.message, verdict, self.protocol).into());
        let completion = Completion {
            receipt: delivery.receipt,
            trace: None,
        };
        self.publish(letter.into_iter().collect(), completion).await;
    }
}
