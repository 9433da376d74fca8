//! Pure: what the broker's acknowledgements do to outgoing messages. In: PUBACK, PUBREC, PUBCOMP. Out: receipts whose message was taken,
//! what is to be sent in return. Owns nothing: the outbox has the messages.

use super::inflight::Stage;
use super::{Outbox, settle};
use crate::message::{Outcome, Qos, Receipt};
use crate::session::packet::{Ack, AckKind, Reason};
use crate::session::state::ids::Ids;
use crate::session::state::output::{Event, News};

/// What an acknowledgement came to.
#[derive(Debug, Default)]
pub struct Acknowledged {
    /// The incoming message that waited for it.
    pub receipt: Option<Receipt>,
    /// What is to be sent in return.
    pub reply: Option<Ack>,
    /// The serial number of the message.
    pub serial: Option<u64>,
}

impl Outbox {
    /// The broker acknowledged something of ours: PUBACK, PUBREC or PUBCOMP.
    pub fn acknowledged(&mut self, ack: Ack, ids: &mut Ids, news: &mut News) -> Acknowledged {
        let Some(place) = self.find(ack.id) else {
            return unknown(ack);
        };
        let flight = &mut self.inflight[place];
        let mut acknowledged = Acknowledged {
            serial: Some(flight.serial),
            ..Acknowledged::default()
        };
        match (ack.kind, flight.qos()) {
            (AckKind::PubRec, Qos::ExactlyOnce) if !ack.reason.is_failure() => {
                flight.stage = Stage::Received;
                acknowledged.receipt = flight.receipt.take();
                acknowledged.reply = Some(Ack::success(AckKind::PubRel, ack.id));
                settle(flight.terms.take().as_deref(), news, || Outcome::Delivered);
            }
            (AckKind::PubAck, Qos::AtLeastOnce)
            | (AckKind::PubRec | AckKind::PubComp, Qos::ExactlyOnce) => {
                acknowledged.receipt = flight.receipt.take();
                let refused = ack.reason.is_failure() && ack.reason != Reason::ID_NOT_FOUND;
                self.taken(place, refused.then_some(ack.reason), news);
                self.finish(place, ids);
            }
            _ => {}
        }
        acknowledged
    }

    /// Tells that the broker took a message, or why it refused it.
    fn taken(&mut self, place: usize, refused: Option<Reason>, news: &mut News) {
        let flight = &mut self.inflight[place];
        let terms = flight.terms.take();
        let Some(reason) = refused else {
            return settle(terms.as_deref(), news, || Outcome::Delivered);
        };
        if let Some(message) = &flight.message {
            self.last_published.forget(&message.topic);
            news.events.push(Event::Refused {
                topic: message.topic.clone(),
                reason,
            });
        }
        settle(terms.as_deref(), news, || {
            Outcome::Refused(reason.to_string())
        });
    }
}

/// An acknowledgement of nothing that we know: PUBREC is answered, so that the broker can end the exchange.
fn unknown(ack: Ack) -> Acknowledged {
    let wanted = ack.kind == AckKind::PubRec && !ack.reason.is_failure();
    let reply = Ack {
        kind: AckKind::PubRel,
        id: ack.id,
        reason: Reason::ID_NOT_FOUND,
    };
    Acknowledged {
        reply: wanted.then_some(reply),
        ..Acknowledged::default()
    }
}
