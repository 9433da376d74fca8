//! Inputs of one call besides its arguments: the values that clocks, random numbers, requests and properties had for the guest.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::{Content, RecordedMessage};

/// Inputs that a guest got from the host during one call, in the order in which it asked.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Inputs {
    /// Readings of the wall clock, in nanoseconds since 1970.
    #[serde(skip_serializing_if = "VecDeque::is_empty")]
    pub wall: VecDeque<u64>,
    /// Readings of the monotonic clock, in nanoseconds since the instance was made.
    #[serde(skip_serializing_if = "VecDeque::is_empty")]
    pub monotonic: VecDeque<u64>,
    /// Random bytes.
    #[serde(skip_serializing_if = "Content::is_empty")]
    pub random: Content,
    /// Insecure random bytes.
    #[serde(skip_serializing_if = "Content::is_empty")]
    pub insecure: Content,
    /// The insecure seed of the instance; empty: it is that of the call before.
    #[serde(skip_serializing_if = "Content::is_empty")]
    pub seed: Content,
    /// Tokens of published messages.
    #[serde(skip_serializing_if = "VecDeque::is_empty")]
    pub tokens: VecDeque<u64>,
    /// Answers of `timers.remaining`, in milliseconds.
    #[serde(skip_serializing_if = "VecDeque::is_empty")]
    pub remaining: VecDeque<Option<u64>>,
    /// Requests with their answers.
    #[serde(skip_serializing_if = "VecDeque::is_empty")]
    pub requests: VecDeque<Exchange>,
    /// Properties of other services.
    #[serde(skip_serializing_if = "VecDeque::is_empty")]
    pub properties: VecDeque<PropertyRead>,
}

/// A request and its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exchange {
    /// The request.
    pub request: RecordedMessage,
    /// Its answer.
    pub answer: ExchangeAnswer,
}

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExchangeAnswer {
    /// This message.
    Message(RecordedMessage),
    /// None came in time.
    TimedOut,
    /// It could not be sent, for this reason.
    Unavailable(String),
}

/// The value of a property.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PropertyRead {
    /// Its topic.
    pub topic: String,
    /// Its value; `None`: it is not known.
    pub payload: Option<Content>,
}

impl Inputs {
    /// Whether the guest got nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
