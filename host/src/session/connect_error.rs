//! Failures of an attempt to connect.

use std::io;
use std::time::Duration;

use super::codec::CodecError;
use super::packet::Reason;
use super::schedule::FailureClass;
use super::transport::TransportError;
use super::transport::tls::TlsError;

/// The failure of an attempt to connect.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// There is no stream of bytes.
    #[error("{0}")]
    Transport(#[from] TransportError),
    /// Nothing, or no CONNACK, came in time.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// The stream broke before CONNACK.
    #[error("the connection broke before CONNACK: {0}")]
    Io(#[from] io::Error),
    /// The answer is not a packet.
    #[error("{0}")]
    Codec(#[from] CodecError),
    /// CONNECT cannot be written.
    #[error("{0}")]
    Settings(CodecError),
    /// Another packet came first.
    #[error("the broker did not answer CONNECT with CONNACK; is it an MQTT broker?")]
    NoConnAck,
    /// The broker refused.
    #[error("the broker refused the connection: {reason}{}", .text.as_deref().map(|text| format!(": {text}")).unwrap_or_default())]
    Refused {
        /// The reason code.
        reason: Reason,
        /// The broker's own text.
        text: Option<String>,
    },
}

impl ConnectError {
    /// Whether somebody has to change something before it can work, or the broker is only away or busy.
    pub fn class(&self) -> FailureClass {
        let is_persistent = match self {
            Self::Refused { reason, .. } => !matches!(
                reason.0,
                0x80 | 0x83 | 0x88 | 0x89 | 0x8B | 0x93 | 0x96..=0x98 | 0x9F
            ),
            Self::Transport(TransportError::Tls(TlsError::Handshake(error))) => {
                error.kind() == io::ErrorKind::InvalidData
            }
            Self::Transport(TransportError::Tls(_))
            | Self::NoConnAck
            | Self::Codec(_)
            | Self::Settings(_) => true,
            Self::Transport(TransportError::WebSocket(error)) => error.is_refusal(),
            Self::Transport(_) | Self::Timeout(_) | Self::Io(_) => false,
        };

        if is_persistent {
            FailureClass::Persistent
        } else {
            FailureClass::Transient
        }
    }

    /// A label for the step that failed; the same whatever time, address or number the message contains.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Transport(TransportError::Resolve { .. } | TransportError::NoAddress { .. }) => {
                "name"
            }
            Self::Transport(TransportError::Connect { .. }) => "TCP",
            Self::Transport(TransportError::Tls(_)) => "TLS",
            Self::Transport(TransportError::WebSocket(_)) => "WebSocket",
            Self::Timeout(_) => "time",
            Self::Io(_) => "broken",
            Self::Codec(_) | Self::NoConnAck => "protocol",
            Self::Settings(_) => "settings",
            Self::Refused { reason, .. } => reason.name(),
        }
    }
}
