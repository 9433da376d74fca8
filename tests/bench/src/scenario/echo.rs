//! Echo: throughput, CPU and latency of every contender. All contenders' processes live while one
//! takes its turn: A B C A B C.

use std::time::Duration;

use anyhow::{Context, Result};

use super::Plan;
use crate::broker::{Mosquitto, free_port, wait_for_port};
use crate::contender::{Contender, Programs, RECEIVE_MAXIMUM};
use crate::load::pump::{self, Load, Throughput};
use crate::load::{Link, Listener, client};
use crate::process::{Process, tail};

const WARM_UP: Duration = Duration::from_millis(100);

/// The way of the messages to the contender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Path {
    /// The generator plays the broker.
    Direct,
    /// A mosquitto between the generator and the contender.
    Mosquitto,
    /// The broker inside the host between them.
    Embedded,
}

impl Path {
    /// Messages outstanding at once. Direct: enough that batching is not bounded by it; through a broker: few enough
    /// that nobody's queues overflow.
    fn window(self) -> usize {
        if self == Self::Direct { 1_000 } else { 256 }
    }
}

/// One kind of load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Case {
    /// The way of the messages.
    pub path: Path,
    /// Its QoS, both ways.
    pub qos: u8,
    /// Bytes of payload.
    pub size: usize,
}

/// Result of one contender in one case.
#[derive(Debug)]
pub(crate) struct Cell {
    /// The case.
    pub case: Case,
    /// The contender.
    pub contender: Contender,
    /// One measurement a round.
    pub rounds: Vec<Throughput>,
    /// p50 and p99 in microseconds, one pair a round.
    pub latencies: Vec<(f64, f64)>,
    /// The reason if there are no figures.
    pub failure: Option<String>,
}

/// A contender that answers.
struct Running {
    process: Process,
    link: Link,
    _listener: Option<Listener>,
}

/// Measures everything on `path`.
///
/// # Errors
/// When mosquitto is missing or the embedded broker does not start; a contender that fails only has no figures.
pub(crate) async fn measure(
    programs: &Programs,
    plan: &Plan,
    path: Path,
    who: &[Contender],
) -> Result<Vec<Cell>> {
    let mut cells = vec![];
    for qos in [0, 1] {
        let (broker, mut running) = start_all(programs, path, qos, who).await?;
        for size in [32, 1024] {
            let case = Case { path, qos, size };
            eprintln!("  echo: {path:?}, QoS {qos}, {size} B");
            cells.extend(measure_case(plan, case, &mut running).await);
        }
        drop((running, broker));
    }

    Ok(cells)
}

type Contenders = Vec<(Contender, Result<Running, String>)>;

async fn start_all(
    programs: &Programs,
    path: Path,
    qos: u8,
    who: &[Contender],
) -> Result<(Option<Mosquitto>, Contenders)> {
    let mosquitto = if path == Path::Mosquitto {
        Some(Mosquitto::start(&programs.dir).await?)
    } else {
        None
    };
    let mut port = mosquitto.as_ref().map(|broker| broker.port);
    let mut embedded = None;
    if path == Path::Embedded {
        let (process, at) = start_embedded(programs, qos).await?;
        (embedded, port) = (Some(process), Some(at));
    }
    let mut running = vec![];
    for &contender in who {
        let host = if contender == Contender::Guest {
            embedded.take()
        } else {
            None
        };
        let started = start(programs, contender, port, qos, host).await;
        running.push((contender, started.map_err(|error| format!("{error:#}"))));
    }

    Ok((mosquitto, running))
}

async fn start_embedded(programs: &Programs, qos: u8) -> Result<(Process, u16)> {
    let port = free_port()?;
    let log = programs.dir.join("embedded.log");
    let config = programs.echo_config(
        &format!("broker:\n  embedded:\n    listen: 127.0.0.1:{port}\n"),
        qos,
    )?;
    let mut process = programs.host(&config, &log)?;
    wait_for_port(port, &mut process, &log).await?;
    Ok((process, port))
}

/// `port`: of the broker between generator and contender; `None`: the generator plays it.
async fn start(
    programs: &Programs,
    contender: Contender,
    port: Option<u16>,
    qos: u8,
    host: Option<Process>,
) -> Result<Running> {
    let [request, response] = contender.topics(qos);
    let mut listener = if port.is_none() {
        Some(Listener::new(&request).await?)
    } else {
        None
    };
    let at = port
        .or(listener.as_ref().map(|listener| listener.port))
        .context("no port")?;
    let mut process = match host {
        Some(process) => process,
        None => programs.start(contender, at, qos)?,
    };
    let said = || tail(&programs.log(contender));
    let link = match &mut listener {
        None => client::open(at, &request, &response, &mut process)
            .await
            .with_context(said)?,
        Some(listener) => {
            let mut link = listener.link(&mut process).await.with_context(said)?;
            link.answer_topic = response.into();
            link
        }
    };

    Ok(Running {
        process,
        link,
        _listener: listener,
    })
}

async fn measure_case(plan: &Plan, case: Case, running: &mut Contenders) -> Vec<Cell> {
    let cell = |(contender, started): &(Contender, Result<Running, String>)| Cell {
        case,
        contender: *contender,
        rounds: vec![],
        latencies: vec![],
        failure: started.as_ref().err().cloned(),
    };

    let mut cells: Vec<Cell> = running.iter().map(cell).collect();
    for _ in 0..plan.rounds {
        for (cell, (_, started)) in cells.iter_mut().zip(running.iter_mut()) {
            let Ok(running) = started else { continue };
            if cell.failure.is_none() {
                cell.failure = measure_once(plan, cell, running)
                    .await
                    .err()
                    .map(|error| format!("{error:#}"));
            }
        }
    }

    cells
}

async fn measure_once(plan: &Plan, cell: &mut Cell, running: &mut Running) -> Result<()> {
    running.process.check()?;
    let link = &mut running.link;
    link.receive_maximum = link.receive_maximum.min(RECEIVE_MAXIMUM.into());
    let [request, _] = cell.contender.topics(cell.case.qos);
    let message = link.template(&request, &vec![b'x'; cell.case.size], cell.case.qos);
    let load = Load {
        message,
        window: cell.case.path.window(),
    };
    cell.rounds
        .push(pump::throughput(link, &load, &running.process, WARM_UP, plan.span).await?);
    let samples = pump::latency(link, &load.message, plan.latency).await?;
    cell.latencies
        .push((samples.percentile(0.5), samples.percentile(0.99)));
    Ok(())
}
