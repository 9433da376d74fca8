//! The control channel of a running host: the command line asks through a Unix socket next to the
//! state file, one JSON line for each request and reply.
//!
//! A further command needs a variant of [`Request`], its execution in `app::control`, and a command
//! of the command line.

mod client;
mod server;
mod socket;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::oneshot;

pub use client::{ClientError, send, sockets};
pub use server::{ControlError, Server, SocketGuard};
pub use socket::socket_of;

/// A request to a running host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// Names of the services.
    Services {},
    /// Snapshots of all services.
    Snapshot {},
    /// Process id, and problems of the host.
    Status {},
    /// Version history of a service.
    History {
        /// Name of the service.
        service: String,
    },
    /// Roll a service back to a former version.
    Rollback {
        /// Name of the service.
        service: String,
        /// Beginning of the version's hash; `None`: the previous version.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<String>,
    },
    /// Dead letters of a service.
    Letters {
        /// Name of the service.
        service: String,
    },
    /// Process the dead letters of a service again.
    Replay {
        /// Name of the service.
        service: String,
    },
    /// Restart the instance of a service.
    Restart {
        /// Name of the service.
        service: String,
    },
}

/// The reply: a result, or the reason of a failure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    /// Result of the request.
    Ok(Value),
    /// Reason why the request failed.
    Error(String),
}

/// A request that waits for its reply.
#[derive(Debug)]
pub struct PendingRequest {
    /// The request.
    pub request: Request,
    /// Receiver of the reply; it may have gone.
    pub reply: oneshot::Sender<Reply>,
}

/// Most bytes of a request or a reply.
const LINE: u64 = 1024 * 1024;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn requests_look_as_documented() {
        let request = Request::Rollback {
            service: "echo".to_owned(),
            to: None,
        };
        let text = r#"{"command":"rollback","service":"echo"}"#;
        assert_eq!(serde_json::to_string(&request).unwrap(), text);
        assert_eq!(serde_json::from_str::<Request>(text).unwrap(), request);
        assert_eq!(
            serde_json::from_str::<Request>(r#"{"command":"services"}"#).unwrap(),
            Request::Services {}
        );
        let wrong = serde_json::from_str::<Request>(r#"{"command":"explode"}"#)
            .unwrap_err()
            .to_string();
        assert!(
            wrong.contains("rollback") && wrong.contains("history"),
            "{wrong}"
        );
        assert_eq!(
            serde_json::to_string(&Reply::Error("no".to_owned())).unwrap(),
            r#"{"error":"no"}"#
        );
    }
}
