//! Pure: what the session state has to tell besides packets. In: the parts of the state. Out: events for the log. Owns
//! nothing. Nothing is dropped, refused or repeated without one.

use std::fmt;

use std::sync::Arc;

use super::poison::Ban;
use crate::message::{Message, Outcome, Publication, Qos, Receipt, Terms, Token};
use crate::router::ServiceId;
use crate::session::packet::{Reason, RejectedPublish};
use crate::topic::{Filter, Topic};

/// What happened in the state since it was last asked.
#[derive(Debug, Default)]
pub struct News {
    /// For the log.
    pub events: Vec<Event>,
    /// Incoming messages that wait no longer for a publish of theirs.
    pub gone: Vec<Receipt>,
    /// What became of messages that somebody asked about.
    pub outcomes: Vec<(Token, Outcome)>,
    /// What is to be kept on disk.
    pub kept: Vec<PersistOp>,
}

impl News {
    /// Tells what became of a message on these terms, once; it waits no longer.
    pub fn settle(&mut self, terms: &Terms, outcome: impl FnOnce() -> Outcome) {
        self.outcomes
            .extend(terms.token.map(|token| (token, outcome())));
        self.kept.extend(terms.kept.map(PersistOp::Delete));
    }

    /// Tells that a message is not sent, and keeps it as a dead letter.
    pub fn set_aside(
        &mut self,
        service: Option<ServiceId>,
        publication: Publication,
        reason: &'static str,
    ) {
        let Publication { message, terms } = publication;
        let token = terms.as_ref().and_then(|terms| terms.token);
        self.outcomes
            .extend(token.map(|token| (token, Outcome::Refused(reason.to_owned()))));
        let kept = terms.and_then(|terms| terms.kept);
        self.kept
            .push(PersistOp::DeadLetter(Box::new(UnsentMessage {
                kept,
                origin: Origin::of(service),
                message,
                reason,
            })));
    }

    /// Whether there is anything for somebody outside of the state.
    pub const fn is_empty(&self) -> bool {
        self.events.is_empty() && self.outcomes.is_empty() && self.kept.is_empty()
    }
}

/// A change to what is kept on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PersistOp {
    /// Keep this message under this number while it waits to be sent.
    Put(u64, Origin, Message),
    /// The message of this number waits no longer to be sent.
    Delete(u64),
    /// The incoming message of this number (of `Receipt::Kept`) is handled, and the broker has taken what came of it.
    Handled(u64),
    /// Keep this message as a dead letter: it is never sent.
    DeadLetter(Box<UnsentMessage>),
}

/// Who published a message that is kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Origin {
    /// The service; `None`: the host itself, or a service of an earlier run.
    pub service: Option<ServiceId>,
    /// Its name, as far as it is known.
    pub name: Option<Arc<str>>,
}

impl Origin {
    /// A service whose name is not looked up yet.
    pub const fn of(service: Option<ServiceId>) -> Self {
        Self {
            service,
            name: None,
        }
    }
}

/// A message that an earlier run kept while it waited to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoredMessage {
    /// The number under which it is kept.
    pub number: u64,
    /// The name of the service that published it, as far as it is known.
    pub publisher: Option<Arc<str>>,
    /// The message.
    pub publication: Publication,
}

/// A message that is never sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnsentMessage {
    /// The number under which it was kept while it waited.
    pub kept: Option<u64>,
    /// Who published it.
    pub origin: Origin,
    /// The message.
    pub message: Message,
    /// Why.
    pub reason: &'static str,
}

/// Something that an operator wants to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The broker did not take a QoS 1 or 2 message (PUBACK or PUBREC with a failure).
    Refused {
        /// Of the message.
        topic: Topic,
        /// The broker's reason.
        reason: Reason,
    },
    /// A message was not sent, because the broker would end the connection for its size.
    TooLarge {
        /// Of the message.
        topic: Topic,
        /// The whole packet in bytes; `None`: more than MQTT can express.
        size: Option<usize>,
        /// What the broker allows, in bytes.
        max: u32,
    },
    /// A message came that cannot be delivered; it was acknowledged, as far as it could be.
    Rejected(RejectedPublish),
    /// An acknowledgement came of which cannot be read what it is for.
    Unattributed {
        /// The packet type.
        packet: &'static str,
    },
    /// Messages were dropped while there was no connection: of QoS 0 because the outbox was full, or by a rule.
    Dropped {
        /// How many since the connection was lost.
        count: u64,
    },
    /// The broker lost the session, and with it what it had not delivered. The rest is known: what it had not acknowledged is sent again
    /// as new messages, so some may arrive twice, and what it had delivered is handled to its end.
    SessionLost {
        /// How many messages are sent again.
        again: u64,
        /// How many are still being handled.
        unfinished: usize,
    },
    /// The broker takes less than was asked for: the message is sent with a lower quality of service or without retain.
    Lowered {
        /// Of the message.
        topic: Topic,
        /// What is missing.
        what: &'static str,
    },
    /// The broker refused a subscription.
    SubscriptionRefused {
        /// Of the subscription.
        filter: Filter,
        /// The broker's reason.
        reason: Reason,
    },
    /// The broker delivers with a lower quality of service than was asked for.
    SubscriptionLowered {
        /// Of the subscription.
        filter: Filter,
        /// What the broker granted.
        granted: Qos,
    },
    /// The broker ended two connections one after the other, soon after something was sent on each.
    SearchBegins,
    /// What seemed to be looked for is not there.
    SearchAbandoned,
    /// The broker ends the connection for a message, which is therefore never sent.
    SetAside {
        /// Who published it; `None`: the host itself.
        service: Option<ServiceId>,
        /// Of the message.
        topic: Topic,
        /// Of the message.
        qos: Qos,
        /// Why.
        reason: &'static str,
    },
    /// Messages like those that the broker ended the connection for are not sent for a while, or are again.
    Banned(Ban),
    /// The broker ends the connection for a filter, which is therefore not asked for.
    FilterQuarantined {
        /// The filter.
        filter: Filter,
        /// Whether it was about its end.
        unsubscribe: bool,
    },
    /// The broker takes no more than so many filters in one packet.
    FewFilters {
        /// So many.
        most: usize,
    },
    /// The broker did not end a subscription.
    UnsubscribeRefused {
        /// Of the subscription.
        filter: Filter,
        /// The broker's reason.
        reason: Reason,
    },
}

