//! Routes: which services get a message, and which subscriptions the broker needs for that.
//!
//! However many services share a filter, the broker sees it once, at the highest quality of service. If filters of one service
//! overlap, brokers send one copy with all identifiers or one copy for each filter; the service takes the copy that names the filter
//! it subscribed to first, and so gets the message once either way. Without identifiers (MQTT 3.1.1) copies cannot be distinguished, so
//! the broker is asked only for the widest of overlapping filters (`filters::cover`); each copy goes once to each service with a
//! matching filter.
//!
//! The session task owns the router.

mod filters;
mod ids;
pub mod trie;

use std::collections::HashMap;
use std::time::Instant;

use crate::mailbox::{self, Delivery, PushOutcome};
use crate::message::{Receipt, Subscription, SubscriptionChange};
use crate::topic::{Filter, Topic};
use filters::{Filters, Match};
pub use ids::{IdentifiedSubscription, ServiceId, SubscriptionId};

/// The requests to the broker that a change makes necessary.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SubscriptionDiff {
    /// New filters, and those whose quality of service changed.
    pub subscribe: Vec<IdentifiedSubscription>,
    /// Filters that no service wants any more.
    pub unsubscribe: Vec<Filter>,
    /// Receipts of messages that a closed mailbox left behind: no service will handle them.
    pub discarded: Vec<Receipt>,
}

/// The routes.
#[derive(Debug, Default)]
pub struct Router {
    filters: Filters,
    mailboxes: HashMap<ServiceId, mailbox::Sender>,
    /// The matches of the current message; reused for each.
    matches: Vec<Match>,
}

impl Router {
    /// Creates a router without routes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Routes `subscriptions` (and nothing else) to the service; an earlier attachment of it is replaced, and only the
    /// difference has to be sent.
    pub fn attach(
        &mut self,
        service: ServiceId,
        mailbox: mailbox::Sender,
        subscriptions: &[Subscription],
    ) -> SubscriptionDiff {
        let discarded = self
            .mailboxes
            .insert(service, mailbox)
            .map_or_else(Vec::new, |old| old.drain_receipts());
        self.filters.replace(service, subscriptions);
        self.diff(discarded)
    }

    /// Changes the subscriptions of an attached service, in order; ignored for any other.
    pub fn change(
        &mut self,
        service: ServiceId,
        changes: &[SubscriptionChange],
    ) -> SubscriptionDiff {
        if self.mailboxes.contains_key(&service) {
            self.filters.change(service, changes);
        }
        self.diff(Vec::new())
    }

    /// Ends all routes to the service.
    pub fn detach(&mut self, service: ServiceId) -> SubscriptionDiff {
        let discarded = self
            .mailboxes
            .remove(&service)
            .map_or_else(Vec::new, |old| old.drain_receipts());
        self.filters.replace(service, &[]);
        self.diff(discarded)
    }

    /// Handles the broker's answer to a subscription. A refused one brings no copies, so it must not keep a service from taking the
    /// copy for another filter.
    pub fn on_answer(&mut self, filter: &Filter, granted: bool) {
        self.filters.on_answer(filter, granted);
    }

    /// The requests that the broker's answers make necessary.
    pub fn diff_after_answers(&mut self) -> SubscriptionDiff {
        self.diff(Vec::new())
    }

    /// Whether the service has this filter.
    pub fn has_subscribed(&self, service: ServiceId, filter: &Filter) -> bool {
        self.filters.has_member(service, filter)
    }

    /// The mailbox of a service.
    pub fn mailbox(&self, service: ServiceId) -> Option<&mailbox::Sender> {
        self.mailboxes.get(&service)
    }

    /// The mailboxes of all services.
    pub fn mailboxes(&self) -> impl Iterator<Item = &mailbox::Sender> {
        self.mailboxes.values()
    }

    /// Handles a new connection. Returns all filters to subscribe to, and those that the broker may have and should not. `identifiers`:
    /// whether its messages carry subscription identifiers. With a new session the retained messages that it sends are for all services.
    pub fn on_connected(
        &mut self,
        identifiers: bool,
        session_present: bool,
    ) -> (Vec<IdentifiedSubscription>, Vec<Filter>) {
        self.filters.on_connected(identifiers, session_present)
    }

    /// A filter that some service wants, as the broker has it: perhaps a wider one.
    pub fn identified_subscription(&self, filter: &Filter) -> Option<IdentifiedSubscription> {
        self.filters.identified_subscription(filter)
    }

    /// Prepares another SUBSCRIBE for a filter, whose retained messages are for `service` and others that asked lately, but not for
    /// services that have them already.
    pub fn request_retained(
        &mut self,
        service: ServiceId,
        filter: &Filter,
        now: Instant,
    ) -> Option<IdentifiedSubscription> {
        self.filters.request_retained(service, filter, now)
    }

    /// Whether a service wants messages on this topic.
    pub fn wants(&self, topic: &Topic) -> bool {
        let mut matches = Vec::new();
        self.filters.recipients(topic.as_str(), &[], &mut matches);
        !matches.is_empty()
    }

    /// Delivers a message once to each service with a matching filter; never waits.
    ///
    /// `ids` are the subscription identifiers of the packet, empty where there are none. The receipts of older messages that were dropped
    /// in favour of this one are appended to `discarded`. Returns the number of mailboxes that took the message: it is handled when this
    /// number of commits name its receipt.
    pub fn route(
        &mut self,
        delivery: Delivery,
        ids: &[u32],
        discarded: &mut Vec<Receipt>,
    ) -> usize {
        self.filters
            .recipients(delivery.message.topic.as_str(), ids, &mut self.matches);
        if delivery.message.retain {
            self.matches
                .retain(|found| self.filters.wants_retained(found));
        }
        let mut taken = 0;
        let Some((last, others)) = self.matches.split_last() else {
            return taken;
        };
        for other in others {
            taken += usize::from(deliver(
                &self.mailboxes,
                other.service,
                delivery.clone(),
                discarded,
            ));
        }

        taken += usize::from(deliver(&self.mailboxes, last.service, delivery, discarded));
        taken
    }

    fn diff(&mut self, discarded: Vec<Receipt>) -> SubscriptionDiff {
        let (subscribe, unsubscribe) = self.filters.diff();
        SubscriptionDiff {
            subscribe,
            unsubscribe,
            discarded,
        }
    }
}

/// Delivers a message to a service; whether its mailbox took it.
fn deliver(
    mailboxes: &HashMap<ServiceId, mailbox::Sender>,
    service: ServiceId,
    delivery: Delivery,
    discarded: &mut Vec<Receipt>,
) -> bool {
    let Some(mailbox) = mailboxes.get(&service) else {
        return false;
    };
    match mailbox.deliver(delivery) {
        PushOutcome::Taken => true,
        PushOutcome::Replaced(older) => {
            discarded.extend(older.into_iter().filter_map(|delivery| delivery.receipt));
            true
        }
        PushOutcome::Refused(_) => {
            discarded.extend(mailbox.drain_receipts());
            false
        }
    }
}

#[cfg(test)]
mod tests;
