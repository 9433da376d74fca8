//! Pure: messages that were not sent yet. In: what services publish. Out: it, first in first out; what the rules for the time
//! without a connection drop. Owns the queue and its weight.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::message::{Message, Outcome, Publication, Qos, Receipt};
use crate::offline::{OfflinePolicy, OfflineRule, Overflow};
use crate::session::state::event::{Kept, News};

/// A message and the incoming message whose handling published it.
#[derive(Debug)]
pub struct Queued {
    pub publication: Publication,
    pub receipt: Option<Receipt>,
}

/// The queue.
#[derive(Debug, Default)]
pub struct Waiting {
    queue: VecDeque<Queued>,
    bytes: usize,
    /// Messages dropped since the connection was lost.
    dropped: u64,
    /// The number of the last message that was kept on disk.
    kept: u64,
}

impl Waiting {
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// What all messages weigh together.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn first(&self) -> Option<&Message> {
        self.queue.front().map(|queued| &queued.publication.message)
    }

    pub fn push_back(&mut self, queued: Queued) {
        self.bytes += queued.publication.message.weight();
        self.queue.push_back(queued);
    }

    pub fn push_front(&mut self, queued: Queued) {
        self.bytes += queued.publication.message.weight();
        self.queue.push_front(queued);
    }

    /// Takes out the retained messages of the topic for which nobody waits: `message` takes their place.
    pub fn supersede(&mut self, message: &Message) {
        let bytes = &mut self.bytes;
        self.queue.retain(|queued| {
            let Publication { message: older, terms } = &queued.publication;
            let awaited = terms.is_some() || queued.receipt.is_some();
            let stays = awaited || !older.retain || older.topic != message.topic;
            *bytes -= if stays { 0 } else { older.weight() };
            stays
        });
    }

    pub fn pop(&mut self) -> Option<Queued> {
        let queued = self.queue.pop_front()?;
        self.bytes -= queued.publication.message.weight();
        Some(queued)
    }

    /// How many messages were dropped since the last call.
    pub const fn take_dropped(&mut self) -> u64 {
        std::mem::replace(&mut self.dropped, 0)
    }

    /// Messages that were kept on disk have the numbers up to `last`.
    pub fn kept_up_to(&mut self, last: u64) {
        self.kept = self.kept.max(last);
    }

    /// Appends a message while there is no connection. `room`: whether it fits the outbox; if not, the oldest message of QoS 0 is
    /// dropped for it, which may be itself.
    pub fn push_offline(&mut self, mut queued: Queued, room: bool, news: &mut News) {
        let rule = queued.publication.terms.as_ref().and_then(|terms| terms.offline.clone());
        if let Some(rule) = rule {
            if !self.make_place(&queued.publication.message, &rule, news) {
                return self.gone(queued, "there is no connection, and the rule of offline drops it", news);
            }
            if rule.persist {
                self.keep(&mut queued.publication, news);
            }
        }
        self.push_back(queued);
        let place = self.queue.iter().position(|queued| queued.publication.message.qos == Qos::AtMostOnce);
        if let Some(place) = place.filter(|_| !room) {
            self.drop_at(place, "there is no connection, and the outbox is full", news);
        }
    }

    /// Whether the rule lets the message wait; drops what it takes the place of.
    fn make_place(&mut self, message: &Message, rule: &Arc<OfflineRule>, news: &mut News) -> bool {
        const REPLACED: &str = "there is no connection, and a newer message took its place";
        match rule.policy {
            OfflinePolicy::Drop => false,
            OfflinePolicy::KeepLast => {
                let same = |queued: &Queued| of_rule(queued, rule) && queued.publication.message.topic == message.topic;
                while let Some(place) = self.queue.iter().position(same) {
                    self.drop_at(place, REPLACED, news);
                }
                true
            }
            OfflinePolicy::Queue { limit, overflow, qos0, duplicates } => {
                let equal = |queued: &&Queued| of_rule(queued, rule) && queued.publication.message == *message;
                if (!qos0 && message.qos == Qos::AtMostOnce) || (!duplicates && self.queue.iter().any(|q| equal(&q))) {
                    return false;
                }
                while self.queue.iter().filter(|queued| of_rule(queued, rule)).count() >= limit {
                    let oldest = self.queue.iter().position(|queued| of_rule(queued, rule));
                    match oldest {
                        Some(place) if overflow == Overflow::DropOldest => self.drop_at(place, REPLACED, news),
                        _ => return false,
                    }
                }
                true
            }
        }
    }

    fn keep(&mut self, publication: &mut Publication, news: &mut News) {
        if let Some(terms) = &mut publication.terms {
            self.kept += 1;
            terms.kept = Some(self.kept);
            news.kept.push(Kept::Keep(self.kept, publication.message.clone()));
        }
    }

    fn drop_at(&mut self, place: usize, why: &str, news: &mut News) {
        if let Some(queued) = self.queue.remove(place) {
            self.bytes -= queued.publication.message.weight();
            self.gone(queued, why, news);
        }
    }

    fn gone(&mut self, queued: Queued, why: &str, news: &mut News) {
        self.dropped += 1;
        news.gone.extend(queued.receipt);
        if let Some(terms) = &queued.publication.terms {
            news.settle(terms, || Outcome::Refused(why.to_owned()));
        }
    }
}

fn of_rule(queued: &Queued, rule: &Arc<OfflineRule>) -> bool {
    let own = queued.publication.terms.as_ref().and_then(|terms| terms.offline.as_ref());
    own.is_some_and(|own| Arc::ptr_eq(own, rule))
}

#[cfg(test)]
mod tests;
