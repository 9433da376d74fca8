//! `miqro-host section` and `state`: the configuration of a running service, and its stored state.

use std::process::ExitCode;

use serde_json::Value;

use super::admin::ServiceTarget;
use super::print::lines;
use super::remote::Hosts;
use crate::control::Request;

/// Arguments of `section`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Defaults are included, secrets are shown as ***.")]
pub(super) struct Section {
    #[command(flatten)]
    service: ServiceTarget,
    /// Print JSON in place of YAML
    #[arg(long)]
    json: bool,
}

/// Arguments of `state`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Each line has a key, the size of its value in bytes, and the value: text as JSON writes it, anything else as
hexadecimal digits."
)]
pub(super) struct State {
    #[command(flatten)]
    service: ServiceTarget,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Section {
    /// Prints the section.
    pub(super) fn run(self, hosts: Hosts<'_>) -> anyhow::Result<ExitCode> {
        let service = self.service.name.clone();
        let query = Request::Section { service };
        let yaml = |section: &Value| {
            serde_yaml::to_string(section).unwrap_or_else(|_| format!("{section:#}\n"))
        };
        self.service.query_and_print(hosts, &query, self.json, yaml)
    }
}

impl State {
    /// Prints the values.
    pub(super) fn run(self, hosts: Hosts<'_>) -> anyhow::Result<ExitCode> {
        let service = self.service.name.clone();
        let query = Request::State { service };
        self.service
            .query_and_print(hosts, &query, self.json, |values| lines(values, line))
    }
}

/// A value in one line.
fn line(value: &Value) -> String {
    let shown = match value["hex"].as_str() {
        Some(digits) => digits.to_owned(),
        None => value["text"].to_string(),
    };
    format!("{}  {} bytes  {shown}", value["key"], value["bytes"])
}
