//! Delivery of a message to a service, and its outcome.

use std::sync::Arc;

use crate::message::{Message, Receipt};
use crate::topic::Topic;

/// A message on its way to a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The message.
    pub message: Message,
    /// Receipt to acknowledge when it was handled; `None` for QoS 0.
    pub receipt: Option<Receipt>,
    /// Topics that the message has passed, if they are followed.
    pub trace: Option<Arc<Trace>>,
}

impl Delivery {
    /// Creates a delivery without a trace.
    pub fn new(message: Message, receipt: Option<Receipt>) -> Self {
        Self {
            message,
            receipt,
            trace: None,
        }
    }
}

/// Topics that a message has passed: it was published because of another message, and so on back to an origin.
#[derive(Debug, PartialEq, Eq)]
pub struct Trace {
    /// Topic of the first message.
    pub origin: Topic,
    /// Number of times that the topic occurred again.
    pub rounds: u32,
}

/// Outcome of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "dropped messages have to be acknowledged"]
pub enum PushOutcome {
    /// It waits in the mailbox.
    Taken,
    /// It waits in the mailbox, and these older messages were dropped for it.
    Replaced(Vec<Delivery>),
    /// It was dropped.
    Refused(Delivery),
}
