//! Statistics of one service's calls: number, mean and p99 duration, load, overruns, failures. Pure.
//!
//! A report resets the counts, but keeps the last failure.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

/// Buckets of durations for each power of two of nanoseconds.
const STEPS: u32 = 4;
const BUCKETS: usize = 64 * STEPS as usize;

/// Purpose of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose<'a> {
    /// A message.
    Message,
    /// A timer, and how often it was due: more than once when the service was late.
    Timer(&'a str, u64),
    /// Anything else.
    Other,
}

/// Statistics of one service.
#[derive(Debug)]
pub(crate) struct Statistics {
    since: Instant,
    messages: Figures,
    timers: BTreeMap<String, Figures>,
    other: Figures,
    last_failure: Option<String>,
}

/// Figures of one kind of call.
#[derive(Debug, Default)]
struct Figures {
    calls: u64,
    failures: u64,
    overruns: u64,
    measured: u64,
    total: Duration,
    /// Calls by duration; empty until the first is measured.
    durations: Vec<u32>,
}

impl Statistics {
    /// Creates statistics without calls.
    pub(crate) fn new(now: Instant) -> Self {
        let messages = Figures::default();
        let other = Figures::default();
        Self {
            since: now,
            messages,
            timers: BTreeMap::new(),
            other,
            last_failure: None,
        }
    }

    /// Counts a call that ended: `took` where it was measured, `failure` where it failed.
    pub(crate) fn on_call_ended(
        &mut self,
        purpose: Purpose<'_>,
        took: Option<Duration>,
        failure: Option<String>,
    ) {
        let figures = match purpose {
            Purpose::Message => &mut self.messages,
            Purpose::Other => &mut self.other,
            Purpose::Timer(name, count) => {
                if !self.timers.contains_key(name) {
                    self.timers.insert(name.to_owned(), Figures::default());
                }
                let Some(figures) = self.timers.get_mut(name) else {
                    return;
                };
                figures.overruns += count.saturating_sub(1);
                figures
            }
        };
        figures.calls += 1;
        figures.failures += u64::from(failure.is_some());
        if let Some(took) = took {
            figures.measure(took);
        }
        if failure.is_some() {
            self.last_failure = failure;
        }
    }

    /// Calls since the last report, one sentence for each purpose; `None` when there were none.
    pub(crate) fn report(&mut self, now: Instant) -> Option<String> {
        let span = now.saturating_duration_since(self.since);
        let mut kinds = vec![("messages".to_owned(), std::mem::take(&mut self.messages))];
        let timers = std::mem::take(&mut self.timers).into_iter();
        kinds.extend(timers.map(|(name, figures)| (format!("timer {name}"), figures)));
        kinds.push(("other calls".to_owned(), std::mem::take(&mut self.other)));
        self.since = now;
        kinds.retain(|(_, figures)| figures.calls > 0);
        if kinds.is_empty() {
            return None;
        }
        let mut text = String::new();
        for (name, figures) in kinds {
            let separator = if text.is_empty() { "" } else { "; " };
            // writing to a String cannot fail
            let _ = write!(text, "{separator}{name}: {}", figures.show(span));
        }
        if let Some(failure) = &self.last_failure {
            let _ = write!(text, "; last failure: {failure}");
        }
        Some(text)
    }
}

impl Figures {
    fn measure(&mut self, took: Duration) {
        if self.durations.is_empty() {
            self.durations = vec![0; BUCKETS];
        }
        self.measured += 1;
        self.total += took;
        if let Some(count) = self.durations.get_mut(bucket(took)) {
            *count = count.saturating_add(1);
        }
    }

    fn show(&self, span: Duration) -> String {
        let mean = u32::try_from(self.measured)
            .ok()
            .and_then(|measured| self.total.checked_div(measured));
        let mean = mean.unwrap_or_default();
        let load = 100.0 * mean.as_secs_f64() * self.calls as f64
            / span.as_secs_f64().max(f64::MIN_POSITIVE);
        let mut text = format!(
            "{} calls, mean {mean:.1?}, p99 {:.1?}, load {load:.1} %",
            self.calls,
            self.p99()
        );
        for (count, what) in [(self.overruns, "overruns"), (self.failures, "failures")] {
            if count > 0 {
                let _ = write!(text, ", {count} {what}");
            }
        }
        text
    }

    /// Duration that 99 of 100 measured calls do not exceed, a quarter too large at most.
    fn p99(&self) -> Duration {
        let wanted = self.measured.div_ceil(100);
        let mut slower = 0;
        for (bucket, count) in self.durations.iter().enumerate().rev() {
            slower += u64::from(*count);
            if slower >= wanted && *count > 0 {
                return upper(bucket);
            }
        }
        Duration::ZERO
    }
}

/// Bucket of a duration: it holds durations up to [`upper`] of it.
fn bucket(took: Duration) -> usize {
    let nanoseconds = u64::try_from(took.as_nanos())
        .unwrap_or(u64::MAX)
        .max(STEPS.into());
    let power = nanoseconds.ilog2();
    let step = (nanoseconds >> (power - STEPS.ilog2())) & u64::from(STEPS - 1);
    (power * STEPS) as usize + step as usize
}

fn upper(bucket: usize) -> Duration {
    let power = bucket as u32 / STEPS;
    let step = bucket as u64 % u64::from(STEPS);
    let quarter = 1_u64 << power.saturating_sub(STEPS.ilog2());
    Duration::from_nanos((1_u64 << power).saturating_add(quarter.saturating_mul(step + 1)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_report_says_everything_and_begins_anew() {
        let start = Instant::now();
        let mut statistics = Statistics::new(start);
        for _ in 0..99 {
            statistics.on_call_ended(
                Purpose::Timer("poll", 1),
                Some(Duration::from_micros(100)),
                None,
            );
        }
        let slow = Some(Duration::from_millis(10));
        statistics.on_call_ended(
            Purpose::Timer("poll", 4),
            slow,
            Some("it did not work".to_owned()),
        );
        statistics.on_call_ended(Purpose::Message, Some(Duration::from_micros(7)), None);
        let report = statistics.report(start + Duration::from_secs(2)).unwrap();
        let expected =
            "timer poll: 100 calls, mean 199.0µs, p99 10.5ms, load 1.0 %, 3 overruns, 1 failures";
        assert!(
            report.starts_with("messages: 1 calls, mean 7.0µs") && report.contains(expected),
            "{report}"
        );
        assert!(
            report.ends_with("last failure: it did not work"),
            "{report}"
        );
        assert_eq!(statistics.report(start + Duration::from_secs(3)), None);
    }

    proptest! {
        #[test]
        fn the_p99_is_at_most_a_quarter_too_large(nanoseconds in 4_u64..1 << 50) {
            let mut figures = Figures::default();
            figures.measure(Duration::from_nanos(nanoseconds));
            let p99 = figures.p99().as_nanos() as u64;
            prop_assert!(p99 >= nanoseconds && p99 <= nanoseconds + nanoseconds / 4 + 1, "{p99}");
        }
    }
}
