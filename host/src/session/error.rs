//! Errors of the session.

use super::codec::CodecError;

/// The reason why a session ended although it was not told to.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// Another client connected with our client identifier. Coming back would throw it out, and it us, for ever.
    #[error(
        "another client connected to {peer} with the client id {client_id:?} and took the session over; \
         give each host a client_id of its own"
    )]
    TakenOver {
        /// The broker as `host:port`.
        peer: String,
        /// Ours, and the other client's.
        client_id: String,
    },
    /// The connection settings cannot be expressed in MQTT.
    #[error("cannot connect to {peer}: {source}")]
    Settings {
        /// The broker as `host:port`.
        peer: String,
        /// The setting that cannot be written.
        source: CodecError,
    },
}
