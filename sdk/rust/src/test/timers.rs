//! The virtual clock, and the timers that are due by it.

use std::time::Duration;

/// A change of the timers by a call.
pub(crate) enum TimerChange {
    Set {
        name: String,
        delay: u64,
        period: Option<u64>,
    },
    Cancel(String),
}

struct Timer {
    name: String,
    due: Duration,
    period: Option<Duration>,
}

#[derive(Default)]
pub(crate) struct Timers {
    now: Duration,
    /// In the order in which they were set, which decides between those that are due at the same time.
    timers: Vec<Timer>,
}

impl Timers {
    pub(crate) fn now(&self) -> Duration {
        self.now
    }

    pub(crate) fn apply(&mut self, change: TimerChange) {
        match change {
            TimerChange::Set {
                name,
                delay,
                period,
            } => {
                self.timers.retain(|timer| timer.name != name);
                let due = self.now + Duration::from_millis(delay);
                let period = period.map(Duration::from_millis);
                self.timers.push(Timer { name, due, period });
            }
            TimerChange::Cancel(name) => self.timers.retain(|timer| timer.name != name),
        }
    }

    pub(crate) fn clear(&mut self) {
        self.timers.clear();
    }

    pub(crate) fn remaining(&self, name: &str) -> Option<Duration> {
        self.timers
            .iter()
            .find(|timer| timer.name == name)
            .map(|timer| timer.due.saturating_sub(self.now))
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.timers.iter().map(|timer| timer.name.clone()).collect()
    }

    /// Moves the clock to the next timer that is due until `end` and returns its name, or moves it to `end`.
    pub(crate) fn step(&mut self, end: Duration) -> Option<String> {
        let next = self
            .timers
            .iter()
            .enumerate()
            .min_by_key(|(_, timer)| timer.due)
            .map(|(at, _)| at);

        let Some(at) = next.filter(|at| self.timers[*at].due <= end) else {
            self.now = end;
            return None;
        };
        self.now = self.now.max(self.timers[at].due);
        let name = self.timers[at].name.clone();
        match self.timers[at].period {
            Some(period) => self.timers[at].due += period,
            None => drop(self.timers.remove(at)),
        }
        Some(name)
    }
}
