//! The snapshot of the service, made between two invocations.

use tokio::sync::oneshot;

use super::Task;
use crate::service::snapshot::{Activity, Configured, ServiceSnapshot};

impl Task {
    /// Answers with a snapshot.
    pub(super) fn on_snapshot(&self, answer: oneshot::Sender<ServiceSnapshot>) {
        // the caller may have gone
        let _ = answer.send(self.snapshot());
    }

    fn snapshot(&self) -> ServiceSnapshot {
        let config = &self.ctx.config;
        ServiceSnapshot {
            name: config.name.clone(),
            status: self.outputs.status(),
            component: config.component.clone(),
            version: self.runner.version().map(|version| version.to_string()),
            on_probation: self.rollout.is_on_probation(),
            dead_letters: None,
            configured: Configured(config.clone()),
            activity: Some(self.activity()),
        }
    }

    fn activity(&self) -> Activity {
        let [messages, timers, other] = self.usage.totals();
        let counters = self.queue.mailbox.counters();
        let instance = self.runner.instance.as_deref();

        let fixed = self.ctx.config.triggers.subscriptions.iter();
        let mut subscriptions: Vec<String> = fixed
            .map(|subscription| subscription.filter.to_string())
            .chain(
                instance
                    .into_iter()
                    .flat_map(|instance| instance.subscriptions())
                    .map(|filter| filter.to_string()),
            )
            .collect();

        subscriptions.sort_unstable();
        subscriptions.dedup();

        Activity {
            messages,
            timers,
            other,
            durations_us: self.usage.durations(),
            enabled: self.queue.is_enabled(),
            last_failure: self.usage.last_failure().map(str::to_owned),
            waiting: counters.depth,
            high_water: counters.high_water,
            received: counters.received,
            dropped: counters.dropped_oldest + counters.dropped_newest,
            spooled: self.queue.waiting(),
            memory_bytes: instance.map(|instance| instance.memory_bytes()),
            subscriptions,
            timer_names: self.ctx.state.timers().names(),
        }
    }
}
