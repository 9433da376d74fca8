//! Typed services: calls of one guest to another across brokers and by the short cut within a host, and of one Python program to
//! another. The callers measure each call themselves. And a caller while another client sends malformed calls to the same service.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::Value as Json;
use tokio::time::{sleep, timeout};

use super::Plan;
use crate::broker::{Mosquitto, free_port, wait_for_port};
use crate::contender::{Programs, remote};
use crate::estimate::Estimate;
use crate::load::{Link, client};
use crate::process::Process;
use crate::report::{Aim, Section, Table, Value};
use crate::samples::Samples;
use crate::wire::{Template, Version};

/// Calls, one after the other, that one command asks for.
const CALLS: usize = 200;
/// How long they may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Malformed calls a second, in portions.
const MALFORMED: u64 = 1_000;
const PORTION: Duration = Duration::from_millis(10);
/// Payloads that no operation takes.
const PAYLOADS: [&[u8]; 5] = [b"{broken", b"[1]", b"[1, \"two\"]", b"", b"[[[["];
/// The aims: microseconds of a call by the short cut, and how much larger the p99 of a healthy caller may be than it is alone.
const SHORT: f64 = 50.0;
const MOST: f64 = 1.25;

/// The ways from caller to provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Python,
    TwoHosts,
    Embedded,
    ShortCut,
    Malformed,
}

impl Way {
    const ALL: [Self; 5] = [
        Self::Python,
        Self::TwoHosts,
        Self::Embedded,
        Self::ShortCut,
        Self::Malformed,
    ];

    fn title(self) -> &'static str {
        match self {
            Self::Python => "Python to Python (paho), mosquitto",
            Self::TwoHosts => "guest to guest of another host, mosquitto",
            Self::Embedded => "guest to guest of one host, embedded broker",
            Self::ShortCut => "guest to guest of one host, short cut",
            Self::Malformed => "as the second, next to 1,000 malformed calls a second",
        }
    }
}

/// A caller that can be asked.
struct Pair {
    way: Way,
    link: Link,
    /// The caller's process, then those that it needs.
    processes: Vec<Process>,
    port: u16,
    rounds: Vec<Samples>,
}

/// Measures every way, round by round.
///
/// # Errors
/// When a process does not start or answer.
pub(crate) async fn measure(programs: &Programs, plan: &Plan) -> Result<Section> {
    let broker = Mosquitto::start(&programs.dir).await?;
    let mut pairs = Vec::new();
    for way in Way::ALL {
        let pair = start(programs, way, broker.port).await;
        pairs.push(pair.with_context(|| format!("{way:?}"))?);
    }

    for _ in 0..plan.rounds {
        for pair in &mut pairs {
            pair.run(plan.span)
                .await
                .with_context(|| format!("{:?}", pair.way))?;
        }
    }

    Ok(section(&pairs))
}

async fn start(programs: &Programs, way: Way, mosquitto: u16) -> Result<Pair> {
    let (processes, port) = match way {
        Way::Python => (python(programs, mosquitto)?, mosquitto),
        Way::TwoHosts | Way::Malformed => (two_hosts(programs, way, mosquitto)?, mosquitto),
        Way::Embedded | Way::ShortCut => {
            let port = free_port()?;
            (vec![one_host(programs, way, port).await?], port)
        }
    };

    let mut pair = Pair {
        way,
        link: connect(way, port).await?,
        processes,
        port,
        rounds: Vec::new(),
    };

    pair.warm_up().await?;
    Ok(pair)
}

async fn connect(way: Way, port: u16) -> Result<Link> {
    let done = format!("{}/done", base(way));
    client::connect(port, &done).await
}

/// The base topic of the caller: several of them use one broker.
fn base(way: Way) -> String {
    format!("service/{way:?}/caller").to_lowercase()
}

fn python(programs: &Programs, port: u16) -> Result<Vec<Process>> {
    let provider = programs.python_pair(port, "provider")?;
    Ok(vec![programs.python_pair(port, "caller")?, provider])
}

fn two_hosts(programs: &Programs, way: Way, port: u16) -> Result<Vec<Process>> {
    let start = |name: &str, services: &str| {
        let name = format!("typed-{way:?}-{name}");
        let config = programs.config(&name, &remote(port), &programs.cache(), services)?;
        programs.host(&config, &programs.dir.join(format!("{name}.log")))
    };
    let provider = start("provider", &provider(&programs.guests, way))?;
    let caller = start("caller", &caller(&programs.guests, way))?;
    Ok(vec![caller, provider])
}

async fn one_host(programs: &Programs, way: Way, port: u16) -> Result<Process> {
    let broker = format!("broker:\n  embedded:\n    listen: 127.0.0.1:{port}\n");
    let services = provider(&programs.guests, way) + &caller(&programs.guests, way);
    let name = format!("typed-{way:?}");
    let config = programs.config(&name, &broker, &programs.cache(), &services)?;
    let log = programs.dir.join(format!("{name}.log"));
    let mut host = programs.host(&config, &log)?;
    wait_for_port(port, &mut host, &log).await?;
    Ok(host)
}

fn provider(guests: &Path, way: Way) -> String {
    let serve = format!("serve: [{{interface: 'test:typed/machine', module: bench.{way:?}}}]");
    section_of(
        "provider",
        guests,
        "contract-typed-service.wasm",
        way,
        &serve,
    )
}

fn caller(guests: &Path, way: Way) -> String {
    let local = way == Way::ShortCut;
    let call = format!(
        "call: [{{interface: 'test:typed/machine', module: bench.{way:?}, local: {local}}}]"
    );
    section_of("caller", guests, "contract-typed-client.wasm", way, &call)
}

