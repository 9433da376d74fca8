//! A service that is watched: messages flow through it at a fixed rate, and then as fast as they are answered, while five pages listen
//! to its calls, Prometheus scrapes, and traces are on without a message that is recorded. Each is measured right after the same load
//! with nobody who watches.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy, sink};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::Plan;
use crate::broker::free_port;
use crate::contender::{Contender, Programs, remote, service};
use crate::estimate::Estimate;
use crate::load::Listener;
use crate::load::paced::{self, Pace, PacedLoad};
use crate::process::tail;
use crate::report::{Aim, Section, Table, Value};
use crate::samples::median;

/// Messages a second.
const RATE: f64 = 20_000.0;
/// Messages that are outstanding while the throughput is measured.
const WINDOW: usize = 64;
/// Pages that listen to calls.
const PAGES: usize = 5;
/// Time between two scrapes.
const SCRAPE: Duration = Duration::from_secs(1);
const WARM_UP: Duration = Duration::from_millis(500);
/// The aims: the share of p99 and throughput that all watchers may cost, and that of taps, snapshots and traces nobody uses.
const WATCHED: f64 = 0.02;
const UNUSED: f64 = 0.01;

/// The ways of watching.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Watch {
    /// There is no HTTP server.
    Nobody,
    /// An HTTP server that nobody asks, and traces of which none is recorded.
    Unused,
    /// Prometheus.
    Scraped,
    /// Prometheus and pages.
    Pages,
}

const WATCHES: [(Watch, &str); 3] = [
    (Watch::Unused, "HTTP server and traces on, not used"),
    (Watch::Scraped, "/metrics each second"),
    (Watch::Pages, "/metrics each second, 5 pages"),
];

/// One measurement.
struct Run {
    steady: PacedLoad,
    /// Answers a second.
    throughput: f64,
}

/// The service without a watcher, and right after that watched.
struct Pair {
    watch: Watch,
    alone: Run,
    watched: Run,
}

/// Runs the service alone and watched, in turn.
///
/// # Errors
/// When a host does not start or loses its connection.
pub(crate) async fn measure(programs: &Programs, plan: &Plan) -> Result<Section> {
    let mut pairs = vec![];
    for round in 0..plan.rounds {
        for (watch, title) in WATCHES {
            // every other pair is the other way round, so that a machine that becomes slower favours neither
            let [first, second] = match round % 2 {
                0 => [Watch::Nobody, watch],
                _ => [watch, Watch::Nobody],
            };
            let first = run(programs, first, plan).await.context(title)?;
            let second = run(programs, second, plan).await.context(title)?;
            let (alone, watched) = match round % 2 {
                0 => (first, second),
                _ => (second, first),
            };
            pairs.push(Pair {
                watch,
                alone,
                watched,
            });
        }
    }

    Ok(section(&pairs))
}

async fn run(programs: &Programs, watch: Watch, plan: &Plan) -> Result<Run> {
    let dir = programs.dir.join("watched");
    fs::create_dir_all(&dir)?;
    let [request, response] = Contender::Guest.topics(0);
    let mut listener = Listener::new(&request).await?;
    let port = free_port()?;
    let services = service(Contender::Guest.name(), &programs.guests.join("echo.wasm"));
    let mut head = remote(listener.port);
    head.push_str(&format!(
        "state_file: {}\n",
        dir.join("state.redb").display()
    ));
    if watch != Watch::Nobody {
        // nothing listens for traces there, and no message has one
        head.push_str(&format!(
            "web: {{listen: '127.0.0.1:{port}'}}\ntraces: {{otlp: 'http://127.0.0.1:9'}}\n"
        ));
    }

    let config = programs.config("watched", &head, &programs.cache(), &services)?;
    let log = programs.dir.join("watched.log");
    let mut host = programs.host(&config, &log)?;
    let mut link = listener.link(&mut host).await.with_context(|| tail(&log))?;
    link.answer_topic = response.into();
    let message = link.template(&request, &[b'x'; 32], 0);

    // ends when it is dropped
    let mut watchers = watchers(watch, port).await?;
    paced::run(&mut link, &message, Pace::Rate(RATE), WARM_UP).await?;
    let steady = paced::run(&mut link, &message, Pace::Rate(RATE), plan.steady).await?;
    let full = paced::run(&mut link, &message, Pace::Full(WINDOW), plan.span).await?;
    host.check().with_context(|| tail(&log))?;
    if let Some(ended) = watchers.try_join_next() {
        ended.context("a watcher")?.context("a watcher")?;
    }
    Ok(Run {
        steady,
        throughput: full.samples.count() as f64 / plan.span.as_secs_f64(),
    })
}

