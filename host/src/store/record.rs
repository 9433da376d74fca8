//! Pure: what the database says of a message beside the message. In: dead letters, numbers. Out: text, and the same again. Owns nothing.

use std::sync::Arc;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::letters::Letter;
use crate::message::record::Record;
use crate::message::{Message, Publication, Terms};
use crate::session::state::RestoredMessage;

/// A dead letter but for the payload of its message.
#[derive(Serialize, Deserialize)]
struct LetterRecord {
    #[serde(flatten)]
    message: Record,
    given_up: GivenUp,
}

/// What a dead letter says beside the message.
#[derive(Serialize, Deserialize)]
struct GivenUp {
    reason: String,
    attempts: u32,
    component: Option<String>,
    at: u64,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    outgoing: bool,
}

/// A message that waits to be sent, but for its payload.
#[derive(Serialize, Deserialize)]
struct WaitingRecord {
    #[serde(flatten)]
    message: Record,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    publisher: Option<String>,
}

/// Everything of a dead letter but the payload, as text.
pub(super) fn letter_head(letter: &Letter) -> Result<String, serde_json::Error> {
    let Letter {
        message,
        reason,
        attempts,
        component,
        at,
        outgoing,
    } = letter;
    let (reason, component) = (reason.clone(), component.clone());
    let given_up = GivenUp {
        reason,
        attempts: *attempts,
        component,
        at: *at,
        outgoing: *outgoing,
    };
    serde_json::to_string(&LetterRecord {
        message: Record::from(message),
        given_up,
    })
}

/// The dead letter again; `None` when the text is none of ours.
pub(super) fn letter(head: &str, payload: &[u8]) -> Option<Letter> {
    let LetterRecord { message, given_up } = serde_json::from_str(head).ok()?;
    let GivenUp {
        reason,
        attempts,
        component,
        at,
        outgoing,
    } = given_up;
    Some(Letter {
        message: message.with(payload)?,
        reason,
        attempts,
        component,
        at,
        outgoing,
    })
}

/// Everything of a message that waits to be sent but the payload, as text; `publisher` is the name of its service.
pub(super) fn waiting_head(
    message: &Message,
    publisher: Option<&str>,
) -> Result<String, serde_json::Error> {
    let publisher = publisher.map(str::to_owned);
    serde_json::to_string(&WaitingRecord {
        message: Record::from(message),
        publisher,
    })
}

/// The message again, kept under `number`; `None` when the text is none of ours.
pub(super) fn restored(number: u64, head: &str, payload: &[u8]) -> Option<RestoredMessage> {
    let WaitingRecord { message, publisher } = serde_json::from_str(head).ok()?;
    let message = message.with(payload)?;
    let terms = Terms {
        token: None,
        only_if_changed: None,
        offline: None,
        kept: Some(number),
        at: Instant::now(),
    };
    let publication = Publication {
        message,
        terms: Some(Box::new(terms)),
    };
    Some(RestoredMessage {
        number,
        publisher: publisher.map(Arc::from),
        publication,
    })
}
