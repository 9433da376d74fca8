//! Events of the session state for the log, and their text.

use std::fmt;

use super::poison::Ban;
use crate::message::Qos;
use crate::router::ServiceId;
use crate::session::packet::{Reason, RejectedPublish};
use crate::topic::{Filter, Topic};

/// Something that an operator should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The broker did not take a QoS 1 or 2 message (PUBACK or PUBREC with a failure).
    Refused {
        /// The message's topic.
        topic: Topic,
        /// The broker's reason.
        reason: Reason,
    },
    /// A message was not sent, because the broker would end the connection for its size.
    TooLarge {
        /// The message's topic.
        topic: Topic,
        /// The whole packet in bytes; `None`: more than MQTT can express.
        size: Option<usize>,
        /// The broker's limit, in bytes.
        max: u32,
    },
    /// A message came that cannot be delivered; it was acknowledged, as far as it could be.
    Rejected(RejectedPublish),
    /// An acknowledgement came whose packet identifier cannot be read.
    Unattributed {
        /// The packet type.
        packet: &'static str,
    },
    /// Messages were dropped while there was no connection: of QoS 0 because the outbox was full, or by a rule.
    Dropped {
        /// How many since the connection was lost.
        count: u64,
    },
    /// The broker lost the session, and with it the messages that it had not delivered. Messages that it had not acknowledged
    /// are sent again as new ones, so some may arrive twice; messages that it had delivered are handled to their end.
    SessionLost {
        /// How many messages are sent again.
        again: u64,
        /// How many are still being handled.
        unfinished: usize,
    },
    /// The broker supports less than was asked for: the message is sent with a lower quality of service or without retain.
    Lowered {
        /// The message's topic.
        topic: Topic,
        /// The missing feature.
        what: &'static str,
    },
    /// The broker refused a subscription.
    SubscriptionRefused {
        /// The subscription's filter.
        filter: Filter,
        /// The broker's reason.
        reason: Reason,
    },
    /// The broker delivers with a lower quality of service than was asked for.
    SubscriptionLowered {
        /// The subscription's filter.
        filter: Filter,
        /// The granted quality of service.
        granted: Qos,
    },
    /// The broker ended two connections in a row, each soon after something was sent: a search for the poison packet begins.
    SearchBegins,
    /// The search found that no packet is to blame.
    SearchAbandoned,
    /// The broker ends the connection for a message, which becomes a dead letter.
    Quarantined {
        /// The service that published it; `None`: the host itself.
        service: Option<ServiceId>,
        /// The message's topic.
        topic: Topic,
        /// The message's quality of service.
        qos: Qos,
        /// The reason, for people.
        reason: &'static str,
    },
    /// A ban on messages that resemble quarantined ones begins or ends.
    Banned(Ban),
    /// The broker ends the connection for a filter, which is therefore not subscribed to.
    FilterQuarantined {
        /// The filter.
        filter: Filter,
        /// Whether UNSUBSCRIBE, and not SUBSCRIBE, ended the connection.
        unsubscribe: bool,
    },
    /// The broker accepts only few filters in one packet.
    FewFilters {
        /// The number that it accepts.
        max: usize,
    },
    /// The broker did not end a subscription.
    UnsubscribeRefused {
        /// The subscription's filter.
        filter: Filter,
        /// The broker's reason.
        reason: Reason,
    },
}

