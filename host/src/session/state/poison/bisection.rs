//! One search for packets that end the connection: bisection over the packets that were unanswered when a connection was lost.

use std::collections::{HashSet, VecDeque};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use super::suspect::{Suspect, Verdict};

/// How long a search continues after the last loss: a message that is published rarely ends connections rarely.
pub(super) const SEARCH_TIMEOUT: Duration = Duration::from_secs(600);
/// Number of packets without suspicion that may be unanswered at a time.
const WINDOW: usize = 128;
/// The smallest window, used when several packets together end the connection although none of them does alone.
const SMALLEST: usize = 16;
/// A packet that is unanswered this long after a later ping was answered is never answered, and harmless.
const SETTLED: Duration = Duration::from_secs(1);
/// Number of connections in a row that have to end with only one packet unanswered.
const STRIKES: u32 = 3;
/// How long a connection has to survive without the packets that are held back: four times as long as those with them, within
/// these limits.
const MIN_SURVIVAL: Duration = Duration::from_millis(750);
const MAX_SURVIVAL: Duration = Duration::from_secs(2);
/// The longest wait before a packet that ended a connection alone is sent again. The wait is four times as long as that connection
/// lived: a broker that ends connections at the same moment for another reason ends this one before.
const QUIET_AT_MOST: Duration = Duration::from_millis(500);
/// The largest number of packets that are held back. With more, something else ends the connections.
const MAX_HELD: usize = 8;
/// Number of losses in a row with nothing unanswered that show that no packet is to blame.
const MAX_UNEXPLAINED: u32 = 2;
/// Number of losses in a row after which connections are made as rarely as without a search.
const MAX_FAST_RETRIES: u32 = 500;

/// A packet that was sent on this connection and is not answered.
#[derive(Debug)]
struct UnansweredPacket {
    suspect: Suspect,
    /// Its position among the packets of this connection.
    place: u64,
    answered_by_ping: bool,
    /// When a later ping was answered.
    passed: Option<Instant>,
}

/// The present connection; nothing of it outlives it.
#[derive(Debug, Default)]
struct Connection {
    /// Whether there is one.
    is_open: bool,
    /// Since when, to the precision of `tick`.
    since: Option<Instant>,
    /// Whether a ping was answered.
    is_alive: bool,
    /// The number of packets that were sent.
    place: u64,
    /// The positions behind which a PINGREQ was sent that is not answered.
    pings: VecDeque<u64>,
    unanswered: Vec<UnansweredPacket>,
}

/// The packet that ended a connection alone.
#[derive(Debug)]
struct PrimeSuspect {
    suspect: Suspect,
    /// How often in a row.
    strikes: u32,
    /// How long the connection has to live before it is sent again.
    quiet: Duration,
}

/// A search.
#[derive(Debug)]
pub(super) struct Bisection {
    now: Instant,
    connection: Connection,
    /// Packets that were unanswered when the last connection was lost.
    suspects: HashSet<Suspect>,
    /// Number of suspects that may be unanswered at a time.
    portion: usize,
    /// Number of other packets that may be unanswered at a time.
    window: usize,
    prime_suspect: Option<PrimeSuspect>,
    /// Packets that ended enough connections alone.
    held: Vec<Suspect>,
    /// The longest lifetime of those connections.
    fatal_lifetime: Duration,
    /// Filters and other packets that were answered; filters are sent again on each connection.
    cleared: HashSet<Suspect>,
    /// Losses in a row with nothing unanswered.
    unexplained: u32,
    losses: u32,
    /// Whether the broker ended the last connection.
    ended_by_broker: bool,
}

impl Bisection {
    pub(super) fn new(in_doubt: Vec<Suspect>, now: Instant) -> Self {
        let portion = (in_doubt.len() / 2).clamp(1, WINDOW);
        Self {
            now,
            connection: Connection::default(),
            suspects: in_doubt.into_iter().collect(),
            portion,
            window: WINDOW,
            prime_suspect: None,
            held: Vec::new(),
            fatal_lifetime: Duration::ZERO,
            cleared: HashSet::new(),
            unexplained: 0,
            losses: 0,
            ended_by_broker: true,
        }
    }

