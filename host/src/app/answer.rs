//! Answers to requests of the control channel, and the reasons why there is none.

use futures_util::future::BoxFuture;
use tokio::task::JoinError;

use crate::control::Answer;
use crate::rollout::archive::FindVersionError;
use crate::rollout::deployment::DeployError;
use crate::rollout::loader::LoadError;
use crate::service::CommandError;
use crate::store::{LetterId, LetterIdError, StoreError};
use crate::tap::TapFull;
use crate::topic::TopicError;
use crate::version::Version;

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
    #[error(
        "expected a component after the request, as POST /api/v1/upload and miqro-host deploy send it"
    )]
    NoUpload,
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error(transparent)]
    Version(#[from] FindVersionError),
    #[error(transparent)]
    Deploy(#[from] DeployError),
    #[error("version {} runs, but the host will start with the former file: {source}", version.short())]
    NotInPlace {
        version: Version,
        source: DeployError,
    },
    #[error("the check of the component failed in the host, which is a bug: {0}")]
    Bug(#[from] JoinError),
    #[error(transparent)]
    TapFull(#[from] TapFull),
    #[error(transparent)]
    Topic(#[from] TopicError),
}

/// The answer to a request, as soon as there is one.
pub(super) type AnswerFuture = BoxFuture<'static, Result<Answer, RequestError>>;
