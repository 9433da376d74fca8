//! Pure: what the database says of a message beside the message. In: dead letters, numbers. Out: text, and the same again. Owns nothing.

use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::letters::Letter;
use crate::message::record::{self, Record};
use crate::message::{Publication, Terms};

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
}

/// Everything of a dead letter but the payload, as text.
pub(super) fn letter_head(letter: &Letter) -> Result<String, serde_json::Error> {
    let Letter { message, reason, attempts, component, at } = letter;
    let (reason, component) = (reason.clone(), component.clone());
    let given_up = GivenUp { reason, attempts: *attempts, component, at: *at };
    serde_json::to_string(&LetterRecord { message: Record::from(message), given_up })
}

/// The dead letter again; `None` when the text is none of ours.
pub(super) fn letter(head: &str, payload: &[u8]) -> Option<Letter> {
    let LetterRecord { message, given_up } = serde_json::from_str(head).ok()?;
    let GivenUp { reason, attempts, component, at } = given_up;
    Some(Letter { message: message.with(payload)?, reason, attempts, component, at })
}

/// The message again, kept under `number`; `None` when the text is none of ours.
pub(super) fn publication(number: u64, head: &str, payload: &[u8]) -> Option<Publication> {
    let message = record::message(head, payload)?;
    let terms = Terms { token: None, only_if_changed: None, offline: None, kept: Some(number), at: Instant::now() };
    Some(Publication { message, terms: Some(Box::new(terms)) })
}
