//! MQTT packets written and read by hand, for speed: the load generator must not be the limit. Both
//! protocol versions; only packets that the generator needs. Pure.

pub(crate) mod inbox;
pub(crate) mod packets;
pub(crate) mod properties;

pub(crate) use inbox::{Frame, Inbox};
pub(crate) use packets::{Publish, Template};

/// Packet types (MQTT 5, section 2.1.2), as the high four bits of the first byte.
pub(crate) mod kind {
    /// CONNECT.
    pub(crate) const CONNECT: u8 = 0x10;
    /// CONNACK.
    pub(crate) const CONNACK: u8 = 0x20;
    /// PUBLISH.
    pub(crate) const PUBLISH: u8 = 0x30;
    /// PUBACK.
    pub(crate) const PUBACK: u8 = 0x40;
    /// PUBREC.
    pub(crate) const PUBREC: u8 = 0x50;
    /// PUBREL; its flags are always 0x02.
    pub(crate) const PUBREL: u8 = 0x60;
    /// PUBCOMP.
    pub(crate) const PUBCOMP: u8 = 0x70;
    /// SUBSCRIBE; its flags are always 0x02.
    pub(crate) const SUBSCRIBE: u8 = 0x80;
    /// SUBACK.
    pub(crate) const SUBACK: u8 = 0x90;
    /// UNSUBSCRIBE.
    pub(crate) const UNSUBSCRIBE: u8 = 0xA0;
    /// UNSUBACK.
    pub(crate) const UNSUBACK: u8 = 0xB0;
    /// PINGREQ.
    pub(crate) const PINGREQ: u8 = 0xC0;
    /// PINGRESP.
    pub(crate) const PINGRESP: u8 = 0xD0;
}

/// Protocol version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    /// MQTT 3.1.1.
    V311,
    /// MQTT 5.0.
    V5,
}
