//! Invocation of a guest for one thing that its mailbox had, as often as it is tried.

use std::sync::Arc;

use crate::effects::DueTimer;
use crate::guest::{Call, OptionalExport};
use crate::mailbox::{Delivery, Notice, Trace};
use crate::message::Receipt;

use super::usage::statistics::Purpose;

/// Reason to invoke a guest; kept until it was handled or given up.
pub(super) enum Invocation {
    Message(Delivery),
    Timer(DueTimer),
    Notice(Notice),
}

impl Invocation {
    /// The guest call of this attempt (from 1).
    pub(super) fn call(&self, attempt: u32) -> Call {
        match self {
            // a message shares its bytes, so the copy for a possible further attempt costs two reference counts
            Self::Message(delivery) => Call::Message {
                message: delivery.message.clone(),
                attempt,
            },
            Self::Timer(due) => Call::Tick(due.clone()),
            Self::Notice(Notice::Connected { session_present }) => Call::Connected {
                session_present: *session_present,
            },
            Self::Notice(Notice::Disconnected) => Call::Disconnected,
            Self::Notice(Notice::Outcome(token, outcome)) => {
                Call::Delivered(*token, outcome.clone())
            }
        }
    }

    /// Row of the statistics that counts it.
    pub(super) fn purpose(&self) -> Purpose<'_> {
        match self {
            Self::Message(_) => Purpose::Message,
            Self::Timer(due) => Purpose::Timer(&due.name, due.count),
            Self::Notice(_) => Purpose::Other,
        }
    }

    /// OptionalExport export that the guest needs for it.
    pub(super) fn export(&self) -> Option<OptionalExport> {
        match self {
            Self::Notice(Notice::Connected { .. }) => Some(OptionalExport::Connected),
            Self::Notice(Notice::Disconnected) => Some(OptionalExport::Disconnected),
            Self::Notice(Notice::Outcome(..)) => Some(OptionalExport::Delivered),
            Self::Message(_) | Self::Timer(_) => None,
        }
    }

    /// Receipt of the message; `None` for QoS 0, timers and notices.
    pub(super) fn receipt(&self) -> Option<Receipt> {
        match self {
            Self::Message(delivery) => delivery.receipt,
            Self::Timer(_) | Self::Notice(_) => None,
        }
    }

    /// Topics that the message has passed, where they are followed.
    pub(super) fn trace(&self) -> Option<Arc<Trace>> {
        match self {
            Self::Message(delivery) => delivery.trace.clone(),
            Self::Timer(_) | Self::Notice(_) => None,
        }
    }

    /// Description for the log.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Message(delivery) => format!("the message on {}", delivery.message.topic),
            Self::Timer(due) => format!("timer {}", due.name),
            Self::Notice(Notice::Connected { .. }) => "connected".to_owned(),
            Self::Notice(Notice::Disconnected) => "disconnected".to_owned(),
            Self::Notice(Notice::Outcome(..)) => "delivered".to_owned(),
        }
    }
}
