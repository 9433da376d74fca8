//! `miqro-host record`: writes the calls of a running service to a file, which `miqro-host test --replay` reads.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::num::NonZeroU64;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::{Value, json};
use tokio::runtime::Builder;

use super::admin::{EXIT_NOT_RUNNING, ServiceTarget};
use super::print::{print_error, print_line};
use super::remote::Hosts;
use super::values::{duration, size};
use super::wait::{sleep_for, stop_signal};
use crate::control::{self, Endpoint, RecordingStream, Request};
use crate::recording::End;

const EXAMPLES: &str = "The recording holds the messages, timers and notices of the service from now on, with the readings of its clocks, its random numbers,
the answers to its requests, and what it published. It begins with the state of the service, and with what the running
instance saves. Values that an instance
keeps in memory and does not save are missing; --restart records from a fresh start on.

PAYLOADS AND STATE ARE IN THE FILE, which only its owner can read. Secrets of the configuration are not.

Examples:
  miqro-host record echo                         to echo.jsonl, until Ctrl-C
  miqro-host record echo -o bug.jsonl --for 10m  ten minutes
  miqro-host record echo --restart --count 100   from a restart on, 100 calls
  miqro-host record echo --dead-letter ID        a dead letter of `miqro-host replay --list echo`
  miqro-host test new.wasm --replay echo.jsonl   what another build would have published

Exit code 0: the recording is complete; 1: it ended early, and its last line says why; 3: no host runs.";

/// Arguments of `record`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Record {
    #[command(flatten)]
    service: ServiceTarget,
    /// File to write; it must not exist [default: NAME.jsonl]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// End after this time
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    time: Option<Duration>,
    /// End after this number of messages, timers and notices
    #[arg(short = 'n', long, value_name = "NUMBER")]
    count: Option<NonZeroU64>,
    /// End before the file is larger than this
    #[arg(long, value_name = "SIZE", default_value = "64MiB", value_parser = size)]
    size: u64,
    /// Restart the service, so that the recording begins with its start
    #[arg(long)]
    restart: bool,
    /// Write one dead letter instead, by its identity in `miqro-host replay --list NAME`
    #[arg(long, value_name = "ID", conflicts_with_all = ["restart", "count", "time"])]
    dead_letter: Option<String>,
}

/// The file of a recording.
struct Output {
    path: PathBuf,
    file: BufWriter<File>,
    bytes: u64,
    limit: u64,
    calls: u64,
}

impl Record {
    /// Writes the recording.
    pub(super) fn run(self, hosts: Hosts<'_>) -> anyhow::Result<ExitCode> {
        let socket = match self.service.endpoint(hosts)? {
            Some(Endpoint::Socket(socket)) => socket,
            Some(Endpoint::Remote(remote)) => bail!(
                "expected a host of this machine, found {}: a recording is made through the control socket only",
                remote.url()
            ),
            None => return Ok(ExitCode::from(EXIT_NOT_RUNNING)),
        };
        let threads = Builder::new_current_thread().enable_all().build()?;
        threads.block_on(self.record(&socket))
    }

    async fn record(self, socket: &Path) -> anyhow::Result<ExitCode> {
        let default = || format!("{}.jsonl", self.service.name).into();
        let path = self.output.clone().unwrap_or_else(default);
        let mut output = Output::create(path, self.size)?;

        let asked = control::record(socket, &self.request()).await;
        let (header, mut stream) = match asked {
            Ok(begun) => begun,
            Err(error) => {
                // nothing is in it
                let _ = std::fs::remove_file(&output.path);
                return Err(error.into());
            }
        };

        if self.dead_letter.is_none() {
            let path = output.path.display();
            print_error(format_args!("records to {path}; Ctrl-C ends it"));
            if header["begin"] == "running" && header["saved"].is_null() {
                print_error(
                    "the service has no `save`: values that it holds in memory are missing; --restart records from its start on",
                );
            }
        }

        if !output.write(&header.to_string())? {
            bail!("--size: the state of the service alone is larger");
        }
        let end = copy(&mut stream, &mut output, self.time).await?;
        output.finish(end)
    }

    fn request(&self) -> Request {
        let service = self.service.name.clone();
        match self.dead_letter.clone() {
            Some(letter) => Request::RecordLetter { service, letter },
            None => Request::Record {
                service,
                restart: self.restart,
                count: self.count.map(NonZeroU64::get),
            },
        }
    }
}

/// Writes the calls to the file until the recording ends. `None`: the host did not say why.
async fn copy(
    stream: &mut RecordingStream,
    output: &mut Output,
    time: Option<Duration>,
) -> anyhow::Result<Option<End>> {
    let over = sleep_for(time);
    let mut over = std::pin::pin!(over);
    let mut signal = std::pin::pin!(stop_signal());
    let mut is_stopped = false;
    loop {
        let line = tokio::select! {
            line = stream.next_line() => line.context("the control socket")?,
            () = &mut over, if !is_stopped => {
                is_stopped = true;
                stream.stop();
                continue;
            }
            stopped = &mut signal, if !is_stopped => {
                stopped.context("waiting for signals")?;
                is_stopped = true;
                stream.stop();
                continue;
            }
        };
        let Some(line) = line else {
            return Ok(None);
        };

        if let Some(end) = end_of(&line) {
            return Ok(Some(end));
        }
        if !output.write(&line)? {
            return Ok(Some(End::Size));
        }
        output.calls += 1;
    }
}

/// The end, if the line is one. Lines of calls begin with their time.
fn end_of(line: &str) -> Option<End> {
    let value: Value = line
        .starts_with("{\"end\":")
        .then(|| serde_json::from_str(line).ok())??;
    serde_json::from_value(value["end"].clone()).ok()
}

impl Output {
    fn create(path: PathBuf, limit: u64) -> anyhow::Result<Self> {
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .with_context(|| path.display().to_string())?;
        Ok(Self {
            path,
            file: BufWriter::new(file),
            bytes: 0,
            limit,
            calls: 0,
        })
    }

    /// Writes a line; `false`: there is no room for it.
    fn write(&mut self, line: &str) -> anyhow::Result<bool> {
        let bytes = line.len() as u64 + 1;
        if self.bytes + bytes > self.limit {
            return Ok(false);
        }
        self.put(line)?;
        Ok(true)
    }

    fn put(&mut self, line: &str) -> anyhow::Result<()> {
        self.bytes += line.len() as u64 + 1;
        writeln!(self.file, "{line}").with_context(|| self.path.display().to_string())
    }

    /// Writes the end, and says what is in the file.
    fn finish(mut self, end: Option<End>) -> anyhow::Result<ExitCode> {
        if let Some(end) = end {
            self.put(&json!({ "end": end }).to_string())?;
        }
        self.file
            .flush()
            .with_context(|| self.path.display().to_string())?;

        let path = self.path.display();
        print_line(format_args!(
            "{path}: {} calls, {} bytes",
            self.calls, self.bytes
        ))?;
        match end {
            Some(end) if end.is_complete() => Ok(ExitCode::SUCCESS),
            Some(end) => bail!("the recording has ended early: {end}"),
            None => bail!("the recording has ended early: the host has ended the connection"),
        }
    }
}
