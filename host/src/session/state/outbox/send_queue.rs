//! Pure: messages that were not sent yet. In: what services publish. Out: it, first in first out; what the rules for the time
//! without a connection drop. Owns the queue and its weight.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::message::{Message, Outcome, Publication, Qos, Receipt};
use crate::offline::{OfflinePolicy, OfflineRule, Overflow};
use crate::router::ServiceId;
use crate::session::state::output::{News, Origin, PersistOp};

use super::fair_share::{Charge, FairShares};

/// A message, the incoming message whose handling published it, and the service that did; `None`: the host itself.
#[derive(Debug)]
pub struct QueuedMessage {
    pub publication: Publication,
    pub receipt: Option<Receipt>,
    pub service: Option<ServiceId>,
    /// Names it for the life of the session; given by the outbox.
    pub serial: u64,
}

impl QueuedMessage {
    /// Without a serial number.
    pub const fn new(
        publication: Publication,
        receipt: Option<Receipt>,
        service: Option<ServiceId>,
    ) -> Self {
        Self {
            publication,
            receipt,
            service,
            serial: 0,
        }
    }

    /// Whether it is the same message of the same service.
    pub fn is_like(&self, other: &Self) -> bool {
        self.service == other.service && self.publication.message == other.publication.message
    }

    /// What it takes of the outbox.
    pub fn charge(&self) -> Charge {
        Charge::of(&self.publication.message)
    }
}

/// The queue.
#[derive(Debug, Default)]
pub struct SendQueue {
    queue: VecDeque<QueuedMessage>,
    /// Messages dropped since the connection was lost.
    dropped: u64,
    /// The number of the last message that was kept on disk.
    kept: u64,
}

impl SendQueue {
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub fn first(&self) -> Option<&QueuedMessage> {
        self.queue.front()
    }

    /// Takes the message with this serial number out.
    pub fn remove(&mut self, serial: u64) -> Option<QueuedMessage> {
        let place = self
            .queue
            .iter()
            .position(|queued| queued.serial == serial)?;
        self.queue.remove(place)
    }

    /// Takes all messages out that are equal to this one.
    pub fn remove_like(&mut self, message: &QueuedMessage) -> Vec<QueuedMessage> {
        let is_like = |queued: &QueuedMessage| queued.is_like(message);
        let (like, others): (VecDeque<_>, _) = std::mem::take(&mut self.queue)
            .into_iter()
            .partition(is_like);
        self.queue = others;
        like.into()
    }

    pub fn push_back(&mut self, queued: QueuedMessage) {
        self.queue.push_back(queued);
    }

    pub fn push_front(&mut self, queued: QueuedMessage) {
        self.queue.push_front(queued);
    }

    /// Takes out the retained messages of the topic for which nobody waits: `message` takes their place.
    pub fn supersede(&mut self, message: &Message, shares: &mut FairShares) {
        self.queue.retain(|queued| {
            let Publication {
                message: older,
                terms,
            } = &queued.publication;
            let awaited = terms.is_some() || queued.receipt.is_some();
            let stays = awaited || !older.retain || older.topic != message.topic;
            if !stays {
                shares.remove(queued.service, queued.charge());
            }
            stays
        });
    }

    pub fn pop(&mut self) -> Option<QueuedMessage> {
        self.queue.pop_front()
    }

    /// How many messages were dropped since the last call.
    pub const fn take_dropped(&mut self) -> u64 {
        std::mem::replace(&mut self.dropped, 0)
    }

    /// Messages that were kept on disk have the numbers up to `last`.
    pub fn kept_up_to(&mut self, last: u64) {
        self.kept = self.kept.max(last);
    }

