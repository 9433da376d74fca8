//! PUBACK, PUBREC and PUBCOMP for outgoing messages (MQTT 5, sections 3.4, 3.5 and 3.7).

use super::Outbox;
use super::inflight::Stage;
use crate::message::{Outcome, Qos, Receipt};
use crate::session::packet::{Ack, AckKind, Reason};
use crate::session::state::event::Event;
use crate::session::state::output::Outputs;
use crate::session::state::shared::Shared;

/// The result of an acknowledgement.
#[derive(Debug, Default)]
pub(crate) struct AckResult {
    /// The incoming message that waited for it.
    pub receipt: Option<Receipt>,
    /// The packet to answer with.
    pub reply: Option<Ack>,
    /// The serial number of the message.
    pub serial: Option<u64>,
}

impl Outbox {
    /// Handles PUBACK, PUBREC or PUBCOMP.
    pub(crate) fn on_ack(&mut self, ack: Ack, shared: &mut Shared) -> AckResult {
        let Some(place) = self.find(ack.id) else {
            return on_unknown(ack);
        };
        let inflight = &mut self.inflight[place];
        let mut result = AckResult {
            serial: Some(inflight.serial),
            ..AckResult::default()
        };

        match (ack.kind, inflight.qos()) {
            (AckKind::PubRec, Qos::ExactlyOnce) if !ack.reason.is_failure() => {
                inflight.stage = Stage::AwaitingPubComp;
                result.receipt = inflight.receipt.take();
                result.reply = Some(Ack::success(AckKind::PubRel, ack.id));
                let terms = inflight.terms.take();
                shared
                    .outputs
                    .resolve(terms.as_deref(), || Outcome::Delivered);
            }
            (AckKind::PubAck, Qos::AtLeastOnce)
            | (AckKind::PubRec | AckKind::PubComp, Qos::ExactlyOnce) => {
                result.receipt = inflight.receipt.take();
                let is_refused = ack.reason.is_failure() && ack.reason != Reason::ID_NOT_FOUND;
                let refusal = is_refused.then_some(ack.reason);
                self.on_final_ack(place, refusal, &mut shared.outputs);
                self.finish(place, &mut shared.ids);
            }
            _ => {}
        }

        result
    }

    /// Reports that the broker took a message, or why it refused it.
    fn on_final_ack(&mut self, place: usize, refusal: Option<Reason>, outputs: &mut Outputs) {
        let inflight = &mut self.inflight[place];
        let terms = inflight.terms.take();
        let Some(reason) = refusal else {
            return outputs.resolve(terms.as_deref(), || Outcome::Delivered);
        };

        if let Some(message) = &inflight.message {
            self.last_published.forget(&message.topic);
            outputs.log(Event::Refused {
                topic: message.topic.clone(),
                reason,
            });
        }

        outputs.resolve(terms.as_deref(), || Outcome::Refused(reason.to_string()));
    }
}

/// Handles an acknowledgement of an unknown message: PUBREC is answered, so that the broker can end the exchange.
fn on_unknown(ack: Ack) -> AckResult {
    let needs_reply = ack.kind == AckKind::PubRec && !ack.reason.is_failure();
    let reply = Ack {
        kind: AckKind::PubRel,
        id: ack.id,
        reason: Reason::ID_NOT_FOUND,
    };
    AckResult {
        reply: needs_reply.then_some(reply),
        ..AckResult::default()
    }
}
