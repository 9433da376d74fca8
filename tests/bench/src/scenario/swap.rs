//! Swaps: messages flow at a fixed rate, and as fast as they are answered, while the guest's file is
//! replaced. Measures latencies with and without swaps, the largest gap, and losses.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::time::{MissedTickBehavior, interval};

use super::Plan;
use crate::contender::{Contender, Programs, remote, service};
use crate::estimate::Estimate;
use crate::load::paced::{self, Pace, PacedLoad};
use crate::load::{Link, Listener};
use crate::process::{self, Process};
use crate::report::{Aim, Section, Table, Value};
use crate::samples::median;

/// Messages a second, and then as fast as they are answered.
const PACES: [(&str, Pace); 2] = [
    ("20,000/s", Pace::Rate(20_000.0)),
    ("full load", Pace::Full(1_000)),
];

/// The change of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Swaps {
    None,
    /// Two versions in turn, both in the compile cache.
    Cached,
    /// A version each time that was never seen.
    New,
}

impl Swaps {
    const ALL: [Self; 3] = [Self::None, Self::Cached, Self::New];

    fn title(self) -> &'static str {
        match self {
            Self::None => "no swap",
            Self::Cached => "10 swaps a second, compiled before",
            Self::New => "2 swaps a second, compiled each time",
        }
    }

    fn period(self) -> Duration {
        Duration::from_millis(if self == Self::New { 500 } else { 100 })
    }
}

/// A host whose guest's file is replaced.
struct SwapResult {
    host: Process,
    link: Link,
    _listener: Listener,
    dir: PathBuf,
    original: Vec<u8>,
    versions: usize,
}

impl SwapResult {
    async fn start(programs: &Programs) -> Result<Self> {
        let dir = programs.dir.join("swapped");
        fs::create_dir_all(&dir)?;
        let original = fs::read(programs.guests.join("echo.wasm")).context("guests/echo.wasm")?;
        let file = dir.join("guest.wasm");
        fs::write(&file, &original)?;
        let [request, response] = Contender::Guest.topics(0);
        let mut listener = Listener::new(&request).await?;
        let config = programs.config(
            "swap",
            &remote(listener.port),
            &programs.cache(),
            &service("guest", &file),
        )?;

        let log = programs.dir.join("swap.log");
        let mut host = programs.host(&config, &log)?;
        let mut link = listener
            .link(&mut host)
            .await
            .with_context(|| process::tail(&log))?;
        link.answer_topic = response.into();
        Ok(Self {
            host,
            link,
            _listener: listener,
            dir,
            original,
            versions: 0,
        })
    }

    async fn run(&mut self, swaps: Swaps, pace: Pace, span: Duration) -> Result<PacedLoad> {
        let message = self
            .link
            .template(&Contender::Guest.topics(0)[0], &[b'x'; 32], 0);
        let files = self.prepare(swaps, span)?;
        let target = self.dir.join("guest.wasm");
        tokio::select! {
            seen = paced::run(&mut self.link, &message, pace, span) => seen,
            error = replace(files, &target, swaps.period()) => Err(error),
        }
    }

    /// Writes the versions beforehand, so that a swap is nothing but a rename.
    fn prepare(&mut self, swaps: Swaps, span: Duration) -> Result<Vec<PathBuf>> {
        let number = if swaps == Swaps::None {
            0
        } else {
            span.div_duration_f64(swaps.period()) as usize
        };
        (0..number)
            .map(|i| {
                self.versions += 1;
                let version = if swaps == Swaps::Cached {
                    i % 2
                } else {
                    self.versions + 1
                };
                let file = self.dir.join(format!("version-{}", self.versions));
                fs::write(
                    &file,
                    [&self.original[..], &custom_section(version)].concat(),
                )?;
                Ok(file)
            })
            .collect()
    }
}

/// Renames one file after the other to `target`; ends only with an error.
async fn replace(files: Vec<PathBuf>, target: &Path, period: Duration) -> anyhow::Error {
    let mut tick = interval(period);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for file in files {
        tick.tick().await;
        if let Err(error) = fs::rename(file, target) {
            return error.into();
        }
    }

    std::future::pending().await
}

