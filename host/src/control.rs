//! The control channel of a running host: one set of requests for all surfaces. The command line asks through a Unix socket next to
//! the state file, one JSON line for each request and reply; [`crate::web`] asks through the same channel.
//!
//! A further command needs a variant of [`Request`], its execution in `app::control`, and a command
//! of the command line.

mod caller;
mod client;
mod client_error;
mod recording_stream;
mod remote;
mod request;
mod server;
mod snapshot;
mod socket;
mod stream;
mod upload;
mod upload_progress;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

use crate::service::Recording;

pub use caller::Caller;
pub use client::{Endpoint, sockets};
pub use client_error::ClientError;
pub use recording_stream::{RecordingStream, record};
pub use remote::{LAST_EVENT_ID, Remote, RemoteError};
pub use request::Request;
pub use server::{ControlError, Server, SocketGuard};
pub use snapshot::{BrokerSnapshot, HostSnapshot};
pub use socket::socket_of;
pub use stream::{Sink, Stream};
pub use upload::{UPLOAD_BYTES, Upload, UploadError, UploadWriter, Uploads};
pub use upload_progress::UploadProgress;

/// The result of a request. It becomes JSON outside the message path.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Answer {
    /// Snapshot of the host.
    Snapshot(Box<HostSnapshot>),
    /// The header of a recording, whose calls follow.
    Recording(Box<Recording>),
    /// Anything else.
    Value(Value),
    /// A result that continues. It has a form of its own on each surface.
    #[serde(skip_serializing)]
    Stream(Stream),
}

impl From<Value> for Answer {
    fn from(value: Value) -> Self {
        Self::Value(value)
    }
}

impl From<Stream> for Answer {
    fn from(stream: Stream) -> Self {
        Self::Stream(stream)
    }
}

/// The reply on the socket: a result, or the reason of a failure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply<T = Value> {
    /// Result of the request.
    Ok(T),
    /// Reason why the request failed.
    Error(String),
}

/// A request that waits for its reply.
#[derive(Debug)]
pub struct PendingRequest {
    /// The request.
    pub request: Request,
    /// The component that came with it.
    pub upload: Option<Upload>,
    /// The client that sent it, for the audit log.
    pub caller: Caller,
    /// Receiver of the reply; it may have gone.
    pub reply: oneshot::Sender<Reply<Answer>>,
}

/// Sends a request to the host, and waits for its reply.
pub async fn ask(
    requests: &mpsc::Sender<PendingRequest>,
    request: Request,
    caller: Caller,
) -> Reply<Answer> {
    ask_with(requests, request, None, caller).await
}

/// As [`ask`], with an uploaded component.
pub async fn ask_with(
    requests: &mpsc::Sender<PendingRequest>,
    request: Request,
    upload: Option<Upload>,
    caller: Caller,
) -> Reply<Answer> {
    let stopping = || Reply::Error("the host is stopping".to_owned());
    let (reply, replied) = oneshot::channel();
    let pending = PendingRequest {
        request,
        upload,
        caller,
        reply,
    };
    if requests.send(pending).await.is_err() {
        return stopping();
    }

    replied.await.unwrap_or_else(|_| stopping())
}

/// Most bytes of a request.
const REQUEST_BYTES: u64 = 1024 * 1024;

/// Most bytes of a reply: snapshots of some thousand services.
const REPLY_BYTES: u64 = 64 * 1024 * 1024;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn replies_look_as_documented() {
        assert_eq!(
            serde_json::to_string(&Reply::<Value>::Error("no".to_owned())).unwrap(),
            r#"{"error":"no"}"#
        );
    }
}
