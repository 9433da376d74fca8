//! Shadow runs: a new version handles copies of the calls that the running version handles, and its publishes are compared.
//! None of its effects happen; it works on a copy of the service's state.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use crate::config::{self, Grants};
use crate::effects::Effects;
use crate::guest::{Call, Fault, ServiceState};
use crate::message::Message;
use crate::service_ctx::ServiceCtx;

use super::comparison::Comparison;
use super::handover::{StartedInstance, load, prepare};

/// Copies of calls that may wait for the shadow. It skips further ones.
const WAITING: usize = 64;

/// A shadow run ended without a comparison.
#[derive(Debug, thiserror::Error)]
pub enum ShadowError {
    /// The running version cannot save its state for it.
    #[error("{0}")]
    Save(String),
    /// The shadow does not load the saved state.
    #[error("it does not load what the running version saved: {0}")]
    Load(Fault),
    /// The shadow died and does not start again.
    #[error("it does not start again after a fault: {0}")]
    Restart(Fault),
}

/// A started instance that is to run as a shadow.
pub struct Shadow {
    /// The instance.
    pub prepared: StartedInstance,
    /// The [`shadow_ctx`] that it was started with.
    pub ctx: Arc<ServiceCtx>,
    /// Duration of the run; `None`: until it is ended.
    pub span: Option<Duration>,
    /// The comparison so far.
    pub report: Arc<ShadowReport>,
    /// Takes the end of the run; dropped when the run is given up.
    pub done: oneshot::Sender<Result<(), ShadowError>>,
}

/// The comparison of a shadow run, which can be read while it runs.
#[derive(Debug, Default)]
pub struct ShadowReport {
    /// Locked after each call of the shadow, and when somebody reads it.
    comparison: Mutex<Comparison>,
    skipped: AtomicU64,
}

impl ShadowReport {
    /// The comparison so far.
    pub fn comparison(&self) -> Comparison {
        let mut comparison = self.lock().clone();
        comparison.record_skipped(self.skipped.load(Ordering::Relaxed));
        comparison
    }

    fn lock(&self) -> MutexGuard<'_, Comparison> {
        self.comparison
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// The context of a shadow: a copy of the service's state, no requests, no network, and directories that it cannot change.
pub fn shadow_ctx(ctx: &ServiceCtx) -> Arc<ServiceCtx> {
    let state = Arc::new(ctx.state.copy_with(&ctx.state.state()));
    let Grants {
        publish,
        subscribe,
        directories,
        environment,
        ..
    } = ctx.config.grants.clone();

    let mut grants = Grants {
        publish,
        subscribe,
        directories,
        environment,
        ..Grants::default()
    };

    for directory in &mut grants.directories {
        directory.write = false;
    }
    let config = config::Service {
        grants,
        ..config::Service::clone(&ctx.config)
    };
    Arc::new(ServiceCtx {
        config: Arc::new(config),
        state,
        requests: None,
        ..ctx.clone()
    })
}

/// The running version's end of a shadow run: sends copies of its calls and never waits.
pub struct ShadowFeed {
    samples: mpsc::Sender<Sample>,
    report: Arc<ShadowReport>,
}

/// A call of the running version, and its publishes.
pub struct Sample {
    description: String,
    call: Call,
    published: Vec<Message>,
}

impl Sample {
    /// A copy of a call; `None` for calls that concern the running version alone.
    pub fn of(call: &Call) -> Option<Self> {
        let description = match call {
            Call::Message { message, .. } => format!("the message on {}", message.topic),
            Call::Tick(due) => format!("timer {}", due.name),
            _ => return None,
        };
        Some(Self {
            description,
            call: call.clone(),
            published: Vec::new(),
        })
    }

