//! Actor: how a service becomes another while it runs. In: a started instance, a new section of the configuration. Out: timers,
//! subscriptions and publishes of the new one in place of the former. Owns nothing.

use std::sync::Arc;
use std::time::Instant;

use tracing::error;

use super::Task;
use crate::config;
use crate::effects::Effects;
use crate::guest::{Call, Fault, Setting};
use crate::mailbox;
use crate::message::SubscriptionChange;
use crate::service::lifecycle::{Lifecycle, Status};
use crate::service::{Change, Offer, Prepared, subscriptions};
use crate::session::{self, Commit};
use crate::timers::set::TimerSet;

impl Task {
    /// Puts a new section of the configuration in force, with the instance that was started with it.
    pub(super) async fn change(&mut self, Change { config, setting, prepared }: Change) {
        self.lifecycle = Lifecycle::new(&config.limits);
        self.sender.set_limits(mailbox::Limits::from(&config.limits));
        (self.config, self.setting) = (config, setting);
        self.install(prepared).await;
    }

    /// Has the running guest take over a new section of the configuration, unless it refuses.
    pub(super) async fn consider(&mut self, offer: Offer) {
        let Offer { config, setting, answer } = offer;
        let former = (self.config.clone(), self.setting.clone());
        let outcome = self.take_over(&config, setting).await;
        if outcome.is_err() {
            (self.config, self.setting) = former;
            if let Some(instance) = &mut self.instance {
                instance.set_setting(self.setting.clone());
            }
        }
        // who no longer waits does not want to know
        drop(answer.send(outcome.map_err(|fault| fault.to_string())));
    }

    async fn take_over(&mut self, config: &Arc<config::Service>, setting: Arc<Setting>) -> Result<(), Fault> {
        let Some(instance) = &mut self.instance else {
            return Err(Fault::Refused("it does not run".to_owned()));
        };
        instance.set_setting(setting.clone());
        let effects = self.call(Call::ConfigChanged).await?;
        let ended = self.config.subscriptions.iter().filter(|old| !config.subscriptions.contains(old));
        let changes = ended.map(|old| SubscriptionChange::Unsubscribe(old.filter.clone()));
        let added = config.subscriptions.iter().cloned().map(SubscriptionChange::Subscribe);
        let operators: Vec<_> = changes.chain(added).collect();
        (self.config, self.setting) = (config.clone(), setting);
        // what the guest asked for goes through the rules; what the operator wrote is one of them
        let commit = Commit { subscriptions: operators, ..Commit::new(self.id) };
        self.session.send(session::Command::Commit(commit)).await;
        self.commit(effects, None).await
    }

    /// Makes a started instance the running one: its timers, subscriptions and publishes replace the former ones.
    pub(super) async fn install(&mut self, prepared: Prepared) {
        let Prepared { component, instance, effects } = prepared;
        {
            let mut timers = TimerSet::default();
            timers.apply(effects.timers.clone(), Instant::now());
            let mut present = self.setting.belongings.timers();
            timers.inherit(&present);
            *present = timers;
        }
        self.wind().await;
        let subscriptions = subscriptions(&self.config, &effects);
        // an instance knows nothing of what those before it were told
        let retained = !std::mem::replace(&mut self.attached, false);
        let mailbox = self.sender.clone();
        let attach = session::Command::Attach { service: self.id, mailbox, subscriptions, retained };
        self.session.send(attach).await;
        let effects = Effects { publishes: effects.publishes, state: effects.state, ..Effects::default() };
        if let Err(fault) = self.commit(effects, None).await {
            error!(service = self.setting.name.as_str(), "what start has set and published is lost: {fault}");
        }
        self.component = Some(component);
        self.instance = Some(instance);
        self.set_status(Status::Running).await;
    }
}
