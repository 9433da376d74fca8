//! Errors: one type that handlers return with `?`, and the errors of the host's functions.

use std::error::Error as StdError;
use std::fmt;

use crate::bindings::{messaging, state, timers};

/// The error of everything in this crate; any other error becomes one by `?`.
///
/// The error that a handler returns goes to the host, which tries the message again. A [`DecodeError`] does not: a message that
/// cannot be read now cannot be read a second later either, so it is logged and counted.
pub struct Error(Box<dyn StdError>);

/// Result of most functions of this crate.
pub type Result<T = (), E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error that says `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into().into())
    }

    /// Whether a payload (or a captured level) was not what the handler takes.
    pub fn is_decode(&self) -> bool {
        self.0.is::<DecodeError>()
    }

    /// The error within, where it is an `E`.
    pub fn downcast_ref<E: StdError + 'static>(&self) -> Option<&E> {
        self.0.downcast_ref()
    }
}

impl<E: StdError + 'static> From<E> for Error {
    fn from(error: E) -> Self {
        Self(Box::new(error))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A payload is not of the expected form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not {expected}: {reason}")]
pub struct DecodeError {
    /// The expected form, as in `a number`.
    pub expected: &'static str,
    /// The fault, with the beginning of the payload if that is text.
    pub reason: String,
}

/// The reason why publishing or subscribing was refused; the texts are those of the contract.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MessagingError {
    /// Not a topic name or not a topic filter.
    #[error("invalid topic: {0}")]
    InvalidTopic(String),
    /// Outside the service's base topic and not granted.
    #[error("denied: {0}")]
    Denied(String),
    /// A property that MQTT cannot carry.
    #[error("invalid property: {0}")]
    InvalidProperty(String),
    /// More than a limit of the service allows.
    #[error("over the limit: {0}")]
    Limit(String),
}

impl From<messaging::MessagingError> for MessagingError {
    fn from(error: messaging::MessagingError) -> Self {
        match error {
            messaging::MessagingError::InvalidTopic(why) => Self::InvalidTopic(why),
            messaging::MessagingError::Denied(why) => Self::Denied(why),
            messaging::MessagingError::InvalidProperty(why) => Self::InvalidProperty(why),
            messaging::MessagingError::Limit(why) => Self::Limit(why),
        }
    }
}

/// The reason why a request has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// It was not sent.
    #[error("the request was not sent")]
    Refused(#[source] MessagingError),
    /// The host is not connected, or not with MQTT 5.
    #[error("requests are unavailable: {0}")]
    Unavailable(String),
    /// No answer came in time.
    #[error("no answer came in time")]
    TimedOut,
}

impl From<messaging::RequestError> for RequestError {
    fn from(error: messaging::RequestError) -> Self {
        match error {
            messaging::RequestError::Refused(why) => Self::Refused(why.into()),
            messaging::RequestError::Unavailable(why) => Self::Unavailable(why),
            messaging::RequestError::TimedOut => Self::TimedOut,
        }
    }
}

/// The reason why a timer was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TimersError {
    /// Not a possible timer.
    #[error("invalid timer: {0}")]
    Invalid(String),
    /// More than a limit of the service allows.
    #[error("over the limit: {0}")]
    Limit(String),
}

impl From<timers::TimersError> for TimersError {
    fn from(error: timers::TimersError) -> Self {
        match error {
            timers::TimersError::Invalid(why) => Self::Invalid(why),
            timers::TimersError::Limit(why) => Self::Limit(why),
        }
    }
}

/// The reason why the state could not be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// An empty key, or one of more than 512 bytes.
    #[error("invalid key: {0}")]
    InvalidKey(String),
    /// More than a limit of the service allows.
    #[error("over the limit: {0}")]
    Limit(String),
    /// The database cannot be read.
    #[error("the state is unavailable: {0}")]
    Unavailable(String),
}

impl From<state::StateError> for StateError {
    fn from(error: state::StateError) -> Self {
        match error {
            state::StateError::InvalidKey(why) => Self::InvalidKey(why),
            state::StateError::Limit(why) => Self::Limit(why),
            state::StateError::Unavailable(why) => Self::Unavailable(why),
        }
    }
}
