//! Recovery: the broker is killed, away for a while, and there again. Measures the time after its
//! return until the host, with default settings, answers.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use super::Plan;
use crate::broker::Mosquitto;
use crate::contender::{Contender, Programs, service};
use crate::load::{Link, client};
use crate::process::{Process, tail};
use crate::report::{Aim, Section, Table, Value};
use crate::samples::median;
use crate::wire::packets::{connect, subscribe};

/// For how long the broker is away.
const ABSENCES: [Duration; 3] = [
    Duration::from_millis(100),
    Duration::from_secs(3),
    Duration::from_secs(10),
];
/// How often the host is asked until it answers.
const ASK: Duration = Duration::from_millis(2);
/// How long the host may take at most.
const PATIENCE: Duration = Duration::from_secs(60);

/// Kills the broker once for each absence and round.
///
/// # Errors
/// When mosquitto is missing, or the host does not answer.
pub(crate) async fn measure(programs: &Programs, plan: &Plan) -> Result<Section> {
    let mut broker = Mosquitto::start(&programs.dir).await?;
    let remote = format!("broker:\n  host: 127.0.0.1\n  port: {}\n", broker.port);
    let guest = service("guest", &programs.guests.join("relay.wasm"));
    let config = programs.config("recovery", &remote, &programs.cache(), &guest)?;
    let log = programs.dir.join("recovery.log");
    let mut host = programs.host(&config, &log)?;
    let [request, response] = Contender::Guest.topics(1);
    client::open(broker.port, &request, &response, &mut host)
        .await
        .with_context(|| tail(&log))?;
    let mut table = Table::new(&["broker away for s", "median ms", "longest ms"]);
    let mut longest = Duration::ZERO;
    for absence in ABSENCES {
        let mut seen = vec![];
        for _ in 0..plan.rounds {
            broker.kill();
            sleep(absence).await;
            broker.restart().await?;
            seen.push(
                answer(broker.port, &mut host)
                    .await
                    .with_context(|| tail(&log))?,
            );
        }

        let most = seen.iter().copied().max().unwrap_or_default();
        longest = longest.max(most);
        let ms = |span: Duration| span.as_secs_f64() * 1e3;
        let middle = median(seen.iter().map(|span| ms(*span)));
        table.row(vec![
            Value::Number(absence.as_secs_f64(), 1),
            Value::Number(middle, 0),
            Value::Number(ms(most), 0),
        ]);
    }

    let aim = "first answer after the broker listens again";
    Ok(Section {
        title: "Recovery after a restart of the broker (mosquitto, killed, nothing on disk; the host's defaults)"
            .to_owned(),
        table,
        notes: vec![],
        aims: vec![Aim::at_most(aim, 2.0, longest.as_secs_f64(), "s")],
        doubts: vec![],
    })
}

/// Asks until there is an answer; how long that took.
async fn answer(port: u16, host: &mut Process) -> Result<Duration> {
    let start = Instant::now();
    let [request, response] = Contender::Guest.topics(1);
    let mut link = Link::new(TcpStream::connect(("127.0.0.1", port)).await?)?;
    link.answer_topic = response.clone().into();
    link.push(&connect("miqro-bench-recovery", 100));
    timeout(PATIENCE, link.turn(|_| ()))
        .await
        .context("no CONNACK")??;
    link.push(&subscribe(&response, 1));
    let hello = link.template(&request, b"hello", 0);
    let mut answers = 0;
    while start.elapsed() < PATIENCE {
        host.check()?;
        link.publish(&hello, &[]);
        let next = Instant::now() + ASK;
        while let Ok(turn) = timeout(next - Instant::now(), link.turn(|_| answers += 1)).await {
            turn?;
        }
        if answers > 0 {
            return Ok(start.elapsed());
        }
    }

    bail!("no answer within {PATIENCE:?}")
}
