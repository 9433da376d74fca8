//! Messages that were not sent yet, first in, first out, and the offline rules that drop or keep some of them.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::message::{Message, Outcome, Publication, Qos, Receipt};
use crate::offline::{OfflinePolicy, OfflineRule, Overflow};
use crate::router::ServiceId;
use crate::session::state::output::{Origin, Outputs, PersistOp};

use super::fair_share::{Charge, FairShares};

/// A message, with the incoming message whose handling published it.
#[derive(Debug)]
pub(crate) struct QueuedMessage {
    pub publication: Publication,
    pub receipt: Option<Receipt>,
    /// The service that published it; `None`: the host itself.
    pub service: Option<ServiceId>,
    /// Identifies it for the life of the session; assigned by the outbox.
    pub serial: u64,
}

impl QueuedMessage {
    /// Creates a message without a serial number.
    pub(crate) const fn new(
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
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        self.service == other.service && self.publication.message == other.publication.message
    }

    /// The space that it takes in the outbox.
    pub(crate) fn charge(&self) -> Charge {
        Charge::from_message(&self.publication.message)
    }
}

/// The queue.
#[derive(Debug, Default)]
pub(super) struct SendQueue {
    queue: VecDeque<QueuedMessage>,
    /// Number of messages dropped since the connection was lost.
    dropped: u64,
    /// The number of the last message that was kept on disk.
    last_number: u64,
}

impl SendQueue {
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(super) fn first(&self) -> Option<&QueuedMessage> {
        self.queue.front()
    }

    /// Removes the message with this serial number.
    pub(super) fn remove(&mut self, serial: u64) -> Option<QueuedMessage> {
        let place = self
            .queue
            .iter()
            .position(|queued| queued.serial == serial)?;
        self.queue.remove(place)
    }

    /// Removes all messages that equal this one.
    pub(super) fn remove_like(&mut self, message: &QueuedMessage) -> Vec<QueuedMessage> {
        let is_like = |queued: &QueuedMessage| queued.is_like(message);
        let (like, others): (VecDeque<_>, _) = std::mem::take(&mut self.queue)
            .into_iter()
            .partition(is_like);
        self.queue = others;
        like.into()
    }

    pub(super) fn push_back(&mut self, queued: QueuedMessage) {
        self.queue.push_back(queued);
    }

    pub(super) fn push_front(&mut self, queued: QueuedMessage) {
        self.queue.push_front(queued);
    }

