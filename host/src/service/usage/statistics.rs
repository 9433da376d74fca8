//! Statistics of one service's calls: number, mean and p99 duration, load, overruns, failures. Pure.
//!
//! A report resets the counts, but keeps the last fault.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use serde::{Serialize, Serializer};

use crate::fault_kind::FaultKind;
use crate::rollout::history::format_utc;

/// Buckets of durations for each power of two of nanoseconds.
const STEPS: u32 = 4;

/// Upper bounds of the durations in a snapshot.
pub const DURATION_BOUNDS: [Duration; 20] = [
    Duration::from_micros(5),
    Duration::from_micros(10),
    Duration::from_micros(20),
    Duration::from_micros(50),
    Duration::from_micros(100),
    Duration::from_micros(200),
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_millis(2),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(20),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(10),
];

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

/// A failure of a call, or of a start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LastFault {
    /// The kind.
    pub kind: FaultKind,
    /// The reason.
    pub reason: String,
    /// The time, in milliseconds since 1970.
    #[serde(serialize_with = "utc")]
    pub at: u64,
}

fn utc<S: Serializer>(at: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format_utc(*at))
}

/// Statistics of one service.
#[derive(Debug)]
pub(crate) struct Statistics {
    since: Instant,
    messages: Figures,
    /// Timers by their names, in order: services have few.
    timers: Vec<(String, Figures)>,
    other: Figures,
    last_fault: Option<Box<LastFault>>,
    /// Calls before the last report: of messages, of timers, and others. `None` until the first report, so that idle services stay
    /// small.
    reported: Option<Box<[Figures; 3]>>,
}

/// Figures of one kind of call.
#[derive(Debug, Clone, Default)]
struct Figures {
    calls: u64,
    failures: u64,
    overruns: u64,
    measured: u64,
    total: Duration,
    /// Calls by duration, up to the bucket of the longest.
    durations: Vec<u32>,
}

/// Calls of one kind. Durations are those of the calls that were measured, which are one in some on a busy service.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct CallTotals {
    /// The number of calls.
    pub calls: u64,
    /// Calls that failed.
    pub failures: u64,
    /// Due times that were missed, because the service was late.
    pub overruns: u64,
    /// The mean duration.
    #[serde(rename = "mean_us", serialize_with = "microseconds")]
    pub mean: Duration,
    /// The duration that half of the calls do not exceed, a quarter too large at most.
    #[serde(rename = "p50_us", serialize_with = "microseconds")]
    pub p50: Duration,
    /// The duration that 99 of 100 calls do not exceed, a quarter too large at most.
    #[serde(rename = "p99_us", serialize_with = "microseconds")]
    pub p99: Duration,
}

fn microseconds<S: Serializer>(span: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(span.as_nanos() as f64 / 1e3)
}

/// Measured calls of `handle` by their duration, for a histogram.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Durations {
    /// Calls that took no longer than each of [`DURATION_BOUNDS`] and longer than the one before.
    pub counts: [u64; DURATION_BOUNDS.len()],
    /// All measured calls, also those longer than the last bound.
    pub measured: u64,
    /// Seconds that the measured calls took in all.
    pub sum_seconds: f64,
}

impl Serialize for Durations {
    /// Pairs of a bound in microseconds and a count, without those of count 0.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let pairs = DURATION_BOUNDS.iter().zip(self.counts);
        let counted = pairs.filter(|(_, count)| *count > 0);
        serializer.collect_seq(counted.map(|(bound, count)| (bound.as_micros() as u64, count)))
    }
}

impl Statistics {
    /// Creates statistics without calls.
    pub(crate) fn new(now: Instant) -> Self {
        let messages = Figures::default();
        let other = Figures::default();
        Self {
            since: now,
            messages,
            timers: Vec::new(),
            other,
            last_fault: None,
            reported: None,
        }
    }

    /// All calls, before and after the last report: of messages, of timers, and others.
    pub(crate) fn totals(&self) -> [CallTotals; 3] {
        let [messages, timers, other] = self.reported.as_deref().cloned().unwrap_or_default();
        [
            CallTotals::from(&messages.with([&self.messages])),
            CallTotals::from(&timers.with(self.timers.iter().map(|(_, figures)| figures))),
            CallTotals::from(&other.with([&self.other])),
        ]
    }

    /// Measured calls of messages by their duration, before and after the last report.
    pub(crate) fn durations(&self) -> Durations {
        let mut sum = Durations::default();
        let reported = self.reported.as_deref().map(|[messages, ..]| messages);
        for figures in reported.into_iter().chain([&self.messages]) {
            figures.add_to(&mut sum);
        }
        sum
    }

    /// The last failed call or start.
    pub(crate) fn last_fault(&self) -> Option<&LastFault> {
        self.last_fault.as_deref()
    }

    /// Notes a failure that is not one of a counted call.
    pub(crate) fn on_failure(&mut self, fault: LastFault) {
        self.last_fault = Some(Box::new(fault));
    }

