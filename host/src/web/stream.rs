//! Server-sent events: the form of a stream for browsers (HTML, section 9.2).

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use hyper::body::{Body, Frame};

use crate::control::{LAST_EVENT_ID, Request, Stream};

/// The content type.
pub(super) const EVENT_STREAM: &str = "text/event-stream";

/// The body of an answer that continues. It is read as fast as the client reads it.
#[derive(Debug)]
pub(super) struct EventStream(pub(super) Stream);

impl Body for EventStream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let mut events = String::new();
        let mut sink = |number: Option<u64>, json: &str| push_event(&mut events, number, json);
        let has_more = ready!(self.0.poll_batch(context, &mut sink));
        Poll::Ready(has_more.then(|| Ok(Frame::data(events.into()))))
    }
}

/// Appends a line as an event. A client that sends the identifier back goes on behind it.
fn push_event(events: &mut String, number: Option<u64>, json: &str) {
    if let Some(number) = number {
        events.push_str(&format!("id: {number}\n"));
    }
    events.push_str("data: ");
    events.push_str(json);
    events.push_str("\n\n");
}

/// The identifier of the last event that the client has.
pub(super) fn last_event(headers: &HeaderMap) -> Option<u64> {
    headers.get(LAST_EVENT_ID)?.to_str().ok()?.parse().ok()
}

/// The request for the stream at `path`, with the members of a query and the last event that the client has; `None`: there is no such path.
///
/// # Errors
/// When the query has an unknown member, or one with a wrong value.
pub(super) fn request_of(
    path: &str,
    query: &str,
    last_event: Option<u64>,
) -> Option<Result<Request, serde_json::Error>> {
    let members = match path.strip_prefix(super::guard::STREAMS)? {
        "calls" => vec![("command", "tail".into())],
        "logs" => vec![
            ("command", "logs".into()),
            ("follow", true.into()),
            ("after", last_event.into()),
        ],
        _ => return None,
    };

    let mut object: serde_json::Map<String, serde_json::Value> = members
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    let given = form_urlencoded::parse(query.as_bytes());
    for (name, value) in given {
        match &*name {
            "command" | "after" => {}
            "follow" if object.contains_key("follow") => {
                object.insert(name.into_owned(), (value != "false").into());
            }
            _ => {
                object.insert(name.into_owned(), value.into());
            }
        }
    }
    Some(serde_json::from_value(object.into()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::config::Level;

    #[test]
    fn queries_become_requests() {
        let request = |path, query| request_of(path, query, None).map(Result::ok);
        let tail = |service: Option<&str>| Request::Tail {
            service: service.map(str::to_owned),
        };
        assert_eq!(request("/api/v1/stream/calls", ""), Some(Some(tail(None))));
        let encoded = "service=a%20b%2B&command=reload";
        let of_service = Some(Some(tail(Some("a b+"))));
        assert_eq!(request("/api/v1/stream/calls", encoded), of_service);
        let logs = Request::Logs {
            service: None,
            level: Some(Level::Warning),
            follow: true,
            after: None,
        };
        assert_eq!(
            request("/api/v1/stream/logs", "level=warning"),
            Some(Some(logs))
        );
        let last = Some(Some(Request::Logs {
            service: None,
            level: None,
            follow: false,
            after: None,
        }));
        assert_eq!(request("/api/v1/stream/logs", "follow=false"), last);
        assert_eq!(request("/api/v1/stream/logs", "level=loud"), Some(None));
        assert_eq!(request("/api/v1/stream/calls", "token=x"), Some(None));
        assert_eq!(request("/api/v1/stream/other", ""), None);

        let again = Some(Some(Request::Logs {
            service: None,
            level: None,
            follow: true,
            after: Some(7),
        }));
        let asked = |path| request_of(path, "", Some(7)).map(Result::ok);
        assert_eq!(asked("/api/v1/stream/logs"), again);
        assert_eq!(asked("/api/v1/stream/calls"), Some(Some(tail(None))));
    }
}
