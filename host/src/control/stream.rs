//! Streams: answers that continue while something happens.

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

/// A line of a stream.
#[derive(Debug)]
pub struct StreamLine {
    /// The number of a log line, behind which [`Request::Logs`](super::Request::Logs) goes on.
    pub number: Option<u64>,
    /// The object, without an end of line.
    pub json: String,
}

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

    /// The next lines, at least one; `None`: there are no more. Must be called within a tokio runtime.
    pub fn poll_batch(&mut self, context: &mut Context<'_>) -> Poll<Option<Vec<StreamLine>>> {
        match &mut self.0 {
            Source::Calls(feed) => feed.poll_batch(context, call),
            Source::Lines(feed) => feed.poll_batch(context, log_line),
        }
    }

    /// The next lines, as [`Stream::poll_batch`].
    pub async fn next_batch(&mut self) -> Option<Vec<StreamLine>> {
        poll_fn(|context| self.poll_batch(context)).await
    }
}

impl<T> Feed<T> {
    fn poll_batch(
        &mut self,
        context: &mut Context<'_>,
        encode: fn(&Heard<T>) -> StreamLine,
    ) -> Poll<Option<Vec<StreamLine>>> {
        if self.waiting.is_empty() {
            let Some(further) = &mut self.further else {
                return Poll::Ready(None);
            };
            match ready!(further.poll_batch(context)) {
                Some(heard) => self.waiting = heard.into(),
                None => return Poll::Ready(None),
            }
        }

        let mut batch = Vec::new();
        let mut bytes = 0;
        while bytes < BATCH_BYTES
            && let Some(heard) = self.waiting.pop_front()
        {
            let line = encode(&heard);
            bytes += line.json.len();
            batch.push(line);
        }

        Poll::Ready(Some(batch))
    }
}

fn call(heard: &Heard<CallSummary>) -> StreamLine {
    let json = match heard {
        Heard::Event(summary) => format!("{{\"call\":{}}}", summary.json()),
        Heard::Lost(count) => lost(*count),
    };
    StreamLine { number: None, json }
}

fn log_line(heard: &Heard<LogLine>) -> StreamLine {
    let (number, json) = match heard {
        Heard::Event(line) => (Some(line.number), json!({ "line": &**line }).to_string()),
        Heard::Lost(count) => (None, lost(*count)),
    };
    StreamLine { number, json }
}

/// The object that tells how many events were lost.
fn lost(count: u64) -> String {
    json!({ "lost": count }).to_string()
}
