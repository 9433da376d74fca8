//! The next message to send: first those of earlier connections again, then new ones, within the broker's window.

use super::Outbox;
use super::fit::{fit, too_large};
use super::inflight::{InflightMessage, Stage};
use super::quarantine::QuarantineReason;
use super::send_queue::QueuedMessage;
use crate::message::{Outcome, Qos};
use crate::session::packet::{Ack, AckKind, Outgoing, ServerCapabilities};
use crate::session::state::output::Outputs;
use crate::session::state::poison::{PoisonDetector, Suspect};
use crate::session::state::shared::Shared;

/// The next thing to send. The packet itself borrows from the outbox, so it is made after the step was taken.
pub(super) enum Step {
    /// The QoS 0 message in `current`.
    Current,
    /// PUBLISH of the in-flight message at this place.
    Inflight(usize),
    /// PUBREL with this identifier.
    Release(u16),
}

impl Outbox {
    /// Returns the next packet, if the broker's window and the search for poison packets allow one.
    pub(crate) fn poll_transmit(
        &mut self,
        server: &ServerCapabilities,
        shared: &mut Shared,
    ) -> Option<Outgoing<'_>> {
        match self.step(server, shared)? {
            Step::Current => self.current.as_ref().map(|message| Outgoing::Publish {
                id: 0,
                dup: false,
                message,
            }),
            Step::Release(id) => Some(Outgoing::Ack(Ack::success(AckKind::PubRel, id))),
            Step::Inflight(place) => {
                let inflight = self.inflight.get_mut(place)?;
                let dup = std::mem::replace(&mut inflight.dup, true);
                inflight.message.as_ref().map(|message| Outgoing::Publish {
                    id: inflight.id,
                    dup,
                    message,
                })
            }
        }
    }

    fn step(&mut self, server: &ServerCapabilities, shared: &mut Shared) -> Option<Step> {
        self.current = None;
        let window = self.window(server);

        // MQTT 5, section 4.6: messages are sent again in the order in which they were sent first, and before new ones
        while self.sent < self.inflight.len() && self.sent < window {
            if !self.admits_resend(&shared.poison) {
                return None;
            }
            if let Some(step) = self.resend(server, shared) {
                return Some(step);
            }
        }

        while self.sent == self.inflight.len() && self.may_send_new(window) {
            let is_admitted =
                |queued: &QueuedMessage| shared.poison.admits(&Suspect::Message(queued.serial));
            self.queue.first().filter(|queued| is_admitted(queued))?;
            let queued = self.queue.pop()?;

            let topic = &queued.publication.message.topic;
            if shared.poison.bans().refuses(queued.service, topic) {
                self.dead_letter(queued, QuarantineReason::LikeOthers, &mut shared.outputs);
                continue;
            }
            let Some(queued) = self.prepare(queued, server, &mut shared.outputs) else {
                continue;
            };
            return if queued.publication.message.qos == Qos::AtMostOnce {
                Some(self.send_qos0(queued, shared))
            } else {
                self.send_confirmed(queued, shared)
            };
        }

        None
    }

    /// Whether the search for poison packets lets the next in-flight message be sent again. Done ones are only skipped.
    fn admits_resend(&self, poison: &PoisonDetector) -> bool {
        let inflight = &self.inflight[self.sent];
        inflight.is_done() || poison.admits(&Suspect::Message(inflight.serial))
    }

    /// Sends the next in-flight message again, from the point that the broker has confirmed; `None`: there is nothing to send for it.
    fn resend(&mut self, server: &ServerCapabilities, shared: &mut Shared) -> Option<Step> {
        let place = self.sent;
        let InflightMessage {
            stage, serial, id, ..
        } = self.inflight[place];
        self.sent += 1;

        match stage {
            Stage::Done => None,
            Stage::AwaitingPubComp => {
                shared.poison.on_sent(|| Suspect::Message(serial), false);
                Some(Step::Release(id))
            }
            Stage::AwaitingAck if self.still_fits(place, server, &mut shared.outputs) => {
                shared.poison.on_sent(|| Suspect::Message(serial), false);
                Some(Step::Inflight(place))
            }
            Stage::AwaitingAck => {
                let receipt = self.inflight[place].receipt.take();
                shared.outputs.resolved.extend(receipt);
                self.finish(place, &mut shared.ids);
                None
            }
        }
    }

    /// Makes a new message one that the broker accepts; `None`: it is not sent at all, since it never fits, or repeats the last one
    /// and its terms say to leave it out then. QoS 0 messages stop counting against the limits.
    fn prepare(
        &mut self,
        mut queued: QueuedMessage,
        server: &ServerCapabilities,
        outputs: &mut Outputs,
    ) -> Option<QueuedMessage> {
        // before `fit` may lower the quality of service
        let charge = queued.charge();
        let publication = &mut queued.publication;
        let terms = publication.terms.as_deref();

        let is_sent = if self.last_published.is_repeat(&publication.message, terms) {
            outputs.resolve(terms, || {
                Outcome::Refused("left out: nothing changed".to_owned())
            });
            false
        } else {
            let fits = fit(&mut publication.message, server, self.protocol, outputs);
            if !fits {
                outputs.resolve(terms, || too_large(server));
            }
            fits
        };

        if !is_sent || publication.message.qos == Qos::AtMostOnce {
            self.shares.remove(queued.service, charge);
        }
        if !is_sent {
            outputs.resolved.extend(queued.receipt);
            return None;
        }
        Some(queued)
    }

    /// Hands a QoS 0 message to the encoder. It is done when it is written. During a search it is kept until the
    /// broker is known to have taken it.
    fn send_qos0(&mut self, queued: QueuedMessage, shared: &mut Shared) -> Step {
        let serial = queued.serial;
        shared.poison.on_sent(|| Suspect::Message(serial), true);
        self.note_published(&queued);

        if shared.poison.is_searching() {
            self.current = Some(queued.publication.message.clone());
            self.unconfirmed.push_back(queued);
            return Step::Current;
        }

        shared.outputs.resolved.extend(queued.receipt);
        // tokens are for QoS 1 and 2, but the broker may have asked to lower that
        let terms = queued.publication.terms.as_deref();
        shared.outputs.resolve(terms, || Outcome::Delivered);
        self.current = Some(queued.publication.message);
        Step::Current
    }

    /// Moves a QoS 1 or 2 message in flight; `None`: all packet identifiers are in use.
    fn send_confirmed(&mut self, queued: QueuedMessage, shared: &mut Shared) -> Option<Step> {
        let Some(id) = shared.ids.take() else {
            self.queue.push_front(queued);
            return None;
        };
        self.note_published(&queued);
        shared
            .poison
            .on_sent(|| Suspect::Message(queued.serial), false);

        self.inflight.push_back(InflightMessage::new(id, queued));
        self.sent += 1;
        Some(Step::Inflight(self.sent - 1))
    }

    fn note_published(&mut self, queued: &QueuedMessage) {
        let publication = &queued.publication;
        self.last_published.record(
            &publication.message,
            publication.terms.as_deref(),
            self.limits.bytes,
        );
    }

    /// Whether an in-flight message still fits: the broker may allow less than on the connection before.
    fn still_fits(
        &mut self,
        place: usize,
        server: &ServerCapabilities,
        outputs: &mut Outputs,
    ) -> bool {
        // with QoS 0 it would lose its identifier
        let server = ServerCapabilities {
            maximum_qos: server.maximum_qos.max(Qos::AtLeastOnce),
            ..server.clone()
        };
        let inflight = &mut self.inflight[place];
        let fits = inflight
            .message
            .as_mut()
            .is_none_or(|message| fit(message, &server, self.protocol, outputs));
        if !fits {
            outputs.resolve(inflight.terms.as_deref(), || too_large(&server));
        }
        fits
    }

    fn may_send_new(&self, window: usize) -> bool {
        let next_is_qos0 = self
            .queue
            .first()
            .is_some_and(|queued| queued.publication.message.qos == Qos::AtMostOnce);
        next_is_qos0 || self.inflight.len() < window
    }
}
