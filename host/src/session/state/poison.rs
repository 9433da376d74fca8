//! Finds the packet for which a broker ends the connection.
//!
//! Brokers have rules that no client can list (levels, lengths, characters, sizes, rights) and answer with the end of the connection;
//! sent again on the next one, the same packet would end that too. Two losses in a row, each soon after something was sent, begin a
//! search: from then on only a few packets are unanswered at a time, so that the ones lost with a connection can be halved on the next.
//! The packet that is left ends two more connections alone, each of which had answered a ping before, and is held back; when a
//! connection without it survives, it is quarantined. Connections that are lost with nothing unanswered show that no packet is to
//! blame: then everything is released, and no search begins for a while.
//!
//! The detector only decides. The packets stay with the outbox and the subscriptions, which act on its verdicts.

use std::time::{Duration, Instant};

mod bans;
mod bisection;
mod suspect;

pub(super) use bans::Ban;
use bans::Bans;
use bisection::{Bisection, SEARCH_TIMEOUT};
pub(super) use suspect::{Suspect, Verdict};

/// A connection that is lost within this time after something was sent may be lost because of it.
const EXPOSURE: Duration = Duration::from_secs(5);
/// How long no search begins after one that found no packet to blame.
const REST: Duration = Duration::from_secs(60);
/// Number of losses in a row that begin a search.
const LOSSES: u32 = 2;
/// The wait before the next connection of a search.
const RETRY_WAIT: Duration = Duration::from_millis(50);

/// The side that ended a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndedBy {
    /// The broker closed it, without a reason that excludes the packets that it was sent.
    Broker,
    /// Anything else: silence, ourselves, a broker that stops.
    Other,
}

/// Suspicions, across connections.
#[derive(Debug, Default)]
pub(super) struct PoisonDetector {
    /// Something was sent since the last `tick`.
    exposed: bool,
    /// When something was sent last.
    exposed_at: Option<Instant>,
    /// Losses in a row that may be caused by a packet.
    losses: u32,
    last_loss: Option<Instant>,
    rests_until: Option<Instant>,
    search: Option<Box<Bisection>>,
    verdicts: Vec<Verdict>,
    bans: Bans,
}

impl PoisonDetector {
    /// Forgets everything: the next broker may be another one.
    pub(super) fn reset(&mut self) {
        self.losses = 0;
        self.bans = Bans::default();
        if let Some(search) = self.search.take() {
            self.verdicts
                .extend(search.into_held().into_iter().map(Verdict::Release));
        }
    }

    /// Whether a search is under way.
    pub(super) const fn is_searching(&self) -> bool {
        self.search.is_some()
    }

    /// Whether `tick` has to be called often.
    pub(super) fn wants_ticks(&self) -> bool {
        self.search
            .as_ref()
            .is_some_and(|search| search.is_waiting())
    }

    /// Returns the wait before the next connection, if a search needs one soon.
    pub(super) fn retry_wait(&self) -> Option<Duration> {
        self.search
            .as_ref()
            .filter(|search| search.is_hot())
            .map(|_| RETRY_WAIT)
    }

    /// Lets time pass: packets that stay unanswered for long are cleared, and those that are held back are quarantined when a
    /// connection survives without them.
    pub(super) fn tick(&mut self, now: Instant) {
        if std::mem::take(&mut self.exposed) {
            self.exposed_at = Some(now);
        }
        let over = |last: &Instant| now.saturating_duration_since(*last) >= SEARCH_TIMEOUT;
        if let Some(search) = &mut self.search {
            search.tick(now, &mut self.verdicts);
            if self.last_loss.is_some_and(|last| over(&last)) && !search.is_waiting() {
                self.search = None;
            }
        }

        self.bans.tick(now);
    }

    /// Handles a new connection.
    pub(super) fn on_connected(&mut self) {
        self.exposed = false;
        if let Some(search) = &mut self.search {
            search.on_connected();
        }
    }

