//! Pure: when the connections of one host may be attempted. In: attempts, connections, their ends, the time, random numbers. Out: who
//! may connect, and when. Owns the back-off that all of them share.
//!
//! The main connection comes first: a presence connection is attempted only while the main one stands, and gives up its place
//! when the main one cannot come back.

use std::time::{Duration, Instant};

use crate::backoff::Backoff;

/// A connection that lasted so long was a good one: the next wait is a short one.
const GOOD: Duration = Duration::from_secs(5);
/// How long the main connection has to last after a short one before it is relied on; doubled for each further short one.
const SETTLE: Duration = Duration::from_millis(50);
/// The waits after a refusal that does not heal by itself.
const LASTING: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(60));
/// The longest wait before another presence connection is attempted while the main one stands.
const PRESENCE: Duration = Duration::from_secs(30);
/// How many presence connections are attempted at once while none has failed.
const AT_ONCE: usize = 4;
/// After so many failed attempts of the main connection, presence connections make room for it.
const MAKE_ROOM: u32 = 3;

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It carries the messages.
    Main,
    /// It has the will of one service.
    Presence,
}

/// How long a trouble is likely to last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// The broker is away, busy or ended the connection: the next attempt may work.
    Passing,
    /// Somebody has to change something first: wrong credentials, a certificate, a version.
    Lasting,
}

/// Whether an attempt may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Now.
    Now,
    /// Not before this instant.
    At(Instant),
    /// After something has changed.
    Later,
}

/// When the connections of one host may be attempted.
#[derive(Debug)]
pub struct Schedule {
    main: Lane,
    presence: Lane,
    /// Since when the main connection is there.
    up: Option<Instant>,
    /// Main connections one after the other that did not last.
    short: u32,
    /// Attempts of presence connections that are under way.
    under_way: usize,
}

/// The back-off of the connections of one role.
#[derive(Debug)]
struct Lane {
    passing: Backoff,
    lasting: Backoff,
    not_before: Option<Instant>,
}

impl Lane {
    fn new(min: Duration, max: Duration) -> Self {
        let lasting = Backoff::new(LASTING.0.max(min), LASTING.1.max(max));
        Self {
            passing: Backoff::new(min, max),
            lasting,
            not_before: None,
        }
    }

    fn failed(&mut self, trouble: Trouble, now: Instant, jitter: f64) {
        let wait = match trouble {
            Trouble::Passing => self.passing.next(jitter),
            // attempts that fail in another way meanwhile do not make the next refusal a first one
            Trouble::Lasting => self.lasting.next(jitter).max(self.passing.next(jitter)),
        };
        self.not_before = now.checked_add(wait);
    }

    fn reset(&mut self) {
        self.passing.reset();
        self.lasting.reset();
        self.not_before = None;
    }

    fn failures(&self) -> u32 {
        self.passing.failures()
    }
}

impl Schedule {
    /// `min`, `max`: the waits of the back-off.
    pub fn new(min: Duration, max: Duration) -> Self {
        let (main, presence) = (Lane::new(min, max), Lane::new(min, PRESENCE.max(max)));
        Self {
            main,
            presence,
            up: None,
            short: 0,
            under_way: 0,
        }
    }

    /// Begins again with other waits; there is no main connection now.
    pub fn renew(&mut self, min: Duration, max: Duration) {
        *self = Self {
            under_way: self.under_way,
            ..Self::new(min, max)
        };
    }

    /// Whether a connection may be attempted.
    pub fn turn(&self, role: Role, now: Instant) -> Turn {
        let at = match (role, self.up) {
            (Role::Main, _) => self.main.not_before,
            (Role::Presence, None) => return Turn::Later,
            (Role::Presence, Some(up)) => self.presence.not_before.max(Some(up + self.settle())),
        };
        match at.filter(|at| *at > now) {
            Some(at) => Turn::At(at),
            None if role == Role::Presence && self.under_way >= self.at_once() => Turn::Later,
            None => Turn::Now,
        }
    }

    fn at_once(&self) -> usize {
        if self.presence.failures() == 0 {
            AT_ONCE
        } else {
            1
        }
    }

    /// An attempt has begun.
    pub fn begun(&mut self, role: Role) {
        self.under_way += usize::from(role == Role::Presence);
    }

    /// An attempt is over, however it ended.
    pub fn over(&mut self, role: Role) {
        self.under_way -= usize::from(role == Role::Presence && self.under_way > 0);
    }

    /// An attempt failed.
    pub fn failed(&mut self, role: Role, trouble: Trouble, now: Instant, jitter: f64) {
        self.lane(role).failed(trouble, now, jitter);
    }

    /// CONNACK came with success.
    pub fn connected(&mut self, role: Role, now: Instant) {
        if role == Role::Main {
            self.up = Some(now);
            self.presence.reset();
        }
    }

    /// A connection ended that was there since `since`; the next attempt waits at most `longest`. Where that is less than the back-off
    /// gives, it is being found out why connections end, and this one counts for nothing else.
    pub fn lost(
        &mut self,
        role: Role,
        since: Instant,
        now: Instant,
        (jitter, longest): (f64, Duration),
    ) {
        let good = now.saturating_duration_since(since) >= GOOD;
        if good {
            self.lane(role).reset();
        }
        if role == Role::Main {
            self.up = None;
        }
        let lane = self.lane(role);
        let before = lane.passing.clone();
        lane.failed(Trouble::Passing, now, jitter);
        if let Some(soon) = now
            .checked_add(longest)
            .filter(|soon| lane.not_before.is_none_or(|at| *soon < at))
        {
            (lane.passing, lane.not_before) = (before, Some(soon));
            return;
        }
        if role == Role::Main {
            self.short = if good {
                0
            } else {
                self.short.saturating_add(1)
            };
        }
    }

    /// How long the main connection has to last before it is relied on.
    pub fn settle(&self) -> Duration {
        let doubled = |times| {
            1_u32
                .checked_shl(times)
                .and_then(|factor| SETTLE.checked_mul(factor))
        };
        self.short.checked_sub(1).map_or(Duration::ZERO, |times| {
            doubled(times).unwrap_or(GOOD).min(GOOD)
        })
    }

    /// Main connections one after the other that did not last.
    pub const fn short(&self) -> u32 {
        self.short
    }

    /// Failures of presence connections since the main connection came.
    pub fn presence_failures(&self) -> u32 {
        self.presence.failures()
    }

    /// Whether presence connections have to end, so that the main connection finds a place.
    pub fn must_make_room(&self) -> bool {
        self.up.is_none() && self.main.failures() > MAKE_ROOM
    }

    fn lane(&mut self, role: Role) -> &mut Lane {
        match role {
            Role::Main => &mut self.main,
            Role::Presence => &mut self.presence,
        }
    }
}

#[cfg(test)]
mod tests;
