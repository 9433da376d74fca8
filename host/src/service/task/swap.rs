//! Swaps: the running instance saves its state, the new one loads it and takes its place between two messages.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use tracing::{Instrument, error, info, warn};

use super::Task;
use crate::config;
use crate::guest::OptionalExport;
use crate::rollout::compatibility::differences;
use crate::rollout::handover::{StartedInstance, profile};
use crate::rollout::history::HistoryEvent;
use crate::rollout::shadow::{self, Shadow, ShadowError};
use crate::rollout::{Fallback, Timestamp};
use crate::service::CommandError;
use crate::service::status::Status;
use crate::service::swap::{Answer, Swap};
use crate::service_ctx::ServiceCtx;
use crate::store::Snapshot;
use crate::version::Version;

/// A started instance does not replace the running one; nothing has changed.
#[derive(Debug, thiserror::Error)]
pub(super) enum SwapError {
    #[error("it was rolled back")]
    Rejected,
    #[error("the running version cannot save its state: {0}")]
    Save(crate::guest::Fault),
    #[error("the running version saves {found} bytes, more than the {most} of swap.saved")]
    TooLarge { found: usize, most: usize },
    #[error("it does not load what the running version saved: {0}")]
    Load(crate::guest::Fault),
}

impl Task {
    /// Swaps the running instance for a started one, or logs why the running one stays.
    pub(super) async fn on_swap(&mut self, swap: Swap) {
        self.rollout.set_shadow(None);
        let version = swap.prepared.component.version();

        let outcome = match swap.rollback {
            None => self.swap_in(swap.ctx, swap.prepared).await,
            Some(snapshot) => {
                self.stop_guest().await;
                self.adopt(swap.ctx);
                self.restore(swap.prepared, snapshot, "by command").await;
                Ok(version)
            }
        };
        if let Some(answer) = swap.answer {
            self.answer_when_subscribed(answer, outcome);
        }

        self.rollout.set_concluded_swap(swap.number);
        self.publish_versions();
    }

    /// Replaces the running instance, or logs and records why that stays.
    async fn swap_in(
        &mut self,
        ctx: Arc<ServiceCtx>,
        prepared: StartedInstance,
    ) -> Result<Version, CommandError> {
        let version = prepared.component.version();
        let Err(error) = self.replace_instance(ctx, prepared).await else {
            return Ok(version);
        };
        error!(
            version = version.short(),
            "does not take over, the running version stays: {error}"
        );
        let reason = error.to_string();
        let note = reason.clone();
        self.update_history(|history, at| {
            history.record(Some(version), HistoryEvent::Refused, note, at);
        })
        .await;

        Err(CommandError::NotSwapped { version, reason })
    }

    /// Replaces the running instance with a new version, or with one that was started with a new section of the configuration.
    ///
    /// # Errors
    /// When the state cannot be transferred; nothing has changed then.
    async fn replace_instance(
        &mut self,
        ctx: Arc<ServiceCtx>,
        prepared: StartedInstance,
    ) -> Result<(), SwapError> {
        let version = prepared.component.version();
        if self.rollout.history().rejected().contains(&version) {
            return Err(SwapError::Rejected);
        }
        let lines = self.compare(&ctx.config, &prepared);
        let (prepared, saved) = self.transfer_state(prepared, ctx.config.swap.saved).await?;

        for line in &lines {
            warn!(version = version.short(), "{line}");
        }
        self.stop_guest().await;
        let snapshot = Snapshot {
            saved,
            state: self.ctx.state.state(),
        };
        let former = self.runner.component.clone();
        self.usage.reset(Instant::now());
        self.adopt(ctx);

        let rules = &self.ctx.config.swap;
        let note = lines.join("; ");
        let now = Timestamp::now();
        let is_new = self.runner.version() != Some(version);
        let record = if is_new {
            let fallback = former.map(|component| Fallback {
                component,
                snapshot: snapshot.clone(),
            });
            let replaced = self
                .rollout
                .on_swapped((version, note), fallback, rules, now);
            let kept = replaced.map(|replaced| (replaced, snapshot));
            self.rollout.to_record(rules, kept)
        } else {
            self.rollout
                .on_configured(version, note, rules, now.unix_millis);
            self.rollout.to_record(rules, None)
        };

        self.install(prepared, record).await;

        let file = self.ctx.config.component.clone().unwrap_or_default();
        let short = version.short();
        self.when_subscribed(move || {
            if is_new {
                let file = file.display();
                info!("new version of {file} takes over version={short}");
            } else {
                info!("runs with its new configuration");
            }
        });

        Ok(())
    }

