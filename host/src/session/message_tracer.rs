//! Spans of the session: a message received, a message published until the broker has taken it, and an acknowledgement.
//!
//! A received message gets the span `receive` as its parent, so that its handling, now or after a wait on disk, continues there. A
//! published message that belongs to a recorded trace gets a span `send` in the same way.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use crate::config;
use crate::message::{Message, Outcome, Publication, Qos, Receipt, Terms, Token};
use crate::session::command::Commit;
use crate::trace_context::{self, TraceContext, TraceParent};
use crate::traces::{Attribute, AttributeValue, Span, SpanKind, Tracer};

/// Published messages whose end is awaited at most; the spans of further ones end at once.
const MAX_SENDS: usize = 10_000;

/// Makes the spans of one session.
#[derive(Debug)]
pub(super) struct MessageTracer {
    tracer: Tracer,
    /// Attributes of the connection.
    connection: Vec<Attribute>,
    /// Received messages that are not acknowledged, in the order of their receipts.
    unacknowledged: VecDeque<PendingAck>,
    /// Published messages that the broker has not taken.
    sends: HashMap<Token, Span>,
}

/// A received message that is not acknowledged.
#[derive(Debug)]
struct PendingAck {
    receipt: u64,
    /// Its span `settle`, which begins when a service has committed.
    settle: Span,
    is_committed: bool,
}

impl MessageTracer {
    pub(super) fn new(tracer: Tracer, settings: &config::Connection) -> Self {
        Self {
            tracer,
            connection: connection_attributes(settings),
            unacknowledged: VecDeque::new(),
            sends: HashMap::new(),
        }
    }

    /// Applies new settings of the connection.
    pub(super) fn reconfigure(&mut self, settings: &config::Connection) {
        self.connection = connection_attributes(settings);
    }

    /// Handles a received message: makes its span, and makes that the parent of everything that follows.
    pub(super) fn on_arrival(
        &mut self,
        message: &mut Message,
        receipt: Option<Receipt>,
        now: impl FnOnce() -> SystemTime,
    ) {
        let received = TraceContext::from_message(message);
        let parent = received.map(|context| context.parent);
        let state = received.and_then(|context| context.state.map(str::to_owned));
        let context = match parent {
            Some(parent) if parent.is_sampled() => self.tracer.child_of(parent),
            Some(_) => return,
            None => match self.tracer.sample() {
                Some(first) => first,
                None => return,
            },
        };

        let now = now();
        trace_context::set_parent(message, context);
        if let Some(properties) = &mut message.properties {
            properties.arrived_at = Some(now);
        }

        let mut span = self.span(context, "receive", SpanKind::Client, now);
        span.parent = parent.map(|parent| parent.span_id);
        span.is_parent_remote = parent.is_some();
        span.state.clone_from(&state);
        add_message(&mut span, message);
        self.tracer.send(span);

        if let Some(Receipt::Arrived(receipt)) = receipt {
            let settle = self.tracer.child_of(context);
            let mut settle = self.span(settle, "settle", SpanKind::Client, now);
            settle.parent = Some(context.span_id);
            settle.state = state;
            settle.add_text("messaging.destination.name", message.topic.as_str());
            self.unacknowledged.push_back(PendingAck {
                receipt,
                settle,
                is_committed: false,
            });
        }
    }

    /// Whether something in a commit belongs to a recorded trace.
    pub(super) fn is_concerned_by(&self, commit: &Commit) -> bool {
        let mut publishes = commit.publishes.iter();
        self.awaits_acknowledgements()
            || publishes.any(|publication| {
                let context = TraceContext::from_message(&publication.message);
                context.is_some_and(|context| context.parent.is_sampled())
            })
    }

    /// Handles that a service has finished a received message.
    pub(super) fn on_committed(&mut self, receipt: Receipt, now: SystemTime) {
        let Receipt::Arrived(receipt) = receipt else {
            return;
        };
        let place = self
            .unacknowledged
            .binary_search_by_key(&receipt, |one| one.receipt);
        if let Ok(place) = place
            && let Some(one) = self.unacknowledged.get_mut(place)
        {
            one.settle.start = now;
            one.is_committed = true;
        }
    }

