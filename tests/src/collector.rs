//! A collector of traces that decodes OTLP with OpenTelemetry's own classes: see `tests/otlp/collector.py`.

use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::place;
use crate::process::Process;

/// A running collector on 127.0.0.1. It ends when this is dropped.
#[derive(Debug)]
pub struct Collector {
    process: Process,
}

impl Collector {
    /// Starts one on `port`.
    ///
    /// # Errors
    /// When its tools are not installed or it does not start.
    pub async fn on(port: u16) -> Result<Self> {
        Self::with(port, &[]).await
    }

    /// Starts one on `port` that speaks TLS with a certificate and its key.
    ///
    /// # Errors
    /// As [`Collector::on`].
    pub async fn with_tls(port: u16, certificate: &str, key: &str) -> Result<Self> {
        Self::with(port, &[certificate, key]).await
    }

    async fn with(port: u16, arguments: &[&str]) -> Result<Self> {
        let mut command = Command::new(place::python()?);
        command
            .arg(place::project().join("tests/otlp/collector.py"))
            .arg(port.to_string())
            .args(arguments);
        let process = Process::start(&mut command)?;
        process
            .output()
            .wait_for("the collector listens", |line| line == "listening")
            .await
            .context("run `make setup-tests`")?;
        Ok(Self { process })
    }

    /// All spans of a trace so far.
    ///
    /// # Errors
    /// When a line is not a span.
    pub fn spans(&self, trace: &str) -> Result<Vec<Value>> {
        let lines = self.process.output().lines().into_iter();
        let spans = lines
            .filter(|line| line.starts_with('{'))
            .map(|line| serde_json::from_str(&line).context(line));
        let spans: Vec<Value> = spans.collect::<Result<_>>()?;
        Ok(spans
            .into_iter()
            .filter(|span| span["trace"] == trace)
            .collect())
    }

    /// Waits until a trace has `count` spans that `wanted` accepts, and returns these.
    ///
    /// # Errors
    /// When they do not come.
    pub async fn wait_for(
        &self,
        trace: &str,
        count: usize,
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<Vec<Value>> {
        let mut seen = 0;
        loop {
            let lines = self.process.output().lines().len();
            let spans = self.spans(trace)?.into_iter();
            let found: Vec<Value> = spans.filter(|span| wanted(span)).collect();
            if found.len() >= count {
                return Ok(found);
            }
            seen = seen.max(lines);
            let waiting = format!("{} of {count} spans of trace {trace}", found.len());
            self.process
                .output()
                .wait_from(seen, &waiting, |_| true)
                .await?;
        }
    }
}
