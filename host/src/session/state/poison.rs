//! Pure: finds the packet for which a broker ends the connection. In: what was sent, what the broker answered, connections made and lost,
//! the time. Out: whether something may be sent now, and verdicts about what is suspected. Owns the suspicion; the packets stay
//! with the outbox and the requests.
//!
//! Brokers have rules that nobody can list (levels, lengths, characters, sizes, rights) and answer with the end of the connection;
//! sent again on the next one, the same packet would end that too. Two losses in a row, each soon after something was sent, begin a
//! search: from then on only so much is unanswered at a time that what is lost with a connection can be halved on the next. What is
//! left over ends two connections alone, each of which had answered a ping before, and is held back; when a connection
//! without it lives, it is condemned. Connections that are lost with nothing unanswered say that no packet is to blame: then
//! nothing is held back any more, and for a while nothing is searched.

use std::collections::{HashSet, VecDeque};
use std::time::{Duration, Instant};

use crate::topic::Filter;

mod bans;
mod bisection;

pub use bans::Ban;
use bans::Bans;
use bisection::Bisection;

/// A loss so soon after something was sent may be for it.
const SOON: Duration = Duration::from_secs(5);
/// So long after the last loss a search goes on: what is published now and then ends connections now and then.
const MEMORY: Duration = Duration::from_secs(600);
/// Nothing is searched for so long after a search that found that no packet is to blame.
const REST: Duration = Duration::from_secs(60);
/// Losses in a row that begin a search.
const LOSSES: u32 = 2;
/// How long to wait before the next connection of a search.
const RETRY: Duration = Duration::from_millis(50);

/// Something that can be sent and for which a broker may end the connection.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Suspect {
    /// The message with this serial number.
    Message(u64),
    /// A filter in a SUBSCRIBE.
    Subscribe(Filter),
    /// A filter in an UNSUBSCRIBE.
    Unsubscribe(Filter),
}

/// What is to be done about a suspect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is not to be sent until more is known.
    Hold(Suspect),
    /// It is never to be sent.
    Quarantine(Suspect),
    /// It is to be sent as if nothing had been: it is not to blame.
    Release(Suspect),
}

/// Who or what ended a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndedBy {
    /// The broker closed it, and did not say that the reason is none of ours.
    Broker,
    /// Anything else: silence, ourselves, a broker that stops.
    Other,
}

/// Suspicion, across connections.
#[derive(Debug, Default)]
pub struct PoisonDetector {
    /// Something was sent since the last look at the clock.
    exposed: bool,
    /// When something was sent last.
    exposed_at: Option<Instant>,
    /// Losses that may be for something that was sent, one after the other.
    losses: u32,
    last_loss: Option<Instant>,
    rests_until: Option<Instant>,
    search: Option<Box<Bisection>>,
    verdicts: Vec<Verdict>,
    bans: Bans,
}

impl PoisonDetector {
    /// Another broker, perhaps, to which nothing of this applies.
    pub fn renew(&mut self) {
        self.losses = 0;
        self.bans = Bans::default();
        if let Some(search) = self.search.take() {
            self.verdicts
                .extend(search.into_held().into_iter().map(Verdict::Release));
        }
    }

    /// Whether a search is on.
    pub const fn is_searching(&self) -> bool {
        self.search.is_some()
    }

    /// Whether `tick` has to be called often.
    pub fn wants_ticks(&self) -> bool {
        self.search.as_ref().is_some_and(|search| search.waits())
    }

    /// How long to wait before the next connection, where a search wants one soon.
    pub fn retry(&self) -> Option<Duration> {
        self.search
            .as_ref()
            .filter(|search| search.is_hot())
            .map(|_| RETRY)
    }

    /// The time passes: what is unanswered for long is no suspect any more, and what is held back is condemned when the connection
    /// lives without it.
    pub fn tick(&mut self, now: Instant) {
        if std::mem::take(&mut self.exposed) {
            self.exposed_at = Some(now);
        }
        let over = |last: &Instant| now.saturating_duration_since(*last) >= MEMORY;
        if let Some(search) = &mut self.search {
            search.tick(now, &mut self.verdicts);
            if self.last_loss.is_some_and(|last| over(&last)) && !search.waits() {
                self.search = None;
            }
        }
        self.bans.tick(now);
    }