    /// Whether time has to pass before more is known.
    pub(super) fn is_waiting(&self) -> bool {
        !(self.held.is_empty()
            && self.connection.unanswered.is_empty()
            && self.prime_suspect.is_none())
    }

    /// Whether nothing is suspected.
    pub(super) fn is_idle(&self) -> bool {
        self.suspects.is_empty() && !self.is_waiting()
    }

    /// Whether the next connection is to be made soon.
    pub(super) const fn is_hot(&self) -> bool {
        self.ended_by_broker && self.losses < MAX_FAST_RETRIES
    }

    pub(super) fn into_held(self) -> Vec<Suspect> {
        self.held
    }

    pub(super) fn tick(&mut self, now: Instant, verdicts: &mut Vec<Verdict>) {
        self.now = now;
        if !self.connection.is_open {
            return;
        }
        let since = *self.connection.since.get_or_insert(now);
        let settled = |sent: &UnansweredPacket| {
            sent.passed
                .is_some_and(|at| now.saturating_duration_since(at) >= SETTLED)
        };
        if self.connection.unanswered.iter().any(settled) {
            let (settled, others) = std::mem::take(&mut self.connection.unanswered)
                .into_iter()
                .partition(settled);
            self.connection.unanswered = others;
            settled
                .into_iter()
                .for_each(|sent: UnansweredPacket| self.clear_for_good(sent.suspect));
        }

        let lived = now.saturating_duration_since(since);
        if self.connection.is_alive
            && !self.held.is_empty()
            && lived >= (self.fatal_lifetime * 4).clamp(MIN_SURVIVAL, MAX_SURVIVAL)
        {
            verdicts.extend(self.held.drain(..).map(Verdict::Quarantine));
            self.fatal_lifetime = Duration::ZERO;
            self.losses = 0;
        }
    }

    pub(super) fn on_connected(&mut self) {
        self.on_disconnected();
        self.connection.is_open = true;
    }

    pub(super) fn on_disconnected(&mut self) {
        self.ended_by_broker = false;
        self.connection = Connection::default();
    }

