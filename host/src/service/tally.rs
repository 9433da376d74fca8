//! Pure: how often what went wrong with a service. In: troubles as they happen. Out: whether to speak of one at once, and later a
//! sentence about those that were not spoken of: each name is spoken of once a minute at most, and none is lost. Owns the counts.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::time::{Duration, Instant};

use crate::trouble::Trouble;

/// The shortest time between two lines about one name.
const PAUSE: Duration = Duration::from_secs(60);

/// Counts of one service.
#[derive(Debug, Default)]
pub struct Tally {
    rows: BTreeMap<Trouble, Row>,
}

#[derive(Debug, Default)]
struct Row {
    /// Since the last report.
    total: u64,
    /// What nobody was told of yet.
    untold: u64,
    /// When somebody was told last.
    told: Option<Instant>,
}

/// Something to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct News {
    /// What happened.
    pub trouble: Trouble,
    /// How often.
    pub count: u64,
    /// In which time.
    pub span: Duration,
}

impl Tally {
    /// Something happened `count` times. `true`: it is to be told now, since it was not in the last minute.
    pub fn note(&mut self, trouble: Trouble, count: u64, now: Instant) -> bool {
        let row = self.rows.entry(trouble).or_default();
        row.total += count;
        let silent = row.told.is_some_and(|told| now.saturating_duration_since(told) < PAUSE);
        if silent || row.untold > 0 {
            row.untold += count;
            return false;
        }
        row.told = Some(now);
        true
    }

    /// Something happened that is told in any case.
    pub fn count(&mut self, trouble: Trouble) {
        self.rows.entry(trouble).or_default().total += 1;
    }

    /// When there will be news; `None`: not as things are.
    pub fn due(&self) -> Option<Instant> {
        self.rows.values().filter(|row| row.untold > 0).filter_map(|row| Some(row.told? + PAUSE)).min()
    }

    /// What happened and was not told, for names that were not spoken of in the last minute.
    pub fn news(&mut self, now: Instant) -> Vec<News> {
        let mut news = Vec::new();
        for (trouble, row) in &mut self.rows {
            let span = row.told.map_or(PAUSE, |told| now.saturating_duration_since(told));
            if row.untold > 0 && span >= PAUSE {
                row.told = Some(now);
                news.push(News { trouble: *trouble, count: std::mem::take(&mut row.untold), span });
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
            let _ = write!(text, "{separator}{trouble} {}", std::mem::take(&mut row.total));
        }
        (!text.is_empty()).then_some(text)
    }
}

impl fmt::Display for News {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (times, seconds) = (if self.count == 1 { "time" } else { "times" }, self.span.as_secs());
        match self.trouble.key() {
            Some(key) => write!(f, "{key} exceeded {} {times}", self.count)?,
            None => write!(f, "{}: {} {times}", self.trouble, self.count)?,
        }
        if seconds > 0 {
            write!(f, " in the last {seconds} s")?;
        }
        f.write_str(self.trouble.consequence())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_flood_is_spoken_of_once_a_minute_and_completely() {
        let (mut tally, start) = (Tally::default(), Instant::now());
        assert_eq!((tally.due(), tally.news(start)), (None, Vec::new()));
        assert!(tally.note(Trouble::Mailbox, 3, start));
        assert_eq!(tally.due(), None);
        assert!(!tally.note(Trouble::Mailbox, 4, start + PAUSE / 2));
        assert!(tally.note(Trouble::Trap, 1, start + PAUSE / 2), "each name by itself");
        assert_eq!(tally.due(), Some(start + PAUSE));
        assert_eq!(tally.news(start + PAUSE / 2), Vec::new());
        let news = tally.news(start + PAUSE);
        assert_eq!(news, [News { trouble: Trouble::Mailbox, count: 4, span: PAUSE }]);
        assert_eq!(news[0].to_string(), "limits.mailbox exceeded 4 times in the last 60 s; these messages are dropped");
        assert!(!tally.note(Trouble::Mailbox, 1, start + PAUSE));
        assert_eq!(tally.report().as_deref(), Some("trap 1, mailbox 8"));
        assert_eq!(tally.report(), None);
    }

    proptest! {
        /// Whatever happens when: no name is spoken of twice within a minute, and what was told is what happened.
        #[test]
        fn nothing_is_lost_and_nothing_is_said_too_often(
            steps in prop::collection::vec((any::<bool>(), 1_u64..5, 0_u64..90), 1..100),
        ) {
            let (mut tally, mut now) = (Tally::default(), Instant::now());
            let mut said: BTreeMap<Trouble, (u64, Option<Instant>)> = BTreeMap::new();
            let mut happened: BTreeMap<Trouble, u64> = BTreeMap::new();
            let mut say = |trouble, count, now: Instant| {
                let (sum, last) = said.entry(trouble).or_default();
                assert!(last.is_none_or(|last| now - last >= PAUSE));
                (*sum, *last) = (*sum + count, Some(now));
            };
            for (which, count, seconds) in steps {
                now += Duration::from_secs(seconds);
                tally.news(now).into_iter().for_each(|news| say(news.trouble, news.count, now));
                let trouble = if which { Trouble::Trap } else { Trouble::Payload };
                *happened.entry(trouble).or_default() += count;
                if tally.note(trouble, count, now) {
                    say(trouble, count, now);
                }
            }
            tally.news(now + PAUSE).into_iter().for_each(|news| say(news.trouble, news.count, now + PAUSE));
            let said: BTreeMap<Trouble, u64> = said.into_iter().map(|(trouble, (count, _))| (trouble, count)).collect();
            prop_assert_eq!(said, happened);
        }
    }
}
