//! Reason codes (MQTT 5, section 2.4).

use std::fmt;

/// A reason code. Any byte is allowed, also one that the specification does not know.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Reason(pub u8);

impl Reason {
    /// Whether a DISCONNECT with it excludes that an earlier packet was the cause (MQTT 5, section 3.14.2.1): the broker stops, moves or is
    /// busy, or the client is silent, too fast or replaced.
    pub const fn blames_nothing_sent(self) -> bool {
        matches!(
            self.0,
            0x89 | 0x8B | 0x8D | 0x8E | 0x96..=0x98 | 0x9C | 0x9D | 0x9F | 0xA0
        )
    }

    /// Success; also: QoS 0 granted, normal disconnection.
    pub const SUCCESS: Self = Self(0x00);
    /// A packet with an invalid format.
    pub const MALFORMED: Self = Self(0x81);
    /// A packet that is not allowed at this point.
    pub const PROTOCOL_ERROR: Self = Self(0x82);
    /// The broker does not support this version of MQTT.
    pub const UNSUPPORTED_VERSION: Self = Self(0x84);
    /// The broker does not accept the client identifier.
    pub const CLIENT_ID: Self = Self(0x85);
    /// Wrong user name or password.
    pub const BAD_CREDENTIALS: Self = Self(0x86);
    /// Not allowed.
    pub const NOT_AUTHORIZED: Self = Self(0x87);
    /// The broker cannot serve us now.
    pub const SERVER_UNAVAILABLE: Self = Self(0x88);
    /// Banned by an operator.
    pub const BANNED: Self = Self(0x8A);
    /// The other side sent nothing for too long.
    pub const KEEPALIVE_TIMEOUT: Self = Self(0x8D);
    /// Another connection uses our client identifier.
    pub const TAKEN_OVER: Self = Self(0x8E);
    /// An acknowledgement names a packet that is not there.
    pub const ID_NOT_FOUND: Self = Self(0x92);
    /// A packet larger than allowed.
    pub const PACKET_TOO_LARGE: Self = Self(0x95);
    /// Retained messages are not supported.
    pub const RETAIN_NOT_SUPPORTED: Self = Self(0x9A);
    /// The quality of service is not supported.
    pub const QOS_NOT_SUPPORTED: Self = Self(0x9B);
    /// Shared subscriptions are not supported.
    pub const SHARED_NOT_SUPPORTED: Self = Self(0x9E);
    /// Subscription identifiers are not supported.
    pub const IDS_NOT_SUPPORTED: Self = Self(0xA1);
    /// Wildcards are not supported.
    pub const WILDCARDS_NOT_SUPPORTED: Self = Self(0xA2);

    /// Whether the code means that the broker does not support a feature.
    pub const fn is_unsupported(self) -> bool {
        matches!(self.0, 0x9A | 0x9B | 0x9E | 0xA1 | 0xA2)
    }

    /// Whether the code is a failure (0x80 and above).
    pub const fn is_failure(self) -> bool {
        self.0 >= 0x80
    }

    /// Its name in the specification.
    pub const fn name(self) -> &'static str {
        match self.0 {
            0x00 => "success",
            0x01 => "granted QoS 1",
            0x02 => "granted QoS 2",
            0x04 => "disconnect with will message",
            0x10 => "no matching subscribers",
            0x11 => "no subscription existed",
            0x18 => "continue authentication",
            0x19 => "re-authenticate",
            0x80 => "unspecified error",
            0x81 => "malformed packet",
            0x82 => "protocol error",
            0x83 => "implementation specific error",
            0x84 => "unsupported protocol version",
            0x85 => "client identifier not valid",
            0x86 => "bad user name or password",
            0x87 => "not authorized",
            0x88 => "server unavailable",
            0x89 => "server busy",
            0x8A => "banned",
            0x8B => "server shutting down",
            0x8C => "bad authentication method",
            0x8D => "keep alive timeout",
            0x8E => "session taken over",
            0x8F => "topic filter invalid",
            0x90 => "topic name invalid",
            0x91 => "packet identifier in use",
            0x92 => "packet identifier not found",
            0x93 => "receive maximum exceeded",
            0x94 => "topic alias invalid",
            0x95 => "packet too large",
            0x96 => "message rate too high",
            0x97 => "quota exceeded",
            0x98 => "administrative action",
            0x99 => "payload format invalid",
            0x9A => "retain not supported",
            0x9B => "QoS not supported",
            0x9C => "use another server",
            0x9D => "server moved",
            0x9E => "shared subscriptions not supported",
            0x9F => "connection rate exceeded",
            0xA0 => "maximum connect time",
            0xA1 => "subscription identifiers not supported",
            0xA2 => "wildcard subscriptions not supported",
            _ => "unknown reason",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (0x{:02X})", self.name(), self.0)
    }
}

impl fmt::Debug for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
