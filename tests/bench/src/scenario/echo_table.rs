//! The table of the echo measurements: ratios to (a), and the aims. Pure.

use anyhow::Result;

use super::echo::{Case, Cell, Path};
use crate::contender::Contender;
use crate::contender::call::SIZES;
use crate::report::{Aim, Section, Table, Value};
use crate::samples::median;

/// The medians of one cell; not a number where there is nothing.
#[derive(Debug, Clone, Copy)]
struct Figures {
    rate: f64,
    cpu: f64,
    p50: f64,
    p99: f64,
}

impl Figures {
    fn of(cell: &Cell) -> Self {
        Self {
            rate: median(cell.rounds.iter().map(|round| round.rate)),
            cpu: median(cell.rounds.iter().map(|round| round.cpu)),
            p50: median(cell.latencies.iter().map(|latency| latency.0)),
            p99: median(cell.latencies.iter().map(|latency| latency.1)),
        }
    }
}

fn find(cells: &[Cell], case: Case, contender: Contender) -> Option<Figures> {
    cells
        .iter()
        .find(|cell| cell.case == case && cell.contender == contender)
        .map(Figures::of)
}

/// The section of one path.
pub(crate) fn section(path: Path, cells: &[Cell]) -> Section {
    let headings = [
        "QoS",
        "size",
        "contender",
        "msg/s",
        "to (a)",
        "CPU us/msg",
        "to (a)",
        "p50 us",
        "to (a)",
        "p99 us",
        "to (a)",
        "lost",
    ];
    let mut table = Table::new(&headings);
    let mut notes = vec![];
    for cell in cells {
        table.row(row(cell, find(cells, cell.case, Contender::Native)));
        if let Some(failure) = cell.failure.as_ref().map(|text| text.replace('\n', " / ")) {
            let note = format!("{}: {failure}", cell.contender.title());
            if !notes.contains(&note) {
                notes.push(note);
            }
        }
    }
    let (title, note) = match path {
        Path::Direct => (
            "Echo, the load generator plays broker: the client is the limit (1,000 outstanding)",
            None,
        ),
        Path::Mosquitto => (
            "Echo through mosquitto: the broker is the limit (256 outstanding)",
            None,
        ),
        Path::Embedded => (
            "Echo on the embedded broker (256 outstanding)",
            Some(
                "The broker runs in the process of \"host, guest\": its CPU counts there, and the others are its clients.",
            ),
        ),
    };
    notes.extend(note.map(str::to_owned));
    Section {
        title: title.to_owned(),
        table,
        notes,
        aims: aims(path, cells),
    }
}

fn row(cell: &Cell, base: Option<Figures>) -> Vec<Value> {
    let figures = Figures::of(cell);
    let ratio = |of: fn(&Figures) -> f64| {
        Value::Number(base.map_or(f64::NAN, |base| of(&figures) / of(&base)), 2)
    };
    let size = if cell.case.size == 1024 {
        "1 KiB".to_owned()
    } else {
        format!("{} B", cell.case.size)
    };
    let lost: usize = cell.rounds.iter().map(|round| round.lost).sum();
    vec![
        cell.case.qos.to_string().into(),
        size.into(),
        cell.contender.title().into(),
        Value::Number(figures.rate, 0),
        ratio(|f| f.rate),
        Value::Number(figures.cpu, 2),
        ratio(|f| f.cpu),
        Value::Number(figures.p50, 0),
        ratio(|f| f.p50),
        Value::Number(figures.p99, 0),
        ratio(|f| f.p99),
        Value::Number(lost as f64, 0),
    ]
}

fn aims(path: Path, cells: &[Cell]) -> Vec<Aim> {
    match path {
        Path::Direct => [0, 1]
            .into_iter()
            .flat_map(|qos| direct_aims(cells, qos))
            .collect(),
        Path::Mosquitto => mosquitto_aims(cells),
        Path::Embedded => vec![],
    }
}

