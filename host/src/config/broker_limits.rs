//! Pure: the section `broker.embedded.limits`. In: the section. Out: `BrokerLimits`, and how it is shown. Owns nothing.

use std::time::Duration;

use serde_json::{Value, json};

use super::connection::{outbox, set};
use super::section::Section;
use super::units::{show_duration, show_size};
use super::{BrokerLimits, OutboxLimits, WhenClientFull};

const MS: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3600);
/// What can be written for `when_full`.
const WHEN_FULL: [(&str, WhenClientFull); 2] = [
    ("disconnect", WhenClientFull::Disconnect),
    ("drop", WhenClientFull::Drop),
];

/// Reads the section.
pub(super) fn limits(mut section: Section<'_>) -> BrokerLimits {
    let mut limits = BrokerLimits::default();
    set(
        section
            .take("connections")
            .and_then(|given| given.number(1..=1_000_000)),
        &mut limits.connections,
    );
    set(
        section
            .take("pending")
            .and_then(|given| given.number(1..=1_000_000)),
        &mut limits.pending,
    );
    set(
        section
            .take("connect_timeout")
            .and_then(|given| given.duration(MS..=HOUR)),
        &mut limits.connect_timeout,
    );
    set(
        section
            .take("sessions")
            .and_then(|given| given.number(1..=1_000_000)),
        &mut limits.sessions,
    );
    set(
        section
            .take("subscriptions")
            .and_then(|given| given.number(1..=1_000_000)),
        &mut limits.subscriptions,
    );
    set(
        section
            .take("when_full")
            .and_then(|given| given.word(&WHEN_FULL)),
        &mut limits.when_full,
    );
    for (key, field) in [
        ("waiting", &mut limits.waiting),
        ("queue", &mut limits.queue),
        ("retained", &mut limits.retained),
    ] {
        if let Some(given) = section.take(key) {
            *field = outbox(given.section(), *field);
        }
    }
    section.finish();
    limits
}

/// The section as it is shown.
pub(super) fn show(limits: &BrokerLimits) -> Value {
    let pair = |pair: OutboxLimits| {
        let bytes = show_size(u64::try_from(pair.bytes).unwrap_or(u64::MAX));
        json!({"messages": pair.messages, "bytes": bytes})
    };
    let when_full = WHEN_FULL
        .iter()
        .find(|(_, of)| *of == limits.when_full)
        .map_or("", |(word, _)| word);
    json!({
        "connections": limits.connections,
        "pending": limits.pending,
        "connect_timeout": show_duration(limits.connect_timeout),
        "sessions": limits.sessions,
        "subscriptions": limits.subscriptions,
        "waiting": pair(limits.waiting),
        "when_full": when_full,
        "queue": pair(limits.queue),
        "retained": pair(limits.retained),
    })
}