    /// Handles that all received messages with a receipt below `first` are acknowledged.
    pub(super) fn on_acknowledged(&mut self, first: u64, now: SystemTime) {
        while self
            .unacknowledged
            .front()
            .is_some_and(|one| one.receipt < first)
        {
            let Some(mut one) = self.unacknowledged.pop_front() else {
                return;
            };
            if !one.is_committed {
                one.settle.start = now;
            }
            self.tracer.send(one.settle.until(now));
        }
    }

    /// Whether there are received messages that are not acknowledged.
    pub(super) fn awaits_acknowledgements(&self) -> bool {
        !self.unacknowledged.is_empty()
    }

    /// Handles the end of the connection: the broker delivers messages again that are not acknowledged.
    pub(super) fn on_disconnected(&mut self, now: SystemTime) {
        for mut one in self.unacknowledged.drain(..) {
            one.settle.fail(
                "disconnected",
                "the connection ended before the acknowledgement",
            );
            self.tracer.send(one.settle.until(now));
        }
    }

    /// Handles a message that `service` publishes: makes its span, and makes that the parent of those who get the message.
    pub(super) fn on_publish(
        &mut self,
        publication: &mut Publication,
        service: Option<Arc<str>>,
        (at, now): (Instant, SystemTime),
    ) {
        let message = &mut publication.message;
        let Some(context) = TraceContext::from_message(message) else {
            return;
        };
        let parent = context.parent;
        if !parent.is_sampled() {
            return;
        }

        let context = self.tracer.child_of(parent);
        let mut span = self.span(context, "send", SpanKind::Producer, now);
        span.parent = Some(parent.span_id);
        span.service = service;
        add_message(&mut span, message);
        span.state = TraceContext::from_message(message)
            .and_then(|context| context.state.map(str::to_owned));
        trace_context::set_parent(message, context);

        if message.qos == Qos::AtMostOnce || self.sends.len() >= MAX_SENDS {
            return self.tracer.send(span);
        }
        let terms = publication.terms.get_or_insert_with(|| {
            Box::new(Terms {
                token: None,
                only_if_changed: None,
                offline: None,
                kept: None,
                at,
            })
        });
        let token = *terms.token.get_or_insert_with(Token::next);
        self.sends.insert(token, span);
    }

    /// Handles the outcome of a published message.
    pub(super) fn on_outcome(&mut self, token: Token, outcome: &Outcome, now: SystemTime) {
        let Some(mut span) = self.sends.remove(&token) else {
            return;
        };
        if let Outcome::Refused(reason) = outcome {
            span.fail("refused", reason);
        }
        self.tracer.send(span.until(now));
    }

    fn span(
        &self,
        context: TraceParent,
        operation: &'static str,
        kind: SpanKind,
        now: SystemTime,
    ) -> Span {
        let mut span = Span::new(context, kind, operation, now);
        span.add_text("messaging.system", "mqtt");
        span.add_text("messaging.operation.name", operation);
        span.add_text("messaging.operation.type", operation);
        span.attributes.extend(self.connection.iter().cloned());
        span
    }
}

fn connection_attributes(settings: &config::Connection) -> Vec<Attribute> {
    vec![
        (
            "messaging.client.id",
            AttributeValue::Text(settings.client_id.clone()),
        ),
        (
            "server.address",
            AttributeValue::Text(settings.host.clone()),
        ),
        ("server.port", AttributeValue::Number(settings.port.into())),
    ]
}

/// Adds the facts of a message.
fn add_message(span: &mut Span, message: &Message) {
    span.add_text("messaging.destination.name", message.topic.as_str());
    span.add_number("messaging.message.body.size", message.payload.len());
    span.add_number("miqro.qos", u8::from(message.qos));
    let properties = message.properties.as_deref();
    if let Some(id) = properties.and_then(|properties| properties.correlation_data.as_ref()) {
        let id = std::str::from_utf8(id).map_or_else(|_| hex::encode(id), str::to_owned);
        span.add_text("messaging.message.conversation_id", id);
    }
}
