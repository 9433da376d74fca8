//! Probation and rollback: a new version that faults too often is replaced by the former one, with the state from before the swap.

use std::time::Instant;

use tracing::{error, info, warn};

use super::Task;
use crate::effects::Effects;
use crate::guest::Fault;
use crate::rollout::Timestamp;
use crate::rollout::handover::StartedInstance;
use crate::rollout::probation::Decision;
use crate::rollout::rollback_event::RollbackEvent;
use crate::service::invocation::Invocation;
use crate::store::Snapshot;
use crate::version::Version;

impl Task {
    /// Counts a fault for the probation. Returns whether the version has more of them than allowed.
    pub(super) async fn exceeds_probation(&mut self, fault: &Fault) -> bool {
        let is_guests = !matches!(
            fault,
            Fault::State(_) | Fault::Bug(_) | Fault::Instantiation(_) | Fault::RemoteCall { .. }
        );
        if !is_guests {
            return false;
        }
        match self.rollout.on_fault(Instant::now()) {
            Decision::Continue => false,
            Decision::Pass => {
                self.pass_probation().await;
                false
            }
            Decision::RollBack => true,
        }
    }

    /// Counts a handled message for the probation.
    pub(super) async fn on_handled(&mut self) {
        if matches!(self.queue.current, Some(Invocation::Message(_)))
            && self.rollout.on_handled() == Decision::Pass
        {
            self.pass_probation().await;
        }
    }

    /// Ends the probation when its time has come.
    pub(super) async fn on_probation_end(&mut self) {
        if self.rollout.on_deadline(Instant::now()) == Decision::Pass {
            self.pass_probation().await;
        }
    }

    async fn pass_probation(&mut self) {
        let Some(version) = self.runner.version() else {
            return;
        };
        if self.rollout.pass(version, Timestamp::now().unix_millis) {
            info!(version = version.short(), "has passed its probation");
            self.persist_history(None).await;
        }
    }

    /// Puts the former version back. Returns `false` where it does not start: then nothing has changed.
    pub(super) async fn roll_back(&mut self, fault: &Fault) -> bool {
        let Some(fallback) = self.rollout.fallback().cloned() else {
            return false;
        };
        let snapshot = fallback.snapshot;
        let starting =
            self.runner
                .executor
                .prepare_former(fallback.component, &self.ctx, &snapshot);

        match starting.await {
            Ok(prepared) => {
                self.runner.kill();
                self.restore(prepared, snapshot, &fault.to_string()).await;
                true
            }
            Err(error) => {
                error!("has failed its probation, but the former version does not start: {error}");
                false
            }
        }
    }

    /// Makes a former version the running one, and sets the state back to the snapshot in the same commit.
    pub(super) async fn restore(
        &mut self,
        mut prepared: StartedInstance,
        snapshot: Snapshot,
        reason: &str,
    ) {
        // the changes of `start` and `load` come after those that set the state back
        let restored = Effects {
            state: self.ctx.state.changes_to(&snapshot.state),
            ..Effects::default()
        };
        let own = std::mem::replace(&mut prepared.effects, restored);
        prepared.effects.append(own);
        prepared.instance.set_ctx(self.ctx.clone());

        let from = self.runner.version();
        let to = prepared.component.version();
        let at = Timestamp::now().unix_millis;
        let faults = self.rollout.on_rolled_back(to, reason, at);
        self.runner.retry.reset();
        self.usage.reset(Instant::now());
        let record = self.rollout.to_record(&self.ctx.config.swap, None);
        self.install(prepared, record).await;

        let short = from.map_or_else(String::new, Version::short);
        error!(
            faults,
            "version {short} is rolled back, version {} runs again: {reason}",
            to.short()
        );
        let event = RollbackEvent {
            service: &self.ctx.config.name,
            from,
            to,
            reason,
            faults,
            at,
        };

        match event.to_message(&self.ctx.config.base) {
            Ok(message) => {
                let origin = self.queue.origin();
                self.outputs.publish(vec![message.into()], origin).await;
            }
            Err(error) => warn!("cannot publish the rollback: {error}"),
        }
    }
}
