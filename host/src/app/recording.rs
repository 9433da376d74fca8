//! Requests for recordings.

use futures_util::future::FutureExt;

use super::answer::{AnswerFuture, RequestError};
use super::runtime::Runtime;
use crate::control::Answer;
use crate::recording::{Begin, CallRecord, Effect, Header, Inputs, RecordedCall};
use crate::service::{Recording, ServiceRef};
use crate::store::{DeadLetter, LetterId, Store};

impl Runtime<'_> {
    /// Begins to record a service.
    pub(super) fn record(
        &self,
        service: String,
        restart: bool,
        count: Option<u64>,
    ) -> AnswerFuture {
        self.with_service(service, |_, _, service_ref| {
            record(service_ref, restart, count).boxed()
        })
    }

    /// Makes a recording of a dead letter.
    pub(super) fn record_letter(&self, service: String, letter: String) -> AnswerFuture {
        self.with_service(service, |service, store, service_ref| {
            record_letter(store, service, service_ref, letter).boxed()
        })
    }
}

async fn record(
    service_ref: ServiceRef,
    restart: bool,
    count: Option<u64>,
) -> Result<Answer, RequestError> {
    let begin = if restart {
        Begin::Start
    } else {
        Begin::Running
    };
    let recording = service_ref.record(begin, count).await?;
    Ok(Answer::Recording(Box::new(recording)))
}

/// Makes a recording of a dead letter, with the present state of its service.
async fn record_letter(
    store: Store,
    service: String,
    service_ref: ServiceRef,
    letter: String,
) -> Result<Answer, RequestError> {
    let id: LetterId = letter.parse()?;
    let letters = store.dead_letters(&service).await?;
    let found = letters.into_iter().find(|(found, _)| *found == id);
    let Some((_, letter)) = found else {
        let letter = id;
        return Err(RequestError::NoLetter { service, letter });
    };
    if letter.outgoing {
        return Err(RequestError::Outgoing(id));
    }

    let DeadLetter {
        message,
        reason,
        attempts,
        component,
        at,
        outgoing: _,
    } = letter;
    let header = service_ref.describe_recording().await?;
    let header = Header {
        component: component.unwrap_or(header.component),
        at,
        ..header
    };

    let call = CallRecord {
        at,
        call: RecordedCall::Message {
            message: message.into(),
            attempt: attempts,
        },
        inputs: Inputs::default(),
        effect: Effect::of_fault(&reason),
    };
    let recording = Recording::of_call(header, call);
    Ok(Answer::Recording(Box::new(recording)))
}
