//! `miqro-host section` and `state`: the configuration of a running service, and its stored state.

use std::process::ExitCode;

use serde_json::Value;

use super::admin::{EXIT_NOT_RUNNING, ServiceTarget};
use super::print::{print, print_line};
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
        let Some(section) = self.service.request(hosts, &Request::Section { service })? else {
            return Ok(ExitCode::from(EXIT_NOT_RUNNING));
        };

        if self.json {
            print_line(format_args!("{section:#}"))?;
        } else {
            print(serde_yaml::to_string(&section)?)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl State {
    /// Prints the values.
    pub(super) fn run(self, hosts: Hosts<'_>) -> anyhow::Result<ExitCode> {
        let service = self.service.name.clone();
        let Some(values) = self.service.request(hosts, &Request::State { service })? else {
            return Ok(ExitCode::from(EXIT_NOT_RUNNING));
        };

        if self.json {
            print_line(format_args!("{values:#}"))?;
        } else {
            for value in values.as_array().into_iter().flatten() {
                print_line(line(value))?;
            }
        }
        Ok(ExitCode::SUCCESS)
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