    /// Appends a message while there is no connection, unless its rule says otherwise. `shares` has it already.
    pub fn push_offline(
        &mut self,
        mut queued: QueuedMessage,
        shares: &mut FairShares,
        news: &mut News,
    ) {
        let rule = queued
            .publication
            .terms
            .as_ref()
            .and_then(|terms| terms.offline.clone());
        if let Some(rule) = rule {
            // one that takes the place of an equal one is suspected of the same
            if rule.policy == OfflinePolicy::KeepLast
                && let Some(older) = self.queue.iter().find(|older| older.is_like(&queued))
            {
                queued.serial = older.serial;
            }
            if !self.make_place(&queued.publication.message, &rule, shares, news) {
                return self.gone(
                    queued,
                    "there is no connection, and the rule of offline drops it",
                    shares,
                    news,
                );
            }
            if rule.persist {
                self.keep(&mut queued, news);
            }
        }
        self.push_back(queued);
    }

    /// Drops the oldest message of QoS 0 of `service`: the outbox is full, and there is no connection.
    pub fn drop_qos_0(
        &mut self,
        service: Option<ServiceId>,
        shares: &mut FairShares,
        news: &mut News,
    ) -> bool {
        let is_one = |queued: &QueuedMessage| {
            queued.service == service && queued.publication.message.qos == Qos::AtMostOnce
        };
        let Some(place) = self.queue.iter().position(is_one) else {
            return false;
        };
        self.drop_at(
            place,
            "there is no connection, and the outbox is full",
            shares,
            news,
        );
        true
    }

    /// Whether the rule lets the message wait; drops what it takes the place of.
    fn make_place(
        &mut self,
        message: &Message,
        rule: &Arc<OfflineRule>,
        shares: &mut FairShares,
        news: &mut News,
    ) -> bool {
        const REPLACED: &str = "there is no connection, and a newer message took its place";
        match rule.policy {
            OfflinePolicy::Drop => false,
            OfflinePolicy::KeepLast => {
                let same = |queued: &QueuedMessage| {
                    of_rule(queued, rule) && queued.publication.message.topic == message.topic
                };
                while let Some(place) = self.queue.iter().position(same) {
                    self.drop_at(place, REPLACED, shares, news);
                }
                true
            }
            OfflinePolicy::Queue {
                limit,
                overflow,
                qos0,
                duplicates,
            } => {
                let equal = |queued: &&QueuedMessage| {
                    of_rule(queued, rule) && queued.publication.message == *message
                };
                if (!qos0 && message.qos == Qos::AtMostOnce)
                    || (!duplicates && self.queue.iter().any(|q| equal(&q)))
                {
                    return false;
                }
                while self
                    .queue
                    .iter()
                    .filter(|queued| of_rule(queued, rule))
                    .count()
                    >= limit
                {
                    let oldest = self.queue.iter().position(|queued| of_rule(queued, rule));
                    match oldest {
                        Some(place) if overflow == Overflow::DropOldest => {
                            self.drop_at(place, REPLACED, shares, news)
                        }
                        _ => return false,
                    }
                }
                true
            }
        }
    }

    fn keep(&mut self, queued: &mut QueuedMessage, news: &mut News) {
        let QueuedMessage {
            publication,
            service,
            ..
        } = queued;
        if let Some(terms) = &mut publication.terms {
            self.kept += 1;
            terms.kept = Some(self.kept);
            let origin = Origin::of(*service);
            news.kept.push(PersistOp::Put(
                self.kept,
                origin,
                publication.message.clone(),
            ));
        }
    }

    fn drop_at(&mut self, place: usize, why: &str, shares: &mut FairShares, news: &mut News) {
        if let Some(queued) = self.queue.remove(place) {
            self.gone(queued, why, shares, news);
        }
    }

    fn gone(&mut self, queued: QueuedMessage, why: &str, shares: &mut FairShares, news: &mut News) {
        shares.remove(queued.service, queued.charge());
        self.dropped += 1;
        news.gone.extend(queued.receipt);
        if let Some(terms) = &queued.publication.terms {
            news.settle(terms, || Outcome::Refused(why.to_owned()));
        }
    }
}

fn of_rule(queued: &QueuedMessage, rule: &Arc<OfflineRule>) -> bool {
    let own = queued
        .publication
        .terms
        .as_ref()
        .and_then(|terms| terms.offline.as_ref());
    own.is_some_and(|own| Arc::ptr_eq(own, rule))
}

#[cfg(test)]
mod tests;
