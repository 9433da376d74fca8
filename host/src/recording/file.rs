//! A recording as text.

use serde::Deserialize;
use serde_json::Value;

use super::{CallRecord, End, FORMAT, Header};

/// A recording that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordingFile {
    /// The service at the beginning.
    pub header: Header,
    /// The calls.
    pub calls: Vec<CallRecord>,
    /// The reason of the end; `None`: the text was cut off.
    pub end: Option<End>,
}

/// An error in the text of a recording.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// There is no header.
    #[error("expected a recording, found an empty file")]
    Empty,
    /// A line has another form.
    #[error("line {line}: {source}")]
    Line {
        /// Its number, from 1.
        line: usize,
        /// The error in it.
        source: serde_json::Error,
    },
    /// The header is of another version of the format.
    #[error("expected a recording of format {FORMAT}, found format {0}")]
    Format(u32),
    /// Lines follow the end.
    #[error("line {0}: expected nothing after the end of the recording")]
    AfterEnd(usize),
}

/// The last line.
#[derive(Deserialize)]
struct LastLine {
    end: End,
}

impl RecordingFile {
    /// Reads a recording. The last line may be cut off.
    ///
    /// # Errors
    /// When the text has another form.
    pub fn read(text: &str) -> Result<Self, ReadError> {
        let is_cut = !text.ends_with('\n');
        let mut lines = text.lines().enumerate().peekable();
        let (_, first) = lines.next().ok_or(ReadError::Empty)?;
        let header: Header = parse(1, first)?;
        if !header.is_known() {
            return Err(ReadError::Format(header.recording));
        }

        let mut calls = Vec::new();
        let mut end = None;
        while let Some((index, line)) = lines.next() {
            let number = index + 1;
            if end.is_some() {
                return Err(ReadError::AfterEnd(number));
            }
            let value: Value = match parse(number, line) {
                Err(_) if is_cut && lines.peek().is_none() => break,
                value => value?,
            };
            let failed = |source| ReadError::Line {
                line: number,
                source,
            };
            if value.get("end").is_some() {
                let last: LastLine = serde_json::from_value(value).map_err(failed)?;
                end = Some(last.end);
            } else {
                calls.push(serde_json::from_value(value).map_err(failed)?);
            }
        }

        Ok(Self { header, calls, end })
    }
}

fn parse<T: for<'a> Deserialize<'a>>(line: usize, text: &str) -> Result<T, ReadError> {
    serde_json::from_str(text).map_err(|source| ReadError::Line { line, source })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::message::{Message, Qos};
    use crate::recording::{
        Begin, Content, Effect, Exchange, ExchangeAnswer, Inputs, RecordedCall, RecordedMessage,
    };
    use crate::topic::Topic;

    fn message(payload: &'static [u8]) -> RecordedMessage {
        let topic = Topic::new("service/echo/echo".to_owned()).unwrap();
        Message::new(topic, payload, Qos::AtLeastOnce, true).into()
    }

    fn recording() -> RecordingFile {
        let header = Header {
            recording: FORMAT,
            service: "echo".to_owned(),
            component: "00".repeat(32),
            at: 1_767_225_600_000,
            begin: Begin::Running,
            config: json!({"colour": "red"}),
            discovery_prefix: "homeassistant".to_owned(),
            state: BTreeMap::from([("count".to_owned(), Content("3".into()))]),
            seed: Content::default(),
            saved: None,
        };

        let inputs = Inputs {
            wall: [1_767_225_600_000_000_000].into(),
            random: Content([0xff, 1].as_slice().into()),
            remaining: [None, Some(7)].into(),
            requests: [Exchange {
                request: message(b"?"),
                answer: ExchangeAnswer::Message(message(&[0xfe])),
            }]
            .into(),
            ..Inputs::default()
        };
        let effect = Effect {
            publishes: vec![message(b"hello")],
            timers: vec!["beat in 10 ms".to_owned()],
            ..Effect::default()
        };
        let call = |call, inputs, effect| CallRecord {
            at: 1_767_225_600_001,
            call,
            inputs,
            effect,
        };

        let handled = RecordedCall::Message {
            message: message(b"hello"),
            attempt: 1,
        };
        let ticked = RecordedCall::Tick {
            timer: "beat".to_owned(),
            count: 2,
        };
        let calls = vec![
            call(RecordedCall::Start, Inputs::default(), Effect::default()),
            call(handled, inputs, effect),
            call(ticked, Inputs::default(), Effect::of_fault(&"broken")),
        ];

        RecordingFile {
            header,
            calls,
            end: Some(End::Count),
        }
    }

    fn text(recording: &RecordingFile) -> String {
        let mut lines = vec![serde_json::to_string(&recording.header).unwrap()];
        for call in &recording.calls {
            lines.push(serde_json::to_string(call).unwrap());
        }
        let end = recording.end.map(|end| json!({ "end": end }).to_string());
        lines.extend(end);
        lines.join("\n") + "\n"
    }

    #[test]
    fn what_is_written_is_read() {
        let recording = recording();
        let text = text(&recording);
        assert_eq!(RecordingFile::read(&text).unwrap(), recording);
        assert!(text.contains(r#""call":"message""#) && text.contains(r#""payload":"hello""#));
    }

    #[test]
    fn a_cut_recording_ends_before_the_cut() {
        let text = text(&recording());
        let tick = text.find(r#"{"at":1767225600001,"call":"tick""#).unwrap();
        let cut = RecordingFile::read(&text[..tick + 20]).unwrap();
        assert_eq!((cut.calls.len(), cut.end), (2, None));
    }

    #[test]
    fn mistakes_are_named_with_their_line() {
        let text = text(&recording());
        let wrong = |text: &str| RecordingFile::read(text).unwrap_err().to_string();
        assert_eq!(wrong(""), "expected a recording, found an empty file");
        assert!(wrong(&text.replace(r#""attempt":1"#, r#""attempt":"x""#)).starts_with("line 3: "));
        assert!(
            wrong(&text.replace(r#""recording":1"#, r#""recording":9"#)).contains("found format 9")
        );
        assert!(wrong(&format!("{text}{{}}\n")).starts_with("line 6: expected nothing"));
    }
}