    /// Does something when the broker has confirmed the subscriptions of the running instance, so that its effect can be relied on.
    #[expect(
        clippy::disallowed_methods,
        reason = "it ends with the session at the latest"
    )]
    pub(super) fn when_subscribed(&self, then: impl FnOnce() + Send + 'static) {
        let session = self.outputs.session.clone();
        let confirmed = async move {
            session.wait_for_subscriptions().await;
            then();
        };
        // it ends with the session, and nothing depends on its end
        tokio::spawn(confirmed.in_current_span());
    }

    /// Answers a command when the broker has confirmed the subscriptions of the running instance.
    pub(super) fn answer_when_subscribed(
        &self,
        answer: Answer,
        outcome: Result<Version, CommandError>,
    ) {
        self.when_subscribed(move || {
            // the caller may have gone
            let _ = answer.send(outcome);
        });
    }

    /// The differences between the running version and the new one that an operator should know of.
    fn compare(&self, config: &config::Service, new: &StartedInstance) -> Vec<String> {
        let (Some(component), Some(instance)) = (&self.runner.component, &self.runner.instance)
        else {
            return Vec::new();
        };
        let new = profile(&new.component, &new.instance);
        let old = profile(component, instance);
        differences(&config.name, &old, &new, &config.grants)
    }

    /// Has the running instance save its state, and the new one load it.
    async fn transfer_state(
        &mut self,
        prepared: StartedInstance,
        most: usize,
    ) -> Result<(StartedInstance, Option<Bytes>), SwapError> {
        let saved = self.save_state(most).await?;
        let Some(bytes) = saved
            .clone()
            .filter(|_| prepared.component.exports().has(OptionalExport::Load))
        else {
            return Ok((prepared, saved));
        };

        let prepared = self
            .runner
            .executor
            .load(prepared, bytes)
            .await
            .map_err(SwapError::Load)?;

        Ok((prepared, saved))
    }

    /// Has the running instance save its state. `None`: it has no `save`, or nothing runs.
    pub(super) async fn save_state(&mut self, most: usize) -> Result<Option<Bytes>, SwapError> {
        let Some(instance) = self.runner.instance.take() else {
            return Ok(None);
        };
        let (instance, saved) = self.runner.executor.save(instance).await;
        self.runner.instance = instance;
        if !self.runner.is_ready() {
            self.set_status(Status::Waiting).await;
        }

        match saved.map_err(SwapError::Save)? {
            Some(saved) if saved.len() > most => Err(SwapError::TooLarge {
                found: saved.len(),
                most,
            }),
            saved => Ok(saved.map(Bytes::from)),
        }
    }

    /// Begins to mirror calls to a new version, which starts with the present state.
    pub(super) async fn on_shadow(&mut self, shadow: Shadow) {
        self.rollout.set_shadow(None);
        let version = shadow.prepared.component.version().short();

        match self.save_state(self.ctx.config.swap.saved).await {
            Ok(saved) => {
                let span = match shadow.span {
                    Some(span) => format!("for {span:?}"),
                    None => "until it is stopped".to_owned(),
                };
                let (feed, run) = shadow::shadow(shadow, &self.ctx.state, saved);
                self.runner.executor.spawn(run);
                self.rollout.set_shadow(Some(feed));
                info!(version, "the new version runs as a shadow {span}");
            }
            Err(error) => {
                // the supervisor may have gone
                let _ = shadow.done.send(Err(ShadowError::Save(error.to_string())));
            }
        }
    }
}
