//! `miqro-host shadow`: runs a version as the shadow of a service, shows how its publishes differ, and ends it.

use std::process::ExitCode;

use serde_json::Value;

use super::admin::{EXIT_NOT_RUNNING, ServiceTarget, short_version};
use super::print::print_line;
use super::remote::Hosts;
use super::stream::{message, safe};
use crate::control::Request;

/// Arguments of `shadow`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A shadow handles copies of the messages and timers of the running version. Its publishes are compared and dropped; it works on
a copy of the state, without network. `history` keeps the result.

Examples:
  miqro-host deploy echo target/echo.wasm --shadow      checks a component and starts it as a shadow
  miqro-host shadow echo --start 0123456789ab           does so with a version that `history` shows as kept
  miqro-host shadow echo                                shows the differences so far
  miqro-host shadow echo --promote                      has it take over and replace the component file
  miqro-host shadow echo --stop"
)]
pub(super) struct Shadow {
    #[command(flatten)]
    service: ServiceTarget,
    /// Start this version, named by the beginning of its hash, in place of another shadow
    #[arg(long, value_name = "HASH", conflicts_with_all = ["stop", "promote"])]
    start: Option<String>,
    /// Stop it
    #[arg(long, conflicts_with = "promote")]
    stop: bool,
    /// Have it take over, as `deploy` does
    #[arg(long)]
    promote: bool,
    /// Print JSON
    #[arg(long, conflicts_with_all = ["start", "stop", "promote"])]
    json: bool,
}

impl Shadow {
    /// Starts, shows, promotes or stops the shadow.
    pub(super) fn run(self, hosts: Hosts<'_>) -> anyhow::Result<ExitCode> {
        let service = self.service.name.clone();
        if let Some(version) = self.start {
            let request = Request::StartShadow { service, version };
            return self.service.request_and_print(hosts, &request);
        }
        if self.stop {
            let request = Request::StopShadow { service };
            return self.service.request_and_print(hosts, &request);
        }

        let request = Request::Shadow {
            service: service.clone(),
        };
        let Some(status) = self.service.request(hosts, &request)? else {
            return Ok(ExitCode::from(EXIT_NOT_RUNNING));
        };
        if self.promote {
            let Some(version) = status["shadow"]["version"].as_str() else {
                anyhow::bail!("no version runs as its shadow");
            };
            let version = version.to_owned();
            let request = Request::Deploy { service, version };
            return self.service.request_and_print(hosts, &request);
        }

        if self.json {
            print_line(format_args!("{status:#}"))?;
        } else {
            print_line(format_status(&status))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The status of a shadow, for people.
fn format_status(status: &Value) -> String {
    let service = status["service"].as_str().unwrap_or_default();
    let shadow = &status["shadow"];
    if shadow.is_null() {
        return format!("{service}: no version runs as its shadow");
    }

    let comparison = &shadow["comparison"];
    let mut lines = vec![format!(
        "{service}: version {} runs as a shadow since {}: {} of {} calls agreed, {} faults, {} not compared",
        short_version(&shadow["version"]),
        shadow["since"].as_str().unwrap_or_default(),
        comparison["agreed"],
        comparison["calls"],
        comparison["faults"],
        comparison["skipped"],
    )];
    let differences = comparison["differences"].as_array().into_iter().flatten();
    for difference in differences {
        let call = difference["call"].as_str().unwrap_or_default();
        lines.push(format!("for {}", safe(call)));
        lines.extend(published(&difference["running"], '-'));
        lines.extend(published(&difference["new"], '+'));
        let failure = difference["failure"].as_str();
        lines.extend(failure.map(|reason| format!("  + failed: {}", safe(reason))));
    }

    lines.join("\n")
}

/// Messages of one version, one a line behind its sign.
fn published(messages: &Value, sign: char) -> impl Iterator<Item = String> {
    let messages = messages.as_array().into_iter().flatten();
    messages.map(move |one| format!("  {sign} {}", message(one)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn differences_are_shown_like_those_of_diff() {
        let none = json!({"service": "echo", "shadow": null});
        assert_eq!(format_status(&none), "echo: no version runs as its shadow");

        let message = json!({"topic": "a", "qos": 1, "retain": false, "bytes": 2, "payload": "hi"});
        let differences = json!([
            {"call": "timer tick", "running": [message], "new": [], "failure": null},
            {"call": "the message on b", "running": [], "new": [message], "failure": "\u{1b}[2Jbroken"},
        ]);
        let comparison =
            json!({"calls": 3, "agreed": 1, "faults": 1, "skipped": 0, "differences": differences});
        let status = json!({
            "service": "echo",
            "shadow": {"version": "0123456789abcdef", "since": "2026-11-28T12:00:00Z", "by_command": true, "comparison": comparison},
        });
        assert_eq!(
            format_status(&status),
            "echo: version 0123456789ab runs as a shadow since 2026-11-28T12:00:00Z: 1 of 3 calls agreed, 1 faults, 0 not compared\n\
             for timer tick\n  \
             - a (QoS 1, 2 bytes) \"hi\"\n\
             for the message on b\n  \
             + a (QoS 1, 2 bytes) \"hi\"\n  \
             + failed: \\u{1b}[2Jbroken"
        );
    }
}
