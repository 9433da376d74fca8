//! Words: a request that a guest waits for. In: `messaging.request`. Out: to whoever carries requests to the broker; the answer
//! comes back on the request's own channel. Owns nothing.

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
    /// Where the answer goes.
    pub answer: oneshot::Sender<Result<Message, RequestFailure>>,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestFailure {
    /// It could not be sent; says why.
    Unavailable(String),
    /// No answer came in time.
    TimedOut,
}

/// Where requests go.
pub type Requests = mpsc::Sender<Request>;
