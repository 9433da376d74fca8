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
use crate::service::retry::Retry;
use crate::service::status::Status;
use crate::service::{Offer, Prepared, subscriptions};
use crate::session::{self, Commit};
use crate::store::Record;
use crate::timers::set::TimerSet;

impl Task {
    /// From now on this section of the configuration is in force.
    pub(super) fn adopt(&mut self, config: Arc<config::Service>, setting: Arc<Setting>) {
        self.retry = Retry::new(&config.limits);
        self.sender
            .set_limits(mailbox::Limits::from(&config.limits));
        self.caller.set_limit(config.limits.call.time);
        self.queue.set_config(config.clone());
        (self.config, self.setting) = (config, setting);
    }

    /// Has the running guest take over a new section of the configuration, unless it refuses.
    pub(super) async fn consider(&mut self, offer: Offer) {
        let Offer {
            config,
            setting,
            answer,
        } = offer;
        let former = (self.config.clone(), self.setting.clone());
        let outcome = self.take_over(&config, setting).await;
        if outcome.is_err() {
            (self.config, self.setting) = former;
            self.queue.set_config(self.config.clone());
            if let Some(instance) = &mut self.instance {
                instance.set_setting(self.setting.clone());
            }
            self.tell_republish().await;
        }
        // who no longer waits does not want to know
        drop(answer.send(outcome.map_err(|fault| fault.to_string())));
    }

    async fn take_over(
        &mut self,
        config: &Arc<config::Service>,
        setting: Arc<Setting>,
    ) -> Result<(), Fault> {
        let Some(instance) = &mut self.instance else {
            return Err(Fault::Refused("it does not run".to_owned()));
        };
        instance.set_setting(setting.clone());
        let effects = self.call(Call::ConfigChanged).await?;
        let ended = self
            .config
            .subscriptions
            .iter()
            .filter(|old| !config.subscriptions.contains(old));
        let changes = ended.map(|old| SubscriptionChange::Unsubscribe(old.filter.clone()));
        let added = config
            .subscriptions
            .iter()
            .cloned()
            .map(SubscriptionChange::Subscribe);
        let operators: Vec<_> = changes.chain(added).collect();
        (self.config, self.setting) = (config.clone(), setting);
        self.queue.set_config(config.clone());
        // what the guest asked for goes through the rules; what the operator wrote is one of them
        let commit = Commit {
            subscriptions: operators,
            ..Commit::new(self.id)
        };
        self.session.send(session::Command::Commit(commit)).await;
        self.tell_republish().await;
        self.commit(effects, None).await
    }

    /// Tells the session whether it is to publish retained messages again.
    async fn tell_republish(&mut self) {
        let on = self.config.republish_retained;
        self.session
            .send(session::Command::Republish {
                service: self.id,
                on,
            })
            .await;
    }

    /// Makes a started instance the running one: its timers, subscriptions and publishes replace the former ones. What is kept
    /// about its version is written together with its state.
    pub(super) async fn install(&mut self, prepared: Prepared, record: Option<Record>) {
        let Prepared {
            component,
            instance,
            effects,
        } = prepared;
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
        let attach = session::Command::Attach {
            service: self.id,
            mailbox,
            subscriptions,
            retained,
        };
        self.session.send(attach).await;
        self.tell_republish().await;
        let kept = match record {
            Some(record) if effects.state.is_empty() => {
                self.store.record(&self.setting.name, record).await;
                Ok(())
            }
            record if record.is_some() || !effects.state.is_empty() => {
                self.keep_state(effects.state, record).await
            }
            _ => Ok(()),
        };
        let effects = Effects {
            publishes: effects.publishes,
            ..Effects::default()
        };
        let done = match kept {
            Ok(()) => self.commit(effects, None).await,
            Err(fault) => Err(fault),
        };
        if let Err(fault) = done {
            error!(
                service = self.setting.name.as_str(),
                "what start has set and published is lost: {fault}"
            );
        }
        self.component = Some(component);
        self.instance = Some(instance);
        self.show();
        self.set_status(Status::Running).await;
    }
}