    /// Handles that the broker ended the connection; `Break`: no packet is to blame.
    pub(super) fn on_lost(&mut self, now: Instant, verdicts: &mut Vec<Verdict>) -> ControlFlow<()> {
        let lived = self
            .connection
            .since
            .map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        let mut unanswered: Vec<Suspect> = self
            .connection
            .unanswered
            .drain(..)
            .map(|sent| sent.suspect)
            .collect();

        self.on_disconnected();
        self.ended_by_broker = true;
        self.losses += 1;
        self.unexplained = if unanswered.is_empty() {
            self.unexplained + 1
        } else {
            0
        };
        match unanswered.len() {
            0 => {}
            1 => unanswered
                .drain(..)
                .for_each(|suspect| self.on_sole_suspect(suspect, lived, verdicts)),
            several => {
                self.prime_suspect = None;
                self.portion = several / 2;
                self.suspects = unanswered.into_iter().collect();
            }
        }

        let is_unexplained = self.unexplained >= MAX_UNEXPLAINED && lived < SEARCH_TIMEOUT;
        if is_unexplained || self.held.len() > MAX_HELD {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }

    /// Handles that this packet was the only unanswered one when the connection ended.
    fn on_sole_suspect(&mut self, suspect: Suspect, lived: Duration, verdicts: &mut Vec<Verdict>) {
        self.fatal_lifetime = self.fatal_lifetime.max(lived.min(MAX_SURVIVAL));
        let strikes = match self.prime_suspect.take() {
            Some(prime) if prime.suspect == suspect => prime.strikes + 1,
            _ => 1,
        };
        self.suspects.clear();
        if strikes >= STRIKES {
            verdicts.push(Verdict::Hold(suspect.clone()));
            self.held.push(suspect);
            return;
        }
        self.portion = 1;
        self.suspects.insert(suspect.clone());
        self.prime_suspect = Some(PrimeSuspect {
            suspect,
            strikes,
            quiet: (lived * 4).min(QUIET_AT_MOST),
        });
    }

    /// How many packets of the kind of this one may be sent now.
    pub(super) fn capacity(&self, suspect: &Suspect) -> usize {
        if self.cleared.contains(suspect) {
            return usize::MAX;
        }
        let is_suspected = self.suspects.contains(suspect);
        // suspects are sent only among themselves, so that each loss halves them
        let mixes = self
            .connection
            .unanswered
            .first()
            .is_some_and(|sent| self.suspects.contains(&sent.suspect) != is_suspected);
        if !self.connection.is_alive || mixes || self.is_too_early_for(suspect) {
            return 0;
        }
        let most = if is_suspected {
            self.portion
        } else {
            self.window
        };
        most.saturating_sub(self.connection.unanswered.len())
    }

    fn is_too_early_for(&self, suspect: &Suspect) -> bool {
        let Some(prime) = self
            .prime_suspect
            .as_ref()
            .filter(|prime| prime.suspect == *suspect)
        else {
            return false;
        };

        self.connection
            .since
            .is_none_or(|since| self.now.saturating_duration_since(since) < prime.quiet)
    }

    pub(super) fn admits_of(&self, suspects: impl Iterator<Item = Suspect>) -> usize {
        let mut suspects = suspects.peekable();
        let Some(first) = suspects.peek() else {
            return 0;
        };
        let kind = |suspect: &Suspect| {
            (
                self.cleared.contains(suspect),
                self.suspects.contains(suspect),
            )
        };

        let capacity = self.capacity(first);
        let first = kind(first);
        suspects
            .take(capacity)
            .take_while(|suspect| kind(suspect) == first)
            .count()
    }

    pub(super) fn on_sent(&mut self, suspect: Suspect, answered_by_ping: bool) {
        self.connection.place += 1;
        if !self.cleared.contains(&suspect) {
            self.connection.unanswered.push(UnansweredPacket {
                suspect,
                place: self.connection.place,
                answered_by_ping,
                passed: None,
            });
        }
    }

    pub(super) fn on_answered(&mut self, suspect: &Suspect) {
        let Some(at) = self
            .connection
            .unanswered
            .iter()
            .position(|sent| sent.suspect == *suspect)
        else {
            return;
        };

        let sent = self.connection.unanswered.remove(at);
        // a message is sent once, a filter again on each connection
        match sent.suspect {
            Suspect::Message(_) => self.clear(&sent.suspect),
            filter => self.clear_for_good(filter),
        }
    }

    fn clear_for_good(&mut self, suspect: Suspect) {
        self.clear(&suspect);
        self.cleared.insert(suspect);
    }

    fn clear(&mut self, suspect: &Suspect) {
        self.prime_suspect
            .take_if(|prime| prime.suspect == *suspect);
        if self.suspects.remove(suspect) && self.suspects.is_empty() {
            // none of them ends the connection alone: together they were too much
            self.window = (self.portion.max(SMALLEST)).min(self.window);
        }
    }

    pub(super) fn wants_ping_first(&self) -> bool {
        let last = self.connection.unanswered.last();
        last.is_some_and(|sent| {
            sent.answered_by_ping
                && self
                    .connection
                    .pings
                    .back()
                    .is_none_or(|place| *place < sent.place)
        })
    }

    pub(super) fn wants_ping(&self) -> bool {
        self.connection.pings.is_empty()
            && (!self.connection.is_alive
                || self
                    .connection
                    .unanswered
                    .iter()
                    .any(|sent| sent.passed.is_none()))
    }

    pub(super) fn on_ping_sent(&mut self) {
        self.connection.pings.push_back(self.connection.place);
    }

    pub(super) fn on_pong(&mut self) -> Vec<Suspect> {
        let Some(place) = self.connection.pings.pop_front() else {
            return Vec::new();
        };
        self.connection.is_alive = true;
        let mut taken = Vec::new();
        let now = self.now;
        self.connection.unanswered.retain_mut(|sent| {
            if sent.place > place {
                return true;
            }
            if sent.answered_by_ping {
                taken.push(sent.suspect.clone());
                return false;
            }
            sent.passed.get_or_insert(now);
            true
        });

        taken.iter().for_each(|suspect| self.clear(suspect));
        taken
    }
}
