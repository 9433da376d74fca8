//! `miqro-host logs` and `miqro-host tail`: lines of the log, and calls of services, as they come.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::bail;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde_json::Value;

use super::admin::{
    EXIT_NOT_RUNNING, LEVELS, QUERY_TIMEOUT, ServiceTarget, candidates, level, state_files,
};
use super::print::{ignore_closed_pipe, print_error, print_line};
use super::remote::Hosts;
use crate::config::Level;
use crate::control::{ClientError, Endpoint, Request};
use crate::tap::RATE;

/// Arguments of `logs`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A host keeps its last 1000 lines, of the levels that it writes; `log-level` changes them.
A reader that is too slow loses lines, and is told how many.

Examples:
  miqro-host logs                          the last lines of the host and of all services
  miqro-host logs echo -f --level warning  warnings and errors of a service, and further ones"
)]
pub(super) struct Logs {
    /// Name of a service whose lines are shown [default: all lines]
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// Continue with further lines
    #[arg(short, long)]
    follow: bool,
    /// The lowest level that is shown
    #[arg(long, value_name = "LEVEL", value_parser = PossibleValuesParser::new(LEVELS.map(|(word, _)| word)).map(|word| level(&word)))]
    level: Option<Level>,
    /// Print JSON, one object a line
    #[arg(long)]
    json: bool,
    /// State file of the host [default: that of the configuration, or else of the only host in the default directories]
    #[arg(long, value_name = "FILE")]
    state_file: Option<PathBuf>,
}

/// Arguments of `tail`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Each call is shown when it has ended: the message, timer or notice that caused it, its duration, and the
messages that it published, or the reason of its failure. Payloads are cut after 1 KiB.

Example:
  miqro-host tail echo -n 3   the next three calls"
)]
pub(super) struct Tail {
    #[command(flatten)]
    service: ServiceTarget,
    /// End after this number of calls
    #[arg(short = 'n', long, value_name = "NUMBER")]
    count: Option<NonZeroU64>,
    /// Print JSON, one object a line
    #[arg(long)]
    json: bool,
}

