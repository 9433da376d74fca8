//! Streams: answers that continue while something happens.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use serde_json::json;

use crate::logging::LogLine;
use crate::tap::{CallSummary, Events, Heard};

/// Bytes of JSON that a batch has at most, and one line more.
const BATCH_BYTES: usize = 64 * 1024;

/// Lines of JSON, each an object: `{"call": RECORD}`, `{"line": LOG LINE}`, or `{"lost": NUMBER}` where the reader was too slow or there were too many.
#[derive(Debug)]
pub struct Stream(Source);

/// Takes one line of a stream: the number of a log line, behind which [`Request::Logs`](super::Request::Logs) goes on, and the object
/// without an end of line.
pub type Sink<'a> = &'a mut (dyn FnMut(Option<u64>, &str) + Send);

#[derive(Debug)]
enum Source {
    Calls(Feed<CallSummary>),
    Lines(Feed<LogLine>),
}

/// Events that wait to be written, and those that follow.
#[derive(Debug)]
struct Feed<T> {
    waiting: VecDeque<Heard<T>>,
    /// `None`: nothing follows.
    further: Option<Events<T>>,
}

impl Stream {
    /// Calls of services.
    pub fn of_calls(events: Events<CallSummary>) -> Self {
        Self(Source::Calls(Feed {
            waiting: VecDeque::new(),
            further: Some(events),
        }))
    }

    /// Lines of the log, and further ones if wanted.
    pub fn of_lines(recent: Vec<Arc<LogLine>>, further: Option<Events<LogLine>>) -> Self {
        Self(Source::Lines(Feed {
            waiting: recent.into_iter().map(Heard::Event).collect(),
            further,
        }))
    }

    /// Hands the next lines to `sink`, at least one; `false`: there are no more. Must be called within a tokio runtime.
    pub fn poll_batch(&mut self, context: &mut Context<'_>, sink: Sink<'_>) -> Poll<bool> {
        match &mut self.0 {
            Source::Calls(feed) => feed.poll_batch(context, encode_call, sink),
            Source::Lines(feed) => feed.poll_batch(context, encode_line, sink),
        }
    }

    /// The next lines, as [`Stream::poll_batch`].
    pub async fn next_batch(&mut self, sink: Sink<'_>) -> bool {
        poll_fn(|context| self.poll_batch(context, sink)).await
    }
}

impl<T> Feed<T> {
    fn poll_batch(
        &mut self,
        context: &mut Context<'_>,
        encode: fn(&T) -> (Option<u64>, Cow<'_, str>),
        sink: Sink<'_>,
    ) -> Poll<bool> {
        if self.waiting.is_empty() {
            let Some(further) = &mut self.further else {
                return Poll::Ready(false);
            };
            match ready!(further.poll_batch(context)) {
                Some(heard) => self.waiting = heard.into(),
                None => return Poll::Ready(false),
            }
        }

        let mut bytes = 0;
        while bytes < BATCH_BYTES
            && let Some(heard) = self.waiting.pop_front()
        {
            let (number, json) = match &heard {
                Heard::Event(event) => encode(event),
                Heard::Lost(count) => (None, json!({ "lost": count }).to_string().into()),
            };
            bytes += json.len();
            sink(number, &json);
        }

        Poll::Ready(true)
    }
}

fn encode_call(call: &CallSummary) -> (Option<u64>, Cow<'_, str>) {
    (None, call.line().into())
}

fn encode_line(line: &LogLine) -> (Option<u64>, Cow<'_, str>) {
    let json = json!({ "line": line }).to_string();
    (Some(line.number), json.into())
}
