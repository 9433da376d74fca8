//! Changes of a running service: a new section of the configuration, or a started instance in place of the running one.

use std::sync::Arc;
use std::time::Instant;

use tracing::error;

use super::Task;
use crate::config::{self, ServiceTimer};
use crate::effects::{Effects, TimerChange};
use crate::guest::Call;
use crate::message::SubscriptionChange;
use crate::rollout::handover::StartedInstance;
use crate::service::status::Status;
use crate::service::{Offer, OfferError, guest_subscriptions, subscriptions};
use crate::service_ctx::ServiceCtx;
use crate::store::VersionRecord;
use crate::timers::set::TimerSet;

impl Task {
    /// Puts a section of the configuration in force.
    pub(super) fn adopt(&mut self, ctx: Arc<ServiceCtx>) {
        self.runner.set_limits(&ctx.config.limits);
        self.queue.set_limits(&ctx.config.limits);
        self.set_ctx(ctx);
    }

    fn set_ctx(&mut self, ctx: Arc<ServiceCtx>) {
        self.queue.set_config(ctx.config.clone());
        self.ctx = ctx;
    }

    /// Offers a new section of the configuration to the running guest, which may reject it.
    pub(super) async fn on_offer(&mut self, offer: Offer) {
        let former = self.ctx.clone();
        let outcome = self.reconfigure(offer.ctx).await;
        if outcome.is_err() {
            self.runner.set_ctx(former.clone());
            self.set_ctx(former);
            let republishes = self.ctx.config.delivery.republish_retained;
            self.outputs.set_republish(republishes).await;
        }

        // the caller may have gone
        let _ = offer.answer.send(outcome);
    }

    async fn reconfigure(&mut self, ctx: Arc<ServiceCtx>) -> Result<(), OfferError> {
        if !self.runner.is_ready() {
            return Err(OfferError::NotRunning);
        }
        self.runner.set_ctx(ctx.clone());
        let mut effects = self
            .runner
            .call(Call::ConfigChanged, &mut self.queue)
            .await?;

        // a timer that the guest sets itself wins
        let timers = changed_timers(&self.ctx.config, &ctx.config);
        effects.timers.splice(..0, timers);
        let changes = changes_of_operator(&self.ctx.config, &ctx.config);
        let republishes = ctx.config.delivery.republish_retained;
        self.set_ctx(ctx);
        // the guest cannot change the operator's subscriptions; the operator can
        self.outputs.subscribe(changes).await;
        self.outputs.set_republish(republishes).await;
        let completion = self.queue.origin();
        self.commit(effects, completion).await?;
        Ok(())
    }

    /// Makes a started instance the running one: its timers, subscriptions and publishes replace the former ones. `record`: the
    /// record of its version, written together with its state.
    pub(super) async fn install(
        &mut self,
        prepared: StartedInstance,
        record: Option<VersionRecord>,
    ) {
        let StartedInstance {
            component,
            instance,
            mut effects,
        } = prepared;
        self.runner
            .record(|recorder| recorder.on_started(&instance, &effects));
        self.replace_timers(&mut effects);
        self.outputs.schedule(&self.ctx.state).await;

        let mailbox = self.queue.sender();
        let subscriptions = subscriptions(&self.ctx.config, &effects);
        let own = guest_subscriptions(&self.ctx.config, &subscriptions);
        self.outputs.remember(&self.ctx.config.name, own).await;
        self.outputs.attach_instance(mailbox, subscriptions).await;
        let republishes = self.ctx.config.delivery.republish_retained;
        self.outputs.set_republish(republishes).await;

        let written = match record {
            Some(record) if effects.state.is_empty() => {
                self.outputs.record(&self.ctx.config.name, record).await;
                Ok(())
            }
            None if effects.state.is_empty() => Ok(()),
            record => self.persist(effects.state, record).await,
        };

        match written {
            Ok(()) => {
                let origin = self.queue.origin();
                self.outputs.publish(effects.publishes, origin).await;
            }
            Err(fault) => {
                error!("the state and the messages from the guest's start are lost: {fault}")
            }
        }

        // also one that serves nothing takes the place of one that did
        if self.serves() || !instance.binding().served.is_empty() {
            self.serve_locally(instance.binding()).await;
        }
        self.runner.component = Some(component);
        self.runner.instance = Some(instance);
        self.publish_versions();
        self.set_status(Status::Running).await;
    }

    /// Replaces the timers by those of a started instance. A timer with the same name and period keeps its time.
    fn replace_timers(&self, effects: &mut Effects) {
        let mut timers = TimerSet::default();
        timers.apply(std::mem::take(&mut effects.timers), Instant::now());
        let mut present = self.ctx.state.timers();
        timers.inherit(&present);
        *present = timers;
    }
}

/// The changes that make the timers of a configuration those of another. A timer that stays keeps its time.
fn changed_timers(former: &config::Service, next: &config::Service) -> Vec<TimerChange> {
    let former = &former.triggers.timers;
    let next = &next.triggers.timers;
    let cancelled = former
        .iter()
        .filter(|timer| !next.iter().any(|other| other.name == timer.name))
        .map(|timer| TimerChange::Cancel {
            name: timer.name.clone(),
        });
    let set = next
        .iter()
        .filter(|timer| !former.contains(timer))
        .map(ServiceTimer::to_change);
    cancelled.chain(set).collect()
}

/// Changes of the subscriptions that an operator wrote, from one section of the configuration to the next.
fn changes_of_operator(
    former: &config::Service,
    next: &config::Service,
) -> Vec<SubscriptionChange> {
    let ended = former
        .triggers
        .subscriptions
        .iter()
        .filter(|subscription| !next.triggers.subscriptions.contains(subscription))
        .map(|subscription| SubscriptionChange::Unsubscribe(subscription.filter.clone()));

    let present = next
        .triggers
        .subscriptions
        .iter()
        .cloned()
        .map(SubscriptionChange::Subscribe);

    ended.chain(present).collect()
}
