//! Commit of the effects of a call.

use super::Task;
use crate::effects::{Effects, StateChange};
use crate::guest::Fault;
use crate::message::SubscriptionChange;
use crate::recording::End;
use crate::rollout::shadow::Sample;
use crate::service::invocation::Invocation;
use crate::service::is_fixed;
use crate::service::outputs::Completion;
use crate::service::usage::rate_limits::CallCost;
use crate::store::VersionRecord;
use crate::trace_context;

impl Task {
    /// Commits the effects of a call, and completes the current invocation with them. Returns their cost.
    pub(super) async fn complete(
        &mut self,
        mut effects: Effects,
        sample: Option<Box<Sample>>,
    ) -> Result<CallCost, Fault> {
        if self.queue.is_writing_current() {
            Box::pin(self.queue.finish_writing()).await;
        }
        let completion = self.queue.completion();
        let cost = CallCost::of(&effects);
        if let Some(record) = &mut self.record {
            record.note_publishes(&effects.publishes);
        }
        let sample = sample.map(|sample| Box::new(sample.with_effects(&effects)));
        if let Some(Invocation::Message(delivery)) = &self.queue.current {
            trace_context::carry_to_all(&delivery.message, &mut effects.publishes);
        }
        if let Some(spans) = &mut self.spans {
            spans.on_returned();
        }

        self.commit(effects, completion).await?;
        if let Some(sample) = sample {
            self.rollout.mirror(*sample);
        }
        Ok(cost)
    }

    /// Commits the effects of a call, all of them or none.
    pub(super) async fn commit(
        &mut self,
        mut effects: Effects,
        completion: Completion,
    ) -> Result<(), Fault> {
        if !effects.state.is_empty() {
            let changes = std::mem::take(&mut effects.state);
            Box::pin(self.persist(changes, None)).await?;
        }
        effects.subscriptions.retain(|change| match change {
            SubscriptionChange::Subscribe(subscription) => {
                !is_fixed(&self.ctx.config, &subscription.filter)
            }
            SubscriptionChange::Unsubscribe(filter) => !is_fixed(&self.ctx.config, filter),
        });

        if self.queue.is_local_call() {
            Box::pin(self.answer_locally(&mut effects.publishes)).await;
        }
        self.outputs
            .emit(&self.ctx.state, effects, completion)
            .await;
        Ok(())
    }

    /// Writes changes of the state to disk. When that fails the instance is dropped, because it relies on changes that are lost.
    pub(super) async fn persist(
        &mut self,
        changes: Vec<StateChange>,
        record: Option<VersionRecord>,
    ) -> Result<(), Fault> {
        let service_state = &self.ctx.state;
        let written = self
            .outputs
            .persist(&self.ctx.config.name, service_state, changes, record);
        if let Err(error) = written.await {
            self.runner.record(|recorder| recorder.end(End::State));
            self.runner.kill();
            return Err(Fault::State(error.to_string()));
        }
        Ok(())
    }
}
