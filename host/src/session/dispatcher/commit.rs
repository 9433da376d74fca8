//! The results of guest calls: subscriptions, retained messages for them, and publishes.

use std::collections::HashSet;

use tracing::{error, warn};

use super::{Dispatcher, RETRY_AFTER, wanted};
use crate::mailbox::{Delivery, Notice, PushOutcome};
use crate::message::{Outcome, Publication, Subscription, SubscriptionChange};
use crate::router::{ServiceId, SubscriptionDiff};
use crate::session::clock::{calendar_time, now};
use crate::session::command::Commit;
use crate::session::loop_detector::MAX_ROUNDS;
use crate::session::republisher::{MAX_BYTES, MAX_TOPICS};

impl Dispatcher {
    pub(super) fn on_commit(&mut self, mut commit: Commit) {
        if !commit.subscriptions.is_empty() {
            self.on_subscription_changes(commit.service, &commit.subscriptions);
        }

        if !commit.publishes.is_empty() {
            let cut = self
                .observers
                .loops
                .on_publish(commit.trace.take(), &mut commit.publishes);
            cut.iter()
                .for_each(|publication| self.on_loop(commit.service, publication));
        }

        if self.observers.tracer.is_some() {
            self.trace_commit(&mut commit);
        }
        self.remember_retained(commit.service, &commit.publishes);

        let terms = commit
            .publishes
            .iter()
            .filter_map(|publication| publication.terms.as_deref());
        for terms in terms {
            self.observers.deliveries.track(commit.service, terms);
        }
        self.state
            .publish(Some(commit.service), commit.receipt, commit.publishes);
    }

    /// Makes the spans of the publishes, and notes that the handling of a message has ended.
    fn trace_commit(&mut self, commit: &mut Commit) {
        let is_concerned = self
            .observers
            .tracer
            .as_ref()
            .is_some_and(|tracer| tracer.is_concerned_by(commit));
        let service = is_concerned.then(|| self.service_name(commit.service));
        let (Some(service), Some(tracer)) = (service, &mut self.observers.tracer) else {
            return;
        };
        let at = (now(), calendar_time());
        for publication in &mut commit.publishes {
            tracer.on_publish(publication, service.clone(), at);
        }
        if let Some(receipt) = commit.receipt {
            tracer.on_committed(receipt, at.1);
        }
    }

    /// Makes the spans of acknowledgements that have left.
    pub(super) fn trace_acknowledgements(&mut self) {
        if let Some(tracer) = &mut self.observers.tracer
            && tracer.awaits_acknowledgements()
        {
            let (receipts, _) = self.state.unacknowledged_receipts();
            tracer.on_acknowledged(receipts.start, calendar_time());
        }
    }

    fn on_subscription_changes(&mut self, service: ServiceId, changes: &[SubscriptionChange]) {
        let diff = self.router.change(service, changes);
        let new: Vec<_> = changes
            .iter()
            .filter_map(SubscriptionChange::subscription)
            .collect();
        self.deliver_retained(service, &new, &diff);
        self.apply(diff);
        self.retry_quarantined(new.iter().map(|one| &one.filter), RETRY_AFTER);
    }

    fn remember_retained(&mut self, service: ServiceId, publishes: &[Publication]) {
        let republisher = &mut self.observers.republisher;
        if republisher.is_enabled()
            && let Some(topic) = republisher.on_publish(service, publishes, self.connected, now())
        {
            warn!(
                "the retained message on {topic} and further ones of its service are not kept to be published again: \
                 republish_retained is for {MAX_TOPICS} topics and {MAX_BYTES} bytes of a service"
            );
        }
    }

    /// Handles a message that went round too often: it is not sent.
    fn on_loop(&mut self, service: ServiceId, publication: &Publication) {
        let topic = &publication.message.topic;
        self.log.failures += 1;
        error!(
            "a publish loop is cut: a message on {topic} led to the next one on {topic} {MAX_ROUNDS} times, and the last is not sent"
        );
        if let Some(token) = publication.terms.as_deref().and_then(|terms| terms.token) {
            let outcome = Outcome::Refused("a publish loop is cut".to_owned());
            self.notify(service, Notice::Outcome(token, outcome));
        }
    }

    /// Passes a change of the routes on to the broker.
    pub(super) fn apply(&mut self, diff: SubscriptionDiff) {
        for receipt in diff.discarded {
            self.state.handle_discarded(receipt);
        }
        if !diff.unsubscribe.is_empty() {
            self.retained_cache
                .retain_wanted(|topic| self.router.wants(topic));
        }
        if !(diff.subscribe.is_empty() && diff.unsubscribe.is_empty()) {
            self.state.change_subscriptions(
                diff.subscribe.into_iter().map(wanted).collect(),
                diff.unsubscribe,
            );
        }
    }

    /// Delivers retained messages for new subscriptions of a service that the broker has already: from the cache where it is
    /// certain, else the broker is asked to send them again.
    pub(super) fn deliver_retained(
        &mut self,
        service: ServiceId,
        new: &[&Subscription],
        diff: &SubscriptionDiff,
    ) {
        let is_asked_for = |one: &Subscription| {
            diff.subscribe
                .iter()
                .any(|asked| asked.subscription.filter == one.filter)
        };
        let present = new.iter().filter(|one| !is_asked_for(one)).copied();
        let (certain, uncertain): (Vec<_>, Vec<_>) = present.partition(|one| {
            self.router
                .identified_subscription(&one.filter)
                .is_some_and(|identified| self.retained_cache.is_certain(identified.id.0))
        });

        self.request_retained(service, &uncertain, diff);
        self.deliver_cached(service, &certain);
    }

    fn request_retained(
        &mut self,
        service: ServiceId,
        subscriptions: &[&Subscription],
        diff: &SubscriptionDiff,
    ) {
        // a wide filter may bring the messages of several others
        let mut requested = HashSet::new();
        for one in subscriptions {
            let Some(identified) = self.router.request_retained(service, &one.filter, now()) else {
                continue;
            };
            if !requested.insert(identified.id) {
                continue;
            }
            if diff.subscribe.iter().any(|one| one.id == identified.id) {
                self.state
                    .forget_confirmation(&identified.subscription.filter);
            } else {
                self.state.resubscribe(wanted(identified));
            }
        }
    }

    fn deliver_cached(&mut self, service: ServiceId, subscriptions: &[&Subscription]) {
        let Some(mailbox) = self.router.mailbox(service) else {
            return;
        };
        for message in self.retained_cache.messages_for(subscriptions) {
            if let PushOutcome::Replaced(older) = mailbox.deliver(Delivery::new(message, None)) {
                self.discarded
                    .extend(older.into_iter().filter_map(|one| one.receipt));
            }
        }

        self.drain_discarded();
    }
}
