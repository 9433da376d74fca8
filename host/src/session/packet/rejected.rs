//! Packets that are complete but invalid.

use std::fmt;

use crate::message::Qos;

/// A PUBLISH that is acknowledged and delivered to nobody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectedPublish {
    /// Packet identifier; 0: it has none, or it cannot be read, so that the message cannot be acknowledged.
    pub id: u16,
    /// Quality of service; 0 where its bits have no meaning.
    pub qos: Qos,
    /// The DUP flag.
    pub dup: bool,
    /// The RETAIN flag.
    pub retain: bool,
    /// The whole packet in bytes.
    pub size: usize,
    /// The beginning of the topic, with invalid UTF-8 replaced.
    pub topic: String,
    /// The reason, for people. Equal texts are counted together.
    pub reason: &'static str,
}

/// The reason of a packet above `max_packet_size`.
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
