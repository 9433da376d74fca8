//! The version history of the service: written when a version starts, restarts or is refused, and shown to the rest of the host.

use std::time::Instant;

use tracing::info;

use super::Task;
use crate::guest::Component;
use crate::rollout::Timestamp;
use crate::rollout::handover::StartedInstance;
use crate::rollout::history::{HistoryEvent, VersionHistory};
use crate::service::CommandError;
use crate::service::status::Status;
use crate::service::swap::{Answer, VersionStatus};
use crate::service::{Begin, First, subscriptions};
use crate::store::Snapshot;
use crate::version::Version;

impl Task {
    /// Records the version that the service begins with. One that was on probation when the host ended is on probation again.
    pub(super) async fn begin_history(&mut self, component: Component) {
        let version = component.version();
        self.runner.component = Some(component);
        let rules = &self.ctx.config.swap;
        let replaced = self.rollout.on_started(version, rules, Timestamp::now());

        if self.rollout.is_on_probation() {
            let span = rules.probation;
            info!(
                version = version.short(),
                "is on probation for another {span:?}"
            );
        }

        let snapshot = Snapshot {
            saved: None,
            state: self.ctx.state.state(),
        };
        self.persist_history(replaced.map(|replaced| (replaced, snapshot)))
            .await;
    }

    /// Begins with a component that was not ready when the host started, unless another version came first.
    pub(super) async fn on_begin(&mut self, begin: Begin) {
        let component = begin.first.component();
        if let Some(component) = component.filter(|_| self.runner.component.is_none()) {
            self.rollout.set_interrupted(begin.interrupted);
            self.begin_history(component).await;
            // without an instance, the task's loop makes one
            if let First::Prepared(prepared) = begin.first {
                self.begin_with(*prepared).await;
            }
        }

        self.rollout.set_concluded_swap(begin.number);
        self.publish_versions();
    }

    /// Begins with a started instance. The service is announced when the broker has confirmed its subscriptions.
    async fn begin_with(&mut self, prepared: StartedInstance) {
        let mailbox = self.queue.sender();
        let subscriptions = subscriptions(&self.ctx.config, &prepared.effects);
        self.outputs.attach(mailbox, subscriptions, false).await;
        self.outputs.session.wait_for_subscriptions().await;

        let version = prepared.component.version();
        self.install(prepared, None).await;
        info!(version = version.short(), "started");
    }

    /// Restarts the instance by command.
    pub(super) async fn on_restart(&mut self, answer: Answer) {
        let outcome = self.restart_by_command().await;
        self.answer_when_subscribed(answer, outcome);
    }

    pub(super) async fn restart_by_command(&mut self) -> Result<Version, CommandError> {
        let component = self.runner.component.clone();
        let component = component.ok_or(CommandError::NoComponent)?;
        let version = component.version();
        self.stop_guest().await;
        self.runner.retry.reset();
        self.usage.reset(Instant::now());

        let ctx = self.runner.next_ctx(&self.ctx);
        match self.runner.executor.prepare(component, ctx).await {
            Ok(prepared) => {
                info!(version = version.short(), "started again by command");
                self.install(prepared, None).await;
                self.update_history(|history, at| {
                    history.record(Some(version), HistoryEvent::Restarted, String::new(), at);
                })
                .await;
                Ok(version)
            }
            Err(fault) => {
                self.set_status(Status::Waiting).await;
                Err(CommandError::Restart(fault))
            }
        }
    }

    /// Changes the history, writes it to disk, and shows it to the rest of the host. `change` gets the time in milliseconds since
    /// 1970.
    pub(super) async fn update_history(&mut self, change: impl FnOnce(&mut VersionHistory, u64)) {
        let at = Timestamp::now().unix_millis;
        self.rollout.update_history(|history| change(history, at));
        self.persist_history(None).await;
    }

    /// Writes the history to disk, with the state that a version left, and shows it to the rest of the host.
    pub(super) async fn persist_history(&mut self, snapshot: Option<(Version, Snapshot)>) {
        let record = self.rollout.to_record(&self.ctx.config.swap, snapshot);
        if let Some(record) = record {
            self.outputs.record(&self.ctx.config.name, record).await;
        }
        self.publish_versions();
    }

    /// Shows the versions to the rest of the host.
    pub(super) fn publish_versions(&self) {
        self.outputs.versions.send_replace(VersionStatus {
            component: self.runner.component.clone(),
            history: self.rollout.history().clone(),
            concluded: self.rollout.concluded_swap(),
            holds_up_others: self.queue.holds_up_others(),
        });
    }
}