    /// Counts a call that ended: `took` where it was measured, `failure` where it failed.
    pub(crate) fn on_call_ended(
        &mut self,
        purpose: Purpose<'_>,
        took: Option<Duration>,
        failure: Option<LastFault>,
    ) {
        let figures = match purpose {
            Purpose::Message => &mut self.messages,
            Purpose::Other => &mut self.other,
            Purpose::Timer(name, count) => {
                let figures = self.timer(name);
                figures.overruns += count.saturating_sub(1);
                figures
            }
        };

        figures.calls += 1;
        figures.failures += u64::from(failure.is_some());
        if let Some(took) = took {
            figures.measure(took);
        }
        if let Some(fault) = failure {
            self.on_failure(fault);
        }
    }

    fn timer(&mut self, name: &str) -> &mut Figures {
        let place = self
            .timers
            .binary_search_by(|(known, _)| known.as_str().cmp(name))
            .unwrap_or_else(|place| {
                let figures = Figures::default();
                self.timers.insert(place, (name.to_owned(), figures));
                place
            });

        &mut self.timers[place].1
    }

    /// Calls since the last report, one sentence for each purpose; `None` when there were none.
    pub(crate) fn report(&mut self, now: Instant) -> Option<String> {
        let span = now.saturating_duration_since(self.since);
        let [messages, timers, other] = &mut **self.reported.get_or_insert_default();
        messages.add(&self.messages);
        self.timers
            .iter()
            .for_each(|(_, figures)| timers.add(figures));
        other.add(&self.other);

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
        if let Some(fault) = &self.last_fault {
            let _ = write!(text, "; last failure: {}", fault.reason);
        }
        Some(text)
    }
}

impl Figures {
    fn measure(&mut self, took: Duration) {
        self.measured += 1;
        self.total += took;

        let bucket = bucket(took);
        self.make_room(bucket + 1);
        if let Some(count) = self.durations.get_mut(bucket) {
            *count = count.saturating_add(1);
        }
    }

    fn make_room(&mut self, buckets: usize) {
        if self.durations.len() < buckets {
            self.durations.resize(buckets, 0);
        }
    }

    fn show(&self, span: Duration) -> String {
        let mean = self.mean();
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

    /// Adds the calls of `other`.
    fn add(&mut self, other: &Self) {
        self.calls += other.calls;
        self.failures += other.failures;
        self.overruns += other.overruns;
        self.measured += other.measured;
        self.total += other.total;
        self.make_room(other.durations.len());
        for (sum, count) in self.durations.iter_mut().zip(&other.durations) {
            *sum = sum.saturating_add(*count);
        }
    }

    /// The calls of this and of `others`.
    fn with<'a>(&self, others: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut sum = self.clone();
        others.into_iter().for_each(|other| sum.add(other));
        sum
    }

    /// Adds the measured calls to `sum`. Each counts by the largest duration of its bucket, so never below its bound.
    fn add_to(&self, sum: &mut Durations) {
        sum.measured += self.measured;
        sum.sum_seconds += self.total.as_secs_f64();
        let mut bound = 0;
        for (bucket, count) in self.durations.iter().enumerate() {
            while DURATION_BOUNDS
                .get(bound)
                .is_some_and(|most| *most < upper(bucket))
            {
                bound += 1;
            }

            if let Some(sum) = sum.counts.get_mut(bound) {
                *sum += u64::from(*count);
            }
        }
    }

    fn mean(&self) -> Duration {
        let nanoseconds = self.total.as_nanos().checked_div(u128::from(self.measured));
        Duration::from_nanos(nanoseconds.map_or(0, |mean| u64::try_from(mean).unwrap_or(u64::MAX)))
    }

    /// Duration that 99 of 100 measured calls do not exceed, a quarter too large at most.
    fn p99(&self) -> Duration {
        self.exceeded_by(self.measured.div_ceil(100))
    }

    /// Duration that half of the measured calls do not exceed, a quarter too large at most.
    fn p50(&self) -> Duration {
        self.exceeded_by(self.measured.div_ceil(2))
    }

    /// The largest duration that at least `wanted` of the measured calls reach.
    fn exceeded_by(&self, wanted: u64) -> Duration {
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

impl From<&Figures> for CallTotals {
    fn from(figures: &Figures) -> Self {
        Self {
            calls: figures.calls,
            failures: figures.failures,
            overruns: figures.overruns,
            mean: figures.mean(),
            p50: figures.p50(),
            p99: figures.p99(),
        }
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
            Some(LastFault {
                kind: FaultKind::Refused,
                reason: "it did not work".to_owned(),
                at: 0,
            }),
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

    #[test]
    fn durations_fall_between_their_bounds() {
        let mut statistics = Statistics::new(Instant::now());
        for micros in [1, 7, 300, 30_000_000] {
            let took = Some(Duration::from_micros(micros));
            statistics.on_call_ended(Purpose::Message, took, None);
        }
        statistics.report(Instant::now());
        let took = Some(Duration::from_micros(300));
        statistics.on_call_ended(Purpose::Message, took, None);
        let durations = statistics.durations();
        assert_eq!(durations.measured, 5);
        assert_eq!(
            durations.counts.iter().sum::<u64>(),
            4,
            "30 s are beyond the last bound"
        );
        let shown = serde_json::to_string(&durations).unwrap();
        assert_eq!(shown, "[[5,1],[10,1],[500,2]]");
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
