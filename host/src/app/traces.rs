//! The export of traces, if it is configured.

use std::time::Instant;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tracing::info;

use crate::config::{Config, Traces};
use crate::traces::exporter::Exporter;
use crate::traces::{self, Tracer};

/// The running export.
pub(super) struct TraceExport {
    tracer: Tracer,
    task: JoinHandle<()>,
    stop: oneshot::Sender<Instant>,
}

impl TraceExport {
    /// Starts the export on `pool`, away from the message path.
    ///
    /// # Errors
    /// When the file with trusted roots cannot be used.
    pub(super) fn start(
        config: &Config,
        pool: &tokio::runtime::Handle,
    ) -> anyhow::Result<Option<Self>> {
        let Some(settings) = config.traces.clone() else {
            return Ok(None);
        };
        let Traces {
            otlp,
            ca_file,
            sample_every,
        } = settings;

        let (tracer, queue) = traces::channel(sample_every);
        let host_id = config.broker.connection().client_id.clone();
        info!("traces are sent to {otlp}");
        let exporter = Exporter::new(queue, otlp, ca_file, host_id)?;
        let (stop, stopping) = oneshot::channel();
        let task = pool.spawn(exporter.run(stopping));
        Ok(Some(Self { tracer, task, stop }))
    }

    /// The sending end of the queue of spans.
    pub(super) fn tracer(&self) -> Tracer {
        self.tracer.clone()
    }

    /// Sends the spans that wait, until the deadline.
    pub(super) async fn stop(self, deadline: Instant) {
        // an error means that the task has ended already
        let _ = self.stop.send(deadline);
        let _ = self.task.await;
    }
}
