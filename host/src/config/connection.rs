//! Pure: how the MQTT session is held, whichever the broker. In: the section `broker`. Out: `Connection`. Owns nothing.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::given::Given;
use super::section::Section;
use super::units::LONGEST;
use super::{Connection, OutboxLimits, Protocol};
use crate::text;

const HOUR: Duration = Duration::from_secs(3600);
const MS: Duration = Duration::from_millis(1);
/// The largest packet that MQTT can carry: four bytes of remaining length and the two parts before it.
const LARGEST_PACKET: u32 = 268_435_455 + 5;

/// Reads the keys of the session; host, port and the like are not among them.
pub(super) fn connection(section: &mut Section<'_>) -> Connection {
    // left empty until the names of the services are known; an empty one is refused below
    let client_id = section
        .take("client_id")
        .and_then(|given| given.read(client_id))
        .unwrap_or_default();
    let mut c = Connection {
        client_id,
        ..Connection::default()
    };
    set(
        section.take("protocol").and_then(|g| protocol(&g)),
        &mut c.protocol,
    );
    set(
        section
            .take("keepalive")
            .and_then(|g| g.seconds(u16::MAX.into(), true)),
        &mut c.keepalive,
    );
    set(
        section
            .take("session_expiry")
            .and_then(|g| session_expiry(&g)),
        &mut c.session_expiry,
    );
    set(
        section.take("clean_start").and_then(|g| clean_start(&g)),
        &mut c.clean_start,
    );
    set(
        section
            .take("receive_maximum")
            .and_then(|g| g.number(1..=u16::MAX)),
        &mut c.receive_maximum,
    );
    set(
        section
            .take("max_packet_size")
            .and_then(|g| g.size(256..=LARGEST_PACKET)),
        &mut c.max_packet_size,
    );
    set(
        section
            .take("connect_timeout")
            .and_then(|g| g.duration(MS..=HOUR)),
        &mut c.connect_timeout,
    );
    set(
        section
            .take("delivery_timeout")
            .and_then(|g| g.duration(MS..=24 * HOUR)),
        &mut c.delivery_timeout,
    );
    if let Some(given) = section.take("reconnect") {
        (c.reconnect_min, c.reconnect_max) =
            span(given.section(), (c.reconnect_min, c.reconnect_max));
    }
    if let Some(given) = section.take("outbox") {
        c.outbox = outbox(given.section(), c.outbox);
    }
    if let Some(given) = section.take("properties") {
        given.warning(
            "is ignored: the host sets the properties of CONNECT itself (see session_expiry, receive_maximum)",
        );
    }
    c
}

/// A section `{min, max}` of waits; what is not given is taken from `default`, but never lies on the wrong side.
pub(super) fn span(
    mut section: Section<'_>,
    default: (Duration, Duration),
) -> (Duration, Duration) {
    let range: RangeInclusive<Duration> = MS..=LONGEST;
    let min = section
        .take("min")
        .and_then(|given| given.duration(range.clone()));
    let max = section.take("max").and_then(|given| given.duration(range));
    let span = match (min, max) {
        (Some(min), Some(max)) if min > max => {
            section.problem("min is larger than max");
            default
        }
        (min, max) => {
            let least = min.unwrap_or_else(|| max.map_or(default.0, |max| default.0.min(max)));
            (least, max.unwrap_or(default.1.max(least)))
        }
    };
    section.finish();
    span
}

/// Puts `value` into `field` if there is one.
pub(super) fn set<T>(value: Option<T>, field: &mut T) {
    if let Some(value) = value {
        *field = value;
    }
}

fn protocol(given: &Given<'_>) -> Option<Protocol> {
    given.word(&[
        ("5", Protocol::V5),
        ("3.1.1", Protocol::V311),
        ("5.0", Protocol::V5),
    ])
}

/// `never` is MQTT's largest number: the session does not expire (MQTT 5, section 3.1.2.11.2).
fn session_expiry(given: &Given<'_>) -> Option<Duration> {
    if given.text()? == "never" {
        return Some(Duration::from_secs(u32::MAX.into()));
    }
    given.seconds(u32::MAX, false)
}

/// Paho also knows 3: clean at the first connection only, which is what `true` means to this host.
fn clean_start(given: &Given<'_>) -> Option<bool> {
    if given.int() == Some(3) {
        Some(true)
    } else {
        given.flag()
    }
}

fn client_id(text: &str) -> Result<String, String> {
    if text.is_empty() || text.len() > 65_535 || text::forbidden(text).is_some() {
        return Err(
            "is no client identifier; leave it out, or write a word that no other client of the broker has".to_owned()
        );
    }
    Ok(text.to_owned())
}

/// Reads a section `{messages, bytes}`.
pub(super) fn outbox(mut section: Section<'_>, mut limits: OutboxLimits) -> OutboxLimits {
    set(
        section
            .take("messages")
            .and_then(|given| given.number(1..=100_000_000)),
        &mut limits.messages,
    );
    set(
        section
            .take("bytes")
            .and_then(|given| given.size(1024..=usize::MAX >> 1)),
        &mut limits.bytes,
    );
    section.finish();
    limits
}
