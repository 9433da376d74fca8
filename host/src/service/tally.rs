//! Pure: how often what went wrong with a service. In: troubles as they happen, with what tells one from another of the same name.
//! Out: whether to speak of one at once, and later a sentence about those that were not spoken of, with the last reason: each reason
//! is spoken of once a minute at most, and none is lost. Owns the counts.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::time::{Duration, Instant};

use crate::config::Limits;
use crate::fault_kind::FaultKind;

/// The shortest time between two lines about one reason.
const PAUSE: Duration = Duration::from_secs(60);

/// Reasons of one name that are told apart within [`PAUSE`]; further ones are counted with the last of them.
const REASONS: usize = 8;

/// Counts of one service.
#[derive(Debug, Default)]
pub struct Tally {
    rows: BTreeMap<FaultKind, Row>,
}

/// Counts of one name.
#[derive(Debug, Default)]
struct Row {
    /// Since the last report.
    total: u64,
    /// Those that were told lately, or of which something was not told.
    reasons: Vec<Counted>,
}

/// Counts of one reason.
#[derive(Debug)]
struct Counted {
    /// What tells it from other reasons of the same name.
    kind: String,
    /// The last one, in words.
    text: String,
    /// What nobody was told of yet.
    untold: u64,
    /// When somebody was told last.
    told: Instant,
}

/// Why something went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reason {
    /// What tells it from other reasons of the same name; empty: there is one reason only.
    pub kind: String,
    /// In words; empty where the name says it all.
    pub text: String,
}

/// Something to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    /// What happened.
    pub trouble: FaultKind,
    /// How often.
    pub count: u64,
    /// In which time.
    pub span: Duration,
    /// Why it happened the last time; empty where the name says it all.
    pub reason: String,
}

impl Tally {
    /// Something happened `count` times. `true`: it is to be told now, since it was not in the last minute.
    pub fn note(&mut self, trouble: FaultKind, reason: Reason, count: u64, now: Instant) -> bool {
        let row = self.rows.entry(trouble).or_default();
        row.total += count;
        row.reasons.retain(|counted| {
            counted.untold > 0 || now.saturating_duration_since(counted.told) < PAUSE
        });
        let Reason { kind, text } = reason;
        let known = row.reasons.iter().position(|counted| counted.kind == kind);
        if known.is_none() && row.reasons.len() < REASONS {
            row.reasons.push(Counted {
                kind,
                text,
                untold: 0,
                told: now,
            });
            return true;
        }
        if let Some(counted) = row.reasons.get_mut(known.unwrap_or(REASONS - 1)) {
            counted.untold += count;
            counted.text = text;
        }
        false
    }

    /// Something happened that is told in any case.
    pub fn count(&mut self, trouble: FaultKind) {
        self.rows.entry(trouble).or_default().total += 1;
    }

    /// When there will be news; `None`: not as things are.
    pub fn due(&self) -> Option<Instant> {
        let reasons = self.rows.values().flat_map(|row| &row.reasons);
        reasons
            .filter(|counted| counted.untold > 0)
            .map(|counted| counted.told + PAUSE)
            .min()
    }

    /// What happened and was not told, for reasons that were not spoken of in the last minute.
    pub fn news(&mut self, now: Instant) -> Vec<News> {
        self.untold(now, |span| span >= PAUSE)
    }

    /// The counts begin again: what happens from now on is told as if nothing had happened before. What was not told yet is given.
    pub fn reset(&mut self, now: Instant) -> Vec<News> {
        let news = self.untold(now, |_| true);
        self.rows.values_mut().for_each(|row| row.reasons.clear());
        news
    }

    fn untold(&mut self, now: Instant, is_due: impl Fn(Duration) -> bool) -> Vec<News> {
        let mut news = Vec::new();
        for (trouble, row) in &mut self.rows {
            for counted in row.reasons.iter_mut().filter(|counted| counted.untold > 0) {
                let span = now.saturating_duration_since(counted.told);
                if is_due(span) {
                    counted.told = now;
                    let (count, reason) =
                        (std::mem::take(&mut counted.untold), counted.text.clone());
                    news.push(News {
                        trouble: *trouble,
                        count,
                        span,
                        reason,
                    });
                }
            }
        }
        news
    }

    /// Every name with its count since the last report; `None` when nothing happened.
    pub fn report(&mut self) -> Option<String> {
        let mut text = String::new();
        for (trouble, row) in self.rows.iter_mut().filter(|(_, row)| row.total > 0) {
            let separator = if text.is_empty() { "" } else { ", " };
            // writing to a String cannot fail
            let _ = write!(
                text,
                "{separator}{trouble} {}",
                std::mem::take(&mut row.total)
            );
        }
        (!text.is_empty()).then_some(text)
    }
}

