//! Pure: one message that was sent with QoS 1 or 2 and is not fully acknowledged. In, out: the outbox. Owns the message.

use super::send_queue::QueuedMessage;
use crate::message::{Message, Publication, Qos, Receipt, Terms};
use crate::router::ServiceId;

/// How far the broker has acknowledged it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Not at all.
    Sent,
    /// PUBREC came; PUBCOMP is awaited.
    Received,
    /// Fully.
    Done,
}

/// A message with a packet identifier.
#[derive(Debug)]
pub struct InflightMessage {
    pub id: u16,
    pub stage: Stage,
    /// Whether it was handed out before, on this connection or an earlier one.
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
    pub fn new(id: u16, queued: QueuedMessage) -> Self {
        let QueuedMessage {
            publication: Publication { message, terms },
            receipt,
            service,
            serial,
        } = queued;
        Self {
            id,
            stage: Stage::Sent,
            dup: false,
            receipt,
            service,
            serial,
            message: Some(message),
            terms,
        }
    }

    pub fn is_done(&self) -> bool {
        self.stage == Stage::Done
    }

    /// QoS 0 stands for a flight that is done and awaits nothing.
    pub fn qos(&self) -> Qos {
        self.message
            .as_ref()
            .map_or(Qos::AtMostOnce, |message| message.qos)
    }
}
