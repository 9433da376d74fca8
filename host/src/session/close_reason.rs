//! The end of a connection.

use super::packet::Reason;

/// The reason for the end of a connection.
#[derive(Debug)]
pub enum CloseReason {
    /// The session was told to stop, and DISCONNECT was sent.
    Stopped,
    /// Another client has our client identifier.
    TakenOver,
    /// There are new settings to connect with; DISCONNECT was sent.
    Reconfigured,
    /// The broker does not support a feature that was used; the session reconnects without it.
    Unsupported(Reason, String),
    /// The broker closed it, perhaps because of a packet that it was sent; the session reconnects.
    ClosedByBroker(String),
    /// Anything else; the session reconnects.
    Lost(String),
}
