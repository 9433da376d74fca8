//! One MQTT message, incoming or outgoing, the same for both protocol versions. Topic and payload
//! are shared, so a clone copies no bytes.

pub mod record;

use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::offline::OfflineRule;
use crate::topic::{Filter, Topic};

/// Quality of service (MQTT 5, section 4.3).
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(into = "u8", try_from = "u8")]
pub enum Qos {
    /// QoS 0: sent once, not acknowledged.
    #[default]
    AtMostOnce = 0,
    /// QoS 1: acknowledged; may arrive more than once.
    AtLeastOnce = 1,
    /// QoS 2: arrives exactly once while the session lives.
    ExactlyOnce = 2,
}

impl From<Qos> for u8 {
    fn from(qos: Qos) -> u8 {
        qos as u8
    }
}

/// A number that is not a quality of service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not a quality of service: 0, 1 or 2")]
pub struct QosError(pub u8);

impl TryFrom<u8> for Qos {
    type Error = QosError;

    fn try_from(number: u8) -> Result<Self, QosError> {
        match number {
            0 => Ok(Self::AtMostOnce),
            1 => Ok(Self::AtLeastOnce),
            2 => Ok(Self::ExactlyOnce),
            other => Err(QosError(other)),
        }
    }
}

/// The properties of a PUBLISH that travel from publisher to subscriber (MQTT 5, section 3.3.2.3).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Properties {
    /// Full topic for a response.
    pub response_topic: Option<Topic>,
    /// Opaque bytes by which the requester recognises the response.
    pub correlation_data: Option<Bytes>,
    /// MIME type of the payload, by convention.
    pub content_type: Option<String>,
    /// Seconds after which the broker no longer delivers the message.
    pub message_expiry: Option<u32>,
    /// Incoming: when `message_expiry` is over; set when the message arrives. It does not travel.
    pub expires_at: Option<Instant>,
    /// Incoming: when the message arrived, if its trace is recorded. It does not travel.
    pub arrived_at: Option<SystemTime>,
    /// Whether the payload is declared to be UTF-8 text (payload format indicator 1).
    pub utf8: bool,
    /// Free pairs of name and value; names may repeat, order is kept.
    pub user_properties: Vec<(String, String)>,
}

impl Properties {
    /// The message expiry of a message that is of no use after `span`: whole seconds, rounded up; `None`: longer than MQTT can say.
    pub fn expiry_after(span: Duration) -> Option<u32> {
        let seconds = span.as_secs() + u64::from(span.subsec_nanos() > 0);
        u32::try_from(seconds).ok()
    }
}

/// One message. For an outgoing one `dup` is false: whether a transmission is a repeated one is the session's matter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The full topic.
    pub topic: Topic,
    /// The payload, as it came.
    pub payload: Bytes,
    /// Quality of service.
    pub qos: Qos,
    /// Incoming: kept by the broker from before the subscription. Outgoing: to be kept by the broker.
    pub retain: bool,
    /// Incoming: may have been delivered before.
    pub dup: bool,
    /// Present when there are any; boxed, because most messages have none.
    pub properties: Option<Box<Properties>>,
}

impl Message {
    /// An outgoing message without properties.
    pub fn new(topic: Topic, payload: impl Into<Bytes>, qos: Qos, retain: bool) -> Self {
        Self {
            topic,
            payload: payload.into(),
            qos,
            retain,
            dup: false,
            properties: None,
        }
    }

    /// Returns the message in memory of its own, to be kept for long: a message from the broker shares the buffer into which it was
    /// read, and keeps all of that.
    pub fn to_detached(&self) -> Self {
        let mut own = Self {
            topic: self.topic.to_detached(),
            payload: Bytes::copy_from_slice(&self.payload),
            ..self.clone()
        };
        if let Some(properties) = &mut own.properties {
            properties.response_topic = properties.response_topic.as_ref().map(Topic::to_detached);
            properties.correlation_data = properties
                .correlation_data
                .as_deref()
                .map(Bytes::copy_from_slice);
        }

        own
    }

    /// Returns roughly the memory of the message in bytes, by which queues are bounded.
    pub fn weight(&self) -> usize {
        let properties = self.properties.as_ref().map_or(0, |p| {
            let pairs: usize = p
                .user_properties
                .iter()
                .map(|(k, v)| k.len() + v.len())
                .sum();
            pairs + p.correlation_data.as_ref().map_or(0, Bytes::len) + size_of::<Properties>()
        });

        size_of::<Self>() + self.topic.as_str().len() + self.payload.len() + properties
    }
}

/// A message to publish, and on which terms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// The message.
    pub message: Message,
    /// Present when there are any; boxed, because most messages have none.
    pub terms: Option<Box<Terms>>,
}

impl From<Message> for Publication {
    fn from(message: Message) -> Self {
        Self {
            message,
            terms: None,
        }
    }
}

/// On which terms a message is published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// Names the message in the report of its outcome; `None`: no report is needed.
    pub token: Option<Token>,
    /// When to leave it out.
    pub only_if_changed: Option<OnlyIfChanged>,
    /// Rule for the time without a connection; `None`: it waits as long as there is room.
    pub offline: Option<Arc<OfflineRule>>,
    /// The number under which it is kept on disk while it waits; given by the session.
    pub kept: Option<u64>,
    /// When it was published.
    pub at: Instant,
}

/// Names one published message. Unique for the life of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token(pub NonZeroU64);

/// The last token that was given out.
static LAST_TOKEN: AtomicU64 = AtomicU64::new(0);

impl Token {
    /// The next token.
    pub fn next() -> Self {
        let last = LAST_TOKEN.fetch_add(1, Ordering::Relaxed);
        Self(NonZeroU64::MIN.saturating_add(last))
    }
}

/// When a message is left out whose payload is that of the last one for the same topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnlyIfChanged {
    /// However long ago that one was.
    Always,
    /// When that one is younger.
    Within(Duration),
}

/// Outcome of a message that was published with QoS 1 or 2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The broker has taken it.
    Delivered,
    /// The broker did not take it in time; it is tried further, but no more is told about it.
    TimedOut,
    /// It will not be sent (any more); says why.
    Refused(String),
}

/// A filter and the highest quality of service in which messages shall be delivered for it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Subscription {
    /// The full filter.
    pub filter: Filter,
    /// The requested quality of service.
    pub qos: Qos,
}

/// A change of the subscriptions of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubscriptionChange {
    /// Subscribe, or change the QoS of an existing subscription.
    Subscribe(Subscription),
    /// End a subscription; ignored when there is none.
    Unsubscribe(Filter),
}

impl SubscriptionChange {
    /// Returns the subscription, if it is one.
    pub const fn subscription(&self) -> Option<&Subscription> {
        match self {
            Self::Subscribe(subscription) => Some(subscription),
            Self::Unsubscribe(_) => None,
        }
    }
}

/// Names one message that is to be finished: by its acknowledgement, or by deleting it from the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Receipt {
    /// A QoS 1 or 2 message that the broker has not got an acknowledgement for. Unique for the life of the host, so a receipt
    /// from before a reconnection can never acknowledge another message.
    Arrived(u64),
    /// A message that is acknowledged and kept in the store under this number until it is handled.
    Kept(u64),
}
