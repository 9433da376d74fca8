//! Messages for which the broker may end the connection: held back during a search, then released or kept as dead letters.

use super::Outbox;
use super::inflight::Stage;
use super::send_queue::QueuedMessage;
use crate::message::{Outcome, Qos};
use crate::session::state::event::Event;
use crate::session::state::output::Outputs;
use crate::session::state::poison::Suspect;
use crate::session::state::shared::Shared;

/// The reason for a quarantine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum QuarantineReason {
    /// It ended connections.
    Itself,
    /// Similar messages did.
    LikeOthers,
}

impl QuarantineReason {
    /// The reason, for people.
    pub(super) const fn text(self) -> &'static str {
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
    /// Messages that were sent on this connection and are not acknowledged. QoS 0 messages are not known.
    pub(crate) fn in_doubt(&self) -> Vec<Suspect> {
        let sent = self
            .inflight
            .iter()
            .take(self.sent)
            .filter(|inflight| !inflight.is_done());
        sent.map(|inflight| Suspect::Message(inflight.serial))
            .collect()
    }

    /// Handles that the broker has taken a QoS 0 message that was sent during a search.
    pub(crate) fn on_confirmed(&mut self, serial: u64, outputs: &mut Outputs) {
        let place = self
            .unconfirmed
            .iter()
            .position(|queued| queued.serial == serial);
        if let Some(queued) = place.and_then(|place| self.unconfirmed.remove(place)) {
            outputs.resolved.extend(queued.receipt);
            outputs.resolve(queued.publication.terms.as_deref(), || Outcome::Delivered);
        }
    }

    /// Holds a message back, and all that equal it: announcements of the host are repeated on each connection. To be called while there
    /// is no connection.
    pub(crate) fn hold(&mut self, serial: u64, shared: &mut Shared) {
        let inflight = self
            .inflight
            .iter()
            .position(|inflight| inflight.serial == serial);
        let queued = self
            .queue
            .remove(serial)
            .or_else(|| self.recall(inflight?, shared));
        let Some(queued) = queued else { return };

        while let Some(place) = self.inflight.iter().position(|inflight| {
            inflight.message.as_ref() == Some(&queued.publication.message)
                && inflight.service == queued.service
                && inflight.stage == Stage::AwaitingAck
        }) {
            let recalled = self.recall(place, shared);
            self.held.extend(recalled);
        }

        self.held.extend(self.queue.remove_like(&queued));
        self.held.push(queued);
    }

    /// Takes a message back that was sent on an earlier connection; `None`: the broker has it.
    fn recall(&mut self, place: usize, shared: &mut Shared) -> Option<QueuedMessage> {
        if self.inflight[place].stage != Stage::AwaitingAck {
            // the broker ends the connection for PUBREL: it has the message, so the exchange is given up
            let receipt = self.inflight[place].receipt.take();
            shared.outputs.resolved.extend(receipt);
            self.finish(place, &mut shared.ids);
            return None;
        }

        let inflight = self.inflight.remove(place)?;
        let id = inflight.id;
        let queued = inflight.into_queued()?;
        // with QoS 2 the broker may have the identifier in use, and would take another message for this one
        if queued.publication.message.qos != Qos::ExactlyOnce {
            shared.ids.free(id);
        }
        Some(queued)
    }

    /// Whether messages that equal this one are held back.
    pub(super) fn holds_like(&self, queued: &QueuedMessage) -> bool {
        self.held.iter().any(|held| held.is_like(queued))
    }

    /// Releases a message that was held back, and all that equal it: they are sent after all.
    pub(crate) fn release(&mut self, serial: u64) {
        for queued in self.take_held(serial).into_iter().rev() {
            self.queue.push_front(queued);
        }
    }

    /// Quarantines a message that was held back, and all that equal it: they become dead letters.
    pub(crate) fn quarantine(&mut self, serial: u64, shared: &mut Shared) {
        let held = self.take_held(serial);
        let Some(QueuedMessage {
            publication,
            service,
            ..
        }) = held.first()
        else {
            return;
        };

        let topic = publication.message.topic.clone();
        let qos = publication.message.qos;
        if let Some(service) = *service {
            shared.poison.bans().on_quarantined(service, &topic);
        }
        self.last_published.forget(&topic);
        shared.outputs.log(Event::Quarantined {
            service: *service,
            topic,
            qos,
            reason: QuarantineReason::Itself.text(),
        });

        for queued in held {
            self.dead_letter(queued, QuarantineReason::Itself, &mut shared.outputs);
        }
    }

    /// Takes the messages that are held back together with this one.
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

    /// Gives a message up: its publisher is told, and it is kept as a dead letter.
    pub(super) fn dead_letter(
        &mut self,
        queued: QueuedMessage,
        reason: QuarantineReason,
        outputs: &mut Outputs,
    ) {
        self.shares.remove(queued.service, queued.charge());
        outputs.resolved.extend(queued.receipt);
        outputs.dead_letter(queued.service, queued.publication, reason.text());
    }
}
