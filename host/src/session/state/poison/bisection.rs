//! Pure: one search for packets that end the connection. In: what is sent and answered, connections, the time. Out: how much may be sent,
//! and verdicts. Owns what is unanswered and what is suspected.

use std::ops::ControlFlow;

use super::{Duration, HashSet, Instant, MEMORY, Suspect, VecDeque, Verdict};

/// So much may be unanswered at a time of what is not suspected.
const WINDOW: usize = 128;
/// So much at least, where so much was too much together although nothing alone was.
const SMALLEST: usize = 16;
/// Who has not answered so long after it answered a later ping does not answer, and lives on.
const SETTLED: Duration = Duration::from_secs(1);
/// So many connections in a row have to end with nothing but this unanswered.
const STRIKES: u32 = 3;
/// So long a connection has to live without what is held back; as long as those with it lived, and four times, if that is more.
const LIVES: Duration = Duration::from_millis(750);
const LIVES_AT_MOST: Duration = Duration::from_secs(2);
/// What ended a connection alone is sent again when the next one lives four times as long without it, or so long: who ends connections
/// for another reason, always at the same moment, then ends this one before.
const QUIET_AT_MOST: Duration = Duration::from_millis(500);
/// More is not held back at a time: then something else ends the connections.
const MOST_HELD: usize = 8;
/// So many losses in a row with nothing unanswered say that no packet is to blame.
const CAUSELESS: u32 = 2;
/// So many losses in a row; after that connections are made as seldom as without a search.
const HOT: u32 = 500;

/// Sent on this connection, and not answered.
#[derive(Debug)]
struct Sent {
    suspect: Suspect,
    /// Counts what was sent on this connection.
    place: u64,
    answered_by_ping: bool,
    /// When a ping was answered that was sent later.
    passed: Option<Instant>,
}

/// A search.
#[derive(Debug)]
pub struct Bisection {
    now: Instant,
    /// Whether there is a connection.
    connected: bool,
    /// Since when, as far as the clock was looked at.
    connected_at: Option<Instant>,
    /// A ping was answered on this connection.
    lives: bool,
    place: u64,
    /// Behind which place a PINGREQ was sent that is not answered.
    pings: VecDeque<u64>,
    unanswered: Vec<Sent>,
    /// What was unanswered when the last connection was lost.
    suspects: HashSet<Suspect>,
    /// So much of it may be unanswered at a time.
    portion: usize,
    /// So much of anything else.
    window: usize,
    /// What ended a connection alone, and how often in a row.
    accused: Option<(Suspect, u32)>,
    /// How long the connection has to live before that is sent.
    quiet: Duration,
    /// What ended as many as needed.
    held: Vec<Suspect>,
    /// How long the longest of those connections lived.
    lethal: Duration,
    /// What was answered: filters are asked for on each connection.
    acquitted: HashSet<Suspect>,
    /// Losses in a row with nothing unanswered.
    causeless: u32,
    losses: u32,
    /// The broker ended the last connection.
    ended: bool,
}

impl Bisection {
    pub fn new(in_doubt: Vec<Suspect>, now: Instant) -> Self {
        let portion = (in_doubt.len() / 2).clamp(1, WINDOW);
        Self {
            now,
            connected: false,
            connected_at: None,
            lives: false,
            place: 0,
            pings: VecDeque::new(),
            unanswered: Vec::new(),
            suspects: in_doubt.into_iter().collect(),
            portion,
            window: WINDOW,
            accused: None,
            quiet: Duration::ZERO,
            held: Vec::new(),
            lethal: Duration::ZERO,
            acquitted: HashSet::new(),
            causeless: 0,
            losses: 0,
            ended: true,
        }
    }

    /// Whether something waits for the time to pass.
    pub fn waits(&self) -> bool {
        !(self.held.is_empty() && self.unanswered.is_empty() && self.accused.is_none())
    }

    /// Whether nothing is suspected.
    pub fn is_idle(&self) -> bool {
        self.suspects.is_empty() && !self.waits()
    }

    /// Whether the next connection is to be made soon.
    pub const fn is_hot(&self) -> bool {
        self.ended && self.losses < HOT
    }

    pub fn into_held(self) -> Vec<Suspect> {
        self.held
    }

    pub fn tick(&mut self, now: Instant, verdicts: &mut Vec<Verdict>) {
        self.now = now;
        if !self.connected {
            return;
        }
        let since = *self.connected_at.get_or_insert(now);
        let settled = |sent: &Sent| {
            sent.passed
                .is_some_and(|at| now.saturating_duration_since(at) >= SETTLED)
        };
        if self.unanswered.iter().any(settled) {
            let (settled, others) = std::mem::take(&mut self.unanswered)
                .into_iter()
                .partition(settled);
            self.unanswered = others;
            settled
                .into_iter()
                .for_each(|sent: Sent| self.acquit(sent.suspect));
        }
        let lived = now.saturating_duration_since(since);
        if self.lives
            && !self.held.is_empty()
            && lived >= (self.lethal * 4).clamp(LIVES, LIVES_AT_MOST)
        {
            verdicts.extend(self.held.drain(..).map(Verdict::Quarantine));
            self.lethal = Duration::ZERO;
            self.losses = 0;
        }
    }

