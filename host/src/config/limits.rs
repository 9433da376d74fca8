//! Pure: what a service may hold and use. In: the section `limits`. Out: `Limits`. Owns nothing.

use std::time::Duration;

use super::connection::{set, span};
use super::section::Section;

/// Limits of one service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Linear memory in bytes, all memories of the component together.
    pub memory: usize,
    /// Table elements, all tables of the component together.
    pub table: usize,
    /// Core instances of the component; tables and memories too, each.
    pub instances: usize,
    /// How long one guest call may run.
    pub call: Duration,
    /// Messages that may wait.
    pub mailbox: usize,
    /// Bytes that waiting messages may take; one message always may.
    pub mailbox_bytes: usize,
    /// What happens to a message when the mailbox is full.
    pub when_full: WhenFull,
    /// How often a failing message or tick is tried in all.
    pub attempts: u32,
    /// What becomes of the messages behind one that fails.
    pub when_failing: WhenFailing,
    /// First wait before a restart or another attempt; doubled up to `backoff_max`, with jitter.
    pub backoff_min: Duration,
    /// Longest wait before a restart or another attempt.
    pub backoff_max: Duration,
    /// How often the guest may be started anew after faults within `restart_window`; then the service has failed.
    pub restarts: u32,
    /// The time in which restarts are counted.
    pub restart_window: Duration,
    /// Bytes of acknowledged messages that may wait on disk.
    pub spool: usize,
    /// Dead letters that are kept for `miqro-host replay`.
    pub dead_letters: usize,
    /// Publishes and requests in one call.
    pub publishes: usize,
    /// Bytes that the publishes and requests of one call may take.
    pub publish_bytes: usize,
    /// Bytes of one payload.
    pub payload: usize,
    /// Subscriptions in all.
    pub subscriptions: usize,
    /// Timers in all.
    pub timers: usize,
    /// Bytes of its state, keys included.
    pub state: usize,
    /// Values of its state.
    pub state_keys: usize,
    /// Changes of subscriptions and timers in one call.
    pub changes: usize,
    /// Log lines in one call.
    pub log_lines: usize,
    /// Messages in a second beyond one for each that it handled.
    pub publish_rate: u64,
    /// Bytes of payloads in a second beyond those of what it handled.
    pub payload_rate: u64,
    /// Log lines in a second.
    pub log_rate: u64,
    /// Bytes of state written in a second, keys included, and a KiB for each value.
    pub state_rate: u64,
    /// Changes of subscriptions and timers in a second.
    pub change_rate: u64,
}

/// What happens to a message when the mailbox, or the spool, is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenFull {
    /// The oldest waiting message is dropped and counted.
    DropOldest,
    /// The message is dropped and counted.
    DropNewest,
    /// Nothing of QoS 1 and 2 is dropped. What would keep the broker from sending to other services is spooled; when `spool` is full
    /// too, the next messages wait at the broker. QoS 0 messages, which cannot be held back, are dropped and counted.
    Hold,
}

/// What becomes of the messages of a service behind one that fails and is to be tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenFailing {
    /// They wait, so that messages are handled in the order of their arrival.
    InOrder,
    /// They go on.
    OutOfOrder,
}

/// One page of WebAssembly's linear memory.
const PAGE: usize = 64 * 1024;
const MOST: usize = 100_000_000;
/// The most that may flow in a second, in whatever it counts; and the most bytes.
const FASTEST: u64 = 1_000_000_000;
const FASTEST_BYTES: u64 = 1 << 40;
/// MQTT 5, section 2.1.4: the largest remaining length.
const LARGEST_PAYLOAD: usize = 268_435_455;

