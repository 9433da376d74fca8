//! Words: a message on its way to a service. In: what the router found. Out: the message with what to name when it is handled, and
//! the way that it has come. Owns nothing.

use std::sync::Arc;

use crate::message::{Message, Receipt};
use crate::topic::Topic;

/// A message on its way to a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The message.
    pub message: Message,
    /// What to name when it is handled; `None` for QoS 0.
    pub receipt: Option<Receipt>,
    /// The way it has come, where that is followed.
    pub trace: Option<Arc<Trace>>,
}

impl Delivery {
    /// A message whose way is not followed.
    pub fn new(message: Message, receipt: Option<Receipt>) -> Self {
        Self {
            message,
            receipt,
            trace: None,
        }
    }
}

/// The way of a message that came of another one, which came of another one.
#[derive(Debug, PartialEq, Eq)]
pub struct Trace {
    /// The topic of the first.
    pub origin: Topic,
    /// How often that topic has come again.
    pub rounds: u32,
}

/// What became of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "the receipt of what was dropped has to be settled"]
pub enum Delivered {
    /// It waits in the mailbox.
    Taken,
    /// It waits, and these older ones were dropped for it.
    Replaced(Vec<Delivery>),
    /// It was dropped.
    Refused(Delivery),
}
