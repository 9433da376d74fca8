//! The keys of `broker` that hold for the session with any broker, the embedded one included.

use std::time::Duration;

use serde_json::Value;

use super::format::{Format, Number, Size, Span, WaitRange, Waits, Words, set};
use super::key::Key;
use super::nested::NestedSection;
use super::section::Section;
use super::settings::{Settings, settings};
use super::units::format_duration;
use super::value::ConfigValue;
use super::{Connection, OutboxLimits};
use crate::text;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const MS: Duration = Duration::from_millis(1);
/// The largest packet that MQTT can carry: four bytes of remaining length and the two parts before it.
const LARGEST_PACKET: u32 = 268_435_455 + 5;

settings! {
    /// Settings of the MQTT session.
    pub struct SessionSettings {
        /// The version of MQTT.
        pub protocol: Protocol = Protocol::V5, "protocol": Words(&PROTOCOLS), needs_restart true;
        /// The keepalive interval in whole seconds; 0 turns it off. A number without a unit counts seconds.
        pub keepalive: Duration = 60 * SECOND, "keepalive": Keepalive;
        /// How long the broker keeps the session after the connection is gone, in whole seconds. With `never` the session does not
        /// expire.
        pub session_expiry: Duration = HOUR, "session_expiry": SessionExpiry;
        /// Whether the broker is asked to forget an earlier session first (`clean session` in MQTT 3.1.1).
        pub clean_start: bool = false, "clean_start": CleanStart;
        /// How many incoming messages of QoS 1 and 2 may be unacknowledged before the broker waits.
        pub receive_maximum: u16 = 256, "receive_maximum": Number(1..=u16::MAX);
        /// The largest packet that is accepted. The embedded broker accepts at least this, and payloads as large as the largest
        /// `limits.payload` at its start.
        pub max_packet_size: u32 = 2 * 1024 * 1024, "max_packet_size": Size(256..=LARGEST_PACKET);
        /// How long making the connection may take, up to CONNACK.
        pub connect_timeout: Duration = 10 * SECOND, "connect_timeout": Span(MS..=HOUR);
        /// The time after which a service that asks for it is told that the broker has not taken a message of QoS 1 or 2.
        pub delivery_timeout: Duration = 10 * SECOND, "delivery_timeout": Span(MS..=24 * HOUR), needs_restart true;
        /// The waits before connecting again: the first one, doubled up to the longest one, with jitter.
        pub reconnect: WaitRange = WaitRange { min: 200 * MS, max: SECOND }, "reconnect": Waits;
        /// Messages that may wait to be sent while the broker is away.
        pub outbox: OutboxLimits = OutboxLimits::default(), "outbox": NestedSection;
    }
}

/// The version of MQTT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// MQTT 5.0.
    V5,
    /// MQTT 3.1.1.
    V311,
}

const PROTOCOLS: [(&str, Protocol); 3] = [
    ("5", Protocol::V5),
    ("3.1.1", Protocol::V311),
    ("5.0", Protocol::V5),
];

/// Whole seconds, as CONNECT has them.
struct Keepalive;

/// Whole seconds, or `never`.
struct SessionExpiry;

/// True or false, or Paho's 3.
struct CleanStart;

/// MQTT's largest number: the session does not expire (MQTT 5, section 3.1.2.11.2).
const NEVER: Duration = Duration::from_secs(0xFFFF_FFFF);

impl Format<Duration> for Keepalive {
    fn read(&self, value: ConfigValue<'_>, field: &mut Duration) {
        set(value.seconds(u16::MAX.into(), true), field);
    }

    fn render(&self, value: &Duration) -> Value {
        format_duration(*value).into()
    }

    fn accepted_values(&self) -> String {
        let most = Duration::from_secs(u16::MAX.into());
        format!("duration of whole seconds, 0s to {}", format_duration(most))
    }
}

impl Format<Duration> for SessionExpiry {
    fn read(&self, value: ConfigValue<'_>, field: &mut Duration) {
        let Some(text) = value.text() else { return };
        if text == "never" {
            *field = NEVER;
        } else {
            set(value.seconds(u32::MAX, false), field);
        }
    }

    fn render(&self, value: &Duration) -> Value {
        if *value == NEVER {
            "never".into()
        } else {
            format_duration(*value).into()
        }
    }

    fn accepted_values(&self) -> String {
        "duration of whole seconds, or `never`".to_owned()
    }
}

impl Format<bool> for CleanStart {
    /// Paho also knows 3: clean at the first connection only, which is the meaning of `true` in this host.
    fn read(&self, value: ConfigValue<'_>, field: &mut bool) {
        if value.integer() == Some(3) {
            *field = true;
        } else {
            set(value.flag(), field);
        }
    }

    fn render(&self, value: &bool) -> Value {
        (*value).into()
    }

    fn accepted_values(&self) -> String {
        "`true`, `false`; `3` as `true`".to_owned()
    }
}

/// A text that cannot identify a client.
#[derive(Debug, thiserror::Error)]
#[error(
    "expected a client identifier of 1 to 65535 bytes without control characters; leave it out, or write a word that no other \
     client of the broker has"
)]
struct ClientIdError;

fn parse_client_id(text: &str) -> Result<String, ClientIdError> {
    if text.is_empty() || text.len() > 65_535 || text::find_forbidden(text).is_some() {
        return Err(ClientIdError);
    }
    Ok(text.to_owned())
}

/// Reads the keys of the session. Host, port and other parts of the address are not among them.
pub(super) fn read_session(section: &mut Section<'_>) -> Connection {
    let mut connection = Connection::default();
    // left empty until the names of the services are known; an empty one in the file is refused
    if let Some(value) = section.take("client_id") {
        set(value.parse(parse_client_id), &mut connection.client_id);
    }

    connection.session.read(section);

    if let Some(value) = section.take("properties") {
        value.warning(
            "is ignored: the host sets the properties of CONNECT itself (see session_expiry, receive_maximum)",
        );
    }
    connection
}

/// The keys of the session for the reference.
pub(super) fn keys() -> Vec<Key> {
    let client_id = Key::new(
        "client_id",
        "The client identifier. Without it the host makes one at its first start and keeps it in the directory for state, so that \
         the broker recognises the session after a restart, and in a new container as well.",
        "text",
    )
    .example("house");
    let properties = Key::new(
        "properties",
        "Accepted for MIQRO's sake and ignored.",
        "anything",
    )
    .example("{}");

    [vec![client_id], SessionSettings::keys(), vec![properties]].concat()
}
