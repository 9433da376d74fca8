//! Dead letters of a service, for operators: listed, replayed and deleted.

use serde_json::{Value, json};

use super::answer::RequestError;
use crate::control::Answer;
use crate::rollout::history::format_utc;
use crate::service::ServiceRef;
use crate::store::{DeadLetter, LetterId, Store};

/// Characters of a reason that are shown.
const SHOWN: usize = 200;

/// Lists the dead letters of a service.
pub(super) async fn list(store: Store, service: String) -> Result<Answer, RequestError> {
    let letters = store.dead_letters(&service).await?;
    Ok(Answer::Value(letters.iter().map(describe).collect()))
}

fn describe((id, letter): &(LetterId, DeadLetter)) -> Value {
    let DeadLetter {
        message,
        reason,
        attempts,
        component,
        at,
        outgoing,
    } = letter;

    let reason = reason.chars().take(SHOWN).collect::<String>();
    json!({
        "id": id.to_string(),
        "topic": message.topic.as_str(),
        "qos": message.qos,
        "bytes": message.payload.len(),
        "reason": reason,
        "attempts": attempts,
        "version": component,
        "at": format_utc(*at),
        "outgoing": outgoing,
    })
}

/// Reprocesses the dead letters of a service.
pub(super) async fn replay(
    store: Store,
    service: String,
    service_ref: ServiceRef,
) -> Result<Answer, RequestError> {
    let segment = store.requeue_dead_letters(&service).await?;
    let count = segment.map_or(0, |segment| segment.messages);
    if let Some(segment) = segment {
        service_ref.replay(segment).await;
    }
    let sentence = format!("{count} messages are handled again");
    Ok(Answer::Value(sentence.into()))
}

/// Deletes a dead letter of a service.
pub(super) async fn delete(
    store: Store,
    service: String,
    letter: String,
) -> Result<Answer, RequestError> {
    let letter: LetterId = letter.parse()?;
    let Some(deleted) = store.delete_dead_letter(&service, letter).await? else {
        return Err(RequestError::NoLetter { service, letter });
    };
    let sentence = format!("the message on {} is deleted", deleted.message.topic);
    Ok(Answer::Value(sentence.into()))
}
