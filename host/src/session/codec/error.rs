//! Errors of the codec.

use crate::session::packet::Reason;

/// An error of the codec: bytes that are not a packet, or a packet that cannot be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// Bytes that do not follow the specification.
    #[error("malformed {packet} from the broker: {what}")]
    Malformed {
        /// The packet type.
        packet: &'static str,
        /// The problem.
        what: String,
    },
    /// Larger than we allow.
    #[error("{packet} of {size} bytes from the broker; max_packet_size allows {max}")]
    TooLarge {
        /// The packet type.
        packet: &'static str,
        /// Its size in bytes.
        size: usize,
        /// The limit in bytes.
        max: usize,
    },
    /// A packet type that a broker must not send.
    #[error("the broker sent {0}, which only clients send or which does not exist")]
    Unexpected(&'static str),
    /// MQTT cannot express the packet.
    #[error("cannot write {packet}: {what}")]
    Unwritable {
        /// The packet type.
        packet: &'static str,
        /// The problem.
        what: String,
    },
}

impl CodecError {
    pub(super) fn malformed(packet: &'static str, what: impl ToString) -> Self {
        Self::Malformed {
            packet,
            what: what.to_string(),
        }
    }

    /// The reason code for the DISCONNECT that answers it (MQTT 5, section 4.13).
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Malformed { .. } => Reason::MALFORMED,
            Self::TooLarge { .. } => Reason::PACKET_TOO_LARGE,
            Self::Unexpected(_) | Self::Unwritable { .. } => Reason::PROTOCOL_ERROR,
        }
    }
}