    /// Removes the retained messages that `message` replaces, except for those whose outcome or receipt somebody waits for.
    pub(super) fn supersede(&mut self, message: &Message, shares: &mut FairShares) {
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

    pub(super) fn pop(&mut self) -> Option<QueuedMessage> {
        self.queue.pop_front()
    }

    /// Returns the number of messages dropped since the last call.
    pub(super) const fn take_dropped(&mut self) -> u64 {
        std::mem::replace(&mut self.dropped, 0)
    }

    /// Reserves the numbers up to `last`: messages on disk have them.
    pub(super) fn reserve_numbers(&mut self, last: u64) {
        self.last_number = self.last_number.max(last);
    }

    /// Appends a message while there is no connection, unless its rule drops it. `shares` includes it already.
    pub(super) fn push_offline(
        &mut self,
        mut queued: QueuedMessage,
        shares: &mut FairShares,
        outputs: &mut Outputs,
    ) {
        let rule = queued
            .publication
            .terms
            .as_ref()
            .and_then(|terms| terms.offline.clone());
        if let Some(rule) = rule {
            // a message that replaces an equal one inherits the suspicion of being poison
            if rule.policy == OfflinePolicy::KeepLast
                && let Some(older) = self.queue.iter().find(|older| older.is_like(&queued))
            {
                queued.serial = older.serial;
            }
            if !self.make_room(&queued.publication.message, &rule, shares, outputs) {
                return self.discard(
                    queued,
                    "there is no connection, and the rule of offline drops it",
                    shares,
                    outputs,
                );
            }

            if rule.persist {
                self.persist(&mut queued, outputs);
            }
        }

        self.push_back(queued);
    }

    /// Drops the oldest QoS 0 message of `service`, because the outbox is full and there is no connection; whether there was one.
    pub(super) fn drop_oldest_qos0(
        &mut self,
        service: Option<ServiceId>,
        shares: &mut FairShares,
        outputs: &mut Outputs,
    ) -> bool {
        let is_droppable = |queued: &QueuedMessage| {
            queued.service == service && queued.publication.message.qos == Qos::AtMostOnce
        };
        let Some(place) = self.queue.iter().position(is_droppable) else {
            return false;
        };
        self.drop_at(
            place,
            "there is no connection, and the outbox is full",
            shares,
            outputs,
        );

        true
    }

    /// Whether the rule lets the message wait. Drops the messages that it replaces.
    fn make_room(
        &mut self,
        message: &Message,
        rule: &Arc<OfflineRule>,
        shares: &mut FairShares,
        outputs: &mut Outputs,
    ) -> bool {
        const REPLACED: &str = "there is no connection, and a newer message took its place";
        match rule.policy {
            OfflinePolicy::Drop => false,
            OfflinePolicy::KeepLast => {
                let same = |queued: &QueuedMessage| {
                    has_rule(queued, rule) && queued.publication.message.topic == message.topic
                };
                while let Some(place) = self.queue.iter().position(same) {
                    self.drop_at(place, REPLACED, shares, outputs);
                }
                true
            }
            OfflinePolicy::Queue {
                limit,
                overflow,
                qos0,
                duplicates,
            } => {
                let is_equal = |queued: &QueuedMessage| {
                    has_rule(queued, rule) && queued.publication.message == *message
                };
                let is_excluded = !qos0 && message.qos == Qos::AtMostOnce;
                if is_excluded || (!duplicates && self.queue.iter().any(is_equal)) {
                    return false;
                }

                while self.count_of(rule) >= limit {
                    let oldest = self.queue.iter().position(|queued| has_rule(queued, rule));
                    match oldest {
                        Some(place) if overflow == Overflow::DropOldest => {
                            self.drop_at(place, REPLACED, shares, outputs);
                        }
                        _ => return false,
                    }
                }

                true
            }
        }
    }

    fn count_of(&self, rule: &Arc<OfflineRule>) -> usize {
        self.queue
            .iter()
            .filter(|queued| has_rule(queued, rule))
            .count()
    }

    fn persist(&mut self, queued: &mut QueuedMessage, outputs: &mut Outputs) {
        let QueuedMessage {
            publication,
            service,
            ..
        } = queued;
        if let Some(terms) = &mut publication.terms {
            self.last_number += 1;
            terms.kept = Some(self.last_number);
            let origin = Origin::new(*service);
            let message = publication.message.clone();
            outputs.persist(PersistOp::Put(self.last_number, origin, message));
        }
    }

    fn drop_at(&mut self, place: usize, why: &str, shares: &mut FairShares, outputs: &mut Outputs) {
        if let Some(queued) = self.queue.remove(place) {
            self.discard(queued, why, shares, outputs);
        }
    }

    fn discard(
        &mut self,
        queued: QueuedMessage,
        why: &str,
        shares: &mut FairShares,
        outputs: &mut Outputs,
    ) {
        shares.remove(queued.service, queued.charge());
        self.dropped += 1;
        outputs.resolved.extend(queued.receipt);
        outputs.resolve(queued.publication.terms.as_deref(), || {
            Outcome::Refused(why.to_owned())
        });
    }
}

fn has_rule(queued: &QueuedMessage, rule: &Arc<OfflineRule>) -> bool {
    let own = queued
        .publication
        .terms
        .as_ref()
        .and_then(|terms| terms.offline.as_ref());
    own.is_some_and(|own| Arc::ptr_eq(own, rule))
}

#[cfg(test)]
mod tests;
