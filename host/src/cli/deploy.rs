//! `miqro-host deploy`: sends a component to a running host, which checks it, and has it take over.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use bytes::Bytes;
use serde_json::Value;

use super::admin::{COMMAND_TIMEOUT, EXIT_NOT_RUNNING, ServiceTarget, short_version};
use super::print::{print, print_line};
use super::remote::Hosts;
use super::status_line::StatusLine;
use super::stream::safe;
use crate::control::{Request, UPLOAD_BYTES, UploadProgress};
use crate::signature;

/// Arguments of `deploy`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The host checks the component first: the contract, its signature where the host demands one, a trial start without network and
effects, and the differences from the running version. When the component has taken over, it replaces the component file of the
service; a component that is refused changes nothing. A signature is sent when FILE.minisig exists.

Examples:
  miqro-host deploy echo target/echo.wasm
  miqro-host deploy echo target/echo.wasm --check       only checks it
  miqro-host deploy echo target/echo.wasm --shadow      compares it with the running version first
  miqro-host --host https://pi.example deploy echo target/echo.wasm

Exit code 0: it runs or, with --check, can be deployed; 1: it was refused; 3: no host runs."
)]
pub(super) struct Deploy {
    #[command(flatten)]
    service: ServiceTarget,
    /// Component file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Only check it
    #[arg(long)]
    check: bool,
    /// Have it run as a shadow in place of taking over, as `miqro-host shadow` shows
    #[arg(long, conflicts_with = "check")]
    shadow: bool,
    /// Print the result of the check as JSON
    #[arg(long, requires = "check")]
    json: bool,
}

impl Deploy {
    /// Sends the component, shows the result of the check, and has the component take over.
    pub(super) fn run(self, hosts: Hosts<'_>) -> anyhow::Result<ExitCode> {
        let component = read(&self.file)?;
        let Some(endpoint) = self.service.endpoint(hosts)? else {
            return Ok(ExitCode::from(EXIT_NOT_RUNNING));
        };

        let upload_bytes = component.len() as u64;
        let upload = Request::Upload {
            service: self.service.name.clone(),
            bytes: upload_bytes,
            signature: signature_of(&self.file)?,
        };
        let progress = UploadProgress::default();
        let line = StatusLine::show({
            let (name, bytes, progress) = (file_name(&self.file), upload_bytes, progress.clone());
            move || describe_upload(&name, progress.sent(), bytes)
        });
        let report = endpoint.upload(&upload, component, &progress, COMMAND_TIMEOUT)?;
        drop(line);
        if self.json {
            print_line(format_args!("{report:#}"))?;
        } else {
            print(format_report(&report))?;
        }

        if self.check {
            let is_fine = report["obstacle"].is_null() && report["failure"].is_null();
            return Ok(ExitCode::from(u8::from(!is_fine)));
        }
        let service = self.service.name.clone();
        let version = text(&report["version"]).to_owned();
        let request = if self.shadow {
            Request::StartShadow { service, version }
        } else {
            Request::Deploy { service, version }
        };
        let line = StatusLine::show({
            let name = self.service.name.clone();
            move || format!("{name}: waiting for the new version to start")
        });
        let sentence = endpoint.send(&request, COMMAND_TIMEOUT)?;
        drop(line);
        print_line(format_args!("{}: {}", self.service.name, text(&sentence)))?;

        Ok(ExitCode::SUCCESS)
    }
}

/// The name of a file without its folders.
fn file_name(file: &Path) -> String {
    let name = file.file_name().unwrap_or(file.as_os_str());
    safe(&name.to_string_lossy())
}

/// The progress of an upload, and of the check that follows, for people.
fn describe_upload(name: &str, sent: u64, bytes: u64) -> String {
    if sent >= bytes {
        return format!("{name}: waiting for the host to check it");
    }
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    format!(
        "{name}: {:.1} of {:.1} MB are sent, {} %",
        megabytes(sent),
        megabytes(bytes),
        sent * 100 / bytes
    )
}

/// The bytes of a component file.
fn read(file: &Path) -> anyhow::Result<Bytes> {
    let name = || file.display().to_string();
    let size = std::fs::metadata(file).with_context(name)?.len();
    if size > UPLOAD_BYTES {
        bail!(
            "{}: expected at most {UPLOAD_BYTES} bytes, found {size}",
            name()
        );
    }
    Ok(std::fs::read(file).with_context(name)?.into())
}

/// The signature beside a component file, if there is one.
fn signature_of(file: &Path) -> anyhow::Result<Option<String>> {
    let beside = signature::file_of(file);
    match std::fs::read_to_string(&beside) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| beside.display().to_string()),
    }
}

/// The result of a check, for people.
fn format_report(report: &Value) -> String {
    let mut lines = format!(
        "version {}, {} bytes; version {} runs\n",
        short_version(&report["version"]),
        report["bytes"],
        short_version(&report["running"])
    );
    if let Some(peer) = report["made_for"].as_str() {
        push(&mut lines, format_args!("made for {peer}"));
    }
    for key in ["imports", "serves", "calls", "subscriptions"] {
        let names = texts(&report[key]);
        if !names.is_empty() {
            push(&mut lines, format_args!("{key}: {}", names.join(", ")));
        }
    }

    let needs = report["grants"].as_array().into_iter().flatten();
    let missing = needs.filter(|need| need["granted"] == false);
    let missing: Vec<String> = missing
        .map(|need| format!("{} for {}", text(&need["key"]), text(&need["import"])))
        .collect();
    if !missing.is_empty() {
        push(
            &mut lines,
            format_args!("grants that it may need: {}", missing.join(", ")),
        );
    }
    for difference in texts(&report["differences"]) {
        push(&mut lines, format_args!("{difference}"));
    }
    if let Some(fault) = report["failure"].as_str() {
        let said = "it does not start on trial, without network and effects";
        push(&mut lines, format_args!("{said}: {}", safe(fault)));
    }
    if let Some(obstacle) = report["obstacle"].as_str() {
        push(
            &mut lines,
            format_args!("it cannot be deployed: {obstacle}"),
        );
    }

    lines
}

fn push(lines: &mut String, line: std::fmt::Arguments<'_>) {
    // writing to a String cannot fail
    let _ = writeln!(lines, "{line}");
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn texts(array: &Value) -> Vec<&str> {
    let elements = array.as_array().into_iter().flatten();
    elements.filter_map(Value::as_str).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uploads_are_shown_in_megabytes_and_percent() {
        let shown = |sent| describe_upload("a.wasm", sent, 18_432_000);
        assert_eq!(shown(0), "a.wasm: 0.0 of 18.4 MB are sent, 0 %");
        assert_eq!(shown(4_200_000), "a.wasm: 4.2 of 18.4 MB are sent, 22 %");
        let sent = "a.wasm: waiting for the host to check it";
        assert_eq!(shown(18_432_000), sent);
        assert_eq!(describe_upload("a.wasm", 0, 0), sent);
    }
}
