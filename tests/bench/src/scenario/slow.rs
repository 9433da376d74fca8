//! A service next to a slow one: messages of QoS 1 flow at a fixed rate through a relay while ten
//! thousand wait for a service whose calls take 300 ms. The generator keeps to the receive maximum,
//! as brokers do, and sends in the order of arrival. Measures latencies alone and next to it, and
//! the longest gap.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

use super::Plan;
use crate::contender::{Contender, Programs, service};
use crate::load::Listener;
use crate::load::paced::{self, Pace, PacedLoad};
use crate::process::tail;
use crate::report::{Aim, Section, Table, Value};
use crate::samples::median;

/// Messages a second.
const RATE: f64 = 200.0;
/// Messages that wait for the slow service.
const WAITING: usize = 10_000;
/// The aims: how much larger the p99 may be than it is alone, and the longest gap in seconds.
const MOST: f64 = 1.25;
const LONGEST: f64 = 1.0;
/// How much longer it runs beside the slow service, which has work for most of an hour. While its messages are spooled, a fraction of a
/// second, those of the relay come later.
const LONG: u32 = 12;
const WARM_UP: Duration = Duration::from_millis(500);
/// Receive maxima of the host: one as small as brokers have them, and the default.
const RECEIVE_MAXIMA: [u16; 2] = [20, 256];

/// The relay alone, and right after that beside the slow service.
struct Pair {
    receive_maximum: u16,
    alone: PacedLoad,
    beside: PacedLoad,
}

/// Runs the relay alone and beside the slow service, in turn.
///
/// # Errors
/// When a host does not start or loses its connection.
pub(crate) async fn measure(programs: &Programs, plan: &Plan) -> Result<Section> {
    let mut pairs = vec![];
    for _ in 0..plan.rounds {
        for receive_maximum in RECEIVE_MAXIMA {
            let alone = run(programs, receive_maximum, 0, plan.steady)
                .await
                .context("alone")?;
            let beside = run(programs, receive_maximum, WAITING, LONG * plan.steady)
                .await
                .context("next to the slow service")?;
            pairs.push(Pair {
                receive_maximum,
                alone,
                beside,
            });
        }
    }

    Ok(section(&pairs))
}

async fn run(
    programs: &Programs,
    receive_maximum: u16,
    waiting: usize,
    span: Duration,
) -> Result<PacedLoad> {
    let dir = programs.dir.join("slow");
    // messages of an earlier run would be handled first
    fs::remove_dir_all(&dir).or_else(|error| {
        if error.kind() == std::io::ErrorKind::NotFound {
            Ok(())
        } else {
            Err(error)
        }
    })?;

    fs::create_dir_all(&dir)?;
    let [request, response] = Contender::Guest.topics(1);
    let mut listener = Listener::new(&request).await?;
    let mut services = service(Contender::Guest.name(), &programs.guests.join("relay.wasm"));
    services.push_str(&service(
        "slow",
        &programs.guests.join("contract-faulty.wasm"),
    ));
    let broker = format!(
        "broker:\n  host: 127.0.0.1\n  port: {}\n  receive_maximum: {receive_maximum}\nstate_file: {}\n",
        listener.port,
        dir.join("state.redb").display()
    );
    let config = programs.config("slow", &broker, &programs.cache(), &services)?;
    let log = programs.dir.join("slow.log");
    let mut host = programs.host(&config, &log)?;
    let mut link = listener.link(&mut host).await.with_context(|| tail(&log))?;
    link.answer_topic = response.into();
    let message = link.template(&request, &[b'x'; 32], 1);
    paced::run(&mut link, &message, Pace::Rate(RATE), WARM_UP).await?;
    let work = link.template("service/slow/work", b"sleep 300 x", 1);
    (0..waiting).for_each(|_| link.queue(&work, &[]));
    let seen = paced::run(&mut link, &message, Pace::Rate(RATE), span).await;
    host.check().with_context(|| tail(&log))?;
    seen
}

fn section(pairs: &[Pair]) -> Section {
    let mut table = Table::new(&[
        "receive maximum",
        "waiting for the slow service",
        "p50 us",
        "p99 us",
        "longest gap ms",
        "lost",
    ]);

    let mut aims = vec![];
    for receive_maximum in RECEIVE_MAXIMA {
        let window = receive_maximum.to_string();
        let of = || {
            pairs
                .iter()
                .filter(move |pair| pair.receive_maximum == receive_maximum)
        };
        let mut row = |waiting: usize, seen: Vec<&PacedLoad>| {
            let percentile = |part| median(seen.iter().map(|paced| paced.samples.percentile(part)));
            let gap = median(seen.iter().map(|paced| paced.gap.as_secs_f64()));
            let lost = seen.iter().map(|paced| paced.lost).sum::<usize>() as f64;
            let numbers = [
                (waiting as f64, 0),
                (percentile(0.5), 0),
                (percentile(0.99), 0),
                (gap * 1e3, 0),
                (lost, 0),
            ];

            let numbers = numbers.map(|(number, digits)| Value::Number(number, digits));
            table.row(
                std::iter::once(window.clone().into())
                    .chain(numbers)
                    .collect(),
            );
            (percentile(0.99), gap)
        };

        let (alone, _) = row(0, of().map(|pair| &pair.alone).collect());
        let (beside, gap) = row(WAITING, of().map(|pair| &pair.beside).collect());
        aims.push(Aim::at_most(
            format!("receive maximum {window}: p99 to alone"),
            MOST,
            beside / alone,
            "x",
        ));

        aims.push(Aim::at_most(
            format!("receive maximum {window}: longest gap"),
            LONGEST,
            gap,
            "s",
        ));
    }

    Section {
        title: "A relay under 200 messages a second (QoS 1, 32 B) beside a slow service".to_owned(),
        table,
        notes: vec![
            "The messages for the slow service come before those of the relay, as in the queue of a broker; a minute from then on.".to_owned(),
        ],
        aims,
        doubts: vec![],
    }
}
