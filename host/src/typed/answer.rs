//! Answers to calls: the bare result, or an error whose code and text travel as user properties of MQTT 5.
//!
//! An answer goes to the response topic of the call with its correlation data untouched, whatever they look like. A call without a
//! response topic gets none.

use std::fmt;

use bytes::Bytes;

use crate::message::{Message, Properties};

/// The user property with the code of an error.
const CODE: &str = "code";
/// The user property with the text of an error.
const TEXT: &str = "message";

/// Bytes of an error's text that travel.
const TEXT_BYTES: usize = 1024;

/// The kind of an error, as the user property `code` has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// The operation itself returned an error; the payload is its value.
    Error,
    /// The arguments are not JSON, or not those of the operation.
    InvalidArguments,
    /// There is no such operation or property.
    UnknownMember,
    /// The property has no setter.
    ReadOnly,
    /// The result has no form as a payload.
    InvalidResult,
    /// The service failed while it handled the call.
    Fault,
    /// No answer came in time.
    TimedOut,
    /// The call could not be sent.
    Unavailable,
    /// Any other code, of a peer.
    Other,
}

impl Code {
    const ALL: [Self; 9] = [
        Self::Error,
        Self::InvalidArguments,
        Self::UnknownMember,
        Self::ReadOnly,
        Self::InvalidResult,
        Self::Fault,
        Self::TimedOut,
        Self::Unavailable,
        Self::Other,
    ];

    /// The code as text, which is stable.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::InvalidArguments => "invalid-arguments",
            Self::UnknownMember => "unknown-member",
            Self::ReadOnly => "read-only",
            Self::InvalidResult => "invalid-result",
            Self::Fault => "fault",
            Self::TimedOut => "timed-out",
            Self::Unavailable => "unavailable",
            Self::Other => "other",
        }
    }

    fn of(name: &str) -> Self {
        let mut all = Self::ALL.into_iter();
        all.find(|code| code.name() == name).unwrap_or(Self::Other)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An error in place of a result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text} ({code})")]
pub struct CallError {
    /// Its kind.
    pub code: Code,
    /// A text for people.
    pub text: String,
    /// The value of the error as JSON; `null` where there is none.
    pub payload: Bytes,
}

impl CallError {
    /// An error without a value.
    pub fn new(code: Code, text: impl Into<String>) -> Self {
        Self {
            code,
            text: text.into(),
            payload: Bytes::from_static(b"null"),
        }
    }
}

/// The answer to `call` with `payload`; `None`: it has no response topic.
pub fn answer(call: &Message, payload: impl Into<Bytes>) -> Option<Message> {
    let properties = call.properties.as_deref()?;
    let topic = properties.response_topic.clone()?;

    let mut answer = Message::new(topic, payload, call.qos, false);
    let properties = Properties {
        correlation_data: properties.correlation_data.clone(),
        message_expiry: properties.message_expiry,
        ..Properties::default()
    };
    if properties != Properties::default() {
        answer.properties = Some(Box::new(properties));
    }
    Some(answer)
}

/// The answer to `call` with an error; `None`: it has no response topic.
pub fn refusal(call: &Message, error: &CallError) -> Option<Message> {
    let mut answer = answer(call, error.payload.clone())?;
    let properties = answer.properties.get_or_insert_default();
    let pairs = [(CODE, error.code.name()), (TEXT, text(&error.text))];
    properties.user_properties = pairs
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec();
    Some(answer)
}

/// The part of a text that fits into a property.
fn text(text: &str) -> &str {
    let end = text.find(|character: char| character.is_control());
    let most = end.unwrap_or(text.len()).min(TEXT_BYTES);
    let end = (0..=most).rev().find(|at| text.is_char_boundary(*at));
    &text[..end.unwrap_or(0)]
}

/// The payload of an answer.
///
/// # Errors
/// The error that it carries.
pub fn outcome(answer: &Message) -> Result<&Bytes, CallError> {
    let find = |wanted: &str| {
        let properties = answer.properties.as_deref()?;
        let pair = properties
            .user_properties
            .iter()
            .find(|(name, _)| name == wanted)?;
        Some(pair.1.as_str())
    };

    match find(CODE) {
        None => Ok(&answer.payload),
        Some(code) => Err(CallError {
            code: Code::of(code),
            text: find(TEXT).unwrap_or(code).to_owned(),
            payload: answer.payload.clone(),
        }),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::message::Qos;
    use crate::topic::Topic;

    fn call(correlation: Option<&'static [u8]>) -> Message {
        let topic = |text: &str| Topic::new(text.to_owned()).unwrap();
        let mut call = Message::new(topic("m/I/rpc/f"), "[]", Qos::ExactlyOnce, false);
        call.properties = Some(Box::new(Properties {
            response_topic: Some(topic("m/I/rpc/f/b'cli1'/result")),
            correlation_data: correlation.map(Bytes::from_static),
            ..Properties::default()
        }));
        call
    }

    #[test]
    fn answer_goes_to_the_response_topic_with_the_correlation_untouched() {
        for correlation in [
            None,
            Some(&b"\x07"[..]),
            Some(b"57343"),
            Some(&[0; 8]),
            Some(b""),
        ] {
            let answer = answer(&call(correlation), "1").unwrap();
            assert_eq!(answer.topic.as_str(), "m/I/rpc/f/b'cli1'/result");
            assert_eq!((answer.qos, answer.retain), (Qos::ExactlyOnce, false));
            let data = answer.properties.and_then(|it| it.correlation_data);
            assert_eq!(data.as_deref(), correlation);
        }

        let mut call = call(None);
        call.properties = None;
        assert_eq!(answer(&call, "1"), None);
        assert_eq!(refusal(&call, &CallError::new(Code::Fault, "")), None);
    }

    #[test]
    fn errors_travel_as_user_properties() {
        for code in Code::ALL {
            let error = CallError::new(code, "no good");
            let answer = refusal(&call(None), &error).unwrap();
            assert_eq!(outcome(&answer), Err(error));
        }
        let answer = answer(&call(None), "7").unwrap();
        assert_eq!(outcome(&answer).unwrap(), "7");
    }

    #[test]
    fn text_of_an_error_is_cut_where_mqtt_cannot_carry_it() {
        for (long, length) in [("ä".repeat(2000), TEXT_BYTES), ("one\ntwo".to_owned(), 3)] {
            let answer = refusal(&call(None), &CallError::new(Code::Fault, long)).unwrap();
            assert_eq!(outcome(&answer).unwrap_err().text.len(), length);
        }
    }
}
