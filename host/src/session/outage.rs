//! Pure: what is logged while a host has no connection that lasts. In: failed attempts and lost connections by their kind, the time.
//! Out: whether there is something to say. Owns the counts.
//!
//! One line when the trouble begins, one for each further kind of it, one with a count each minute, one when it is over.

use std::time::{Duration, Instant};

/// How often the count is said.
const EVERY: Duration = Duration::from_secs(60);

/// What is to be said about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Say {
    /// What has happened: it is the first of its kind.
    New,
    /// How often something failed since that was said last.
    Count(u64),
    /// Nothing.
    Nothing,
}

/// What there was of trouble when it is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Over {
    /// Failed attempts and lost connections.
    pub failures: u64,
    /// How long it lasted.
    pub lasted: Duration,
}

/// A time without a connection that lasts.
#[derive(Debug, Default)]
pub struct Outage {
    began: Option<Instant>,
    /// When something was said last.
    said: Option<Instant>,
    /// What was said already.
    kinds: Vec<&'static str>,
    failures: u64,
    /// Of `failures`, those that no line has told.
    untold: u64,
}

impl Outage {
    /// An attempt failed, or a connection was lost, in this way.
    pub fn failed(&mut self, kind: &'static str, now: Instant) -> Say {
        self.began.get_or_insert(now);
        self.failures += 1;
        if !self.kinds.contains(&kind) {
            self.kinds.push(kind);
            self.said = Some(now);
            return Say::New;
        }
        self.untold += 1;
        if self
            .said
            .is_some_and(|said| now.saturating_duration_since(said) < EVERY)
        {
            return Say::Nothing;
        }
        self.said = Some(now);
        Say::Count(std::mem::take(&mut self.untold))
    }

    /// There is a connection that lasts.
    pub fn over(&mut self, now: Instant) -> Option<Over> {
        let Self {
            began, failures, ..
        } = std::mem::take(self);
        began.map(|began| Over {
            failures,
            lasted: now.saturating_duration_since(began),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_said_once_and_the_count_each_minute() {
        let (mut outage, start) = (Outage::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(outage.failed("lost", at(0)), Say::New);
        assert_eq!(outage.failed("TCP", at(1)), Say::New);
        for second in 2..61 {
            assert_eq!(
                outage.failed(if second % 2 == 0 { "lost" } else { "TCP" }, at(second)),
                Say::Nothing
            );
        }
        assert_eq!(outage.failed("lost", at(61)), Say::Count(60));
        assert_eq!(outage.failed("lost", at(62)), Say::Nothing);
        assert_eq!(outage.failed("lost", at(121)), Say::Count(2));
        assert_eq!(
            outage.over(at(130)),
            Some(Over {
                failures: 64,
                lasted: Duration::from_secs(130)
            })
        );
    }

    #[test]
    fn an_ended_outage_begins_again() {
        let (mut outage, now) = (Outage::default(), Instant::now());
        assert_eq!(outage.over(now), None);
        assert_eq!(outage.failed("lost", now), Say::New);
        assert_eq!(
            outage.over(now),
            Some(Over {
                failures: 1,
                lasted: Duration::ZERO
            })
        );
        assert_eq!(outage.over(now), None);
        assert_eq!(outage.failed("lost", now), Say::New);
    }
}