    pub fn connected(&mut self) {
        self.disconnected();
        self.connected = true;
    }

    pub fn disconnected(&mut self) {
        self.ended = false;
        self.connected = false;
        self.connected_at = None;
        self.lives = false;
        self.pings.clear();
        self.unanswered.clear();
    }

    /// The broker ended the connection; `Break`: no packet is to blame.
    pub fn lost(&mut self, now: Instant, verdicts: &mut Vec<Verdict>) -> ControlFlow<()> {
        let lived = self
            .connected_at
            .map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        let mut unanswered: Vec<Suspect> =
            self.unanswered.drain(..).map(|sent| sent.suspect).collect();
        self.disconnected();
        self.ended = true;
        self.losses += 1;
        self.causeless = if unanswered.is_empty() {
            self.causeless + 1
        } else {
            0
        };
        match unanswered.len() {
            0 => {}
            1 => unanswered
                .drain(..)
                .for_each(|suspect| self.accuse(suspect, lived, verdicts)),
            several => {
                self.accused = None;
                self.portion = several / 2;
                self.suspects = unanswered.into_iter().collect();
            }
        }
        let causeless = self.causeless >= CAUSELESS && lived < MEMORY;
        if causeless || self.held.len() > MOST_HELD {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }

    /// It was alone when the connection ended.
    fn accuse(&mut self, suspect: Suspect, lived: Duration, verdicts: &mut Vec<Verdict>) {
        self.lethal = self.lethal.max(lived.min(LIVES_AT_MOST));
        let strikes = match self.accused.take() {
            Some((accused, strikes)) if accused == suspect => strikes + 1,
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
        self.accused = Some((suspect, strikes));
        self.quiet = (lived * 4).min(QUIET_AT_MOST);
    }

    /// How many like this may be sent now.
    pub fn capacity(&self, suspect: &Suspect) -> usize {
        if self.acquitted.contains(suspect) {
            return usize::MAX;
        }
        let is_suspected = self.suspects.contains(suspect);
        // suspects only with one another, so that each loss halves them
        let mixes = self
            .unanswered
            .first()
            .is_some_and(|sent| self.suspects.contains(&sent.suspect) != is_suspected);
        if !self.lives || mixes || self.is_too_early_for(suspect) {
            return 0;
        }
        let most = if is_suspected {
            self.portion
        } else {
            self.window
        };
        most.saturating_sub(self.unanswered.len())
    }

    fn is_too_early_for(&self, suspect: &Suspect) -> bool {
        let is_accused = self
            .accused
            .as_ref()
            .is_some_and(|(accused, _)| accused == suspect);
        is_accused
            && self
                .connected_at
                .is_none_or(|since| self.now.saturating_duration_since(since) < self.quiet)
    }

    pub fn admits_of(&self, suspects: impl Iterator<Item = Suspect>) -> usize {
        let mut suspects = suspects.peekable();
        let Some(first) = suspects.peek() else {
            return 0;
        };
        let kind = |suspect: &Suspect| {
            (
                self.acquitted.contains(suspect),
                self.suspects.contains(suspect),
            )
        };
        let (capacity, first) = (self.capacity(first), kind(first));
        suspects
            .take(capacity)
            .take_while(|suspect| kind(suspect) == first)
            .count()
    }

    pub fn sent(&mut self, suspect: Suspect, answered_by_ping: bool) {
        self.place += 1;
        if !self.acquitted.contains(&suspect) {
            self.unanswered.push(Sent {
                suspect,
                place: self.place,
                answered_by_ping,
                passed: None,
            });
        }
    }

    pub fn answered(&mut self, suspect: &Suspect) {
        let Some(at) = self
            .unanswered
            .iter()
            .position(|sent| sent.suspect == *suspect)
        else {
            return;
        };
        let sent = self.unanswered.remove(at);
        // a message is sent once; a filter again with each connection
        match sent.suspect {
            Suspect::Message(_) => self.clear(&sent.suspect),
            filter => self.acquit(filter),
        }
    }

    fn acquit(&mut self, suspect: Suspect) {
        self.clear(&suspect);
        self.acquitted.insert(suspect);
    }

    fn clear(&mut self, suspect: &Suspect) {
        self.accused.take_if(|(accused, _)| accused == suspect);
        if self.suspects.remove(suspect) && self.suspects.is_empty() {
            // nothing of it ends the connection alone: together it was too much
            self.window = (self.portion.max(SMALLEST)).min(self.window);
        }
    }

    pub fn wants_ping_first(&self) -> bool {
        let last = self.unanswered.last();
        last.is_some_and(|sent| {
            sent.answered_by_ping && self.pings.back().is_none_or(|place| *place < sent.place)
        })
    }

    pub fn wants_ping(&self) -> bool {
        self.pings.is_empty()
            && (!self.lives || self.unanswered.iter().any(|sent| sent.passed.is_none()))
    }

    pub fn ping_sent(&mut self) {
        self.pings.push_back(self.place);
    }

    pub fn pong(&mut self) -> Vec<Suspect> {
        let Some(place) = self.pings.pop_front() else {
            return Vec::new();
        };
        self.lives = true;
        let mut taken = Vec::new();
        let now = self.now;
        self.unanswered.retain_mut(|sent| {
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
