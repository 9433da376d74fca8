//! Answers to requests of the control channel, and the reasons why there is none.

use futures_util::future::BoxFuture;

use crate::control::Answer;
use crate::service::CommandError;
use crate::store::{LetterId, LetterIdError, StoreError};
use crate::tap::TapFull;
use crate::topic::TopicError;

/// A request cannot be carried out.
#[derive(Debug, thiserror::Error)]
pub(super) enum RequestError {
    #[error(transparent)]
    Command(#[from] CommandError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the service has ended")]
    Ended,
    #[error(transparent)]
    LetterId(#[from] LetterIdError),
    #[error("the service {service:?} has no dead letter {letter}")]
    NoLetter { service: String, letter: LetterId },
    #[error("dead letter {0} is a message of the service itself, which no call handles")]
    Outgoing(LetterId),
    #[error("recordings hold payloads, so only the control socket gives them: miqro-host record")]
    SocketOnly,
    #[error("there is no connection to the broker")]
    NotConnected,
    #[error(transparent)]
    TapFull(#[from] TapFull),
    #[error(transparent)]
    Topic(#[from] TopicError),
}

/// The answer to a request, as soon as there is one.
pub(super) type AnswerFuture = BoxFuture<'static, Result<Answer, RequestError>>;
