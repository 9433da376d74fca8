//! The times of one connection: when to send PINGREQ, and when to give the connection up.

use std::time::{Duration, Instant};

/// How long after a due sign of life, or after a write that makes no progress, the connection is given up.
const GRACE: Duration = Duration::from_secs(3);

/// The action that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DueAction {
    /// Nothing.
    Nothing,
    /// Send PINGREQ.
    Ping,
    /// Nothing came for keepalive and 3 seconds, although PINGREQ asked for it.
    Silent(Duration),
    /// The socket took no byte for keepalive and 3 seconds (`session_faults::broker_that_stops_reading_is_noticed`).
    Stalled(Duration),
}

/// Times of one connection. Without keepalive nothing is ever due.
#[derive(Debug, Clone)]
pub struct Keepalive {
    interval: Option<Duration>,
    received: Instant,
    sent: Instant,
    /// Since when a PINGREQ is unanswered.
    asked: Option<Instant>,
    /// Since when the socket does not take waiting bytes.
    stalled: Option<Instant>,
}

impl Keepalive {
    /// Starts at `now`; an `interval` of zero turns it off.
    pub fn new(interval: Duration, now: Instant) -> Self {
        let interval = (interval > Duration::ZERO).then_some(interval);
        Self {
            interval,
            received: now,
            sent: now,
            asked: None,
            stalled: None,
        }
    }

    /// Handles bytes from the broker.
    pub const fn on_received(&mut self, now: Instant) {
        self.received = now;
        self.asked = None;
    }

    /// Handles that the socket took bytes; `all`: there are no more.
    pub fn on_sent(&mut self, now: Instant, all: bool) {
        self.sent = now;
        self.stalled = (!all).then_some(now);
    }

    /// Handles that the socket takes no bytes although there are some.
    pub fn on_stalled(&mut self, now: Instant) {
        self.stalled.get_or_insert(now);
    }

    /// The next instant at which `due` may return an action, if nothing happens before.
    pub fn deadline(&self) -> Option<Instant> {
        let interval = self.interval?;
        let alive = match self.asked {
            Some(asked) => self.silent_at(asked, interval),
            None => self.received.min(self.sent) + interval,
        };
        let stalled = self.stalled.map(|since| since + interval + GRACE);
        Some(stalled.map_or(alive, |stalled| stalled.min(alive)))
    }

    /// When the silence is too long. The broker gets its 3 seconds also when this process slept and asked late.
    fn silent_at(&self, asked: Instant, interval: Duration) -> Instant {
        (self.received + interval + GRACE).max(asked + GRACE)
    }

    /// Returns the action that is due at `now`. `Ping` comes once.
    pub fn due(&mut self, now: Instant) -> DueAction {
        let Some(interval) = self.interval else {
            return DueAction::Nothing;
        };
        let limit = interval + GRACE;
        let silence = now.saturating_duration_since(self.received);
        match self
            .stalled
            .map(|since| now.saturating_duration_since(since))
        {
            Some(stall) if stall >= limit => return DueAction::Stalled(stall),
            _ => {}
        }

        if let Some(asked) = self.asked {
            return if now >= self.silent_at(asked, interval) {
                DueAction::Silent(silence)
            } else {
                DueAction::Nothing
            };
        }

        if silence >= interval || now.saturating_duration_since(self.sent) >= interval {
            self.asked = Some(now);
            return DueAction::Ping;
        }
        DueAction::Nothing
    }
}
