//! Cold start: from starting the process to the answer to the first message, with and without a
//! compile cache. The generator plays broker and asks as soon as the contender has subscribed.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::time::timeout;

use super::Plan;
use crate::contender::{Contender, Programs, remote, service};
use crate::estimate::Estimate;
use crate::load::Listener;
use crate::process::{Process, tail};
use crate::report::{Aim, Section, Table, Value};
use crate::samples::median;

/// Milliseconds to the first answer that are aimed at, from the compile cache.
const AIM: f64 = 15.0;
const ANSWER: Duration = Duration::from_secs(10);

/// The program to start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    Cached,
    Uncached,
    Other(Contender),
}

impl Start {
    const ALL: [Self; 4] = [
        Self::Cached,
        Self::Uncached,
        Self::Other(Contender::Native),
        Self::Other(Contender::Python),
    ];

    fn title(self) -> &'static str {
        match self {
            Self::Cached => "host, guest, compiled before",
            Self::Uncached => "host, guest, empty compile cache",
            Self::Other(contender) => contender.title(),
        }
    }

    fn contender(self) -> Contender {
        if let Self::Other(contender) = self {
            contender
        } else {
            Contender::Guest
        }
    }
}

/// Starts each as often as there are rounds, at least five times.
pub(crate) async fn measure(programs: &Programs, plan: &Plan) -> Section {
    let mut section = Section {
        title: "Cold start: process start to the first answer".to_owned(),
        ..Section::default()
    };
    let mut times: Vec<Vec<f64>> = vec![vec![]; Start::ALL.len()];
    // the first start fills the cache and the kernel's page cache
    for round in 0..=plan.rounds.max(5) {
        for (start, times) in Start::ALL.into_iter().zip(&mut times) {
            match once(programs, start, round).await {
                Ok(time) if round > 0 => times.push(time.as_secs_f64() * 1e3),
                Ok(_) => {}
                Err(error) if round == 0 => {
                    section.notes.push(format!("{}: {error:#}", start.title()))
                }
                Err(_) => {}
            }
        }
    }

    section.table = Table::new(&["what", "ms (median)", "ms (best)", "ms (worst)", "starts"]);
    for (start, times) in Start::ALL.into_iter().zip(&times) {
        section.table.row(vec![
            start.title().into(),
            Value::Number(median(times.iter().copied()), 1),
            Value::Number(times.iter().copied().fold(f64::NAN, f64::min), 1),
            Value::Number(times.iter().copied().fold(f64::NAN, f64::max), 1),
            Value::Number(times.len() as f64, 0),
        ]);
    }

    section.aims = vec![Aim::at_most(
        "first answer after process start, compiled before",
        AIM,
        Estimate::of(times[0].iter().copied()),
        "ms",
    )];

    section
}

async fn once(programs: &Programs, start: Start, round: usize) -> Result<Duration> {
    let contender = start.contender();
    let mut listener = Listener::new(&contender.topics(0)[0]).await?;
    let own_cache = programs.dir.join(format!("cache-{round}"));
    let cache = if start == Start::Uncached {
        own_cache
    } else {
        programs.cache()
    };
    let config = guest_config(programs, listener.port, &cache)?;
    let began = Instant::now();
    let mut process = match start {
        Start::Other(contender) => programs.start(contender, listener.port, 0)?,
        Start::Cached | Start::Uncached => programs.host(&config, &programs.log(contender))?,
    };
    let answered = first_answer(&mut listener, &mut process, contender).await;
    answered.with_context(|| tail(&programs.log(contender)))?;
    Ok(began.elapsed())
}

fn guest_config(programs: &Programs, port: u16, cache: &Path) -> Result<std::path::PathBuf> {
    programs.config(
        "cold",
        &remote(port),
        cache,
        &service("guest", &programs.guests.join("echo.wasm")),
    )
}

async fn first_answer(
    listener: &mut Listener,
    process: &mut Process,
    contender: Contender,
) -> Result<()> {
    let mut link = listener.link(process).await?;
    let [request, response] = contender.topics(0);
    link.answer_topic = response.into();
    link.publish(&link.template(&request, b"hello", 0), &[]);
    let mut answered = false;
    while !answered {
        match timeout(ANSWER, link.turn(|_| answered = true)).await {
            Ok(turn) => turn?,
            Err(_) => bail!("no answer within {ANSWER:?}"),
        }
    }

    Ok(())
}
