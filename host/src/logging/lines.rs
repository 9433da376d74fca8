//! The last lines of the log, and those that listen to further ones.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};
use tracing::level_filters::LevelFilter;

use crate::tap::{Event, Events, Tap, TapFull};

/// Lines that are kept.
const LINES: usize = 1000;

/// Bytes of the texts of kept lines.
const BYTES: usize = 512 * 1024;

/// A line of the log.
#[derive(Debug, Clone, PartialEq)]
pub struct LogLine {
    /// Its number, larger than those of all earlier lines.
    pub number: u64,
    level: tracing::Level,
    members: Map<String, Value>,
    /// Bytes of its texts, about.
    weight: usize,
}

impl Event for LogLine {
    fn service(&self) -> Option<&str> {
        self.members.get("service")?.as_str()
    }
}

impl Serialize for LogLine {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.members.serialize(serializer)
    }
}

/// Lines that were written, and further ones.
pub type LogStream = (Vec<Arc<LogLine>>, Option<Events<LogLine>>);

/// The lines of a process. A clone is the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Lines {
    recent: Arc<Mutex<Recent>>,
    tap: Tap<LogLine>,
}

#[derive(Debug)]
struct Recent {
    lines: VecDeque<Arc<LogLine>>,
    bytes: usize,
    /// The number of the next line.
    next: u64,
}

impl Default for Recent {
    /// Numbers begin with the time, in microseconds, so that those of an earlier process are smaller.
    fn default() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.unwrap_or_default().as_micros();
        Self {
            lines: VecDeque::new(),
            bytes: 0,
            next: u64::try_from(now).unwrap_or_default(),
        }
    }
}

impl Lines {
    /// Keeps a line, and sends it to those that listen.
    pub(super) fn add(&self, level: tracing::Level, members: Map<String, Value>) {
        let weight = members
            .values()
            .map(|value| value.as_str().map_or(16, str::len))
            .sum();
        // all under one lock, so that a listener misses no line between them
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let line = Arc::new(LogLine {
            number: recent.next,
            level,
            members,
            weight,
        });
        recent.next += 1;
        if self.tap.is_open() {
            self.tap.send(&line);
        }
        recent.push(line);
    }

    /// The last lines of a service, or of all, from a level on and behind a number, and further ones if wanted.
    ///
    /// # Errors
    /// When too many listen already.
    pub(super) fn listen(
        &self,
        service: Option<String>,
        level: LevelFilter,
        is_followed: bool,
        after: Option<u64>,
    ) -> Result<LogStream, TapFull> {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = |line: &&Arc<LogLine>| {
            let is_of_service = service.is_none() || service.as_deref() == line.service();
            is_of_service && line.level <= level && after < Some(line.number)
        };
        let lines = recent.lines.iter().filter(wanted).cloned().collect();
        let events = is_followed
            .then(|| {
                self.tap
                    .listen(service.clone(), move |line| line.level <= level)
            })
            .transpose()?;

        Ok((lines, events))
    }
}

impl Recent {
    fn push(&mut self, line: Arc<LogLine>) {
        self.bytes += line.weight;
        self.lines.push_back(line);
        while self.lines.len() > LINES || self.bytes > BYTES {
            let Some(oldest) = self.lines.pop_front() else {
                return;
            };
            self.bytes -= oldest.weight;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn kept_lines_are_bounded_by_number_and_bytes() {
        let lines = Lines::default();
        let add = |text: String| {
            let members = Map::from_iter([("message".to_owned(), text.into())]);
            lines.add(tracing::Level::INFO, members);
        };
        let after = |number| {
            lines
                .listen(None, LevelFilter::TRACE, false, number)
                .unwrap()
                .0
        };
        let kept = || after(None);
        for number in 0..LINES + 10 {
            add(number.to_string());
        }
        assert_eq!(kept().len(), LINES);
        assert_eq!(kept()[0].members["message"], "10");
        let last = kept()[LINES - 1].number;
        assert_eq!(after(Some(last - 2)).len(), 2);
        assert_eq!(after(Some(last)).len(), 0);
        for _ in 0..3 {
            add("x".repeat(BYTES / 2));
        }
        assert_eq!(kept().len(), 2);
    }
}
