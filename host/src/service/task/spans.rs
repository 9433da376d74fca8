//! Spans of the service: the handling of a message, with its wait in the mailbox, each attempt, and the commit.
//!
//! While an attempt runs, its span is the parent that the message names: the guest sees it there, and publishes and requests carry it on.

use std::sync::Arc;
use std::time::SystemTime;

use super::Task;
use crate::guest::Fault;
use crate::message::Message;
use crate::service::invocation::Invocation;
use crate::topic::{Filter, Topic};
use crate::trace_context::{self, TraceContext, TraceParent};
use crate::traces::{Span, SpanKind, Tracer};

/// The spans of one message. The span of its handling is sent when this is dropped.
pub(super) struct InvocationSpans {
    tracer: Tracer,
    /// The span of the handling.
    process: Span,
    /// The parent that the message named.
    origin: TraceParent,
    /// The span of the attempt, while one runs.
    attempt: Option<Span>,
    /// When the guest returned; `None`: it has not, or with a fault.
    returned: Option<SystemTime>,
}

impl InvocationSpans {
    /// Begins the span of the handling, and sends that of the wait.
    fn begin(
        tracer: &Tracer,
        context: TraceContext<'_>,
        service: Arc<str>,
        message: &Message,
        filter: Option<&Filter>,
    ) -> Box<Self> {
        let origin = context.parent;
        let now = SystemTime::now();
        let arrived = message.properties.as_ref().and_then(|all| all.arrived_at);
        let name = filter.map_or_else(
            || "process".to_owned(),
            |filter| format!("process {}", filter.as_str()),
        );
        let mut process = Span::new(
            tracer.child_of(origin),
            SpanKind::Consumer,
            name,
            arrived.unwrap_or(now),
        );
        process.parent = Some(origin.span_id);
        process.state = context.state.map(str::to_owned);
        process.service = Some(service);
        add_process(&mut process, message, filter);

        if let Some(arrived) = arrived {
            tracer.send(child_of(tracer, &process, "wait", arrived).until(now));
        }
        Box::new(Self {
            tracer: tracer.clone(),
            process,
            origin,
            attempt: None,
            returned: None,
        })
    }

    /// Begins the span of an attempt, and makes it the parent of everything that follows from the message.
    fn begin_attempt(&mut self, message: &mut Message, attempt: u32, version: Option<String>) {
        let now = SystemTime::now();
        let mut call = child_of(&self.tracer, &self.process, "call", now);
        call.add_number("miqro.attempt", attempt);
        if let Some(version) = version {
            call.add_text("miqro.version", version);
        }
        trace_context::set_parent(message, call.context);
        self.attempt = Some(call);
        self.returned = None;
    }

    /// Notes that the guest has returned, and that the commit of its effects begins.
    pub(super) fn on_returned(&mut self) {
        self.returned = Some(SystemTime::now());
    }

    /// Sends the span of the attempt, and that of the commit. After a fault the message names its former parent again.
    fn end_attempt(&mut self, message: &mut Message, fault: Option<&Fault>) {
        let Some(attempt) = self.attempt.take() else {
            return;
        };
        let now = SystemTime::now();
        let mut attempt = attempt.until(self.returned.unwrap_or(now));
        self.process.end = now;
        self.process.error = None;
        let mut commit = self
            .returned
            .map(|returned| child_of(&self.tracer, &self.process, "commit", returned).until(now));

        if let Some(fault) = fault {
            let failed = commit.as_mut().unwrap_or(&mut attempt);
            failed.fail(fault.kind().name(), fault.to_string());
            self.process.error = Some(fault.to_string());
            trace_context::set_parent(message, self.origin);
        }
        self.tracer.send(attempt);
        if let Some(commit) = commit {
            self.tracer.send(commit);
        }
    }
}

impl Drop for InvocationSpans {
    fn drop(&mut self) {
        self.tracer.send(self.process.clone());
    }
}

impl Task {
    /// Begins the spans of an attempt, if the trace of the message is recorded. `is_first`: the handling of the message begins.
    pub(super) fn begin_spans(&mut self, attempt: u32, is_first: bool) {
        let (Some(tracer), Some(Invocation::Message(delivery))) =
            (&self.ctx.tracer, &self.queue.current)
        else {
            return;
        };
        if is_first {
            let message = &delivery.message;
            let context = TraceContext::from_message(message);
            self.spans = context
                .filter(|context| context.parent.is_sampled())
                .map(|context| {
                    let filter = self.matching_filter(&message.topic);
                    let service = Arc::from(self.ctx.config.name.as_str());
                    InvocationSpans::begin(tracer, context, service, message, filter.as_ref())
                });
        }

        if let (Some(spans), Some(Invocation::Message(delivery))) =
            (&mut self.spans, &mut self.queue.current)
        {
            let version = self.runner.version().map(|version| version.short());
            spans.begin_attempt(&mut delivery.message, attempt, version);
        }
    }

    /// Ends the spans of an attempt.
    pub(super) fn end_spans(&mut self, fault: Option<&Fault>) {
        if let (Some(spans), Some(Invocation::Message(delivery))) =
            (&mut self.spans, &mut self.queue.current)
        {
            spans.end_attempt(&mut delivery.message, fault);
        }
    }

    /// A filter of the service that the topic matches.
    fn matching_filter(&self, topic: &Topic) -> Option<Filter> {
        let configured = self.ctx.config.triggers.subscriptions.iter();
        let mut configured = configured.map(|subscription| subscription.filter.clone());
        let found = configured.find(|filter| filter.matches(topic));
        found.or_else(|| {
            let own = self.runner.instance.as_ref()?.subscriptions();
            own.into_iter().find(|filter| filter.matches(topic))
        })
    }
}

/// Adds the facts of the handling of a message.
fn add_process(span: &mut Span, message: &Message, filter: Option<&Filter>) {
    span.add_text("messaging.system", "mqtt");
    span.add_text("messaging.operation.name", "process");
    span.add_text("messaging.operation.type", "process");
    span.add_text("messaging.destination.name", message.topic.as_str());
    if let Some(filter) = filter {
        span.add_text("messaging.destination.template", filter.as_str());
    }
    span.add_number("messaging.message.body.size", message.payload.len());
}

/// A step of the handling.
fn child_of(tracer: &Tracer, process: &Span, name: &'static str, start: SystemTime) -> Span {
    let context = tracer.child_of(process.context);
    let mut span = Span::new(context, SpanKind::Internal, name, start);
    span.parent = Some(process.context.span_id);
    span.state.clone_from(&process.state);
    span.service.clone_from(&process.service);
    span
}