impl Event {
    /// The key under which frequent events are counted together; `None`: the event is always logged.
    pub const fn throttle_key(&self) -> Option<&'static str> {
        match self {
            Self::Rejected(rejected) => Some(rejected.reason),
            Self::Unattributed { packet } => Some(packet),
            Self::Lowered { what, .. } => Some(what),
            _ => None,
        }
    }

    /// Whether something was lost or will not work; other events are only worth a note.
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

    /// The service that the event concerns, if any.
    pub const fn service(&self) -> Option<ServiceId> {
        match self {
            Self::Quarantined { service, .. } => *service,
            Self::Banned(ban) => Some(ban.service),
            _ => None,
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { .. }
            | Self::TooLarge { .. }
            | Self::Dropped { .. }
            | Self::Lowered { .. } => self.fmt_outgoing(f),
            Self::SubscriptionRefused { .. }
            | Self::SubscriptionLowered { .. }
            | Self::UnsubscribeRefused { .. } => self.fmt_subscription(f),
            Self::SearchBegins
            | Self::SearchAbandoned
            | Self::Quarantined { .. }
            | Self::Banned(_)
            | Self::FilterQuarantined { .. }
            | Self::FewFilters { .. } => self.fmt_poison(f),
            Self::Rejected(rejected) if rejected.id == 0 && rejected.qos != Qos::AtMostOnce => {
                write!(
                    f,
                    "a message from the broker is delivered to nobody, and cannot be acknowledged: {rejected}"
                )
            }
            Self::Rejected(rejected) => {
                write!(
                    f,
                    "a message from the broker is delivered to nobody: {rejected}"
                )
            }
            Self::Unattributed { packet } => {
                write!(f, "the broker sent {packet} without a packet identifier")
            }
            Self::SessionLost { again, unfinished } => write!(
                f,
                "the broker lost the session, and with it an unknown number of undelivered messages; {again} unacknowledged \
                 messages are sent again as new ones, {unfinished} delivered messages are handled to their end"
            ),
        }
    }
}

impl Event {
    fn fmt_outgoing(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { topic, reason } => {
                write!(f, "the broker refused the message on {topic}: {reason}")
            }
            Self::TooLarge {
                topic,
                size: Some(size),
                max,
            } => write!(
                f,
                "the message on {topic} was not sent: {size} bytes; the broker allows {max}"
            ),
            Self::TooLarge {
                topic, size: None, ..
            } => write!(
                f,
                "the message on {topic} was not sent: it is larger than MQTT can express"
            ),
            Self::Dropped { count } => write!(
                f,
                "{count} messages were dropped without a connection: by a rule of offline, or with QoS 0 because the outbox was full"
            ),
            Self::Lowered { topic, what } => {
                write!(f, "the message on {topic} was sent without {what}")
            }
            _ => Ok(()),
        }
    }

    fn fmt_subscription(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SubscriptionRefused { filter, reason } => write!(
                f,
                "the broker refused the subscription to {filter}: {reason}"
            ),
            Self::SubscriptionLowered { filter, granted } => write!(
                f,
                "the broker granted only QoS {} for {filter}",
                u8::from(*granted)
            ),
            Self::UnsubscribeRefused { filter, reason } => write!(
                f,
                "the broker did not end the subscription to {filter}: {reason}"
            ),
            _ => Ok(()),
        }
    }

    fn fmt_poison(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SearchBegins => f.write_str(
                "the broker ended two connections soon after something was sent; searching for the cause, with less sent at a time",
            ),
            Self::SearchAbandoned => f.write_str(
                "no packet is to blame for the connections that the broker ended; nothing is set aside",
            ),
            Self::Quarantined {
                topic, qos, reason, ..
            } => write!(
                f,
                "the message on {topic} with QoS {} is set aside and kept as a dead letter: {reason}",
                u8::from(*qos)
            ),
            Self::Banned(ban) => fmt_ban(ban, f),
            Self::FilterQuarantined {
                filter,
                unsubscribe: false,
            } => write!(
                f,
                "the broker ends the connection for the subscription to {filter}; it is tried again in an hour, or when a service \
                 asks for it again"
            ),
            Self::FilterQuarantined {
                filter,
                unsubscribe: true,
            } => write!(
                f,
                "the broker ends the connection for the end of the subscription to {filter}, which therefore stays"
            ),
            Self::FewFilters { max } => write!(
                f,
                "the broker ends the connection for many filters in one packet; it gets {max} at a time from now on"
            ),
            _ => Ok(()),
        }
    }
}

fn fmt_ban(ban: &Ban, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match &ban.topic {
        Some(topic) => write!(f, "its messages on {topic} are ")?,
        None => f.write_str("all its messages are ")?,
    }
    match ban.ended {
        None => f.write_str(
            "set aside for now without a try: the broker ended the connection for several such messages",
        ),
        Some(count) => write!(f, "sent again; {count} messages were set aside"),
    }
}
