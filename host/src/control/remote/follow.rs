//! Streams over HTTP: events that a host sends until one of the two ends the connection.

use std::io;
use std::time::Duration;

use http::{StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

use super::Remote;
use super::event_reader::EventReader;
use crate::control::{ClientError, Request};

/// The header by which a client goes on behind the event that it has (HTML, section 9.2.4).
pub const LAST_EVENT_ID: &str = "last-event-id";

/// Time between the beginnings of two connections at least.
const SHORTEST: Duration = Duration::from_secs(1);

/// The end of a stream.
enum StreamEnd {
    /// The caller wants no more.
    Unwanted,
    /// The server has ended it.
    Closed,
    /// The connection broke.
    Broken(ClientError),
}

impl Remote {
    /// Sends a request whose answer is a stream, and hands its lines to `on_line` until that returns `false`. A server lets a connection
    /// last some minutes only, so an endless stream is begun again.
    pub(in crate::control) fn follow(
        &self,
        request: &Request,
        limit: Duration,
        mut on_line: impl FnMut(Value) -> io::Result<bool>,
    ) -> Result<(), ClientError> {
        let mut events = EventReader::default();
        let followed = async {
            loop {
                let began = Instant::now();
                let end = self.follow_once(request, limit, &mut events, &mut on_line);
                match end.await? {
                    StreamEnd::Unwanted => return Ok(()),
                    StreamEnd::Closed | StreamEnd::Broken(_) if request.is_endless() => {}
                    StreamEnd::Closed => return Ok(()),
                    StreamEnd::Broken(error) => return Err(error),
                }
                sleep_until(began + SHORTEST).await;

                // those in between have no numbers, by which they could be asked for
                let is_of_calls = matches!(request, Request::Tail { .. });
                if is_of_calls && !self.show(&mut on_line, json!({ "lost": null }))? {
                    return Ok(());
                }
            }
        };
        self.block_on(followed)
    }

    /// Reads a stream over one connection.
    async fn follow_once(
        &self,
        request: &Request,
        limit: Duration,
        events: &mut EventReader,
        on_line: &mut impl FnMut(Value) -> io::Result<bool>,
    ) -> Result<StreamEnd, ClientError> {
        let mut http = self.request_for(request)?;
        if let Some(id) = events.last_id() {
            http.headers_mut().insert(LAST_EVENT_ID, id.clone());
        }
        self.with_connection_within(limit, http, async |answer| {
            let is_stream = answer
                .headers()
                .get(header::CONTENT_TYPE)
                .is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
            if answer.status() != StatusCode::OK || !is_stream {
                self.reply(answer).await?;
                return Err(self.failed("expected a stream, found another answer".to_owned()));
            }
            self.read_lines(answer.into_body(), events, on_line).await
        })
        .await
    }

    async fn read_lines(
        &self,
        mut body: Incoming,
        events: &mut EventReader,
        on_line: &mut impl FnMut(Value) -> io::Result<bool>,
    ) -> Result<StreamEnd, ClientError> {
        events.begin();
        while let Some(frame) = body.frame().await {
            let frame = match frame {
                Ok(frame) => frame,
                Err(error) => {
                    let error = self.failed(format!("the stream broke: {error}"));
                    return Ok(StreamEnd::Broken(error));
                }
            };

            let data = frame.data_ref().map_or(&[][..], |data| data);
            events.push(data).map_err(|error| self.unusable(&error))?;
            while let Some(event) = events.next() {
                let value = event.map_err(|error| self.unusable(&error))?;
                if !self.show(on_line, value)? {
                    return Ok(StreamEnd::Unwanted);
                }
            }
        }

        Ok(StreamEnd::Closed)
    }

    fn show(
        &self,
        on_line: &mut impl FnMut(Value) -> io::Result<bool>,
        value: Value,
    ) -> Result<bool, ClientError> {
        on_line(value).map_err(|error| self.unusable(&error))
    }
}
