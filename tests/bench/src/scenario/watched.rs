//! A service that is watched: messages flow through it at a fixed rate, and then as fast as they are answered, while five pages are
//! open, Prometheus scrapes, and traces are on without a message that is recorded.
//!
//! Two hosts run all the time, one of them without an HTTP server. They are measured in slices of a second, in turn and each time in
//! another order, so that neither the speed of the machine nor the place of a host in memory is taken for the cost of those who watch.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy, sink};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Handle};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::Plan;
use crate::broker::free_port;
use crate::contender::{Contender, Programs, remote, service};
use crate::estimate::Estimate;
use crate::load::paced::{self, Pace, PacedLoad};
use crate::load::{Link, Listener};
use crate::process::{Process, tail};
use crate::report::{Aim, Section, Table, Value};
use crate::samples::median;
use crate::wire::Template;

/// Messages a second.
const RATE: f64 = 20_000.0;
/// Messages that are outstanding while the throughput is measured.
const WINDOW: usize = 64;
/// Pages that are open.
const PAGES: u32 = 5;
/// One measurement, and the time between two scrapes, and between two snapshots of a page.
const SLICE: Duration = Duration::from_secs(1);
const WARM_UP: Duration = Duration::from_millis(100);
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

impl Watch {
    const ALL: [Self; 4] = [Self::Nobody, Self::Unused, Self::Scraped, Self::Pages];

    /// The way that it is compared with: that of the same host, where there is one.
    const fn base(self) -> Self {
        match self {
            Self::Nobody | Self::Unused => Self::Nobody,
            Self::Scraped | Self::Pages => Self::Unused,
        }
    }

    /// Its place in [`Watch::ALL`].
    const fn place(self) -> usize {
        self as usize
    }
}

const WATCHES: [(Watch, &str); 3] = [
    (Watch::Unused, "HTTP server and traces on, not used"),
    (Watch::Scraped, "/metrics each second"),
    (Watch::Pages, "/metrics each second, 5 pages"),
];

/// A host with one service, and its connection.
struct Host {
    _listener: Listener,
    process: Process,
    link: Link,
    message: Template,
    /// The port of its HTTP server.
    web: Option<u16>,
    log: PathBuf,
}

/// One slice at the fixed rate, and one as fast as messages are answered.
struct Slice {
    steady: PacedLoad,
    full: PacedLoad,
}

/// A slice of each way of watching, as in [`Watch::ALL`].
type Turn = [Slice; 4];

/// Runs the service alone and watched, in turn.
///
/// # Errors
/// When a host does not start or loses its connection.
pub(crate) async fn measure(programs: &Programs, plan: &Plan) -> Result<Section> {
    // on a thread of their own: the generator's time is not theirs
    let pages = Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let mut turns = vec![];
    for _ in 0..plan.rounds {
        let mut alone = Host::start(programs, "alone", false).await?;
        let mut watched = Host::start(programs, "watched", true).await?;
        for number in 0..plan.steady.as_secs() as usize {
            turns.push(turn(&mut alone, &mut watched, number, pages.handle()).await?);
        }
    }

    pages.shutdown_background();
    Ok(section(&turns))
}

/// Measures each way of watching once, in an order that depends on the number of the turn.
async fn turn(alone: &mut Host, watched: &mut Host, number: usize, pages: &Handle) -> Result<Turn> {
    let mut order = Watch::ALL;
    order.rotate_left(number / 2 % Watch::ALL.len());
    if number % 2 == 1 {
        order.reverse();
    }

    let mut slices = [const { None }; 4];
    for watch in order {
        let host = match watch {
            Watch::Nobody => &mut *alone,
            _ => &mut *watched,
        };
        slices[watch.place()] = Some(host.slice(watch, pages).await?);
    }

    let [Some(nobody), Some(unused), Some(scraped), Some(pages)] = slices else {
        anyhow::bail!("a way of watching was not measured");
    };
    Ok([nobody, unused, scraped, pages])
}

impl Host {
    async fn start(programs: &Programs, name: &str, has_web: bool) -> Result<Self> {
        let dir = programs.dir.join(name);
        fs::create_dir_all(&dir)?;
        let [request, response] = Contender::Guest.topics(0);
        let mut listener = Listener::new(&request).await?;
        let services = service(Contender::Guest.name(), &programs.guests.join("echo.wasm"));
        let mut head = remote(listener.port);
        head.push_str(&format!(
            "state_file: {}\n",
            dir.join("state.redb").display()
        ));

        let web = has_web.then(free_port).transpose()?;
        if let Some(port) = web {
            // nothing listens for traces there, and no message has one
            head.push_str(&format!(
                "web: {{listen: '127.0.0.1:{port}'}}\ntraces: {{otlp: 'http://127.0.0.1:9'}}\n"
            ));
        }

        let config = programs.config(name, &head, &programs.cache(), &services)?;
        let log = programs.dir.join(format!("{name}.log"));
        let mut process = programs.host(&config, &log)?;
        let found = listener.link(&mut process).await;
        let mut link = found.with_context(|| tail(&log))?;
        link.answer_topic = response.into();
        let message = link.template(&request, &[b'x'; 32], 0);
        Ok(Self {
            _listener: listener,
            process,
            link,
            message,
            web,
            log,
        })
    }