impl Logs {
    /// Prints lines of the log.
    pub(super) fn run(self, hosts: Hosts<'_>) -> anyhow::Result<ExitCode> {
        let endpoint = match &self.name {
            Some(name) => ServiceTarget {
                name: name.clone(),
                state_file: self.state_file,
            }
            .endpoint(hosts)?,
            None => only_host(self.state_file.as_deref(), hosts)?,
        };

        let Some(endpoint) = endpoint else {
            return Ok(ExitCode::from(EXIT_NOT_RUNNING));
        };
        let request = Request::Logs {
            service: self.name,
            level: self.level,
            follow: self.follow,
            after: None,
        };
        let printed = print_stream(&endpoint, &request, self.json, None)?;
        if self.follow && printed == End::Host {
            bail!("the host has ended the stream");
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Tail {
    /// Prints calls of a service.
    pub(super) fn run(self, hosts: Hosts<'_>) -> anyhow::Result<ExitCode> {
        let Some(endpoint) = self.service.endpoint(hosts)? else {
            return Ok(ExitCode::from(EXIT_NOT_RUNNING));
        };
        let request = Request::Tail {
            service: Some(self.service.name),
        };
        if print_stream(&endpoint, &request, self.json, self.count)? == End::Host {
            bail!("the host has ended the stream");
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The reason why no more lines are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The host has no more.
    Host,
    /// There are as many as wanted, or nobody reads them.
    Reader,
}

/// Prints the lines of a stream, `count` events at most.
fn print_stream(
    endpoint: &Endpoint,
    request: &Request,
    is_json: bool,
    count: Option<NonZeroU64>,
) -> Result<End, ClientError> {
    let mut left = count.map(NonZeroU64::get);
    let mut end = End::Host;
    endpoint.follow(request, QUERY_TIMEOUT, |item| {
        if let (Some(lost), false) = (item.get("lost"), is_json) {
            print_error(gap(lost));
            return Ok(true);
        }

        let text = if is_json {
            format!("{item}\n")
        } else if item["call"].is_object() {
            call(&item["call"])
        } else {
            line(&item["line"])
        };

        if !write_out(&text)? {
            end = End::Reader;
            return Ok(false);
        }

        left = left.map(|left| left - 1);
        if left == Some(0) {
            end = End::Reader;
        }
        Ok(left != Some(0))
    })?;

    Ok(end)
}

/// The sentence for a place where events are missing.
fn gap(lost: &Value) -> String {
    match lost.as_u64() {
        Some(lost) => {
            format!("{lost} were lost here: more than {RATE} a second, or this reader is too slow")
        }
        None => "some may be missing here: the connection was begun again".to_owned(),
    }
}

/// Writes to standard output. Returns whether its reader is still there.
fn write_out(text: &str) -> io::Result<bool> {
    let mut out = io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    let is_there = written.is_ok();
    ignore_closed_pipe(written).map(|()| is_there)
}

/// The endpoint of the only host that runs; `None`, after printing that, if there is none.
pub(super) fn only_host(
    state_file: Option<&Path>,
    hosts: Hosts<'_>,
) -> anyhow::Result<Option<Endpoint>> {
    let (candidates, place) = candidates(state_file, hosts)?;
    let mut running = Vec::new();
    for endpoint in candidates {
        match endpoint.send(&Request::Services {}, QUERY_TIMEOUT) {
            Ok(_) => running.push(endpoint),
            Err(ClientError::NotListening(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }

    match &running[..] {
        [endpoint] => Ok(Some(endpoint.clone())),
        [] => {
            print_line(format_args!("no host runs: no process listens {place}"))?;
            Ok(None)
        }
        several => {
            let files = state_files(several);
            bail!("several hosts run; choose one with --state-file FILE:{files}")
        }
    }
}

/// A log line as text, with its end.
fn line(line: &Value) -> String {
    let word = |name: &str| line[name].as_str().unwrap_or_default();
    let target = word("target");
    let of_guest = target.starts_with("miqro::guest");
    let service = line["service"].as_str();
    let origin = match service {
        Some(service) if of_guest => format!("[{}]", service.escape_debug()),
        _ => format!("{}:", target.strip_prefix("miqro_host::").unwrap_or(target)),
    };

    let mut text = format!(
        "{} {:>5} {origin} {}",
        word("timestamp"),
        word("level"),
        safe(word("message"))
    );

    let shown = ["timestamp", "level", "target", "message"];
    let members = line.as_object().into_iter().flatten();
    let further = members
        .filter(|(name, _)| !shown.contains(&name.as_str()))
        .filter(|(name, _)| !(of_guest && *name == "service"));
    for (name, value) in further {
        // writing to a string cannot fail
        let _ = write!(text, " {}={}", safe(name), safe(&plain(value)));
    }

    text.push('\n');
    text
}

/// A value without the quotes of a text.
fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

/// A call as text: a line for the trigger, and one for each publish and for the failure.
fn call(call: &Value) -> String {
    let at = call["at_ms"].as_u64().unwrap_or_default();
    let trigger = if call["message"].is_object() {
        message(&call["message"])
    } else if let Some(timer) = call["timer"].as_str() {
        format!("timer {}", safe(timer))
    } else {
        safe(call["notice"].as_str().unwrap_or_default())
    };

    let attempt = match call["attempt"].as_u64() {
        Some(1) | None => String::new(),
        Some(attempt) => format!(", attempt {attempt}"),
    };
    let took = call["took_us"]
        .as_f64()
        .map_or("unknown".to_owned(), |us| format!("{:.3} ms", us / 1e3));
    let clock = crate::rollout::history::format_utc(at);
    let mut text = format!(
        "{} {trigger}{attempt}, {took}\n",
        clock.trim_end_matches('Z')
    );

    // writing to a string cannot fail
    for published in call["published"].as_array().into_iter().flatten() {
        let _ = writeln!(text, "    published {}", message(published));
    }
    if let Some(further) = call["further"].as_u64().filter(|further| *further > 0) {
        let _ = writeln!(text, "    and {further} more");
    }
    let failure = &call["failure"];
    if failure.is_object() {
        let _ = writeln!(
            text,
            "    failed ({}): {}",
            plain(&failure["kind"]),
            safe(&plain(&failure["reason"]))
        );
    }

    text
}

/// A message on one line: topic, QoS, and the beginning of its payload.
pub(super) fn message(message: &Value) -> String {
    let payload = match message["payload"].as_str() {
        Some(text) => format!("\"{}\"", safe(text)),
        None => format!("0x{}", plain(&message["payload_hex"])),
    };
    let retained = if message["retain"] == true {
        ", retained"
    } else {
        ""
    };
    format!(
        "{} (QoS {}{retained}, {} bytes) {payload}",
        safe(&plain(&message["topic"])),
        message["qos"],
        message["bytes"]
    )
}

/// The text without characters that could control a terminal.
pub(super) fn safe(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            control if control.is_control() => safe.extend(control.escape_debug()),
            other => safe.push(other),
        }
    }

    safe
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn calls_are_shown_with_their_publishes_or_their_failure() {
        let out =
            json!({"topic": "out", "qos": 0, "retain": true, "bytes": 2, "payload_hex": "00ff"});
        let good = json!({
            "service": "it", "at_ms": 1000, "message": {"topic": "in", "qos": 1, "retain": false, "bytes": 2, "payload": "a\u{1b}"},
            "attempt": 1, "took_us": 12.5, "published": [out], "further": 3, "failure": null,
        });
        let expected = "\
1970-01-01T00:00:01 in (QoS 1, 2 bytes) \"a\\u{1b}\", 0.013 ms
    published out (QoS 0, retained, 2 bytes) 0x00ff
    and 3 more
";
        assert_eq!(call(&good), expected);
        let bad = json!({
            "service": "it", "at_ms": 1000, "timer": "poll", "attempt": 2, "took_us": null, "published": [], "further": 0,
            "failure": {"kind": "trap", "reason": "the guest trapped: unreachable"},
        });
        let expected = "\
1970-01-01T00:00:01 timer poll, attempt 2, unknown
    failed (trap): the guest trapped: unreachable
";
        assert_eq!(call(&bad), expected);
    }

    #[test]
    fn lines_are_shown_as_the_log_writes_them() {
        let of_guest = json!({
            "timestamp": "T", "level": "INFO", "target": "miqro::guest", "service": "it", "message": "two\nlines", "fields": {"a": "1"},
        });
        assert_eq!(
            line(&of_guest),
            "T  INFO [it] two\\nlines fields={\"a\":\"1\"}\n"
        );
        let of_host = json!({"timestamp": "T", "level": "WARN", "target": "miqro_host::app", "service": "it", "message": "m"});
        assert_eq!(line(&of_host), "T  WARN app: m service=it\n");
    }
}
