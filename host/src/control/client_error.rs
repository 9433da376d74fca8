//! Errors of the command line's end of the control channel.

use std::io;
use std::path::PathBuf;

/// Errors of requests.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No process listens on the socket, or at the URL.
    #[error("no host listens on {0}")]
    NotListening(String),
    /// The socket cannot be used, or the reply did not arrive in time.
    #[error("{path}: {source}")]
    Io {
        /// The socket.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The server at the URL did not take the request.
    #[error("{url}: {reason}")]
    Remote {
        /// The URL of the host.
        url: String,
        /// The reason, which says what the host expects.
        reason: String,
    },
    /// The host rejected the request, for this reason.
    #[error("{0}")]
    Rejected(String),
}