/// Reads the section; what it does not say is the default.
pub(super) fn limits(mut section: Section<'_>) -> Limits {
    let mut limits = Limits::default();
    let calls = Duration::from_millis(1)..=Duration::from_secs(86_400);
    let windows = Duration::from_secs(1)..=Duration::from_secs(30 * 86_400);
    set(
        section
            .take("memory")
            .and_then(|given| given.size(PAGE..=usize::MAX >> 1)),
        &mut limits.memory,
    );
    set(
        section
            .take("table")
            .and_then(|given| given.number(0..=MOST)),
        &mut limits.table,
    );
    set(
        section
            .take("instances")
            .and_then(|given| given.number(1..=MOST)),
        &mut limits.instances,
    );
    set(
        section.take("call").and_then(|given| given.duration(calls)),
        &mut limits.call,
    );
    set(
        section
            .take("mailbox")
            .and_then(|given| given.number(1..=MOST)),
        &mut limits.mailbox,
    );
    set(
        section
            .take("mailbox_bytes")
            .and_then(|given| given.size(1..=usize::MAX >> 1)),
        &mut limits.mailbox_bytes,
    );
    set(
        section
            .take("when_full")
            .and_then(|given| given.word(&WHEN_FULL)),
        &mut limits.when_full,
    );
    set(
        section
            .take("attempts")
            .and_then(|given| given.number(1..=u32::MAX)),
        &mut limits.attempts,
    );
    set(
        section
            .take("when_failing")
            .and_then(|given| given.word(&WHEN_FAILING)),
        &mut limits.when_failing,
    );
    if let Some(given) = section.take("backoff") {
        (limits.backoff_min, limits.backoff_max) =
            span(given.section(), (limits.backoff_min, limits.backoff_max));
    }
    set(
        section
            .take("restarts")
            .and_then(|given| given.number(0..=u32::MAX)),
        &mut limits.restarts,
    );
    set(
        section
            .take("restart_window")
            .and_then(|given| given.duration(windows)),
        &mut limits.restart_window,
    );
    set(
        section
            .take("spool")
            .and_then(|given| given.size(1..=usize::MAX >> 1)),
        &mut limits.spool,
    );
    set(
        section
            .take("dead_letters")
            .and_then(|given| given.number(0..=MOST)),
        &mut limits.dead_letters,
    );
    set(
        section
            .take("publishes")
            .and_then(|given| given.number(0..=MOST)),
        &mut limits.publishes,
    );
    set(
        section
            .take("publish_bytes")
            .and_then(|given| given.size(0..=usize::MAX >> 1)),
        &mut limits.publish_bytes,
    );
    set(
        section
            .take("payload")
            .and_then(|given| given.size(1..=LARGEST_PAYLOAD)),
        &mut limits.payload,
    );
    set(
        section
            .take("subscriptions")
            .and_then(|given| given.number(0..=MOST)),
        &mut limits.subscriptions,
    );
    set(
        section
            .take("timers")
            .and_then(|given| given.number(0..=MOST)),
        &mut limits.timers,
    );
    set(
        section
            .take("state")
            .and_then(|given| given.size(0..=usize::MAX >> 1)),
        &mut limits.state,
    );
    set(
        section
            .take("state_keys")
            .and_then(|given| given.number(0..=MOST)),
        &mut limits.state_keys,
    );
    set(
        section
            .take("changes")
            .and_then(|given| given.number(0..=MOST)),
        &mut limits.changes,
    );
    set(
        section
            .take("log_lines")
            .and_then(|given| given.number(0..=MOST)),
        &mut limits.log_lines,
    );
    rates(&mut section, &mut limits);
    section.finish();
    limits
}

/// What counts for a second.
fn rates(section: &mut Section<'_>, limits: &mut Limits) {
    for (key, rate) in [
        ("publish_rate", &mut limits.publish_rate),
        ("log_rate", &mut limits.log_rate),
        ("change_rate", &mut limits.change_rate),
    ] {
        set(
            section
                .take(key)
                .and_then(|given| given.number(1..=FASTEST)),
            rate,
        );
    }
    for (key, rate) in [
        ("payload_rate", &mut limits.payload_rate),
        ("state_rate", &mut limits.state_rate),
    ] {
        set(
            section
                .take(key)
                .and_then(|given| given.size(1..=FASTEST_BYTES)),
            rate,
        );
    }
}

/// The words of `when_failing`.
pub(super) const WHEN_FAILING: [(&str, WhenFailing); 2] = [
    ("in-order", WhenFailing::InOrder),
    ("out-of-order", WhenFailing::OutOfOrder),
];

/// The words of `when_full`.
pub(super) const WHEN_FULL: [(&str, WhenFull); 4] = [
    ("drop-oldest", WhenFull::DropOldest),
    ("drop-newest", WhenFull::DropNewest),
    ("hold", WhenFull::Hold),
    // its former name
    ("unacknowledged", WhenFull::Hold),
];
