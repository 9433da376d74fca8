//! A message that was sent with QoS 1 or 2 and is not fully acknowledged.

use super::send_queue::QueuedMessage;
use crate::message::{Message, Publication, Qos, Receipt, Terms};
use crate::router::ServiceId;

/// How far the broker has acknowledged a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Not at all: PUBACK or PUBREC is awaited.
    AwaitingAck,
    /// PUBREC came; PUBCOMP is awaited.
    AwaitingPubComp,
    /// Fully.
    Done,
}

/// A message with a packet identifier.
#[derive(Debug)]
pub(super) struct InflightMessage {
    pub id: u16,
    pub stage: Stage,
    /// Whether it was sent before, on this connection or an earlier one.
    pub dup: bool,
    /// The incoming message that waits for the broker to take this one.
    pub receipt: Option<Receipt>,
    /// The service that published it; `None`: the host itself.
    pub service: Option<ServiceId>,
    /// As `QueuedMessage::serial`.
    pub serial: u64,
    /// `None` when it is done.
    pub message: Option<Message>,
    pub terms: Option<Box<Terms>>,
}

impl InflightMessage {
    pub(super) fn new(id: u16, queued: QueuedMessage) -> Self {
        let QueuedMessage {
            publication: Publication { message, terms },
            receipt,
            service,
            serial,
        } = queued;

        Self {
            id,
            stage: Stage::AwaitingAck,
            dup: false,
            receipt,
            service,
            serial,
            message: Some(message),
            terms,
        }
    }

    /// Turns it back into a message that was never sent; `None` when it is done.
    pub(super) fn into_queued(self) -> Option<QueuedMessage> {
        let publication = Publication {
            message: self.message?,
            terms: self.terms,
        };
        Some(QueuedMessage {
            publication,
            receipt: self.receipt,
            service: self.service,
            serial: self.serial,
        })
    }

    pub(super) fn is_done(&self) -> bool {
        self.stage == Stage::Done
    }

    /// The quality of service; QoS 0 stands for a message that is done.
    pub(super) fn qos(&self) -> Qos {
        self.message
            .as_ref()
            .map_or(Qos::AtMostOnce, |message| message.qos)
    }
}