    /// Handles the loss of the connection. `in_doubt`: packets that were sent on it and not answered, as far as that is known
    /// without a search.
    pub(super) fn on_lost(
        &mut self,
        by: EndedBy,
        now: Instant,
        in_doubt: impl FnOnce() -> Vec<Suspect>,
    ) {
        self.tick(now);
        let exposed_at = self.exposed_at.take();
        if by == EndedBy::Other {
            self.search
                .iter_mut()
                .for_each(|search| search.on_disconnected());
            return;
        }

        if let Some(search) = &mut self.search {
            self.last_loss = Some(now);
            if search.on_lost(now, &mut self.verdicts).is_break() {
                self.abandon(now);
            }
            return;
        }

        let may_be_caused =
            exposed_at.is_some_and(|at| now.saturating_duration_since(at) < EXPOSURE);
        if !may_be_caused || self.rests_until.is_some_and(|until| now < until) {
            self.losses = 0;
            return;
        }
        if self
            .last_loss
            .is_some_and(|last| now.saturating_duration_since(last) >= SEARCH_TIMEOUT)
        {
            self.losses = 0;
        }

        self.losses += 1;
        self.last_loss = Some(now);
        if self.losses >= LOSSES {
            self.search = Some(Box::new(Bisection::new(in_doubt(), now)));
        }
    }

    /// Ends the search: no packet is to blame.
    fn abandon(&mut self, now: Instant) {
        self.losses = 0;
        self.rests_until = Some(now + REST);
        if let Some(search) = self.search.take() {
            self.verdicts
                .extend(search.into_held().into_iter().map(Verdict::Release));
        }
    }

    /// Takes the decisions about suspects.
    pub(super) fn take_verdicts(&mut self) -> Vec<Verdict> {
        std::mem::take(&mut self.verdicts)
    }

    /// Whether `take_verdicts` has some.
    pub(super) const fn has_verdicts(&self) -> bool {
        !self.verdicts.is_empty()
    }

    /// Whether this packet may be sent now.
    pub(super) fn admits(&self, suspect: &Suspect) -> bool {
        self.search
            .as_ref()
            .is_none_or(|search| search.capacity(suspect) > 0)
    }

    /// How many of these filters, which would go into one packet, may be sent now. Without a search all may.
    pub(super) fn admits_of(&self, suspects: impl ExactSizeIterator<Item = Suspect>) -> usize {
        match &self.search {
            None => suspects.len(),
            Some(search) => search.admits_of(suspects),
        }
    }

    /// Handles that a packet was sent. `answered_by_ping`: only the answer to a later ping shows that the broker has taken it.
    pub(super) fn on_sent(&mut self, suspect: impl FnOnce() -> Suspect, answered_by_ping: bool) {
        self.exposed = true;
        if let Some(search) = &mut self.search {
            search.on_sent(suspect(), answered_by_ping);
        }
    }

    /// Handles the broker's answer to a packet.
    pub(super) fn on_answered(&mut self, suspect: impl FnOnce() -> Suspect) {
        if let Some(search) = &mut self.search {
            search.on_answered(&suspect());
        }
    }

    /// Whether a PINGREQ has to be sent before anything else: its answer is the only sign that the broker has taken a QoS 0 message.
    pub(super) fn wants_ping_first(&self) -> bool {
        self.search
            .as_ref()
            .is_some_and(|search| search.wants_ping_first())
    }

    /// Whether a PINGREQ has to be sent when nothing else is: its answer shows that the broker has taken all packets before it.
    pub(super) fn wants_ping(&self) -> bool {
        self.search
            .as_ref()
            .is_some_and(|search| search.wants_ping())
    }

    /// Handles that PINGREQ was sent.
    pub(super) fn on_ping_sent(&mut self) {
        if let Some(search) = &mut self.search {
            search.on_ping_sent();
        }
    }

    /// Handles PINGRESP. Returns the packets that it shows to be taken.
    pub(super) fn on_pong(&mut self) -> Vec<Suspect> {
        self.search
            .as_mut()
            .map_or_else(Vec::new, |search| search.on_pong())
    }

    /// Whether nothing is suspected.
    pub(super) fn is_calm(&self) -> bool {
        self.search.as_ref().is_none_or(|search| search.is_idle())
    }

    /// Bans on messages that resemble quarantined ones.
    pub(super) const fn bans(&mut self) -> &mut Bans {
        &mut self.bans
    }
}

#[cfg(test)]
mod tests;