fn direct_aims(cells: &[Cell], qos: u8) -> Vec<Aim> {
    let small = Case {
        path: Path::Direct,
        qos,
        size: 32,
    };
    let large = Case {
        path: Path::Direct,
        qos,
        size: 1024,
    };
    let ratio = |case, to, of: fn(&Figures) -> f64| ratio(cells, case, to, of);
    vec![
        Aim::at_least(
            format!("direct, QoS {qos}, 32 B: throughput to (a)"),
            4.0,
            ratio(small, Contender::Native, |f| f.rate),
            "x",
        ),
        Aim::at_most(
            format!("direct, QoS {qos}, 32 B: CPU per message to (a)"),
            0.3,
            ratio(small, Contender::Native, |f| f.cpu),
            "x",
        ),
        Aim::at_least(
            format!("direct, QoS {qos}, 32 B: throughput to (b)"),
            40.0,
            ratio(small, Contender::Python, |f| f.rate),
            "x",
        ),
        Aim::at_least(
            format!("direct, QoS {qos}, 1 KiB: throughput to (a)"),
            1.8,
            ratio(large, Contender::Native, |f| f.rate),
            "x",
        ),
    ]
}

/// Through mosquitto the worst of the four cases counts.
fn mosquitto_aims(cells: &[Cell]) -> Vec<Aim> {
    let cases = [(0, 32), (0, 1024), (1, 32), (1, 1024)].map(|(qos, size)| Case {
        path: Path::Mosquitto,
        qos,
        size,
    });
    let worst = |of: fn(&Figures) -> f64, pick: fn(f64, f64) -> f64| {
        cases
            .iter()
            .map(|case| ratio(cells, *case, Contender::Native, of))
            .fold(f64::NAN, pick)
    };
    vec![
        Aim::at_least(
            "mosquitto, worst case: throughput to (a)",
            0.95,
            worst(|f| f.rate, f64::min),
            "x",
        ),
        Aim::at_most(
            "mosquitto, worst case: p50 to (a)",
            1.10,
            worst(|f| f.p50, f64::max),
            "x",
        ),
        Aim::at_most(
            "mosquitto, worst case: p99 to (a)",
            1.10,
            worst(|f| f.p99, f64::max),
            "x",
        ),
        Aim::at_most(
            "mosquitto, worst case: CPU per message to (a)",
            1.0,
            worst(|f| f.cpu, f64::max),
            "x",
        ),
    ]
}

/// The guest's figure by that of `to`.
fn ratio(cells: &[Cell], case: Case, to: Contender, of: fn(&Figures) -> f64) -> f64 {
    match (find(cells, case, Contender::Guest), find(cells, case, to)) {
        (Some(guest), Some(base)) => of(&guest) / of(&base),
        _ => f64::NAN,
    }
}

/// Adds the cost of a guest call without a host, and the aim for the host's share.
pub(crate) fn add_guest_call(section: &mut Section, cells: &[Cell], calls: Result<Vec<f64>>) {
    let small = find(
        cells,
        Case {
            path: Path::Direct,
            qos: 0,
            size: 32,
        },
        Contender::Guest,
    );
    let whole = small.map_or(f64::NAN, |figures| figures.cpu);
    let mut own = f64::NAN;
    match calls {
        Ok(calls) => {
            own = whole - calls[0];
            let each = SIZES
                .iter()
                .zip(&calls)
                .map(|(size, call)| format!("{call:.2} us at {size} B"));
            section.notes.push(format!(
                "A bare call of the echo guest: {}.",
                each.collect::<Vec<_>>().join(", ")
            ));
        }
        Err(error) => section.notes.push(format!("{error:#}")),
    }
    section.aims.push(Aim::at_most(
        "direct, QoS 0, 32 B: host's own CPU over the bare guest call",
        1.0,
        own,
        "us",
    ));
}