impl Event {
    /// Of events that come in numbers: what those have in common that are said together.
    pub const fn kind(&self) -> Option<&'static str> {
        match self {
            Self::Rejected(rejected) => Some(rejected.reason),
            Self::Unattributed { packet } => Some(packet),
            Self::Lowered { what, .. } => Some(what),
            _ => None,
        }
    }

    /// Whether something was lost or will not work, as opposed to worth a note.
    pub const fn is_error(&self) -> bool {
        !matches!(
            self,
            Self::SessionLost { .. }
                | Self::Lowered { .. }
                | Self::SubscriptionLowered { .. }
                | Self::FewFilters { .. }
                | Self::SearchBegins
                | Self::SearchAbandoned
                | Self::Banned(Ban { ended: Some(_), .. })
        )
    }

    /// The service that it is about, where it is about one.
    pub const fn service(&self) -> Option<ServiceId> {
        match self {
            Self::SetAside { service, .. } => *service,
            Self::Banned(ban) => Some(ban.service),
            _ => None,
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { topic, reason } => write!(f, "the broker refused the message on {topic}: {reason}"),
            Self::TooLarge { topic, size: Some(size), max } => {
                write!(f, "the message on {topic} was not sent: {size} bytes; the broker allows {max}")
            }
            Self::TooLarge { topic, size: None, .. } => {
                write!(f, "the message on {topic} was not sent: it is larger than MQTT can express")
            }
            Self::Rejected(rejected) if rejected.id == 0 && rejected.qos != Qos::AtMostOnce => {
                write!(f, "a message of the broker is delivered to nobody, and cannot be acknowledged: {rejected}")
            }
            Self::Rejected(rejected) => write!(f, "a message of the broker is delivered to nobody: {rejected}"),
            Self::Unattributed { packet } => {
                write!(f, "the broker sent {packet} without a packet identifier, so it is not known what for")
            }
            Self::Dropped { count } => {
                write!(
                    f,
                    "without a connection {count} messages were dropped: by a rule of offline, or of QoS 0 because the outbox was full"
                )
            }
            Self::SessionLost { again, unfinished } => {
                write!(
                    f,
                    "the broker lost the session, and what it had not delivered, of which only it knew how much: {again} \
                     unacknowledged messages are sent again as new ones, {unfinished} that it had delivered are handled to their end"
                )
            }
            Self::Lowered { topic, what } => write!(f, "the message on {topic} was sent without {what}"),
            Self::SubscriptionRefused { filter, reason } => {
                write!(f, "the broker refused the subscription to {filter}: {reason}")
            }
            Self::SubscriptionLowered { filter, granted } => {
                write!(f, "the broker granted only QoS {} for {filter}", u8::from(*granted))
            }
            Self::SearchBegins => f.write_str(
                "the broker ended two connections soon after something was sent; it is looked for what it ends them for, with less at a \
                 time",
            ),
            Self::SearchAbandoned => {
                f.write_str("nothing that is sent is to blame for the connections that the broker ended; nothing is set aside")
            }
            Self::SetAside { topic, qos, reason, .. } => {
                let qos = u8::from(*qos);
                write!(f, "the message on {topic} with QoS {qos} is set aside and kept as a dead letter: {reason}")
            }
            Self::Banned(Ban { topic, ended, .. }) => {
                let what = topic.as_ref().map_or_else(|| "whatever".to_owned(), |topic| format!("on {topic}"));
                match ended {
                    None => write!(
                        f,
                        "what it publishes {what} is set aside for now without a try: the broker ended the connection for several such \
                         messages"
                    ),
                    Some(count) => write!(f, "what it publishes {what} is sent again; {count} messages were set aside"),
                }
            }
            Self::FilterQuarantined { filter, unsubscribe: false } => {
                write!(
                    f,
                    "the broker ends the connection for the subscription to {filter}; it is tried again in an hour, or when a service \
                     asks for it again"
                )
            }
            Self::FilterQuarantined { filter, unsubscribe: true } => {
                write!(f, "the broker ends the connection for the end of the subscription to {filter}, which therefore stays")
            }
            Self::FewFilters { most } => {
                write!(f, "the broker ends the connection for many filters in one packet; it gets {most} at a time from now on")
            }
            Self::UnsubscribeRefused { filter, reason } => {
                write!(f, "the broker did not end the subscription to {filter}: {reason}")
            }
        }
    }
}
