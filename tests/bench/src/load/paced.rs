//! Numbered load: a fixed number of messages a second, whether answers come or not, or as many as
//! are answered. Latencies count from the moment at which a message was due, so a stalled contender
//! cannot hide its stall.

use std::time::Duration;

use anyhow::Result;
use tokio::time::{Instant, timeout};

use super::Link;
use super::metronome::Metronome;
use crate::samples::Samples;
use crate::wire::Template;

/// How long late answers are waited for.
const LATE: Duration = Duration::from_secs(3);
/// The shortest time between two portions of messages: long enough for a thread to sleep, and short enough to show the cost of a
/// neighbour.
const PORTION: Duration = Duration::from_micros(250);
/// Digits of the number in each payload.
pub(crate) const STAMP: usize = 10;

/// When messages are sent.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Pace {
    /// So many a second.
    Rate(f64),
    /// So many are outstanding all the time: as fast as they are answered.
    Full(usize),
}

impl Pace {
    /// Time between two looks at what is to be sent.
    fn period(self) -> Duration {
        match self {
            Self::Rate(rate) => Duration::from_secs_f64(1.0 / rate).max(PORTION),
            // answers set the pace; this only ends the span
            Self::Full(_) => Duration::from_millis(1),
        }
    }
}

/// Observations of one measurement.
#[derive(Debug, Default)]
pub(crate) struct PacedLoad {
    /// Latencies.
    pub samples: Samples,
    /// The longest time between two answers.
    pub gap: Duration,
    /// From the beginning to the last answer.
    pub took: Duration,
    /// Messages sent.
    pub sent: usize,
    /// Messages never answered.
    pub lost: usize,
    /// Answers that came again.
    pub twice: usize,
}

impl PacedLoad {
    /// Answers a second.
    pub(crate) fn throughput(&self) -> f64 {
        self.samples.count() as f64 / self.took.as_secs_f64()
    }
}

/// The state of one run.
struct Run {
    start: Instant,
    pace: Pace,
    /// When each message was due.
    due: Vec<Instant>,
    answered: Vec<bool>,
    last: Instant,
    seen: PacedLoad,
}

impl Run {
    /// How many messages are to have been sent by now.
    fn wanted(&self) -> usize {
        match self.pace {
            // the first is due at once
            Pace::Rate(rate) => (self.start.elapsed().as_secs_f64() * rate) as usize + 1,
            Pace::Full(window) => self.seen.samples.count() + window,
        }
    }

    /// The number of the next message, which is due now.
    fn next(&mut self) -> usize {
        let number = self.due.len();
        self.due.push(match self.pace {
            Pace::Rate(rate) => self.start + Duration::from_secs_f64(number as f64 / rate),
            Pace::Full(_) => Instant::now(),
        });
        self.answered.push(false);
        number
    }

    fn answer(&mut self, payload: &[u8], now: Instant) {
        let number = payload
            .get(..STAMP)
            .and_then(|digits| std::str::from_utf8(digits).ok()?.parse::<usize>().ok());
        let Some(number) = number.filter(|n| *n < self.answered.len()) else {
            return;
        };
        if std::mem::replace(&mut self.answered[number], true) {
            self.seen.twice += 1;
            return;
        }
        self.seen.samples.add(now - self.due[number]);
        self.seen.gap = self.seen.gap.max(now - self.last);
        self.last = now;
    }
}

/// Sends `message` at `pace` for `span`.
///
/// # Errors
/// When the connection is lost.
pub(crate) async fn run(
    link: &mut Link,
    message: &Template,
    pace: Pace,
    span: Duration,
) -> Result<PacedLoad> {
    let start = Instant::now();
    let mut run = Run {
        start,
        pace,
        due: vec![],
        answered: vec![],
        last: start,
        seen: PacedLoad::default(),
    };

    let metronome = Metronome::start(pace.period())?;
    while start.elapsed() < span {
        for _ in run.answered.len()..run.wanted() {
            link.queue(message, format!("{:0STAMP$}", run.next()).as_bytes());
        }
        link.flush()?;
        tokio::select! {
            () = metronome.beat() => {}
            turn = link.turn(|payload| run.answer(payload, Instant::now())) => turn?,
        }
    }

    wait_for_rest(link, &mut run).await?;
    run.seen.sent = run.answered.len();
    run.seen.took = run.last - run.start;
    run.seen.lost = run.answered.iter().filter(|answered| !**answered).count();
    Ok(run.seen)
}

async fn wait_for_rest(link: &mut Link, run: &mut Run) -> Result<()> {
    let end = Instant::now() + LATE;
    while run.seen.samples.count() < run.answered.len() && Instant::now() < end {
        if let Ok(turn) = timeout(
            end - Instant::now(),
            link.turn(|payload| run.answer(payload, Instant::now())),
        )
        .await
        {
            turn?;
        }
    }

    Ok(())
}