    /// Measures it while it is watched.
    async fn slice(&mut self, watch: Watch, pages: &Handle) -> Result<Slice> {
        // they end when they are dropped
        let mut watchers = match self.web {
            Some(port) => watchers(watch, port, pages),
            None => JoinSet::new(),
        };
        self.load(Pace::Rate(RATE), WARM_UP).await?;
        let steady = self.load(Pace::Rate(RATE), SLICE).await?;
        let full = self.load(Pace::Full(WINDOW), SLICE).await?;
        self.process.check().with_context(|| tail(&self.log))?;
        if let Some(ended) = watchers.try_join_next() {
            ended.context("a watcher")?.context("a watcher")?;
        }
        Ok(Slice { steady, full })
    }

    async fn load(&mut self, pace: Pace, span: Duration) -> Result<PacedLoad> {
        let load = paced::run(&mut self.link, &self.message, pace, span).await;
        load.with_context(|| tail(&self.log))
    }
}

/// Starts those who watch.
fn watchers(watch: Watch, port: u16, pages: &Handle) -> JoinSet<Result<()>> {
    let mut watchers = JoinSet::new();
    if matches!(watch, Watch::Scraped | Watch::Pages) {
        watchers.spawn_on(poll(port, "/metrics", SLICE / 2), pages);
    }
    if watch == Watch::Pages {
        for page in 1..=PAGES {
            // as the page that shows messages does
            let phase = SLICE * page / (PAGES + 1);
            watchers.spawn_on(poll(port, "/api/v1/snapshot", phase), pages);
            watchers.spawn_on(listen(port), pages);
        }
    }
    watchers
}

/// Reads all calls, for as long as it runs.
async fn listen(port: u16) -> Result<()> {
    let mut stream = get(port, "/api/v1/stream/calls").await?;
    copy(&mut stream, &mut sink()).await?;
    anyhow::bail!("a stream has ended")
}

/// Asks for a path once in each slice, the first time after `phase`.
async fn poll(port: u16, path: &'static str, phase: Duration) -> Result<()> {
    let mut due = interval_at(Instant::now() + phase, SLICE);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        due.tick().await;
        let mut stream = get(port, path).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        anyhow::ensure!(answer.starts_with(b"HTTP/1.1 200"), "{path}: no answer");
    }
}

/// Asks for a path; the answer is read by the caller.
async fn get(port: u16, path: &str) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    Ok(stream)
}

fn section(turns: &[Turn]) -> Section {
    let mut table = Table::new(&[
        "the service is watched",
        "p50 us",
        "p99 us",
        "p50 to unwatched",
        "p99 to unwatched",
        "throughput to unwatched",
        "at full speed",
        "lost",
    ]);

    let mut aims = vec![];
    for (watch, title) in WATCHES {
        let ratio = |figure: fn(&Slice) -> f64| {
            let of = |watch: Watch| turns.iter().map(move |turn| figure(&turn[watch.place()]));
            (
                median(of(watch)),
                Estimate::of_pairs(of(watch).zip(of(watch.base()))),
            )
        };
        let (p50_us, p50) = ratio(|slice| slice.steady.samples.percentile(0.5));
        let (p99_us, p99) = ratio(|slice| slice.steady.samples.percentile(0.99));
        let (_, throughput) = ratio(|slice| slice.steady.throughput());
        let (_, full) = ratio(|slice| slice.full.throughput());
        let lost = turns.iter().map(|turn| turn[watch.place()].steady.lost);
        table.row(vec![
            title.into(),
            Value::Number(p50_us, 0),
            Value::Number(p99_us, 0),
            Value::Estimate(p50),
            Value::Estimate(p99),
            Value::Estimate(throughput),
            Value::Estimate(full),
            Value::Number(lost.sum::<usize>() as f64, 0),
        ]);

        let share = if watch == Watch::Unused {
            UNUSED
        } else {
            WATCHED
        };
        let name = |what: &str| format!("{title}: {what} to unwatched");
        aims.push(Aim::at_most(name("p99"), 1.0 + share, p99, "x"));
        let least = 1.0 - share;
        aims.push(Aim::at_least(name("throughput"), least, throughput, "x"));
        if watch == Watch::Unused {
            let name = name("throughput at full speed");
            aims.push(Aim::at_least(name, least, full, "x"));
        }
    }

    Section {
        title: "An echo under 20,000 messages a second (QoS 0, 32 B), and at full speed, while it is watched"
            .to_owned(),
        table,
        notes: vec![
            format!("Ratios are medians of {} pairs of slices of one second, with the interval in which the true median most likely lies. The first row \
                is relative to a host without HTTP server and traces, the others to the same host while nobody watches.", turns.len()),
        ],
        aims,
        doubts: vec![],
    }
}
