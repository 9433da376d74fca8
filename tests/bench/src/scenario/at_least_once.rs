//! The cost of at least once: the same echo with QoS 0, with QoS 1 acknowledged at once, and with
//! QoS 1 acknowledged when the broker has taken the answer.

use anyhow::Result;

use super::Plan;
use super::echo::{self, Cell, Path};
use crate::contender::{Contender, Programs};
use crate::report::{Section, Table, Value};
use crate::samples::median;

/// The contenders: the same session with a native handler that acknowledges at once and one that does not, and the host.
const WHO: [Contender; 3] = [Contender::Prompt, Contender::Handler, Contender::Guest];

/// Measures with the generator as broker and through mosquitto.
///
/// # Errors
/// When mosquitto is missing.
pub(crate) async fn measure(programs: &Programs, plan: &Plan) -> Result<Section> {
    let mut table = Table::new(&[
        "path",
        "bytes",
        "who",
        "QoS",
        "msg/s",
        "to QoS 0",
        "to at once",
        "CPU us",
        "p50 us",
        "p99 us",
    ]);

    for path in [Path::Direct, Path::Mosquitto] {
        let cells = echo::measure(programs, plan, path, &WHO).await?;
        for size in [32, 1024] {
            for who in WHO {
                [0, 1]
                    .into_iter()
                    .for_each(|qos| table.row(row(&cells, path, size, who, qos)));
            }
        }
    }

    let note =
        "to at once: to the native handler that acknowledges a QoS 1 message before its answer is sent".to_owned();
    let title = "The cost of at least once: echo with QoS 0 and 1".to_owned();
    Ok(Section {
        title,
        table,
        notes: vec![note],
        ..Section::default()
    })
}

fn row(cells: &[Cell], path: Path, size: usize, who: Contender, qos: u8) -> Vec<Value> {
    let find = |who, qos| {
        cells
            .iter()
            .find(|cell| cell.contender == who && cell.case.qos == qos && cell.case.size == size)
    };
    let of = |who, qos, figure: fn(&Cell) -> f64| find(who, qos).map_or(f64::NAN, figure);
    let rate: fn(&Cell) -> f64 = |cell| median(cell.rounds.iter().map(|round| round.rate));
    let own = of(who, qos, rate);
    vec![
        format!("{path:?}").into(),
        size.to_string().into(),
        who.title().into(),
        qos.to_string().into(),
        Value::Number(own, 0),
        Value::Number(own / of(who, 0, rate), 2),
        Value::Number(own / of(Contender::Prompt, qos, rate), 2),
        Value::Number(
            of(who, qos, |cell| {
                median(cell.rounds.iter().map(|round| round.cpu))
            }),
            2,
        ),
        Value::Number(
            of(who, qos, |cell| {
                median(cell.latencies.iter().map(|(p50, _)| *p50))
            }),
            0,
        ),
        Value::Number(
            of(who, qos, |cell| {
                median(cell.latencies.iter().map(|(_, p99)| *p99))
            }),
            0,
        ),
    ]
}
