//! One call of a recording: the export with its arguments, the inputs, and the outcome.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Content, Inputs};
use crate::effects::{Effects, TimerChange};
use crate::message::record::Record;
use crate::message::{Message, OnlyIfChanged, Publication, SubscriptionChange};

/// One call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallRecord {
    /// When it began, in milliseconds since 1970.
    pub at: u64,
    /// The export with its arguments.
    #[serde(flatten)]
    pub call: RecordedCall,
    /// Inputs from the host.
    #[serde(default, skip_serializing_if = "Inputs::is_empty")]
    pub inputs: Inputs,
    /// Its effect.
    #[serde(flatten)]
    pub effect: Effect,
}

/// An export with its arguments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "call", rename_all = "kebab-case")]
pub enum RecordedCall {
    /// A new instance was made, and its `start` called.
    Start,
    /// `stop`, after which the instance was dropped.
    Stop,
    /// `handle`.
    Message {
        /// The message.
        message: RecordedMessage,
        /// Which attempt at it this is, from 1.
        attempt: u32,
    },
    /// `tick`.
    Tick {
        /// The timer that is due.
        timer: String,
        /// How often it was due.
        count: u64,
    },
    /// `connected`.
    Connected {
        /// Whether the broker still knew the session.
        session_present: bool,
    },
    /// `disconnected`.
    Disconnected,
    /// `delivered`.
    Delivered {
        /// The token of the message.
        token: u64,
        /// Its outcome.
        outcome: DeliveryOutcome,
    },
}

/// Outcome of a message that was published with QoS 1 or 2.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeliveryOutcome {
    /// The broker has taken it.
    Delivered,
    /// The broker did not take it in time.
    TimedOut,
    /// It will not be sent, for this reason.
    Refused(String),
}

/// The effect of a call. Changes of the state are not part of it: they show in what the service publishes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Effect {
    /// Published messages.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub publishes: Vec<RecordedMessage>,
    /// Changes of timers, in words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub timers: Vec<String>,
    /// Changes of subscriptions, in words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub subscriptions: Vec<String>,
    /// The fault of the guest; then nothing else has happened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A message, incoming or published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "MessageForm", try_from = "MessageForm")]
pub struct RecordedMessage {
    /// The message.
    pub message: Message,
    /// When it is left out, in words.
    pub only_if_changed: Option<String>,
}

/// A message in JSON.
#[derive(Serialize, Deserialize)]
struct MessageForm {
    #[serde(flatten)]
    head: Record,
    payload: Content,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    dup: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    only_if_changed: Option<String>,
}

/// A message that MQTT cannot carry.
#[derive(Debug, thiserror::Error)]
#[error("a message has a topic or a property that MQTT cannot carry")]
struct NoMessage;

impl From<RecordedMessage> for MessageForm {
    fn from(recorded: RecordedMessage) -> Self {
        Self {
            head: Record::from(&recorded.message),
            payload: Content(recorded.message.payload),
            dup: recorded.message.dup,
            only_if_changed: recorded.only_if_changed,
        }
    }
}

impl TryFrom<MessageForm> for RecordedMessage {
    type Error = NoMessage;

    fn try_from(form: MessageForm) -> Result<Self, NoMessage> {
        let mut message = form.head.with(&form.payload.0).ok_or(NoMessage)?;
        message.dup = form.dup;
        Ok(Self {
            message,
            only_if_changed: form.only_if_changed,
        })
    }
}

impl From<Message> for RecordedMessage {
    fn from(mut message: Message) -> Self {
        // a point of time of this host, which a recording cannot hold
        if let Some(properties) = &mut message.properties {
            properties.expires_at = None;
            properties.arrived_at = None;
        }
        Self {
            message,
            only_if_changed: None,
        }
    }
}

impl From<&Publication> for RecordedMessage {
    fn from(publication: &Publication) -> Self {
        let rule = publication
            .terms
            .as_ref()
            .and_then(|terms| terms.only_if_changed);
        let only_if_changed = rule.map(|rule| match rule {
            OnlyIfChanged::Always => "only if changed".to_owned(),
            OnlyIfChanged::Within(time) => {
                format!("only if changed within {} ms", time.as_millis())
            }
        });

        Self {
            only_if_changed,
            ..publication.message.clone().into()
        }
    }
}

impl RecordedMessage {
    /// Bytes of its payload.
    pub fn payload(&self) -> &Bytes {
        &self.message.payload
    }
}

impl Effect {
    /// The effect of a call that failed.
    pub fn of_fault(fault: &impl ToString) -> Self {
        Self {
            error: Some(fault.to_string()),
            ..Self::default()
        }
    }
}

impl From<&Effects> for Effect {
    fn from(effects: &Effects) -> Self {
        Self {
            publishes: effects.publishes.iter().map(Into::into).collect(),
            timers: effects.timers.iter().map(timer).collect(),
            subscriptions: effects.subscriptions.iter().map(subscription).collect(),
            error: None,
        }
    }
}

fn timer(change: &TimerChange) -> String {
    match change {
        TimerChange::Every {
            name,
            period,
            delay,
        } => format!(
            "{name} every {} ms, first in {} ms",
            period.as_millis(),
            delay.as_millis()
        ),
        TimerChange::After { name, delay } => format!("{name} in {} ms", delay.as_millis()),
        TimerChange::Cancel { name } => format!("{name} cancelled"),
    }
}

fn subscription(change: &SubscriptionChange) -> String {
    match change {
        SubscriptionChange::Subscribe(subscription) => format!(
            "{}, qos {}",
            subscription.filter.as_str(),
            u8::from(subscription.qos)
        ),
        SubscriptionChange::Unsubscribe(filter) => format!("{} ended", filter.as_str()),
    }
}

impl CallRecord {
    /// Roughly the memory that it takes, by which a queue is bounded.
    pub fn weight(&self) -> usize {
        let argument = match &self.call {
            RecordedCall::Message { message, .. } => message.message.weight(),
            _ => 0,
        };
        let published = self.effect.publishes.iter();
        let published: usize = published.map(|one| one.message.weight()).sum();
        let inputs = &self.inputs;
        let clocks = size_of::<u64>() * (inputs.wall.len() + inputs.monotonic.len());
        let random = inputs.random.0.len() + inputs.insecure.0.len();
        let requests = inputs.requests.iter();
        let requests: usize = requests.map(|one| one.request.message.weight()).sum();

        size_of::<Self>() + argument + published + clocks + random + 2 * requests
    }

    /// The call as the heading of a difference.
    pub fn describe(&self) -> String {
        match &self.call {
            RecordedCall::Start => "start".to_owned(),
            RecordedCall::Stop => "stop".to_owned(),
            RecordedCall::Message { message, attempt } => match attempt {
                1 => format!("message {}", message.message.topic),
                attempt => format!("message {}, attempt {attempt}", message.message.topic),
            },
            RecordedCall::Tick { timer, .. } => format!("timer {timer}"),
            RecordedCall::Connected { .. } => "connected".to_owned(),
            RecordedCall::Disconnected => "disconnected".to_owned(),
            RecordedCall::Delivered { token, .. } => format!("delivered, token {token}"),
        }
    }
}
