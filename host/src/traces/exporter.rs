//! The task that sends spans to the collector, in batches.
//!
//! While the collector is away, one batch is tried again and again, the queue fills, and further spans are dropped. The log says once that
//! it is away, and how many spans were lost when it is back.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http::Uri;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tracing::{debug, info, warn};

use super::collector::{Collector, PostError, Refusal};
use super::{Span, SpanQueue, otlp};
use crate::backoff::Backoff;
use crate::session::transport::tls::TlsError;

/// Spans of a batch at most.
const BATCH: usize = 2048;
/// How long a batch that is not full waits for further spans.
const GATHER: Duration = Duration::from_millis(500);
/// How long one attempt may take.
const ATTEMPT: Duration = Duration::from_secs(10);
/// The waits between attempts.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// How often lost spans are logged at most.
const REPORT: Duration = Duration::from_secs(60);

/// Sends the spans of a queue to a collector.
#[derive(Debug)]
pub struct Exporter {
    queue: SpanQueue,
    collector: Collector,
    host_id: String,
    /// Lost spans that were logged.
    logged: u64,
    /// When lost spans were logged last.
    reported: Option<Instant>,
}

impl Exporter {
    /// An exporter to the collector at `url`. `host_id`: the client identifier of the host.
    ///
    /// # Errors
    /// When `ca_file` cannot be used.
    pub fn new(
        queue: SpanQueue,
        url: Uri,
        ca_file: Option<PathBuf>,
        host_id: String,
    ) -> Result<Self, TlsError> {
        let collector = Collector::new(url, ca_file);
        collector.check()?;
        Ok(Self {
            queue,
            collector,
            host_id,
            logged: 0,
            reported: None,
        })
    }

    /// Sends spans until `stop` has a deadline; then it sends the rest until the deadline.
    pub async fn run(mut self, mut stop: oneshot::Receiver<std::time::Instant>) {
        let mut batch = Vec::new();
        let deadline = tokio::select! {
            biased;
            deadline = &mut stop => deadline.ok(),
            _ = self.export(&mut batch) => None,
        };
        if let Some(deadline) = deadline {
            let flushed = timeout_at(deadline.into(), self.flush(&mut batch)).await;
            if flushed.is_err() {
                self.queue.count_lost(batch.len() as u64);
            }
        }

        let lost = self.queue.lost() - self.logged;
        if lost > 0 {
            warn!("{lost} spans did not reach {}", self.collector);
        }
    }

    /// Sends spans until none come any more. `batch` has those that were not sent when it is cancelled.
    async fn export(&mut self, batch: &mut Vec<Span>) {
        loop {
            if !self.gather(batch).await {
                return;
            }
            self.deliver(batch).await;
            self.report();
        }
    }

    /// Waits until a batch is full or some time is over. Returns `false` when no span will come.
    async fn gather(&mut self, batch: &mut Vec<Span>) -> bool {
        if batch.is_empty() && !self.queue.receive(batch, BATCH).await {
            return false;
        }
        let end = Instant::now() + GATHER;
        while batch.len() < BATCH {
            let room = BATCH - batch.len();
            let received = timeout_at(end, self.queue.receive(batch, room)).await;
            if !matches!(received, Ok(true)) {
                break;
            }
        }
        true
    }

    /// Sends a batch, as often as it takes.
    async fn deliver(&mut self, batch: &mut Vec<Span>) {
        let encoded = otlp::encode(batch, &self.host_id);
        let mut backoff = Backoff::new(BACKOFF.0, BACKOFF.1);
        let mut is_away = false;
        loop {
            match self.attempt(encoded.clone(), batch.len()).await {
                Ok(refusal) => {
                    self.on_delivered(refusal, is_away);
                    batch.clear();
                    return;
                }
                Err(error) if is_away => {
                    debug!("cannot send traces to {}: {error}", self.collector)
                }
                Err(error) => warn!(
                    "cannot send traces to {}, and tries again; spans beyond {} are dropped: {error}",
                    self.collector,
                    super::QUEUE
                ),
            }
            is_away = true;
            sleep(backoff.next(fastrand::f64())).await;
        }
    }

    fn on_delivered(&mut self, refusal: Refusal, was_away: bool) {
        if was_away {
            info!("traces are sent to {} again", self.collector);
        }
        if refusal.spans > 0 {
            self.queue.count_lost(refusal.spans);
            debug!(
                "{} refused {} spans: {}",
                self.collector, refusal.spans, refusal.reason
            );
        }
    }

    /// Makes one attempt at a batch.
    async fn attempt(&self, encoded: Bytes, spans: usize) -> Result<Refusal, PostError> {
        let posted = timeout(ATTEMPT, self.collector.post(encoded, spans)).await;
        posted.unwrap_or(Err(PostError::Late(ATTEMPT)))
    }

    /// Makes one attempt at each of the last batches.
    async fn flush(&mut self, batch: &mut Vec<Span>) {
        self.queue.close();
        while !batch.is_empty() || self.queue.receive(batch, BATCH).await {
            let encoded = otlp::encode(batch, &self.host_id);
            match self.attempt(encoded, batch.len()).await {
                Ok(refusal) => self.queue.count_lost(refusal.spans),
                Err(error) => {
                    debug!("cannot send traces to {}: {error}", self.collector);
                    self.queue.count_lost(batch.len() as u64);
                }
            }
            batch.clear();
        }
    }

    /// Logs lost spans, if that is due.
    fn report(&mut self) {
        let lost = self.queue.lost() - self.logged;
        let is_recent = self.reported.is_some_and(|at| at.elapsed() < REPORT);
        if lost > 0 && !is_recent {
            warn!(
                "{lost} spans of traces are lost: {} was away or slow, or refused them",
                self.collector
            );
            self.logged += lost;
            self.reported = Some(Instant::now());
        }
    }
}
