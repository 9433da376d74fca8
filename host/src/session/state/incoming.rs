//! Packets of the broker, and the handling of its messages by the services.

use super::inbox::Packet;
use super::poison::Suspect;
use super::{Arrival, Event, State, Violation};
use crate::message::{Qos, Receipt};
use crate::session::packet::{Ack, AckKind, Incoming, Publish, Reason, RejectedPublish};

impl State {
    /// Handles a packet of the broker. `Some`: a message to deliver.
    ///
    /// # Errors
    /// When the broker must not send this packet now.
    pub fn handle_packet(&mut self, packet: Incoming) -> Result<Option<Arrival>, Violation> {
        match packet {
            Incoming::Publish(publish) => return Ok(self.on_publish(publish)),
            Incoming::Rejected(rejected) => self.on_rejected(rejected),
            // the message would stay unacknowledged for ever; on the next connection it is sent again
            Incoming::Unattributed {
                of_message: true, ..
            } if self.outbox.is_awaiting() => {
                return Err(Violation {
                    reason: Reason::MALFORMED,
                    what: "the broker acknowledged a message without a packet identifier",
                });
            }
            Incoming::Unattributed { packet, .. } => {
                self.shared.outputs.log(Event::Unattributed { packet });
            }
            Incoming::Ack(Ack {
                kind: AckKind::PubRel,
                id,
                ..
            }) => {
                let ack = self.inbox.on_pubrel(id);
                self.acks.push_back(ack);
            }
            Incoming::Ack(ack) => self.on_ack(ack),
            Incoming::SubAck { id, reasons } => {
                let maximum = self
                    .server
                    .as_ref()
                    .map_or(Qos::ExactlyOnce, |server| server.maximum_qos);
                self.subscriptions
                    .on_suback(id, &reasons, maximum, &mut self.shared);
            }
            Incoming::UnsubAck { id, reasons } => {
                self.subscriptions
                    .on_unsuback(id, &reasons, &mut self.shared);
            }
            Incoming::PingResp => self.on_pong(),
            Incoming::Disconnect { .. } => {}
            Incoming::ConnAck(_) => {
                return Err(Violation {
                    reason: Reason::PROTOCOL_ERROR,
                    what: "the broker sent CONNACK twice",
                });
            }
        }

        Ok(None)
    }

    fn on_publish(&mut self, publish: Publish) -> Option<Arrival> {
        let Publish {
            id,
            subscription_ids,
            message,
        } = publish;
        if self.closing {
            return None;
        }

        let receipt = match message.qos {
            Qos::AtMostOnce => None,
            _ => Some(
                self.inbox
                    .on_publish(Packet::new(id, &message), &mut self.acks)?,
            ),
        };

        Some(Arrival {
            message,
            subscription_ids,
            receipt,
        })
    }

    /// Acknowledges a message that is not delivered, in its turn: otherwise the broker would send it again and again.
    fn on_rejected(&mut self, rejected: RejectedPublish) {
        let RejectedPublish { id, qos, dup, .. } = rejected;
        if self.closing {
            return;
        }

        if id != 0 {
            let packet = Packet {
                id,
                qos,
                dup,
                fingerprint: 0,
            };

            let Some(receipt) = self.inbox.on_publish(packet, &mut self.acks) else {
                return;
            };
            self.inbox.on_routed(receipt, 0, &mut self.acks);
        }

        self.shared.outputs.log(Event::Rejected(rejected));
    }

    fn on_ack(&mut self, ack: Ack) {
        let result = self.outbox.on_ack(ack, &mut self.shared);
        self.acks.extend(result.reply);
        if let Some(serial) = result.serial {
            self.shared.poison.on_answered(|| Suspect::Message(serial));
        }
        if let Some(receipt) = result.receipt {
            self.inbox.on_publish_taken(receipt, &mut self.acks);
        }
    }

    /// Handles the number of services that the message of this receipt was delivered to; with none it is acknowledged at once.
    pub fn handle_routed(&mut self, receipt: Receipt, services: usize) {
        self.inbox.on_routed(receipt, services, &mut self.acks);
    }

    /// Handles that one of the services that the message of this receipt was delivered to will not process it.
    pub fn handle_discarded(&mut self, receipt: Receipt) {
        self.inbox.on_committed(receipt, 0, &mut self.acks);
    }
}
