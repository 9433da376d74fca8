//! Spans as messages of OTLP (opentelemetry-proto 1.10, `trace.proto` and `trace_service.proto`). Pure.
//!
//! Only the fields that the host fills are declared; see decision 0138.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use prost::{Message, Oneof};

use super::span::{Attribute, AttributeValue, Span, SpanKind};

/// The name of the library that made the spans.
const SCOPE: &str = "miqro-host";
/// The status code of a failed span.
const STATUS_ERROR: i32 = 2;
/// The flag of a span that knows where its parent is.
const HAS_IS_REMOTE: u32 = 1 << 8;
/// The flag of a span whose parent is in another process.
const IS_REMOTE: u32 = 1 << 9;

#[derive(Clone, PartialEq, Message)]
struct ExportRequest {
    #[prost(message, repeated, tag = "1")]
    resource_spans: Vec<ResourceSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct ResourceSpans {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    scope_spans: Vec<ScopeSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct Resource {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct ScopeSpans {
    #[prost(message, optional, tag = "1")]
    scope: Option<Scope>,
    #[prost(message, repeated, tag = "2")]
    spans: Vec<SpanMessage>,
}

#[derive(Clone, PartialEq, Message)]
struct Scope {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    version: String,
}

#[derive(Clone, PartialEq, Message)]
struct SpanMessage {
    #[prost(bytes = "vec", tag = "1")]
    trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    span_id: Vec<u8>,
    #[prost(string, tag = "3")]
    trace_state: String,
    #[prost(bytes = "vec", tag = "4")]
    parent_span_id: Vec<u8>,
    #[prost(string, tag = "5")]
    name: String,
    #[prost(int32, tag = "6")]
    kind: i32,
    #[prost(fixed64, tag = "7")]
    start_time_unix_nano: u64,
    #[prost(fixed64, tag = "8")]
    end_time_unix_nano: u64,
    #[prost(message, repeated, tag = "9")]
    attributes: Vec<KeyValue>,
    #[prost(message, optional, tag = "15")]
    status: Option<Status>,
    #[prost(fixed32, tag = "16")]
    flags: u32,
}

#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(string, tag = "2")]
    message: String,
    #[prost(int32, tag = "3")]
    code: i32,
}

#[derive(Clone, PartialEq, Message)]
struct KeyValue {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<AnyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct AnyValue {
    #[prost(oneof = "Value", tags = "1, 3")]
    value: Option<Value>,
}

#[derive(Clone, PartialEq, Oneof)]
enum Value {
    #[prost(string, tag = "1")]
    Text(String),
    #[prost(int64, tag = "3")]
    Number(i64),
}

#[derive(Clone, PartialEq, Message)]
struct ExportResponse {
    #[prost(message, optional, tag = "1")]
    partial_success: Option<PartialSuccess>,
}

#[derive(Clone, PartialEq, Message)]
struct PartialSuccess {
    #[prost(int64, tag = "1")]
    rejected_spans: i64,
    #[prost(string, tag = "2")]
    error_message: String,
}

/// Encodes an `ExportTraceServiceRequest`. Spans of a service have the service as their resource, so that a trace shows the way from
/// service to service. `host_id`: the client identifier of the host.
pub(super) fn encode(spans: &[Span], host_id: &str) -> Bytes {
    let mut by_service: BTreeMap<Option<Arc<str>>, Vec<SpanMessage>> = BTreeMap::new();
    for span in spans {
        let group = by_service.entry(span.service.clone()).or_default();
        group.push(SpanMessage::from(span));
    }

    let groups = by_service.into_iter();
    let request = ExportRequest {
        resource_spans: groups
            .map(|(service, spans)| ResourceSpans {
                resource: Some(resource(service.as_deref(), host_id)),
                scope_spans: vec![ScopeSpans {
                    scope: Some(Scope {
                        name: SCOPE.to_owned(),
                        version: env!("CARGO_PKG_VERSION").to_owned(),
                    }),
                    spans,
                }],
            })
            .collect(),
    };

    request.encode_to_vec().into()
}

/// Reads an `ExportTraceServiceResponse`: the number of refused spans, and the reason. Any other answer refuses nothing.
pub(super) fn refused(response: &[u8]) -> (u64, String) {
    let response = ExportResponse::decode(response).unwrap_or_default();
    let partial = response.partial_success.unwrap_or_default();
    let refused = u64::try_from(partial.rejected_spans).unwrap_or_default();
    (refused, partial.error_message)
}

fn resource(service: Option<&str>, host_id: &str) -> Resource {
    let text = |key: &'static str, value: &str| (key, AttributeValue::Text(value.to_owned()));
    let attributes = [
        text("service.name", service.unwrap_or("miqro-host")),
        text("service.namespace", "miqro"),
        text("service.instance.id", host_id),
    ];
    Resource {
        attributes: attributes.iter().map(KeyValue::from).collect(),
    }
}

impl From<&Span> for SpanMessage {
    fn from(span: &Span) -> Self {
        let remote = if span.is_parent_remote { IS_REMOTE } else { 0 };
        Self {
            trace_id: span.context.trace_id.to_vec(),
            span_id: span.context.span_id.to_vec(),
            trace_state: span.state.clone().unwrap_or_default(),
            parent_span_id: span.parent.map_or_else(Vec::new, |id| id.to_vec()),
            name: span.name.clone(),
            kind: match span.kind {
                SpanKind::Internal => 1,
                SpanKind::Client => 3,
                SpanKind::Producer => 4,
                SpanKind::Consumer => 5,
            },
            start_time_unix_nano: unix_nanos(span.start),
            // the clock may have been set back meanwhile
            end_time_unix_nano: unix_nanos(span.end.max(span.start)),
            attributes: span.attributes.iter().map(KeyValue::from).collect(),
            status: span.error.as_ref().map(|reason| Status {
                message: reason.clone(),
                code: STATUS_ERROR,
            }),
            flags: u32::from(span.context.flags()) | HAS_IS_REMOTE | remote,
        }
    }
}

impl From<&Attribute> for KeyValue {
    fn from((name, value): &Attribute) -> Self {
        let value = match value {
            AttributeValue::Text(text) => Value::Text(text.clone()),
            AttributeValue::Number(number) => Value::Number(*number),
        };
        Self {
            key: (*name).to_owned(),
            value: Some(AnyValue { value: Some(value) }),
        }
    }
}

fn unix_nanos(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::Duration;

    use super::*;
    use crate::trace_context::TraceParent;

    fn span(service: Option<&str>) -> Span {
        let context = TraceParent::root([1; 16], [2; 8]);
        let start = UNIX_EPOCH + Duration::from_nanos(5);
        let mut span = Span::new(context, SpanKind::Consumer, "process a/+", start).below([3; 8]);
        span.is_parent_remote = true;
        span.service = service.map(Arc::from);
        span.add_number("miqro.attempt", 2_u32);
        span.fail("trap", "it broke");
        // a clock that was set back
        span.until(UNIX_EPOCH)
    }

    #[test]
    fn spans_are_grouped_by_service() {
        let spans = [span(Some("b")), span(None), span(Some("b"))];
        let request = ExportRequest::decode(&*encode(&spans, "host-1")).unwrap();
        let groups: Vec<(String, usize)> = request
            .resource_spans
            .iter()
            .map(|group| {
                let name = group.resource.as_ref().unwrap().attributes[0].clone();
                let Some(Value::Text(name)) = name.value.unwrap().value else {
                    panic!("not a text");
                };
                (name, group.scope_spans[0].spans.len())
            })
            .collect();
        assert_eq!(groups, [("miqro-host".to_owned(), 1), ("b".to_owned(), 2)]);

        let first = &request.resource_spans[1].scope_spans[0].spans[0];
        assert_eq!(
            (first.start_time_unix_nano, first.end_time_unix_nano),
            (5, 5)
        );
        assert_eq!((first.kind, first.flags), (5, 0x303));
        assert_eq!(first.status.as_ref().unwrap().code, STATUS_ERROR);
    }

    #[test]
    fn refused_spans_are_read_from_the_answer() {
        let partial = PartialSuccess {
            rejected_spans: 3,
            error_message: "too old".to_owned(),
        };
        let answer = ExportResponse {
            partial_success: Some(partial),
        };
        assert_eq!(refused(&answer.encode_to_vec()), (3, "too old".to_owned()));
        assert_eq!(refused(b"").0, 0);
        assert_eq!(refused(b"<html>").0, 0);
    }
}