impl fmt::Display for News {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (times, seconds) = (
            if self.count == 1 { "time" } else { "times" },
            self.span.as_secs(),
        );
        match Limits::key_of(self.trouble) {
            Some(key) => write!(f, "limits.{key} exceeded {} {times}", self.count)?,
            None if self.trouble == FaultKind::Outbox => write!(
                f,
                "the service's share of broker.outbox exceeded {} {times}",
                self.count
            )?,
            None => write!(f, "{}: {} {times}", self.trouble, self.count)?,
        }
        if seconds > 0 {
            write!(f, " in the last {seconds} s")?;
        }
        f.write_str(self.trouble.consequence())?;
        if self.reason.is_empty() {
            Ok(())
        } else {
            write!(f, "; the last: {}", self.reason)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A reason of this kind; its text says which one of them it is.
    fn reason(kind: u64, number: u64) -> Reason {
        Reason {
            kind: kind.to_string(),
            text: format!("{kind}.{number}"),
        }
    }

    #[test]
    fn a_flood_is_spoken_of_once_a_minute_and_completely() {
        let (mut tally, start, none) = (Tally::default(), Instant::now(), Reason::default);
        assert_eq!((tally.due(), tally.news(start)), (None, Vec::new()));
        assert!(tally.note(FaultKind::Mailbox, none(), 3, start));
        assert_eq!(tally.due(), None);
        assert!(!tally.note(FaultKind::Mailbox, none(), 4, start + PAUSE / 2));
        assert!(
            tally.note(FaultKind::Trap, none(), 1, start + PAUSE / 2),
            "each name by itself"
        );
        assert_eq!(tally.due(), Some(start + PAUSE));
        assert_eq!(tally.news(start + PAUSE / 2), Vec::new());
        let news = tally.news(start + PAUSE);
        assert_eq!(
            news,
            [News {
                trouble: FaultKind::Mailbox,
                count: 4,
                span: PAUSE,
                reason: String::new()
            }]
        );
        assert_eq!(
            news[0].to_string(),
            "limits.mailbox exceeded 4 times in the last 60 s; these messages are dropped"
        );
        assert!(!tally.note(FaultKind::Mailbox, none(), 1, start + PAUSE));
        assert_eq!(tally.report().as_deref(), Some("trap 1, mailbox 8"));
        assert_eq!(tally.report(), None);
    }

    #[test]
    fn each_reason_is_spoken_of_and_the_summary_has_the_last_one() {
        let (mut tally, start) = (Tally::default(), Instant::now());
        assert!(tally.note(FaultKind::Trap, reason(1, 1), 1, start));
        assert!(
            tally.note(FaultKind::Trap, reason(2, 1), 1, start),
            "another reason"
        );
        for number in 2..5 {
            assert!(
                !tally.note(FaultKind::Trap, reason(1, number), 1, start),
                "in turn with another one too"
            );
            assert!(!tally.note(FaultKind::Trap, reason(2, number), 1, start));
        }
        let news: Vec<_> = tally
            .news(start + PAUSE)
            .iter()
            .map(News::to_string)
            .collect();
        assert_eq!(
            news,
            [1, 2].map(|kind| format!("trap: 3 times in the last 60 s; the last: {kind}.4"))
        );
    }

    #[test]
    fn counts_begin_again_and_none_is_lost() {
        let (mut tally, start) = (Tally::default(), Instant::now());
        assert!(tally.note(FaultKind::Trap, reason(1, 1), 1, start));
        assert!(!tally.note(FaultKind::Trap, reason(1, 2), 2, start));
        let news = tally.reset(start + PAUSE / 2);
        assert_eq!(
            news,
            [News {
                trouble: FaultKind::Trap,
                count: 2,
                span: PAUSE / 2,
                reason: "1.2".to_owned()
            }]
        );
        assert!(tally.note(FaultKind::Trap, reason(1, 3), 1, start + PAUSE / 2));
        assert_eq!(tally.reset(start + PAUSE / 2), []);
        assert_eq!(tally.report().as_deref(), Some("trap 4"));
    }

    proptest! {
        /// Whatever happens when: no reason is spoken of twice within a minute, not more than so many are, and what was told is what
        /// happened.
        #[test]
        fn nothing_is_lost_and_nothing_is_said_too_often(
            steps in prop::collection::vec((any::<bool>(), 0_u64..2 * REASONS as u64, 1_u64..5, 0_u64..90), 1..200),
        ) {
            let (mut tally, mut now) = (Tally::default(), Instant::now());
            let mut said: BTreeMap<FaultKind, Vec<(String, u64, Instant)>> = BTreeMap::new();
            let mut happened: BTreeMap<FaultKind, u64> = BTreeMap::new();
            for (which, kind, count, seconds) in steps {
                now += Duration::from_secs(seconds);
                for News { trouble, count, reason, .. } in tally.news(now) {
                    said.entry(trouble).or_default().push((reason, count, now));
                }
                let trouble = if which { FaultKind::Trap } else { FaultKind::Payload };
                *happened.entry(trouble).or_default() += count;
                let reason = Reason { kind: kind.to_string(), text: kind.to_string() };
                if tally.note(trouble, reason, count, now) {
                    said.entry(trouble).or_default().push((kind.to_string(), count, now));
                }
                let recent = |lines: &Vec<(String, u64, Instant)>| {
                    lines.iter().filter(|(.., at)| now.saturating_duration_since(*at) < PAUSE).count()
                };
                prop_assert!(said.values().map(recent).all(|lines| lines <= REASONS));
            }
            for News { trouble, count, reason, .. } in tally.news(now + PAUSE) {
                said.entry(trouble).or_default().push((reason, count, now));
            }
            let sum = |lines: Vec<(String, u64, Instant)>| lines.into_iter().map(|(_, count, _)| count).sum();
            let said: BTreeMap<FaultKind, u64> = said.into_iter().map(|(trouble, lines)| (trouble, sum(lines))).collect();
            prop_assert_eq!(said, happened);
        }
    }
}
