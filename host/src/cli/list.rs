//! `miqro-host list`: the services of the running hosts as a table or as JSON.

use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::Value;

use super::admin::{EXIT_NOT_RUNNING, QUERY_TIMEOUT, candidates, short_version};
use super::print::{print, print_line};
use super::remote::Hosts;
use crate::control::{ClientError, Request};

/// The columns of the table.
const COLUMNS: [&str; 9] = [
    "service", "status", "version", "messages", "failures", "p99", "waiting", "spooled", "memory",
];

/// Arguments of `list`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The figures count from the start of the host. A service in a long call has none: it answers between two calls.
`update` names a version that waits in the component file for `miqro-host update NAME`."
)]
pub(super) struct List {
    /// State file of the host [default: that of the configuration, or else of all hosts in the default directories]
    #[arg(long, value_name = "FILE")]
    state_file: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl List {
    /// Prints the services of all hosts that answer.
    pub(super) fn run(self, hosts: Hosts<'_>) -> anyhow::Result<ExitCode> {
        let (candidates, place) = candidates(self.state_file.as_deref(), hosts)?;
        let mut services = Vec::new();
        let mut is_running = false;
        for endpoint in candidates {
            match endpoint.send(&Request::Snapshot {}, QUERY_TIMEOUT) {
                Ok(mut host) => {
                    let Value::Array(of_host) = host["services"].take() else {
                        anyhow::bail!("expected a snapshot with services, found {host}");
                    };
                    is_running = true;
                    services.extend(of_host);
                }
                Err(ClientError::NotListening(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }

        if !is_running {
            print_line(format_args!("no host runs: no process listens {place}"))?;
            return Ok(ExitCode::from(EXIT_NOT_RUNNING));
        }
        if self.json {
            print_line(format_args!("{:#}", Value::Array(services)))?;
        } else {
            print(table(&services))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// One aligned line for each service, below a line of headings.
fn table(services: &[Value]) -> String {
    let mut rows = vec![COLUMNS.map(str::to_owned)];
    rows.extend(services.iter().map(row));
    let mut widths = [0; COLUMNS.len()];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }

    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(widths).enumerate();
        let line: Vec<String> = cells
            .map(|(column, (cell, width))| {
                // the words on the left, the figures on the right
                if column < 3 {
                    format!("{cell:width$}")
                } else {
                    format!("{cell:>width$}")
                }
            })
            .collect();

        text.push_str(line.join("  ").trim_end());
        text.push('\n');
    }

    text
}

fn row(service: &Value) -> [String; COLUMNS.len()] {
    let word = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let number = |value: &Value| {
        value
            .as_u64()
            .map_or("-".to_owned(), |number| number.to_string())
    };
    let activity = &service["activity"];
    let kinds = ["messages", "timers", "other"].map(|kind| &activity[kind]["failures"]);
    let failures = activity.is_object().then(|| {
        kinds
            .into_iter()
            .filter_map(Value::as_u64)
            .sum::<u64>()
            .to_string()
    });

    let mut status = word(&service["status"]);
    if service["on_probation"] == true {
        status.push_str(", on probation");
    }
    let available = &service["available"]["version"];
    if available.is_string() {
        status.push_str(&format!(", update {}", short_version(available)));
    }
    [
        word(&service["name"]),
        status,
        short_version(&service["version"]),
        number(&activity["messages"]["calls"]),
        failures.unwrap_or("-".to_owned()),
        duration(activity["messages"]["p99_us"].as_f64()),
        number(&activity["waiting"]),
        number(&activity["spooled"]),
        bytes(activity["used"]["memory"].as_u64()),
    ]
}

/// A duration in the unit that suits it.
pub(super) fn duration(microseconds: Option<f64>) -> String {
    match microseconds {
        Some(0.0) | None => "-".to_owned(),
        Some(us) if us < 1e3 => format!("{us:.0} us"),
        Some(us) if us < 1e6 => format!("{:.1} ms", us / 1e3),
        Some(us) => format!("{:.1} s", us / 1e6),
    }
}

/// A number of bytes in the unit that suits it.
pub(super) fn bytes(bytes: Option<u64>) -> String {
    match bytes {
        None => "-".to_owned(),
        Some(bytes) if bytes < 1 << 20 => format!("{} KiB", bytes >> 10),
        Some(bytes) => format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn services_are_aligned_and_unknown_figures_are_dashes() {
        let busy = json!({"name": "slow", "status": "running", "version": "0123456789abcdef", "on_probation": true, "activity": null});
        let calls = |calls, failures| json!({"calls": calls, "failures": failures, "overruns": 0, "mean_us": 1.0, "p50_us": 1.0, "p99_us": 1536.0});
        let activity = json!({"messages": calls(12_345, 2), "timers": calls(7, 1), "other": calls(1, 0), "waiting": 3, "spooled": 0, "used": {"memory": 1_114_112}});
        let available = json!({"version": "fedcba9876543210", "since": "2026-11-28T12:00:00Z"});
        let echo = json!({"name": "echo", "status": "failed", "version": null, "on_probation": false, "available": available, "activity": activity});
        let expected = "\
service  status                       version       messages  failures     p99  waiting  spooled   memory
slow     running, on probation        0123456789ab         -         -       -        -        -        -
echo     failed, update fedcba987654  -                12345         3  1.5 ms        3        0  1.1 MiB
";
        assert_eq!(table(&[busy, echo]), expected);
    }
}
