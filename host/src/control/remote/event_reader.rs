//! Server-sent events as a client reads them (HTML, section 9.2.6), as far as hosts send them: each has one line of data.

use http::HeaderValue;
use serde_json::Value;

/// Most bytes of a line.
const LINE_BYTES: usize = 16 * 1024 * 1024;

/// The reason why events cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum EventError {
    /// It cannot be kept.
    #[error("expected lines below {LINE_BYTES} bytes, found a longer one")]
    TooLong,
    /// It is not from a host.
    #[error("expected JSON as the data of an event: {0}")]
    Data(#[from] serde_json::Error),
}

/// A reader of events, and its place in the stream.
#[derive(Debug, Default)]
pub(super) struct EventReader {
    received: Vec<u8>,
    /// The identifier of the event that is being read.
    id: Option<HeaderValue>,
    /// The identifier of the last event that was read.
    last_id: Option<HeaderValue>,
}

impl EventReader {
    /// Begins to read over a new connection. The place is kept.
    pub(super) fn begin(&mut self) {
        self.received.clear();
        self.id = None;
    }

    /// Takes bytes that have arrived.
    ///
    /// # Errors
    /// When a line is too long.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<(), EventError> {
        self.received.extend_from_slice(bytes);
        let begun = self.received.rsplit(|byte| *byte == b'\n').next();
        if begun.is_some_and(|line| line.len() > LINE_BYTES) {
            return Err(EventError::TooLong);
        }
        Ok(())
    }

    /// The data of the next event that has arrived.
    pub(super) fn next(&mut self) -> Option<Result<Value, EventError>> {
        while let Some(end) = self.received.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.received.drain(..=end).collect();
            let line = line.trim_ascii_end();
            if let Some(id) = line.strip_prefix(b"id: ") {
                self.id = HeaderValue::from_bytes(id).ok();
            } else if let Some(data) = line.strip_prefix(b"data: ") {
                if let Some(id) = self.id.take() {
                    self.last_id = Some(id);
                }
                return Some(serde_json::from_slice(data).map_err(EventError::from));
            }
        }

        None
    }

    /// The identifier of the last event that had one.
    pub(super) const fn last_id(&self) -> Option<&HeaderValue> {
        self.last_id.as_ref()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    #[test]
    fn events_arrive_in_pieces_and_the_place_is_that_of_the_last_whole_one() {
        let mut events = EventReader::default();
        events.push(b"id: 7\nda").unwrap();
        assert!(events.next().is_none());
        events.push(b"ta: {\"a\":1}\n\ndata: 2\n\nid: 8\n").unwrap();
        let mut next = || events.next().map(Result::unwrap);
        assert_eq!(
            [next(), next(), next()],
            [Some(json!({"a": 1})), Some(json!(2)), None]
        );
        assert_eq!(events.last_id().unwrap(), "7");

        events.begin();
        events.push(b"data: no JSON\n").unwrap();
        assert!(matches!(events.next(), Some(Err(EventError::Data(_)))));
        assert_eq!(events.last_id().unwrap(), "7");
        let long = events.push(&vec![b'x'; LINE_BYTES + 1]);
        assert!(matches!(long, Err(EventError::TooLong)));
    }
}
