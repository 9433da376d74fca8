//! The control channel of a running host: the command line asks through a Unix socket next to the
//! state file, one JSON line for each request and answer.
//!
//! A further command needs a variant of [`Request`], its execution in `app::control`, and a command
//! of the command line.

mod client;
mod server;
mod socket;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::oneshot;

pub use client::{AskError, ask, sockets};
pub use server::{Bound, ControlError, Server};
pub use socket::socket_of;

/// A request to a running host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// Which services there are.
    Services {},
    /// Which process it is, and for which filters the broker ends the connection.
    Status {},
    /// Which versions a service has had.
    History {
        /// Its name.
        service: String,
    },
    /// To bring back a former version of a service.
    Rollback {
        /// Its name.
        service: String,
        /// How the version's hash begins; `None`: the last one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<String>,
    },
    /// Which messages a service has given up.
    Letters {
        /// Its name.
        service: String,
    },
    /// To have a service handle again what it has given up.
    Replay {
        /// Its name.
        service: String,
    },
    /// To restart the instance of a service.
    Restart {
        /// Its name.
        service: String,
    },
}

/// Its answer: the result, or the reason of a failure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    /// It was done.
    Ok(Value),
    /// It was not done.
    Error(String),
}

/// A request that waits for its answer.
#[derive(Debug)]
pub struct Asked {
    /// The request.
    pub request: Request,
    /// The way of the answer.
    pub answer: oneshot::Sender<Result<Value, String>>,
}

/// Bytes of a request, or of an answer.
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
