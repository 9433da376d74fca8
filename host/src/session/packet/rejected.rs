//! Words: packets that end where their header says, so that the next one can be read, and that cannot be used otherwise. In: what the codec
//! could read of them. Out: what the session acknowledges and the log says. Owns nothing of what was read.

use std::fmt;

use crate::message::Qos;

/// A PUBLISH that is acknowledged and delivered to nobody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectedPublish {
    /// Packet identifier; 0: it has none, or none can be read, so that it cannot be acknowledged.
    pub id: u16,
    /// Quality of service; 0 where its bits have no meaning.
    pub qos: Qos,
    /// Whether the broker says that it sent it before.
    pub dup: bool,
    /// Whether the broker keeps it, or kept it from before the subscription.
    pub retain: bool,
    /// The whole packet in bytes.
    pub size: usize,
    /// As much of the topic as is shown, without what is no UTF-8.
    pub topic: String,
    /// What is wrong about it. Two with the same text are of the same kind.
    pub reason: &'static str,
}

/// What is wrong about a packet above `max_packet_size`.
pub const TOO_LARGE: &str = "it is larger than max_packet_size allows";

impl fmt::Display for RejectedPublish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            qos,
            retain,
            size,
            topic,
            reason,
            ..
        } = self;
        let retained = if *retain { ", retained" } else { "" };
        write!(
            f,
            "{reason} (topic {topic:?}, {size} bytes, QoS {}{retained})",
            u8::from(*qos)
        )
    }
}
