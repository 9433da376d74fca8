//! Streams: answers that continue while something happens.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use serde::Serialize;
use serde_json::{Value, json};

use crate::logging::LogLine;
use crate::tap::{CallSummary, Events, Heard};

/// Lines of JSON, each an object: `{"call": RECORD}`, `{"line": LOG LINE}`, or `{"lost": NUMBER}` where the reader was too slow or there were too many.
#[derive(Debug)]
pub struct Stream {
    recent: VecDeque<Arc<LogLine>>,
    source: Source,
}

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
    Nothing,
    Calls(Events<CallSummary>),
    Lines(Events<LogLine>),
}

impl Stream {
    /// Calls of services.
    pub fn of_calls(events: Events<CallSummary>) -> Self {
        Self {
            recent: VecDeque::new(),
            source: Source::Calls(events),
        }
    }

    /// Lines of the log, and further ones if wanted.
    pub fn of_lines(recent: Vec<Arc<LogLine>>, further: Option<Events<LogLine>>) -> Self {
        Self {
            recent: recent.into(),
            source: further.map_or(Source::Nothing, Source::Lines),
        }
    }

    /// The next line; `None`: there are no more.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<StreamLine>> {
        if let Some(line) = self.recent.pop_front() {
            return Poll::Ready(Some(log_line(&Heard::Event(line))));
        }

        let next = match &mut self.source {
            Source::Nothing => None,
            Source::Calls(events) => {
                let heard = ready!(events.poll_next(context));
                heard.map(|heard| StreamLine {
                    number: None,
                    json: item("call", &heard).to_string(),
                })
            }
            Source::Lines(events) => {
                let heard = ready!(events.poll_next(context));
                heard.map(|heard| log_line(&heard))
            }
        };

        Poll::Ready(next)
    }

    /// The next line, as [`Stream::poll_next`].
    pub async fn next(&mut self) -> Option<StreamLine> {
        poll_fn(|context| self.poll_next(context)).await
    }
}

fn log_line(heard: &Heard<LogLine>) -> StreamLine {
    let number = match heard {
        Heard::Event(line) => Some(line.number),
        Heard::Lost(_) => None,
    };
    StreamLine {
        number,
        json: item("line", heard).to_string(),
    }
}

/// The object of one line: an event of this kind, or the number of lost ones.
fn item<T: Serialize>(kind: &str, heard: &Heard<T>) -> Value {
    match heard {
        Heard::Event(event) => json!({ kind: &**event }),
        Heard::Lost(count) => json!({ "lost": count }),
    }
}