    /// CONNACK came.
    pub fn connected(&mut self) {
        self.exposed = false;
        if let Some(search) = &mut self.search {
            search.connected();
        }
    }

    /// The connection is lost. `in_doubt`: what was sent on it and not answered, as far as that is known without a search.
    pub fn lost(&mut self, by: EndedBy, now: Instant, in_doubt: impl FnOnce() -> Vec<Suspect>) {
        self.tick(now);
        let exposed_at = self.exposed_at.take();
        if by == EndedBy::Other {
            self.search
                .iter_mut()
                .for_each(|search| search.disconnected());
            return;
        }
        if let Some(search) = &mut self.search {
            self.last_loss = Some(now);
            if search.lost(now, &mut self.verdicts).is_break() {
                self.abandon(now);
            }
            return;
        }
        let is_for_it = exposed_at.is_some_and(|at| now.saturating_duration_since(at) < SOON);
        if !is_for_it || self.rests_until.is_some_and(|until| now < until) {
            self.losses = 0;
            return;
        }
        if self
            .last_loss
            .is_some_and(|last| now.saturating_duration_since(last) >= MEMORY)
        {
            self.losses = 0;
        }
        self.losses += 1;
        self.last_loss = Some(now);
        if self.losses >= LOSSES {
            self.search = Some(Box::new(Bisection::new(in_doubt(), now)));
        }
    }

    /// No packet is to blame, it seems.
    fn abandon(&mut self, now: Instant) {
        self.losses = 0;
        self.rests_until = Some(now + REST);
        if let Some(search) = self.search.take() {
            self.verdicts
                .extend(search.into_held().into_iter().map(Verdict::Release));
        }
    }

    /// What is to be done about suspects.
    pub fn take_verdicts(&mut self) -> Vec<Verdict> {
        std::mem::take(&mut self.verdicts)
    }

    /// Whether `take_verdicts` has some.
    pub const fn has_verdicts(&self) -> bool {
        !self.verdicts.is_empty()
    }

    /// Whether this may be sent now.
    pub fn admits(&self, suspect: &Suspect) -> bool {
        self.search
            .as_ref()
            .is_none_or(|search| search.capacity(suspect) > 0)
    }

    /// How many of these, which would go in one packet, may be sent now; none is never more than what all are.
    pub fn admits_of(&self, suspects: impl ExactSizeIterator<Item = Suspect>) -> usize {
        match &self.search {
            None => suspects.len(),
            Some(search) => search.admits_of(suspects),
        }
    }

    /// This was sent. `answered_by_ping`: nothing but the answer to a later ping says that the broker has taken it.
    pub fn sent(&mut self, suspect: impl FnOnce() -> Suspect, answered_by_ping: bool) {
        self.exposed = true;
        if let Some(search) = &mut self.search {
            search.sent(suspect(), answered_by_ping);
        }
    }

    /// The broker answered this.
    pub fn answered(&mut self, suspect: impl FnOnce() -> Suspect) {
        if let Some(search) = &mut self.search {
            search.answered(&suspect());
        }
    }

    /// Whether a PINGREQ is to be sent before anything else: the answer says that the broker has taken what only that can show.
    pub fn wants_ping_first(&self) -> bool {
        self.search
            .as_ref()
            .is_some_and(|search| search.wants_ping_first())
    }

    /// Whether a PINGREQ is to be sent when there is nothing else: the answer says that the broker has taken all before it.
    pub fn wants_ping(&self) -> bool {
        self.search
            .as_ref()
            .is_some_and(|search| search.wants_ping())
    }

    /// PINGREQ was sent.
    pub fn ping_sent(&mut self) {
        if let Some(search) = &mut self.search {
            search.ping_sent();
        }
    }

    /// PINGRESP came: what only that could show to be taken.
    pub fn pong(&mut self) -> Vec<Suspect> {
        self.search
            .as_mut()
            .map_or_else(Vec::new, |search| search.pong())
    }

    /// Whether nothing is suspected now.
    pub fn is_calm(&self) -> bool {
        self.search.as_ref().is_none_or(|search| search.is_idle())
    }

    /// What is not sent any more because messages like it were condemned.
    pub const fn bans(&mut self) -> &mut Bans {
        &mut self.bans
    }
}

#[cfg(test)]
mod tests;
