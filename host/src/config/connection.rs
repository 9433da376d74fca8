//! Pure: how the MQTT session is held, whichever the broker. In: the section `broker`. Out: `Connection`. Owns nothing.

use std::time::Duration;

use super::format::{Format, Nested, Waits, set};
use super::given::Given;
use super::section::Section;
use super::{Connection, Protocol};
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
        Waits.read(given, &mut c.reconnect);
    }
    if let Some(given) = section.take("outbox") {
        Nested.read(given, &mut c.outbox);
    }
    if let Some(given) = section.take("properties") {
        given.warning(
            "is ignored: the host sets the properties of CONNECT itself (see session_expiry, receive_maximum)",
        );
    }
    c
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
