//! Pure: messages for which the broker may end the connection. In: verdicts of a search. Out: messages that are held back, set aside or sent
//! after all. Owns nothing: the outbox has them.

use super::inflight::{InflightMessage, Stage};
use super::send_queue::QueuedMessage;
use super::{Outbox, Step, settle};
use crate::message::{Outcome, Publication, Qos};
use crate::session::state::ids::Ids;
use crate::session::state::output::{Event, News};
use crate::session::state::poison::{PoisonDetector, Suspect};

/// Why a message is set aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// It ended connections.
    Itself,
    /// Messages like it did.
    LikeOthers,
}

impl Cause {
    /// For people.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Itself => {
                "the broker ends the connection whenever it is sent, and keeps it without"
            }
            Self::LikeOthers => {
                "the broker ended the connection for others like it, of the same service, and it was not tried"
            }
        }
    }
}

impl Outbox {
    /// What was sent on this connection and is not acknowledged; of QoS 0 that is not known.
    pub fn in_doubt(&self) -> Vec<Suspect> {
        let sent = self
            .inflight
            .iter()
            .take(self.sent)
            .filter(|flight| !flight.is_done());
        sent.map(|flight| Suspect::Message(flight.serial)).collect()
    }

    /// A message of QoS 0 in a search is kept until it is known that the broker has taken it.
    pub(super) fn hand_over_suspected(&mut self, queued: QueuedMessage) -> Step {
        let Publication { message, terms } = &queued.publication;
        self.last_published
            .note(message, terms.as_deref(), self.limits.bytes);
        self.current = Some(message.clone());
        self.unconfirmed.push_back(queued);
        Step::Current
    }

    /// The broker has taken this message of QoS 0.
    pub fn confirmed(&mut self, serial: u64, news: &mut News) {
        let Some(place) = self
            .unconfirmed
            .iter()
            .position(|queued| queued.serial == serial)
        else {
            return;
        };
        if let Some(queued) = self.unconfirmed.remove(place) {
            news.gone.extend(queued.receipt);
            settle(queued.publication.terms.as_deref(), news, || {
                Outcome::Delivered
            });
        }
    }

    /// Holds a message back, and all that are equal to it: what the host announces is said again on each connection. To be called while there is
    /// no connection.
    pub fn hold(&mut self, serial: u64, ids: &mut Ids, news: &mut News) {
        let queued = self.queue.remove(serial);
        let flight = self
            .inflight
            .iter()
            .position(|flight| flight.serial == serial);
        let queued = queued.or_else(|| self.ground(flight?, ids, news));
        let Some(queued) = queued else { return };
        let like = |flight: &InflightMessage| {
            let equal = flight.message.as_ref() == Some(&queued.publication.message);
            equal && flight.service == queued.service && flight.stage == Stage::Sent
        };
        while let Some(place) = self.inflight.iter().position(like) {
            let grounded = self.ground(place, ids, news);
            self.held.extend(grounded);
        }
        self.held.extend(self.queue.remove_like(&queued));
        self.held.push(queued);
    }

    /// Takes a message back that was sent on an earlier connection; `None`: the broker has it.
    fn ground(&mut self, place: usize, ids: &mut Ids, news: &mut News) -> Option<QueuedMessage> {
        if self.inflight[place].stage != Stage::Sent {
            // the broker ends the connection at the end of the exchange: there is nothing left to be said
            news.gone.extend(self.inflight[place].receipt.take());
            self.finish(place, ids);
            return None;
        }
        let InflightMessage {
            id,
            receipt,
            service,
            serial,
            message,
            terms,
            ..
        } = self.inflight.remove(place)?;
        let message = message?;
        // with QoS 2 the broker may have the identifier in use, and would take another message for this one
        if message.qos != Qos::ExactlyOnce {
            ids.free(id);
        }
        Some(QueuedMessage {
            publication: Publication { message, terms },
            receipt,
            service,
            serial,
        })
    }

    /// Whether messages equal to this one are held back.
    pub(super) fn holds_like(&self, queued: &QueuedMessage) -> bool {
        self.held.iter().any(|held| held.is_like(queued))
    }

    /// A message that was held back, and all that are equal to it, are to be sent after all.
    pub fn release(&mut self, serial: u64) {
        for queued in self.take_held(serial).into_iter().rev() {
            self.queue.push_front(queued);
        }
    }

    /// Sets a message aside that was held back, and all that are equal to it.
    pub fn quarantine(&mut self, serial: u64, poison: &mut PoisonDetector, news: &mut News) {
        let held = self.take_held(serial);
        let Some(QueuedMessage {
            publication,
            service,
            ..
        }) = held.first()
        else {
            return;
        };
        let (topic, qos) = (publication.message.topic.clone(), publication.message.qos);
        if let Some(service) = *service {
            poison.bans().on_quarantined(service, &topic);
        }
        self.last_published.forget(&topic);
        news.events.push(Event::SetAside {
            service: *service,
            topic,
            qos,
            reason: Cause::Itself.text(),
        });
        held.into_iter()
            .for_each(|queued| self.set_aside(queued, Cause::Itself, news));
    }

    /// The messages that are held back together.
    fn take_held(&mut self, serial: u64) -> Vec<QueuedMessage> {
        let Some(place) = self.held.iter().position(|queued| queued.serial == serial) else {
            return Vec::new();
        };
        let first = self.held.remove(place);
        let (like, others) = std::mem::take(&mut self.held)
            .into_iter()
            .partition(|queued| queued.is_like(&first));
        self.held = others;
        std::iter::once(first).chain::<Vec<_>>(like).collect()
    }

    /// It is not sent: whoever waits for it is told so, and it is kept as a dead letter.
    pub(super) fn set_aside(&mut self, queued: QueuedMessage, cause: Cause, news: &mut News) {
        self.shares.remove(queued.service, queued.charge());
        news.gone.extend(queued.receipt);
        news.set_aside(queued.service, queued.publication, cause.text());
    }
}
