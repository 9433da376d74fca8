//! MQTT packets written and read by hand, for speed: the load generator must not be the limit. Both
//! protocol versions; only packets that the generator needs. Pure.

pub mod inbox;
pub mod packets;
pub mod properties;

pub use inbox::{Frame, Inbox};
pub use packets::{Publish, Template};

/// Packet types (MQTT 5, section 2.1.2), as the high four bits of the first byte.
pub mod kind {
    /// CONNECT.
    pub const CONNECT: u8 = 0x10;
    /// CONNACK.
    pub const CONNACK: u8 = 0x20;
    /// PUBLISH.
    pub const PUBLISH: u8 = 0x30;
    /// PUBACK.
    pub const PUBACK: u8 = 0x40;
    /// PUBREC.
    pub const PUBREC: u8 = 0x50;
    /// PUBREL; its flags are always 0x02.
    pub const PUBREL: u8 = 0x60;
    /// PUBCOMP.
    pub const PUBCOMP: u8 = 0x70;
    /// SUBSCRIBE; its flags are always 0x02.
    pub const SUBSCRIBE: u8 = 0x80;
    /// SUBACK.
    pub const SUBACK: u8 = 0x90;
    /// UNSUBSCRIBE.
    pub const UNSUBSCRIBE: u8 = 0xA0;
    /// UNSUBACK.
    pub const UNSUBACK: u8 = 0xB0;
    /// PINGREQ.
    pub const PINGREQ: u8 = 0xC0;
    /// PINGRESP.
    pub const PINGRESP: u8 = 0xD0;
}

/// Protocol version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// MQTT 3.1.1.
    V311,
    /// MQTT 5.0.
    V5,
}