/// Starts those who watch.
async fn watchers(watch: Watch, port: u16) -> Result<JoinSet<Result<()>>> {
    let mut watchers = JoinSet::new();
    if matches!(watch, Watch::Scraped | Watch::Pages) {
        watchers.spawn(async move {
            loop {
                let mut scrape = get(port, "/metrics").await?;
                let mut metrics = Vec::new();
                scrape.read_to_end(&mut metrics).await?;
                anyhow::ensure!(metrics.starts_with(b"HTTP/1.1 200"), "no metrics");
                tokio::time::sleep(SCRAPE).await;
            }
        });
    }
    if watch == Watch::Pages {
        for _ in 0..PAGES {
            let mut stream = get(port, "/api/v1/stream/calls").await?;
            watchers.spawn(async move {
                copy(&mut stream, &mut sink()).await?;
                anyhow::bail!("a stream has ended")
            });
        }
    }
    Ok(watchers)
}

/// Asks for a path; the answer is read by the caller.
async fn get(port: u16, path: &str) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    Ok(stream)
}

fn section(pairs: &[Pair]) -> Section {
    let mut table = Table::new(&[
        "the service is watched",
        "p50 us",
        "p99 us",
        "p99 to alone",
        "spread",
        "throughput to alone",
        "spread",
        "lost",
    ]);

    let mut aims = vec![];
    for (watch, title) in WATCHES {
        let of = || pairs.iter().filter(move |pair| pair.watch == watch);
        let p99 = |run: &Run| run.steady.samples.percentile(0.99);
        let latencies = || of().map(|pair| (p99(&pair.watched), p99(&pair.alone)));
        let throughputs = || of().map(|pair| (pair.watched.throughput, pair.alone.throughput));
        let latency = Estimate::of_pairs(latencies());
        let throughput = Estimate::of_pairs(throughputs());
        let lost: usize = of().map(|pair| pair.watched.steady.lost).sum();
        table.row(vec![
            title.into(),
            Value::Number(
                median(of().map(|pair| pair.watched.steady.samples.percentile(0.5))),
                0,
            ),
            Value::Number(median(of().map(|pair| p99(&pair.watched))), 0),
            Value::Number(latency.median, 3),
            spread(latencies()).into(),
            Value::Number(throughput.median, 3),
            spread(throughputs()).into(),
            Value::Number(lost as f64, 0),
        ]);

        let share = if watch == Watch::Unused {
            UNUSED
        } else {
            WATCHED
        };
        let name = |what: &str| format!("{title}: {what} to alone");
        aims.push(Aim::at_most(name("p99"), 1.0 + share, latency, "x"));
        aims.push(Aim::at_least(
            name("throughput"),
            1.0 - share,
            throughput,
            "x",
        ));
    }

    Section {
        title: "An echo under 20,000 messages a second (QoS 0, 32 B), and at full speed, while it is watched"
            .to_owned(),
        table,
        notes: vec![
            "Ratios are medians of pairs that were measured one right after the other; spread: the smallest and the largest.".to_owned(),
        ],
        aims,
        doubts: vec![],
    }
}

/// The smallest and the largest ratio of some pairs.
fn spread(pairs: impl Iterator<Item = (f64, f64)>) -> String {
    let (least, most) = pairs
        .map(|(figure, base)| figure / base)
        .fold((f64::INFINITY, 0.0_f64), |(least, most), ratio| {
            (least.min(ratio), most.max(ratio))
        });
    format!("{least:.2} to {most:.2}")
}
