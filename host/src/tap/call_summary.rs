//! The summary of one call of a guest: its trigger, its duration, its publishes, and its failure.

use std::sync::OnceLock;
use std::time::Duration;

use serde::{Serialize, Serializer};
use serde_json::json;

use super::{Event, MessageExcerpt};
use crate::fault_kind::FaultKind;
use crate::message::Publication;

/// Publishes of one call that are shown; the others are counted.
const PUBLISHES: usize = 32;

/// One call of a guest.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CallSummary {
    /// The service.
    pub service: String,
    /// The version that was called.
    pub version: Option<String>,
    /// The end of the call, in milliseconds since 1970.
    pub at_ms: u64,
    /// The reason of the call.
    #[serde(flatten)]
    pub trigger: Trigger,
    /// The number of the attempt, from 1 on.
    pub attempt: u32,
    /// The duration.
    #[serde(rename = "took_us", serialize_with = "microseconds")]
    pub took: Option<Duration>,
    /// The messages that it published.
    pub published: Vec<MessageExcerpt>,
    /// The number of further messages that it published.
    pub further: usize,
    /// The failure; nothing that the call asked for has happened then.
    pub failure: Option<CallFailure>,
    /// Its line of a stream, for all that listen.
    #[serde(skip)]
    pub line: OnceLock<String>,
}

/// The reason of a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trigger {
    /// A message.
    Message(MessageExcerpt),
    /// The timer of this name.
    Timer(String),
    /// The connection, or the outcome of a publish.
    Notice(String),
}

/// A failure of a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CallFailure {
    /// The kind.
    pub kind: FaultKind,
    /// The reason.
    pub reason: String,
}

impl CallSummary {
    /// Notes the messages that the call published.
    pub fn note_publishes(&mut self, publishes: &[Publication]) {
        let shown = publishes.iter().take(PUBLISHES);
        self.published = shown
            .map(|publication| MessageExcerpt::from(&publication.message))
            .collect();
        self.further = publishes.len().saturating_sub(PUBLISHES);
    }

    /// Its line of a stream: `{"call": RECORD}`. The first listener that asks makes it, so that neither the call nor the other listeners do.
    pub fn line(&self) -> &str {
        self.line.get_or_init(|| {
            serde_json::to_string(&Line { call: self })
                .unwrap_or_else(|error| json!({ "error": error.to_string() }).to_string())
        })
    }
}

#[derive(Serialize)]
struct Line<'a> {
    call: &'a CallSummary,
}

impl Event for CallSummary {
    fn service(&self) -> Option<&str> {
        Some(&self.service)
    }
}

fn microseconds<S: Serializer>(span: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
    span.map(|span| span.as_nanos() as f64 / 1e3).serialize(to)
}
