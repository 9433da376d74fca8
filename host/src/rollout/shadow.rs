//! Shadow runs: a new version handles copies of the calls that the running version handles, and its publishes are compared.
//! None of its effects happen; it works on a copy of the service's state.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
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
    /// Duration of the run.
    pub span: Duration,
    /// Takes the comparison at the end; dropped when the run is given up.
    pub done: oneshot::Sender<Result<Comparison, ShadowError>>,
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
    skipped: Arc<AtomicU64>,
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
                self.skipped.fetch_add(1, Ordering::Relaxed);
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
    let skipped = Arc::<AtomicU64>::default();
    let own = &shadow.ctx.state;
    own.apply(own.changes_to(&state.state()));
    let feed = ShadowFeed {
        samples,
        skipped: skipped.clone(),
    };
    (feed, run(shadow, saved, received, skipped))
}

async fn run(
    shadow: Shadow,
    saved: Option<Bytes>,
    samples: mpsc::Receiver<Sample>,
    skipped: Arc<AtomicU64>,
) {
    let Shadow {
        prepared,
        ctx,
        span,
        done,
    } = shadow;

    let outcome = match load(prepared, saved).await {
        Ok(prepared) => compare_until(span, prepared, &ctx, samples).await,
        Err(fault) => Err(ShadowError::Load(fault)),
    };
    let outcome = match outcome {
        Ok(Some(mut comparison)) => {
            comparison.record_skipped(skipped.load(Ordering::Relaxed));
            Ok(comparison)
        }
        // given up: `done` is dropped
        Ok(None) => return,
        Err(error) => Err(error),
    };

    // the supervisor may have gone
    let _ = done.send(outcome);
}

/// Handles samples for `span`; `None`: the feed was dropped, because another version replaced the running one or is to be the shadow.
async fn compare_until(
    span: Duration,
    mut prepared: StartedInstance,
    ctx: &Arc<ServiceCtx>,
    mut samples: mpsc::Receiver<Sample>,
) -> Result<Option<Comparison>, ShadowError> {
    let end = tokio::time::sleep(span);
    tokio::pin!(end);
    ctx.state.apply(std::mem::take(&mut prepared.effects.state));

    let mut comparison = Comparison::default();
    loop {
        let sample = tokio::select! {
            biased;
            () = &mut end => return Ok(Some(comparison)),
            sample = samples.recv() => sample,
        };
        let Some(sample) = sample else {
            return Ok(None);
        };
        prepared = follow(prepared, ctx, sample, &mut comparison)
            .await
            .map_err(ShadowError::Restart)?;
    }
}

/// Repeats a call of the running version. An instance that died is made again.
async fn follow(
    prepared: StartedInstance,
    ctx: &Arc<ServiceCtx>,
    sample: Sample,
    comparison: &mut Comparison,
) -> Result<StartedInstance, Fault> {
    let StartedInstance {
        component,
        instance,
        ..
    } = prepared;
    let (instance, outcome) = instance.call(sample.call).await;
    match outcome {
        Ok(effects) => {
            comparison.compare(&sample.description, &sample.published, &messages(&effects));
            ctx.state.apply(effects.state);
        }
        Err(fault) => comparison.failed(&sample.description, &fault.to_string()),
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