/// A custom section of a component: it changes the content, not what the component does.
fn custom_section(version: usize) -> Vec<u8> {
    let data = format!("{version:08}");
    let mut section = vec![0, 8 + data.len() as u8, 7];
    section.extend(b"version");
    section.extend(data.bytes());
    section
}

/// Runs without swaps, with swaps that are compiled before, and with swaps that are not, in turn.
///
/// # Errors
/// When the host does not start or loses its connection.
pub(crate) async fn measure(programs: &Programs, plan: &Plan) -> Result<Section> {
    let mut swapped = SwapResult::start(programs).await?;
    let mut seen: [Vec<(Swaps, PacedLoad)>; 2] = Default::default();
    // the first runs warm up: both versions get into the cache
    swapped
        .run(Swaps::Cached, PACES[0].1, Duration::from_secs(1))
        .await?;
    for _ in 0..plan.rounds {
        for ((_, pace), seen) in PACES.iter().zip(&mut seen) {
            for swaps in Swaps::ALL {
                swapped.host.check()?;
                seen.push((swaps, swapped.run(swaps, *pace, plan.steady / 2).await?));
            }
        }
    }

    Ok(section(&seen))
}

fn section(seen: &[Vec<(Swaps, PacedLoad)>; 2]) -> Section {
    let mut table = Table::new(&[
        "load",
        "what",
        "p50 us",
        "p99 us",
        "p99.9 us",
        "to none",
        "largest gap ms",
        "sent",
        "lost",
        "twice",
    ]);

    for ((load, _), seen) in PACES.iter().zip(seen) {
        Swaps::ALL
            .into_iter()
            .for_each(|swaps| table.row(row(load, swaps, seen)));
    }
    let [paced, full] = seen;
    let rounds = |swaps| of(paced, swaps).map(|paced| paced.samples.percentile(0.999));
    let to_none = |swaps| Estimate::of_pairs(rounds(swaps).zip(rounds(Swaps::None)));
    let lost = |seen: &[(Swaps, PacedLoad)]| {
        seen.iter().map(|(_, paced)| paced.lost).sum::<usize>() as f64
    };
    let aims = vec![
        Aim::at_most(
            "20,000 msg/s with swaps: p99.9 to no swaps",
            1.2,
            to_none(Swaps::Cached),
            "x",
        ),
        Aim::at_most(
            "20,000 msg/s with swaps, compiling: p99.9 to no swaps",
            1.2,
            to_none(Swaps::New),
            "x",
        ),
        Aim::at_most(
            "20,000 msg/s with swaps: lost",
            0.0,
            lost(paced),
            "messages",
        ),
        Aim::at_most("full load with swaps: lost", 0.0, lost(full), "messages"),
    ];

    let title = "Swapping the guest under load (QoS 0, 32 B)".to_owned();
    Section {
        title,
        table,
        notes: vec![],
        aims,
        doubts: vec![],
    }
}

fn of(seen: &[(Swaps, PacedLoad)], swaps: Swaps) -> impl Iterator<Item = &PacedLoad> {
    seen.iter()
        .filter(move |(of, _)| *of == swaps)
        .map(|(_, paced)| paced)
}

fn tail(seen: &[(Swaps, PacedLoad)], swaps: Swaps, share: f64) -> f64 {
    median(of(seen, swaps).map(|paced| paced.samples.percentile(share)))
}

fn row(load: &str, swaps: Swaps, seen: &[(Swaps, PacedLoad)]) -> Vec<Value> {
    let sum = |count: fn(&PacedLoad) -> usize| of(seen, swaps).map(count).sum::<usize>() as f64;
    let gap = of(seen, swaps)
        .map(|paced| paced.gap)
        .max()
        .unwrap_or_default();
    let late = tail(seen, swaps, 0.999);
    vec![
        load.into(),
        swaps.title().into(),
        Value::Number(tail(seen, swaps, 0.5), 0),
        Value::Number(tail(seen, swaps, 0.99), 0),
        Value::Number(late, 0),
        Value::Number(late / tail(seen, Swaps::None, 0.999), 2),
        Value::Number(gap.as_secs_f64() * 1e3, 1),
        Value::Number(sum(|paced| paced.sent), 0),
        Value::Number(sum(|paced| paced.lost), 0),
        Value::Number(sum(|paced| paced.twice), 0),
    ]
}
