//! The snapshot of the service, made between two invocations.

use std::collections::BTreeMap;
use std::time::Instant;

use tokio::sync::oneshot;

use super::Task;
use crate::config::Grants;
use crate::guest::{GrantKind, GrantUsage};
use crate::service::snapshot::{
    Activity, Allowances, QueuedMessages, ServiceSnapshot, SubscriptionSnapshot, TimerSnapshot,
    UsedGrants, UsedLimits, Versions,
};
use crate::topic::Filter;

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
            // only the supervisor knows it
            available: None,
            versions: Versions(self.outputs.versions.borrow().history.clone()),
            dead_letters: None,
            configured: Allowances(config.clone()),
            activity: Some(self.activity()),
        }
    }

    fn activity(&self) -> Activity {
        let [messages, timers, other] = self.usage.totals();
        Activity {
            messages,
            timers,
            other,
            durations_us: self.usage.durations(),
            enabled: self.queue.is_enabled(),
            last_fault: self.usage.last_fault().cloned(),
            queued: self.queued_messages(),
            used: self.used_limits(),
            faults: self.usage.fault_counts(),
            grants: UsedGrants {
                used: used_grants(&self.ctx.config.grants, &self.ctx.grant_usage),
                refused: self.ctx.state.meter().refused_grants(),
            },
            subscriptions: self.subscriptions(),
            scheduled: self.scheduled_timers(Instant::now()),
        }
    }

    fn queued_messages(&self) -> QueuedMessages {
        let counters = self.queue.mailbox.counters();
        QueuedMessages {
            waiting: counters.depth,
            high_water: counters.high_water,
            received: counters.received,
            dropped: counters.dropped_oldest + counters.dropped_newest,
            spooled: self.queue.waiting(),
        }
    }

    fn used_limits(&self) -> UsedLimits {
        let instance = self.runner.instance.as_deref();
        let (state_keys, state) = self.ctx.state.size();
        UsedLimits {
            memory: instance.map(|instance| instance.memory_bytes()),
            state,
            state_keys,
            subscriptions: instance.map_or(0, |instance| instance.subscriptions().len()),
            timers: self.ctx.state.timers().len(),
            mailbox: self.queue.mailbox.counters().depth,
        }
    }

    /// The subscriptions of the configuration and of the guest. Only the session knows what the broker granted.
    fn subscriptions(&self) -> Vec<SubscriptionSnapshot> {
        let fixed = self.ctx.config.triggers.subscriptions.iter();
        let fixed = fixed.map(|subscription| subscription.filter.clone());
        let instance = self.runner.instance.as_deref().into_iter();
        let mut filters: Vec<Filter> = fixed
            .chain(instance.flat_map(|instance| instance.subscriptions()))
            .collect();

        filters.sort_unstable();
        filters.dedup();

        let unanswered = |filter| SubscriptionSnapshot {
            filter,
            requested_qos: None,
            granted_qos: None,
        };
        filters.into_iter().map(unanswered).collect()
    }

    fn scheduled_timers(&self, now: Instant) -> Vec<TimerSnapshot> {
        let timers = self.ctx.state.timers().list().into_iter();
        let listed = timers.map(|timer| TimerSnapshot {
            name: timer.name.as_ref().to_owned(),
            period: timer.period,
            due_in: timer.at.map(|at| at.saturating_duration_since(now)),
        });
        listed.collect()
    }
}

/// The entries of the grants that were used.
fn used_grants(grants: &Grants, usage: &GrantUsage) -> BTreeMap<&'static str, Vec<String>> {
    fn used<T: ToString>(entries: &[T], kind: GrantKind, usage: &GrantUsage) -> Vec<String> {
        let entries = entries.iter().enumerate();
        let used = entries.filter(|(place, _)| usage.is_used(kind, *place));
        used.map(|(_, entry)| entry.to_string()).collect()
    }

    BTreeMap::from([
        ("publish", used(&grants.publish, GrantKind::Publish, usage)),
        (
            "subscribe",
            used(&grants.subscribe, GrantKind::Subscribe, usage),
        ),
        ("http", used(&grants.http, GrantKind::Http, usage)),
        ("sockets", used(&grants.sockets, GrantKind::Sockets, usage)),
    ])
}
