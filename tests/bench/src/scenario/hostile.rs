//! Neighbours of hostile guests: messages flow at a fixed rate through one service while another
//! misbehaves at every tick. Measures latencies alone and next to each behaviour of guests/hostile.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use super::Plan;
use crate::contender::{Contender, Programs, remote, service};
use crate::load::Listener;
use crate::load::paced::{self, Pace, PacedLoad};
use crate::process::tail;
use crate::report::{Aim, Section, Table, Value};
use crate::samples::median;

/// Messages a second.
const RATE: f64 = 2_000.0;

/// The aim: how much larger the neighbour's p99 may be than it is alone.
const MOST: f64 = 1.25;

/// The beginning of a run, which is not counted.
const WARM_UP: Duration = Duration::from_millis(500);

/// Commands to the hostile guest, and their names in the table.
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
    alone: PacedLoad,
    beside: PacedLoad,
}

/// Runs the neighbour alone and beside each behaviour, in turn.
///
/// # Errors
/// When a host does not start or loses its connection.
pub(crate) async fn measure(programs: &Programs, plan: &Plan) -> Result<Section> {
    let span = plan.steady / 2;
    let mut pairs = vec![];
    for _ in 0..plan.rounds {
        for (told, _) in BEHAVIOURS {
            let alone = beside(programs, None, span).await.context("alone")?;
            let beside = beside(programs, Some(told), span).await.context(told)?;
            pairs.push(Pair {
                told,
                alone,
                beside,
            });
        }
    }

    Ok(section(&pairs))
}

async fn beside(programs: &Programs, told: Option<&str>, span: Duration) -> Result<PacedLoad> {
    let dir = programs.dir.join("hostile");
    fs::create_dir_all(&dir)?;
    let [request, response] = Contender::Guest.topics(0);
    let mut listener = Listener::new(&request).await?;
    let mut services = service(Contender::Guest.name(), &programs.guests.join("echo.wasm"));
    if let Some(told) = told {
        services.push_str(&hostile(&programs.guests.join("hostile.wasm"), told));
    }
    let state = format!(
        "{}state_file: {}\n",
        remote(listener.port),
        dir.join("state.redb").display()
    );
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
    format!(
        "{}    every: 10\n    told: {told}\n    log_level: INFO\n    {backoff}\n",
        service("hostile", component)
    )
}

/// The p99 of the quietest run. Other load on the machine only adds; the host's own share is in each of them.
fn quietest<'a>(seen: impl Iterator<Item = &'a PacedLoad>) -> f64 {
    seen.map(|paced| paced.samples.percentile(0.99))
        .fold(f64::INFINITY, f64::min)
}

fn section(pairs: &[Pair]) -> Section {
    let mut table = Table::new(&[
        "the other service",
        "p50 us",
        "p99 us",
        "p99 to alone",
        "lost",
    ]);

    let of = |told| pairs.iter().filter(move |pair| pair.told == told);
    let alone = median(BEHAVIOURS.map(|(told, _)| quietest(of(told).map(|pair| &pair.alone))));
    let mut row = |title: &str, seen: Vec<&PacedLoad>, p99: f64| {
        let p50 = median(seen.iter().map(|paced| paced.samples.percentile(0.5)));
        let lost = seen.iter().map(|paced| paced.lost).sum::<usize>() as f64;
        let numbers = [(p50, 0), (p99, 0), (p99 / alone, 2), (lost, 0)];
        let numbers = numbers.map(|(number, digits)| Value::Number(number, digits));
        table.row(std::iter::once(title.into()).chain(numbers).collect());
        p99 / alone
    };

    row(
        "is not there",
        pairs.iter().map(|pair| &pair.alone).collect(),
        alone,
    );
    let ratios = BEHAVIOURS.map(|(told, title)| {
        let seen: Vec<&PacedLoad> = of(told).map(|pair| &pair.beside).collect();
        let p99 = quietest(seen.iter().copied());
        row(title, seen, p99)
    });
    let worst = ratios.into_iter().fold(0.0, f64::max);
    Section {
        title: "An echo under 2,000 messages a second (QoS 0, 32 B) beside a hostile service"
            .to_owned(),
        table,
        notes: vec![
            "p99 is that of the quietest round; alone, the median of twelve such.".to_owned(),
        ],
        aims: vec![Aim::at_most(
            "next to the worst hostile service: p99 to alone",
            MOST,
            worst,
            "x",
        )],
        doubts: vec![],
    }
}
