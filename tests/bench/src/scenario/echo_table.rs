//! The table of the echo measurements: ratios to (a), and the aims. Pure.

use anyhow::Result;

use super::echo::{Case, Cell, Path};
use crate::contender::Contender;
use crate::contender::call::SIZES;
use crate::estimate::Estimate;
use crate::report::{Aim, Section, Table, Value};

/// Spread of the native echo's throughput above which the machine is too noisy.
const MOST_SPREAD: f64 = 0.25;

/// A figure of one round of a cell.
type Figure = fn(&Cell, usize) -> f64;

const RATE: Figure = |cell, round| cell.rounds[round].rate;
const CPU: Figure = |cell, round| cell.rounds[round].cpu;
const P50: Figure = |cell, round| cell.latencies[round].0;
const P99: Figure = |cell, round| cell.latencies[round].1;

impl Cell {
    /// The number of whole rounds.
    fn count(&self) -> usize {
        self.rounds.len().min(self.latencies.len())
    }

    fn estimate(&self, figure: Figure) -> Estimate {
        Estimate::of((0..self.count()).map(|round| figure(self, round)))
    }

    /// The figure relative to that of `base` in the same round.
    fn ratio(&self, base: Option<&Self>, figure: Figure) -> Estimate {
        let count = base.map_or(0, |base| base.count().min(self.count()));
        let pair = |round| Some((figure(self, round), figure(base?, round)));
        Estimate::of_pairs((0..count).filter_map(pair))
    }
}

fn find(cells: &[Cell], case: Case, contender: Contender) -> Option<&Cell> {
    cells
        .iter()
        .find(|cell| cell.case == case && cell.contender == contender)
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
        doubts: doubts(path, cells),
    }
}

/// Cases in which the native echo is not the same from round to round.
fn doubts(path: Path, cells: &[Cell]) -> Vec<String> {
    let natives = cells
        .iter()
        .filter(|cell| cell.contender == Contender::Native);
    let spread = |cell: &Cell| (cell.case, cell.estimate(RATE).spread());
    natives
        .map(spread)
        .filter(|(_, spread)| *spread > MOST_SPREAD)
        .map(|(Case { qos, size, .. }, spread)| {
            let percent = 100.0 * spread;
            format!("{path:?}, QoS {qos}, {size} B: the native echo's throughput differs by {percent:.0} % between rounds")
        })
        .collect()
}

fn row(cell: &Cell, base: Option<&Cell>) -> Vec<Value> {
    let figure = |of, decimals| Value::Number(cell.estimate(of).median, decimals);
    let ratio = |of| Value::Estimate(cell.ratio(base, of));
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
        figure(RATE, 0),
        ratio(RATE),
        figure(CPU, 2),
        ratio(CPU),
        figure(P50, 0),
        ratio(P50),
        figure(P99, 0),
        ratio(P99),
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
    let ratio = |case, to, of| ratio(cells, case, to, of);
    vec![
        Aim::at_least(
            format!("direct, QoS {qos}, 32 B: throughput to (a)"),
            4.0,
            ratio(small, Contender::Native, RATE),
            "x",
        ),
        Aim::at_most(
            format!("direct, QoS {qos}, 32 B: CPU per message to (a)"),
            0.3,
            ratio(small, Contender::Native, CPU),
            "x",
        ),
        Aim::at_least(
            format!("direct, QoS {qos}, 32 B: throughput to (b)"),
            40.0,
            ratio(small, Contender::Python, RATE),
            "x",
        ),
        Aim::at_least(
            format!("direct, QoS {qos}, 1 KiB: throughput to (a)"),
            1.8,
            ratio(large, Contender::Native, RATE),
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
    let all = |of| cases.map(|case| ratio(cells, case, Contender::Native, of));
    let smallest = |of| {
        all(of)
            .into_iter()
            .min_by(|a, b| a.median.total_cmp(&b.median))
    };
    let largest = |of| {
        all(of)
            .into_iter()
            .max_by(|a, b| a.median.total_cmp(&b.median))
    };
    let none = Estimate::from(f64::NAN);
    vec![
        Aim::at_least(
            "mosquitto, worst case: throughput to (a)",
            0.95,
            smallest(RATE).unwrap_or(none),
            "x",
        ),
        Aim::at_most(
            "mosquitto, worst case: p50 to (a)",
            1.10,
            largest(P50).unwrap_or(none),
            "x",
        ),
        Aim::at_most(
            "mosquitto, worst case: p99 to (a)",
            1.10,
            largest(P99).unwrap_or(none),
            "x",
        ),
        Aim::at_most(
            "mosquitto, worst case: CPU per message to (a)",
            1.0,
            largest(CPU).unwrap_or(none),
            "x",
        ),
    ]
}

/// The guest's figure relative to that of `to`.
fn ratio(cells: &[Cell], case: Case, to: Contender, of: Figure) -> Estimate {
    find(cells, case, Contender::Guest).map_or(Estimate::from(f64::NAN), |guest| {
        guest.ratio(find(cells, case, to), of)
    })
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

    let whole = small.map_or(Estimate::from(f64::NAN), |cell| cell.estimate(CPU));
    let mut own = Estimate::from(f64::NAN);
    match calls {
        Ok(calls) => {
            own = whole.less(calls[0]);
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
