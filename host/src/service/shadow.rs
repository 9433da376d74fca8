//! Actor: a new version that handles copies beside the running one. In: a started instance with service_state of its own; what the running
//! version was called for, and what it published. Out: how both compare. Owns the instance: nothing of what it asks for is done.

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

use super::Prepared;
use super::comparison::Comparison;
use super::executor::{load, prepare};

/// Calls that may wait for the shadow; it misses those beyond.
const WAITING: usize = 64;

/// A started instance that is to be a shadow, and for how long.
pub struct Shadow {
    /// The instance; its context is [`apart`].
    pub prepared: Prepared,
    /// What it was started with.
    pub ctx: Arc<ServiceCtx>,
    /// How long it runs.
    pub span: Duration,
    /// Where the comparison goes at the end; dropped when the run is given up.
    pub done: oneshot::Sender<Result<Comparison, String>>,
}

/// What a guest gets to know that is to be a shadow: a copy of the service's state, no requests, no HTTP, directories that it cannot
/// change.
pub fn apart(ctx: &ServiceCtx) -> Arc<ServiceCtx> {
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
    grants
        .directories
        .iter_mut()
        .for_each(|directory| directory.write = false);
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

/// The running version's end: gives copies away and never waits.
pub(super) struct Mirror {
    samples: mpsc::Sender<Sample>,
    skipped: Arc<AtomicU64>,
}

/// What the running version was called for, and what it published.
pub(super) struct Sample {
    what: String,
    call: Call,
    published: Vec<Message>,
}

impl Sample {
    /// `None` for what a shadow is not called for: what happens to the running version alone.
    pub(super) fn of(call: &Call) -> Option<Self> {
        let what = match call {
            Call::Message { message, .. } => format!("the message on {}", message.topic),
            Call::Tick(due) => format!("timer {}", due.name),
            _ => return None,
        };
        Some(Self {
            what,
            call: call.clone(),
            published: Vec::new(),
        })
    }

    /// With what the running version published.
    pub(super) fn published(self, effects: &Effects) -> Self {
        Self {
            published: messages(effects),
            ..self
        }
    }
}

impl Mirror {
    /// Gives a copy away; `false`: the shadow has ended.
    pub(super) fn give(&self, sample: Sample) -> bool {
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

/// A shadow that begins with what the running version has now: `service_state` are the service's, `saved` is what it saves. The future
/// is the shadow; it ends after its time, or when the mirror is dropped.
pub(super) fn shadow(
    shadow: Shadow,
    service_state: &ServiceState,
    saved: Option<Bytes>,
) -> (Mirror, impl Future<Output = ()> + Send + 'static) {
    let (samples, received) = mpsc::channel(WAITING);
    let skipped = Arc::<AtomicU64>::default();
    let own = &shadow.ctx.state;
    own.apply(own.changes_to(&service_state.state()));
    let mirror = Mirror {
        samples,
        skipped: skipped.clone(),
    };
    (mirror, run(shadow, saved, received, skipped))
}

async fn run(
    shadow: Shadow,
    saved: Option<Bytes>,
    mut samples: mpsc::Receiver<Sample>,
    skipped: Arc<AtomicU64>,
) {
    let Shadow {
        prepared,
        ctx,
        span,
        done,
    } = shadow;
    let end = tokio::time::sleep(span);
    tokio::pin!(end);
    let mut prepared = match load(prepared, saved).await {
        Ok(prepared) => prepared,
        // as it would be when it takes over; who no longer waits does not want to know
        Err(fault) => {
            return drop(done.send(Err(format!(
                "it does not load what the running version saved: {fault}"
            ))));
        }
    };
    ctx.state.apply(std::mem::take(&mut prepared.effects.state));
    let mut comparison = Comparison::default();
    loop {
        let sample = tokio::select! {
            biased;
            () = &mut end => break,
            sample = samples.recv() => sample,
        };
        // the mirror is gone: another version has taken over, or is to be the shadow
        let Some(sample) = sample else { return };
        prepared = match follow(prepared, &ctx, sample, &mut comparison).await {
            Ok(prepared) => prepared,
            Err(fault) => {
                return drop(done.send(Err(format!(
                    "it does not start again after a fault: {fault}"
                ))));
            }
        };
    }
    comparison.skipped(skipped.load(Ordering::Relaxed));
    // who no longer waits does not want to know
    drop(done.send(Ok(comparison)));
}

/// Calls the shadow for what the running version was called for. An instance that died is made anew.
async fn follow(
    prepared: Prepared,
    ctx: &Arc<ServiceCtx>,
    sample: Sample,
    comparison: &mut Comparison,
) -> Result<Prepared, Fault> {
    let Prepared {
        component,
        instance,
        ..
    } = prepared;
    let (instance, outcome) = instance.call(sample.call).await;
    match outcome {
        Ok(effects) => {
            comparison.compare(&sample.what, &sample.published, &messages(&effects));
            ctx.state.apply(effects.state);
        }
        Err(fault) => comparison.failed(&sample.what, &fault.to_string()),
    }
    match instance {
        Some(instance) => Ok(Prepared {
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
