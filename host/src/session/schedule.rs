//! When the connections of one host may be attempted, with one back-off for all of them.
//!
//! The main connection comes first: a presence connection is attempted only while the main one stands, and gives up its place when the
//! main one cannot come back.

use std::time::{Duration, Instant};

use crate::backoff::Backoff;

/// How long a connection has to last before the back-off starts again with a short wait.
const STABLE_AFTER: Duration = Duration::from_secs(5);
/// How long the main connection has to last after a short one before it is relied on; doubled for each further short one.
const SETTLE: Duration = Duration::from_millis(50);
/// The shortest and the longest wait after a failure that somebody has to fix.
const PERSISTENT_WAITS: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(60));
/// The longest wait before another presence connection is attempted while the main one stands.
const MAX_PRESENCE_WAIT: Duration = Duration::from_secs(30);
/// How many presence connections are attempted at once while none has failed.
const MAX_PARALLEL: usize = 4;
/// Number of failed attempts of the main connection after which presence connections make room for it.
const YIELD_AFTER: u32 = 3;

/// The purpose of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// It carries the messages.
    Main,
    /// It has the will of one service.
    Presence,
}

/// How long the cause of a failure is likely to last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureClass {
    /// The broker is away, busy or ended the connection: the next attempt may work.
    Transient,
    /// Somebody has to change something first: wrong credentials, a certificate, a version.
    Persistent,
}

/// When an attempt may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NextAttempt {
    /// Now.
    Now,
    /// Not before this instant.
    At(Instant),
    /// After something has changed.
    AfterChange,
}

/// When the connections of one host may be attempted.
#[derive(Debug)]
pub(super) struct Schedule {
    main: RoleBackoff,
    presence: RoleBackoff,
    /// Since when the main connection is there.
    main_since: Option<Instant>,
    /// Number of main connections in a row that did not last.
    short: u32,
    /// Number of attempts of presence connections that are under way.
    in_progress: usize,
}

/// The back-off of the connections of one role.
#[derive(Debug)]
struct RoleBackoff {
    transient: Backoff,
    persistent: Backoff,
    not_before: Option<Instant>,
}

impl RoleBackoff {
    fn new(min: Duration, max: Duration) -> Self {
        let persistent = Backoff::new(PERSISTENT_WAITS.0.max(min), PERSISTENT_WAITS.1.max(max));
        Self {
            transient: Backoff::new(min, max),
            persistent,
            not_before: None,
        }
    }

    fn on_failed(&mut self, class: FailureClass, now: Instant, jitter: f64) {
        let wait = match class {
            FailureClass::Transient => self.transient.next(jitter),
            // transient failures meanwhile count too, so the next refusal is not a first one
            FailureClass::Persistent => self
                .persistent
                .next(jitter)
                .max(self.transient.next(jitter)),
        };

        self.not_before = now.checked_add(wait);
    }

    fn reset(&mut self) {
        self.transient.reset();
        self.persistent.reset();
        self.not_before = None;
    }

    fn failures(&self) -> u32 {
        self.transient.failures()
    }
}

impl Schedule {
    /// Creates a schedule with the waits `min` and `max` of its back-off.
    pub(super) fn new(min: Duration, max: Duration) -> Self {
        let main = RoleBackoff::new(min, max);
        let presence = RoleBackoff::new(min, MAX_PRESENCE_WAIT.max(max));
        Self {
            main,
            presence,
            main_since: None,
            short: 0,
            in_progress: 0,
        }
    }

    /// Starts again with other waits. There is no main connection now.
    pub(super) fn reset(&mut self, min: Duration, max: Duration) {
        *self = Self {
            in_progress: self.in_progress,
            ..Self::new(min, max)
        };
    }

    /// When a connection may be attempted.
    pub(super) fn next_attempt(&self, role: Role, now: Instant) -> NextAttempt {
        let at = match (role, self.main_since) {
            (Role::Main, _) => self.main.not_before,
            (Role::Presence, None) => return NextAttempt::AfterChange,
            (Role::Presence, Some(up)) => {
                self.presence.not_before.max(Some(up + self.settle_time()))
            }
        };

        match at.filter(|at| *at > now) {
            Some(at) => NextAttempt::At(at),
            None if role == Role::Presence && self.in_progress >= self.max_parallel() => {
                NextAttempt::AfterChange
            }
            None => NextAttempt::Now,
        }
    }

    fn max_parallel(&self) -> usize {
        if self.presence.failures() == 0 {
            MAX_PARALLEL
        } else {
            1
        }
    }

    /// Handles the begin of an attempt.
    pub(super) fn on_attempt_started(&mut self, role: Role) {
        self.in_progress += usize::from(role == Role::Presence);
    }

    /// Handles the end of an attempt, whatever its result.
    pub(super) fn on_attempt_ended(&mut self, role: Role) {
        self.in_progress -= usize::from(role == Role::Presence && self.in_progress > 0);
    }

    /// Handles a failed attempt.
    pub(super) fn on_failed(&mut self, role: Role, class: FailureClass, now: Instant, jitter: f64) {
        self.backoff(role).on_failed(class, now, jitter);
    }

    /// Handles a CONNACK with success.
    pub(super) fn on_connected(&mut self, role: Role, now: Instant) {
        if role == Role::Main {
            self.main_since = Some(now);
            self.presence.reset();
        }
    }

    /// Handles the end of a connection that was there since `since`; the next attempt waits at most `max_wait`. If that is less than
    /// the back-off gives, a search for a poison packet is under way, and this connection does not count for the back-off.
    pub(super) fn on_lost(
        &mut self,
        role: Role,
        since: Instant,
        now: Instant,
        (jitter, max_wait): (f64, Duration),
    ) {
        let is_stable = now.saturating_duration_since(since) >= STABLE_AFTER;
        if is_stable {
            self.backoff(role).reset();
        }
        if role == Role::Main {
            self.main_since = None;
        }
        let backoff = self.backoff(role);
        let before = backoff.transient.clone();
        backoff.on_failed(FailureClass::Transient, now, jitter);
        if let Some(soon) = now
            .checked_add(max_wait)
            .filter(|soon| backoff.not_before.is_none_or(|at| *soon < at))
        {
            (backoff.transient, backoff.not_before) = (before, Some(soon));
            return;
        }

        if role == Role::Main {
            self.short = if is_stable {
                0
            } else {
                self.short.saturating_add(1)
            };
        }
    }

    /// How long the main connection has to last before it is relied on.
    pub(super) fn settle_time(&self) -> Duration {
        let doubled = |times| {
            1_u32
                .checked_shl(times)
                .and_then(|factor| SETTLE.checked_mul(factor))
        };
        self.short.checked_sub(1).map_or(Duration::ZERO, |times| {
            doubled(times).unwrap_or(STABLE_AFTER).min(STABLE_AFTER)
        })
    }

    /// Number of main connections in a row that did not last.
    pub(super) const fn short_connections(&self) -> u32 {
        self.short
    }

    /// Number of failures of presence connections since the main connection came.
    pub(super) fn presence_failures(&self) -> u32 {
        self.presence.failures()
    }

    /// Whether presence connections have to end, so that the main connection finds a place.
    pub(super) fn presence_must_yield(&self) -> bool {
        self.main_since.is_none() && self.main.failures() > YIELD_AFTER
    }

    fn backoff(&mut self, role: Role) -> &mut RoleBackoff {
        match role {
            Role::Main => &mut self.main,
            Role::Presence => &mut self.presence,
        }
    }
}

#[cfg(test)]
mod tests;
