//! One span: a step of the handling of a message, with its place in the trace. Pure.

use std::sync::Arc;
use std::time::SystemTime;

use crate::trace_context::TraceParent;

/// The role of a span (OpenTelemetry, `SpanKind`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpanKind {
    /// Work within the host.
    Internal,
    /// A request to the broker that gets an answer.
    Client,
    /// A message that is sent.
    Producer,
    /// The handling of a message.
    Consumer,
}

/// A value of an attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttributeValue {
    /// A text.
    Text(String),
    /// A number.
    Number(i64),
}

/// A name, after OpenTelemetry's conventions where they have one, and a value.
pub type Attribute = (&'static str, AttributeValue);

/// A finished or running span.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// Its trace and its own identifier.
    pub context: TraceParent,
    /// The span around it; `None`: it is the first one of the trace.
    pub parent: Option<[u8; 8]>,
    /// Whether the parent is a span of another process.
    pub is_parent_remote: bool,
    /// The value of `tracestate`.
    pub state: Option<String>,
    /// The service that it is about; `None`: the host.
    pub service: Option<Arc<str>>,
    /// The operation, and its destination where that has few different values.
    pub name: String,
    /// Its role.
    pub kind: SpanKind,
    /// Its begin.
    pub start: SystemTime,
    /// Its end.
    pub end: SystemTime,
    /// Facts about it.
    pub attributes: Vec<Attribute>,
    /// The reason for its failure.
    pub error: Option<String>,
}

impl Span {
    /// A span without parent and attributes that ends when it begins.
    pub fn new(
        context: TraceParent,
        kind: SpanKind,
        name: impl Into<String>,
        start: SystemTime,
    ) -> Self {
        Self {
            context,
            parent: None,
            is_parent_remote: false,
            state: None,
            service: None,
            name: name.into(),
            kind,
            start,
            end: start,
            attributes: Vec::new(),
            error: None,
        }
    }

    /// The span as a child of another one of this process.
    pub fn below(mut self, parent: [u8; 8]) -> Self {
        self.parent = Some(parent);
        self
    }

    /// The span with another end.
    pub fn until(mut self, end: SystemTime) -> Self {
        self.end = end;
        self
    }

    /// Adds a text.
    pub fn add_text(&mut self, name: &'static str, value: impl Into<String>) {
        self.attributes
            .push((name, AttributeValue::Text(value.into())));
    }

    /// Adds a number; one that is too large becomes the largest.
    pub fn add_number(&mut self, name: &'static str, value: impl TryInto<i64>) {
        let value = value.try_into().unwrap_or(i64::MAX);
        self.attributes.push((name, AttributeValue::Number(value)));
    }

    /// Marks the span as failed. `kind`: one of few words.
    pub fn fail(&mut self, kind: &str, reason: impl Into<String>) {
        self.add_text("error.type", kind);
        self.error = Some(reason.into());
    }
}
