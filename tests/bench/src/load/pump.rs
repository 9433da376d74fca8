//! Closed load: a number of messages is kept outstanding. Gives messages a second and CPU a message,
//! or latencies.

use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::{Instant, timeout, timeout_at};

use super::Link;
use crate::process::Process;
use crate::samples::Samples;
use crate::wire::Template;

/// Time without any answer after which outstanding messages count as lost.
const STALL: Duration = Duration::from_secs(2);

/// The message to send, and the number of outstanding ones.
#[derive(Debug, Clone)]
pub(crate) struct Load {
    /// The message.
    pub message: Template,
    /// How many may be outstanding.
    pub window: usize,
}

/// One measurement of throughput.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Throughput {
    /// Answers a second.
    pub rate: f64,
    /// CPU of the contender's process a message, microseconds.
    pub cpu: f64,
    /// Messages that were never answered.
    pub lost: usize,
}

/// Keeps `load.window` messages outstanding for `warm_up` and then `span`, and measures the latter.
///
/// # Errors
/// When the connection is lost or no answer comes at all.
pub(crate) async fn throughput(
    link: &mut Link,
    load: &Load,
    process: &Process,
    warm_up: Duration,
    span: Duration,
) -> Result<Throughput> {
    let mut outstanding = 0;
    let mut lost = run(link, load, &mut outstanding, Instant::now() + warm_up)
        .await?
        .1;
    let start = Instant::now();
    let cpu = process.cpu()?;
    let (answers, stalled) = run(link, load, &mut outstanding, start + span).await?;
    let elapsed = start.elapsed();
    let cpu = process.cpu()? - cpu;
    lost += stalled + drain(link, outstanding).await?;
    if answers == 0 {
        bail!("no answers");
    }
    Ok(Throughput {
        rate: answers as f64 / elapsed.as_secs_f64(),
        cpu: cpu.as_secs_f64() * 1e6 / answers as f64,
        lost,
    })
}

/// Pumps until `end`; returns how many answers came and how many messages were given up.
async fn run(
    link: &mut Link,
    load: &Load,
    outstanding: &mut usize,
    end: Instant,
) -> Result<(usize, usize)> {
    // sending in portions of a quarter window keeps the contender busy and the generator cheap
    let portion = (load.window / 4).max(1);
    let mut answers = 0;
    let mut lost = 0;
    while Instant::now() < end {
        let room = (load.window - *outstanding).min(link.credit(&load.message));
        if room >= portion || *outstanding == 0 {
            for _ in 0..room {
                link.publish(&load.message, &[]);
            }
            *outstanding += room;
        }

        let mut came = 0;
        match timeout_at(end.max(Instant::now() + STALL), link.turn(|_| came += 1)).await {
            Ok(turn) => turn?,
            Err(_) => {
                lost += std::mem::take(outstanding);
                link.unacknowledged = 0;
            }
        }

        answers += came;
        *outstanding = outstanding.saturating_sub(came);
    }

    Ok((answers, lost))
}

/// Waits for outstanding answers; returns the number that never came.
async fn drain(link: &mut Link, mut outstanding: usize) -> Result<usize> {
    while outstanding > 0 || link.unacknowledged > 0 {
        let mut came = 0;
        match timeout(STALL, link.turn(|_| came += 1)).await {
            Ok(turn) => turn?,
            Err(_) => break,
        }
        outstanding = outstanding.saturating_sub(came);
    }

    link.unacknowledged = 0;
    Ok(outstanding)
}

/// Sends one message after the other, each when the one before was answered, for `span`.
///
/// # Errors
/// When the connection is lost or an answer does not come.
pub(crate) async fn latency(
    link: &mut Link,
    message: &Template,
    span: Duration,
) -> Result<Samples> {
    let mut samples = Samples::default();
    let end = Instant::now() + span;
    while Instant::now() < end {
        let mut answered = false;
        let start = Instant::now();
        link.publish(message, &[]);
        while !answered {
            match timeout(STALL, link.turn(|_| answered = true)).await {
                Ok(turn) => turn?,
                Err(_) => bail!("a message was not answered within {STALL:?}"),
            }
        }

        samples.add(start.elapsed());
    }

    drain(link, 0).await?;
    Ok(samples)
}
