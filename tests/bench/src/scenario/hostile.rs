//! Neighbours of hostile guests: messages flow at a fixed rate through one service while another misbehaves at every tick. In:
//! `Programs`. Out: latencies alone and beside each behaviour of guests/hostile. Owns the host's process of each.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use super::Plan;
use crate::contender::{Contender, Programs, remote, service};
use crate::load::Listener;
use crate::load::paced::{self, Pace, Paced};
use crate::process::tail;
use crate::report::{Aim, Section, Table, Value};
use crate::samples::median;

/// Messages a second.
const RATE: f64 = 2_000.0;

/// The aim: how much larger the neighbour's p99 may be than it is alone.
const MOST: f64 = 1.25;

/// What a run begins with, which is not counted.
const WARM_UP: Duration = Duration::from_millis(500);

/// What the hostile guest is told, and how it is called in the table.
const BEHAVIOURS: [(&str, &str); 12] = [
    ("loop", "loops"),
    ("trap", "traps"),
    ("refuse", "returns errors"),
    ("allocate", "allocates"),
    ("recurse", "recurses"),
    ("sleep", "sleeps in a host call"),
    ("publish", "publishes without end"),
    ("bulk", "publishes much"),
    ("resubscribe", "subscribes without end"),
    ("timers", "sets timers without end"),
    ("state", "writes state without end"),
    ("log", "logs without end"),
];

/// The neighbour alone, and right after that beside a behaviour: the machine may be another one a minute later.
struct Pair {
    told: &'static str,
    alone: Paced,
    beside: Paced,
}

impl Pair {
    /// How much larger p99 is.
    fn ratio(&self) -> f64 {
        self.beside.samples.percentile(0.99) / self.alone.samples.percentile(0.99)
    }
}

/// Runs the neighbour alone and beside each behaviour, in turn.
///
/// # Errors
/// When a host does not start or loses its connection.
pub async fn measure(programs: &Programs, plan: &Plan) -> Result<Section> {
    let span = plan.steady / 2;
    let mut pairs = vec![];
    for _ in 0..plan.rounds {
        for (told, _) in BEHAVIOURS {
            let alone = beside(programs, None, span).await.context("alone")?;
            let beside = beside(programs, Some(told), span).await.context(told)?;
            pairs.push(Pair { told, alone, beside });
        }
    }
    Ok(section(&pairs))
}

async fn beside(programs: &Programs, told: Option<&str>, span: Duration) -> Result<Paced> {
    let dir = programs.dir.join("hostile");
    fs::create_dir_all(&dir)?;
    let [request, response] = Contender::Guest.topics(0);
    let mut listener = Listener::new(&request).await?;
    let mut services = service(Contender::Guest.name(), &programs.guests.join("echo.wasm"));
    if let Some(told) = told {
        services.push_str(&hostile(&programs.guests.join("hostile.wasm"), told));
    }
    let state = format!("{}state_file: {}\n", remote(listener.port), dir.join("state.redb").display());
    let config = programs.config("hostile", &state, &programs.cache(), &services)?;
    let log = programs.dir.join("hostile.log");
    let mut host = programs.host(&config, &log)?;
    let mut link = listener.link(&mut host).await.with_context(|| tail(&log))?;
    link.answer_topic = response.into();
    let message = link.template(&request, &[b'x'; 32], 0);
    paced::run(&mut link, &message, Pace::Rate(RATE), WARM_UP).await?;
    let seen = paced::run(&mut link, &message, Pace::Rate(RATE), span).await;
    host.check().with_context(|| tail(&log))?;
    seen
}

/// Misbehaves a hundred times a second, or as often as the host lets it. Its log lines are written.
fn hostile(component: &Path, told: &str) -> String {
    let backoff = "limits: {backoff: {min: 10ms, max: 10ms}, attempts: 1}";
    format!("{}    every: 10\n    told: {told}\n    log_level: INFO\n    {backoff}\n", service("hostile", component))
}

fn section(pairs: &[Pair]) -> Section {
    let mut table = Table::new(&["the other service", "p50 us", "p99 us", "p99 to alone", "lost"]);
    let row = |title: &str, seen: Vec<&Paced>, ratio: f64| {
        let at = |share| median(seen.iter().map(|paced| paced.samples.percentile(share)));
        let lost = seen.iter().map(|paced| paced.lost).sum::<usize>() as f64;
        let numbers = [(at(0.5), 0), (at(0.99), 0), (ratio, 2), (lost, 0)];
        let numbers = numbers.map(|(number, digits)| Value::Number(number, digits));
        std::iter::once(title.into()).chain(numbers).collect::<Vec<_>>()
    };
    table.row(row("is not there", pairs.iter().map(|pair| &pair.alone).collect(), 1.0));
    let mut worst: f64 = 0.0;
    for (told, title) in BEHAVIOURS {
        let of = || pairs.iter().filter(|pair| pair.told == told);
        let ratio = median(of().map(Pair::ratio));
        worst = worst.max(ratio);
        table.row(row(title, of().map(|pair| &pair.beside).collect(), ratio));
    }
    Section {
        title: "An echo under 2,000 messages a second (QoS 0, 32 B) beside a hostile service".to_owned(),
        table,
        notes: vec![],
        aims: vec![Aim::at_most("beside the worst hostile service: p99 to alone", MOST, worst, "x")],
    }
}
