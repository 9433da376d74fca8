//! A request that a guest waits for, on its way to the broker.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::message::Message;

/// A request.
#[derive(Debug)]
pub struct Request {
    /// The message; response topic and correlation data are added on the way.
    pub message: Message,
    /// How long the guest waits.
    pub deadline: Duration,
    /// The channel for the answer.
    pub answer: oneshot::Sender<Result<Message, RequestFailure>>,
}

/// Reasons why a request has no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestFailure {
    /// It could not be sent; says why.
    Unavailable(String),
    /// No answer came in time.
    TimedOut,
}

/// The channel that carries requests to the broker.
pub type Requests = mpsc::Sender<Request>;
