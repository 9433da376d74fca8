//! Words: what a guest is to do. In: what its mailbox had. Out: the call for it, as often as it is tried. Owns the message.

use std::sync::Arc;

use crate::effects::DueTimer;
use crate::guest::{Call, OptionalExport};
use crate::mailbox::{Delivery, Notice, Trace};
use crate::message::Receipt;
use crate::service::statistics::Purpose;

/// What a guest is to do; kept so that it can be tried again.
pub(super) enum Work {
    Message(Delivery),
    Tick(DueTimer),
    Notice(Notice),
}

impl Work {
    pub(super) fn call(&self, attempt: u32) -> Call {
        match self {
            // a message shares its bytes, so the copy for a possible further attempt costs two reference counts
            Self::Message(delivery) => Call::Message {
                message: delivery.message.clone(),
                attempt,
            },
            Self::Tick(due) => Call::Tick(due.clone()),
            Self::Notice(Notice::Connected { session_present }) => Call::Connected {
                session_present: *session_present,
            },
            Self::Notice(Notice::Disconnected) => Call::Disconnected,
            Self::Notice(Notice::Outcome(token, outcome)) => {
                Call::Delivered(*token, outcome.clone())
            }
        }
    }

    pub(super) fn purpose(&self) -> Purpose<'_> {
        match self {
            Self::Message(_) => Purpose::Message,
            Self::Tick(due) => Purpose::Timer(&due.name, due.count),
            Self::Notice(_) => Purpose::Other,
        }
    }

    /// The export that the guest needs for it.
    pub(super) fn export(&self) -> Option<OptionalExport> {
        match self {
            Self::Notice(Notice::Connected { .. }) => Some(OptionalExport::Connected),
            Self::Notice(Notice::Disconnected) => Some(OptionalExport::Disconnected),
            Self::Notice(Notice::Outcome(..)) => Some(OptionalExport::Delivered),
            Self::Message(_) | Self::Tick(_) => None,
        }
    }

    pub(super) fn receipt(&self) -> Option<Receipt> {
        match self {
            Self::Message(delivery) => delivery.receipt,
            Self::Tick(_) | Self::Notice(_) => None,
        }
    }

    /// The way that the message has come, where that is followed.
    pub(super) fn trace(&self) -> Option<Arc<Trace>> {
        match self {
            Self::Message(delivery) => delivery.trace.clone(),
            Self::Tick(_) | Self::Notice(_) => None,
        }
    }

    pub(super) fn describe(&self) -> String {
        match self {
            Self::Message(delivery) => format!("the message on {}", delivery.message.topic),
            Self::Tick(due) => format!("timer {}", due.name),
            Self::Notice(Notice::Connected { .. }) => "connected".to_owned(),
            Self::Notice(Notice::Disconnected) => "disconnected".to_owned(),
            Self::Notice(Notice::Outcome(..)) => "delivered".to_owned(),
        }
    }
}
