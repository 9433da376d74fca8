//! Finds the services that get a message, and the changes of subscriptions that the broker has to be
//! told. The session's task owns the router.
//!
//! However many services share a filter, the broker sees it once, at the highest quality of service.
//! If filters of one service overlap, brokers send one copy with all identifiers or one copy for
//! each filter; the service takes the copy that names the filter it subscribed to first, and so gets
//! the message once either way. Without identifiers (MQTT 3.1.1) copies cannot be told apart, so the
//! broker is asked only for the widest of overlapping filters (`filters::cover`); each copy goes
//! once to each service with a matching filter.

mod filters;
pub mod trie;

use std::collections::HashMap;
use std::time::Instant;

use crate::mailbox::{self, Delivered, Delivery};
use crate::message::{Receipt, Subscription, SubscriptionChange};
use crate::topic::{Filter, Topic};
pub use filters::SubscriptionId;
use filters::{Filters, Match};

/// Names a service for the life of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceId(pub u32);

impl ServiceId {
    /// The carrier of the requests of all services.
    pub const REQUESTS: Self = Self(u32::MAX - 1);
}

/// A subscription with the identifier under which the broker shall know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Numbered {
    /// Filter and the highest quality of service that a service asked for.
    pub subscription: Subscription,
    /// The subscription identifier (MQTT 5, section 3.8.2.1.2).
    pub id: SubscriptionId,
}

/// What the broker has to be told after a change.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Difference {
    /// New filters, and those whose quality of service changed.
    pub subscribe: Vec<Numbered>,
    /// Filters that no service wants any more.
    pub unsubscribe: Vec<Filter>,
    /// Receipts of messages that a closed mailbox left behind: nobody will handle them.
    pub settled: Vec<Receipt>,
}

/// The routes.
#[derive(Debug, Default)]
pub struct Router {
    filters: Filters,
    mailboxes: HashMap<ServiceId, mailbox::Sender>,
    /// Reused for each message.
    found: Vec<Match>,
}

impl Router {
    /// No routes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Routes `subscriptions` (and nothing else) to the service; an earlier attachment of it is replaced, and only what
    /// differs has to be sent.
    pub fn attach(
        &mut self,
        service: ServiceId,
        mailbox: mailbox::Sender,
        subscriptions: &[Subscription],
    ) -> Difference {
        let settled = self
            .mailboxes
            .insert(service, mailbox)
            .map_or_else(Vec::new, |old| old.drain_receipts());
        self.filters.replace(service, subscriptions);
        self.difference(settled)
    }

    /// Changes the subscriptions of an attached service, in order; ignored for any other.
    pub fn change(&mut self, service: ServiceId, changes: &[SubscriptionChange]) -> Difference {
        if self.mailboxes.contains_key(&service) {
            self.filters.change(service, changes);
        }
        self.difference(Vec::new())
    }

    /// Ends all routes to the service.
    pub fn detach(&mut self, service: ServiceId) -> Difference {
        let settled = self
            .mailboxes
            .remove(&service)
            .map_or_else(Vec::new, |old| old.drain_receipts());
        self.filters.replace(service, &[]);
        self.difference(settled)
    }

    /// Notes the broker's answer to a subscription. One that was refused brings no copies, so it must not keep a service
    /// from taking the copy for another filter.
    pub fn answered(&mut self, filter: &Filter, granted: bool) {
        self.filters.answered(filter, granted);
    }

    /// What the broker has to be told because of its answers.
    pub fn adjusted(&mut self) -> Difference {
        self.difference(Vec::new())
    }

    /// The mailbox of a service.
    pub fn mailbox(&self, service: ServiceId) -> Option<&mailbox::Sender> {
        self.mailboxes.get(&service)
    }

    /// The mailboxes of all services.
    pub fn mailboxes(&self) -> impl Iterator<Item = &mailbox::Sender> {
        self.mailboxes.values()
    }

    /// A connection is there: everything that the broker should know, and what it may know and should not. `identifiers`: whether
    /// it tells for which subscriptions a message is. Without the former session the retained messages that it sends are for all.
    pub fn connected(
        &mut self,
        identifiers: bool,
        session_present: bool,
    ) -> (Vec<Numbered>, Vec<Filter>) {
        self.filters.connected(identifiers, session_present)
    }

    /// A filter that some service wants, as the broker knows it.
    pub fn number(&self, filter: &Filter) -> Option<Numbered> {
        self.filters.number(filter)
    }

    /// The broker is asked for a filter once more, for `service` alone: the retained messages that it then sends are for those who
    /// had it asked lately, and not for the others again.
    pub fn ask_again(
        &mut self,
        service: ServiceId,
        filter: &Filter,
        now: Instant,
    ) -> Option<Numbered> {
        self.filters.ask_again(service, filter, now)
    }

    /// Whether a service wants messages on this topic.
    pub fn wants(&self, topic: &Topic) -> bool {
        let mut found = Vec::new();
        self.filters.takers(topic.as_str(), &[], &mut found);
        !found.is_empty()
    }

    /// Delivers a message once to each service with a matching filter; never waits.
    ///
    /// `ids` are the subscription identifiers of the packet, empty where there are none. `settled` is given the receipts of
    /// older messages that were dropped in favour of this one. Returns how many mailboxes took the message: it is handled
    /// when so many commits name its receipt.
    pub fn route(&mut self, delivery: Delivery, ids: &[u32], settled: &mut Vec<Receipt>) -> usize {
        self.filters
            .takers(delivery.message.topic.as_str(), ids, &mut self.found);
        if delivery.message.retain {
            self.found.retain(|found| self.filters.expects(found));
        }
        let mut taken = 0;
        let Some((last, others)) = self.found.split_last() else {
            return taken;
        };
        for other in others {
            taken += usize::from(deliver(
                &self.mailboxes,
                other.service,
                delivery.clone(),
                settled,
            ));
        }
        taken += usize::from(deliver(&self.mailboxes, last.service, delivery, settled));
        taken
    }

    fn difference(&mut self, settled: Vec<Receipt>) -> Difference {
        let (subscribe, unsubscribe) = self.filters.difference();
        Difference {
            subscribe,
            unsubscribe,
            settled,
        }
    }
}

/// Whether the mailbox took it.
fn deliver(
    mailboxes: &HashMap<ServiceId, mailbox::Sender>,
    service: ServiceId,
    delivery: Delivery,
    settled: &mut Vec<Receipt>,
) -> bool {
    let Some(mailbox) = mailboxes.get(&service) else {
        return false;
    };
    match mailbox.deliver(delivery) {
        Delivered::Taken => true,
        Delivered::Replaced(older) => {
            settled.extend(older.into_iter().filter_map(|delivery| delivery.receipt));
            true
        }
        Delivered::Refused(_) => {
            settled.extend(mailbox.drain_receipts());
            false
        }
    }
}

#[cfg(test)]
mod tests;