fn section_of(name: &str, guests: &Path, file: &str, way: Way, interface: &str) -> String {
    let topic = format!("service/{way:?}/{name}").to_lowercase();
    format!(
        "  {name}:\n    component: {}\n    data_topic: {topic}\n    {interface}\n    \
         limits: {{publish_rate: 1000000, payload_rate: 1GiB, attempts: 1}}\n",
        guests.join(file).display()
    )
}

impl Pair {
    /// Asks until the caller answers.
    async fn warm_up(&mut self) -> Result<()> {
        let end = Instant::now() + PATIENCE;
        loop {
            for process in &mut self.processes {
                process.check()?;
            }
            match timeout(Duration::from_millis(500), self.ask(1)).await {
                Ok(asked) => drop(asked?),
                Err(_) => {
                    anyhow::ensure!(Instant::now() < end, "no answer");
                    continue;
                }
            }

            // earlier questions may still be answered
            while let Ok(turn) = timeout(Duration::from_millis(300), self.link.turn(|_| ())).await {
                turn?;
            }
            return Ok(());
        }
    }

    /// Has the caller make calls for `span`.
    async fn run(&mut self, span: Duration) -> Result<()> {
        let attacker = if self.way == Way::Malformed {
            Some(tokio::spawn(attack(self.port, self.way)))
        } else {
            None
        };
        let mut samples = Samples::default();
        let end = Instant::now() + span;
        while Instant::now() < end {
            let asked = timeout(PATIENCE, self.ask(CALLS)).await;
            for sample in asked.context("no answer")?? {
                samples.add(sample);
            }
        }

        if let Some(attacker) = attacker {
            anyhow::ensure!(!attacker.is_finished(), "the malformed calls ended");
            attacker.abort();
        }
        self.rounds.push(samples);
        Ok(())
    }

    /// Has the caller make `count` calls; returns how long each of them took.
    async fn ask(&mut self, count: usize) -> Result<Vec<Duration>> {
        let command = format!("{{\"call\": \"time-add\", \"args\": [{count}]}}");
        let topic = format!("{}/do", base(self.way));
        let command = Template::new(&topic, command.as_bytes(), 1, Version::V5, 0);
        self.link.publish(&command, &[]);

        let mut answer = None;
        while answer.is_none() {
            let turn = self.link.turn(|payload| answer = Some(payload.to_vec()));
            turn.await?;
        }
        let answer: Json = serde_json::from_slice(&answer.unwrap_or_default())?;
        let calls = answer["value"].as_array().context("no figures")?;
        let nanoseconds = calls.iter().filter_map(Json::as_u64);
        Ok(nanoseconds.map(Duration::from_nanos).collect())
    }
}

/// Sends malformed calls to the provider until it is cancelled.
async fn attack(port: u16, way: Way) -> Result<()> {
    let mut link = client::connect(port, "nothing/comes/here").await?;
    let topic = format!("bench.{way:?}/Machine/rpc/add");
    let portion = MALFORMED * PORTION.as_millis() as u64 / 1_000;
    for number in 0.. {
        for at in 0..portion {
            let payload = PAYLOADS[(number + at) as usize % PAYLOADS.len()];
            link.publish(&Template::new(&topic, payload, 0, Version::V5, 0), &[]);
        }
        link.flush()?;
        sleep(PORTION).await;
    }

    Ok(())
}

fn section(pairs: &[Pair]) -> Section {
    let mut table = Table::new(&[
        "call",
        "calls/s",
        "p50 us",
        "p99 us",
        "calls/s to Python",
        "p50: Python to this",
    ]);

    let of = |way: Way| {
        let pair = pairs.iter().find(|pair| pair.way == way);
        pair.map_or(&[][..], |pair| &pair.rounds)
    };
    let python = of(Way::Python);
    for pair in pairs {
        let percentile =
            |share: f64| Estimate::of(pair.rounds.iter().map(|round| round.percentile(share)));
        let rates = pair.rounds.iter().map(rate).zip(python.iter().map(rate));
        let p50s = python.iter().map(p50).zip(pair.rounds.iter().map(p50));
        table.row(vec![
            pair.way.title().into(),
            Value::Number(Estimate::of(pair.rounds.iter().map(rate)).median, 0),
            Value::Number(percentile(0.5).median, 1),
            Value::Number(percentile(0.99).median, 1),
            Value::Estimate(Estimate::of_pairs(rates)),
            Value::Estimate(Estimate::of_pairs(p50s)),
        ]);
    }

    let p99 = |way: Way| of(way).iter().map(|round| round.percentile(0.99));
    let beside = Estimate::of_pairs(p99(Way::Malformed).zip(p99(Way::TwoHosts)));
    let short = Estimate::of(of(Way::ShortCut).iter().map(p50));
    Section {
        title: "Calls of typed services, one after the other (an operation with two numbers)"
            .to_owned(),
        table,
        notes: vec![format!(
            "QoS 1. {CALLS} calls a command; each is measured by its caller. Ratios are of the same round."
        )],
        aims: vec![
            Aim::at_most("a call by the short cut: p50", SHORT, short, "us"),
            Aim::at_most(
                "a healthy caller under malformed calls: p99 to without",
                MOST,
                beside,
                "x",
            ),
        ],
        doubts: vec![],
    }
}

fn p50(round: &Samples) -> f64 {
    round.percentile(0.5)
}

/// Calls a second, by the time that the calls themselves took.
fn rate(round: &Samples) -> f64 {
    1e6 / round.mean()
}