    /// Adds the publishes of the running version.
    pub fn with_effects(self, effects: &Effects) -> Self {
        Self {
            published: messages(effects),
            ..self
        }
    }
}

impl ShadowFeed {
    /// Sends a copy; `false`: the shadow has ended.
    pub fn send(&self, sample: Sample) -> bool {
        match self.samples.try_send(sample) {
            Ok(()) => true,
            Err(mpsc::error::TrySendError::Full(_)) => {
                self.report.skipped.fetch_add(1, Ordering::Relaxed);
                true
            }
            Err(mpsc::error::TrySendError::Closed(_)) => false,
        }
    }
}

/// A shadow run that begins with the present state: `state` is the service's, `saved` what the running instance saved. The future is
/// the run; it ends after its time, or when the feed is dropped.
pub fn shadow(
    shadow: Shadow,
    state: &ServiceState,
    saved: Option<Bytes>,
) -> (ShadowFeed, impl Future<Output = ()> + Send + 'static) {
    let (samples, received) = mpsc::channel(WAITING);
    let own = &shadow.ctx.state;
    own.apply(own.changes_to(&state.state()));
    let feed = ShadowFeed {
        samples,
        report: shadow.report.clone(),
    };
    (feed, run(shadow, saved, received))
}

async fn run(shadow: Shadow, saved: Option<Bytes>, samples: mpsc::Receiver<Sample>) {
    let Shadow {
        prepared,
        ctx,
        span,
        report,
        done,
    } = shadow;

    let outcome = match load(prepared, saved).await {
        Ok(prepared) => compare_until(span, prepared, (&ctx, &report), samples).await,
        Err(fault) => Err(ShadowError::Load(fault)),
    };
    let outcome = match outcome {
        Ok(true) => Ok(()),
        // given up: `done` is dropped
        Ok(false) => return,
        Err(error) => Err(error),
    };

    // the supervisor may have gone
    let _ = done.send(outcome);
}

/// Handles samples for `span`. Returns `false` when the feed was dropped, because another version replaced the running one or is to be
/// the shadow, or the shadow was stopped.
async fn compare_until(
    span: Option<Duration>,
    mut prepared: StartedInstance,
    (ctx, report): (&Arc<ServiceCtx>, &ShadowReport),
    mut samples: mpsc::Receiver<Sample>,
) -> Result<bool, ShadowError> {
    let end = async {
        match span {
            Some(span) => tokio::time::sleep(span).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(end);
    ctx.state.apply(std::mem::take(&mut prepared.effects.state));

    loop {
        let sample = tokio::select! {
            biased;
            () = &mut end => return Ok(true),
            sample = samples.recv() => sample,
        };
        let Some(sample) = sample else {
            return Ok(false);
        };
        prepared = follow(prepared, ctx, sample, report)
            .await
            .map_err(ShadowError::Restart)?;
    }
}

/// Repeats a call of the running version. An instance that died is made again.
async fn follow(
    prepared: StartedInstance,
    ctx: &Arc<ServiceCtx>,
    sample: Sample,
    report: &ShadowReport,
) -> Result<StartedInstance, Fault> {
    let StartedInstance {
        component,
        instance,
        ..
    } = prepared;
    let (instance, outcome) = instance.call(sample.call).await;
    match outcome {
        Ok(effects) => {
            let new = messages(&effects);
            report
                .lock()
                .compare(&sample.description, &sample.published, &new);
            ctx.state.apply(effects.state);
        }
        Err(fault) => {
            report
                .lock()
                .failed(&sample.description, &sample.published, &fault.to_string())
        }
    }

    match instance {
        Some(instance) => Ok(StartedInstance {
            component,
            instance,
            effects: Effects::default(),
        }),
        None => {
            let prepared = prepare(component, ctx.clone()).await?;
            ctx.state.apply(prepared.effects.state.iter().cloned());
            Ok(prepared)
        }
    }
}

fn messages(effects: &Effects) -> Vec<Message> {
    effects
        .publishes
        .iter()
        .map(|publication| publication.message.clone())
        .collect()
}
