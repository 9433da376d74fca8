//! Runner of one service's guest: the component, its instance, where calls run, and the policy for faults and restarts.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use crate::config::Limits;
use crate::effects::Effects;
use crate::guest::{Call, Component, Fault, InputRecorder, Instance, OptionalExport};
use crate::service_ctx::ServiceCtx;
use crate::version::Version;

use super::executor::Executor;
use super::pools::Pools;
use super::queue::Queue;
use super::recorder::Recorder;
use super::retry::Retry;

/// Runner of one service's guest.
pub(super) struct Runner {
    /// Component that runs, or is started again; `None` while none could be loaded.
    pub(super) component: Option<Component>,
    /// Instance between two calls; `None` while a call runs, and after a fault that killed it.
    pub(super) instance: Option<Box<Instance>>,
    pub(super) executor: Executor,
    pub(super) retry: Retry,
    /// Writes down the calls while an operator wants that.
    recorder: Option<Box<Recorder>>,
}

impl Runner {
    /// Creates a runner that has no component yet.
    pub(super) fn new(pools: Pools, limits: &Limits) -> Self {
        Self {
            component: None,
            instance: None,
            executor: Executor::new(pools, limits.call.time),
            retry: Retry::new(limits),
            recorder: None,
        }
    }

    /// Changes the limits from the next call on, and resets the counters of faults.
    pub(super) fn set_limits(&mut self, limits: &Limits) {
        self.retry = Retry::new(limits);
        self.executor.set_limit(limits.call.time);
    }

    /// Changes the context of the running instance, from the next call on.
    pub(super) fn set_ctx(&mut self, ctx: Arc<ServiceCtx>) {
        if let Some(instance) = &mut self.instance {
            instance.set_ctx(ctx);
        }
    }

    /// Whether there is an instance that can be called.
    pub(super) const fn is_ready(&self) -> bool {
        self.instance.is_some()
    }

    /// The recorder of the inputs of the instance, if it has one.
    pub(super) fn input_recorder(&self) -> Option<&Arc<InputRecorder>> {
        self.instance.as_ref()?.input_recorder()
    }

    /// Drops the instance.
    pub(super) fn kill(&mut self) {
        self.instance = None;
    }

    /// Version of the component.
    pub(super) fn version(&self) -> Option<Version> {
        self.component.as_ref().map(Component::version)
    }

    /// Whether the component has an optional export.
    pub(super) fn exports(&self, export: OptionalExport) -> bool {
        self.component
            .as_ref()
            .is_some_and(|component| component.exports().has(export))
    }

    /// Runs one call. A fault other than an error that the guest returns kills the instance.
    ///
    /// While the call runs on the pool, messages that hold up other services go from the queue to its spool.
    ///
    /// # Errors
    /// The fault of the guest; nothing that the call asked for has happened.
    pub(super) async fn call(&mut self, call: Call, queue: &mut Queue) -> Result<Effects, Fault> {
        let Some(instance) = self.instance.take() else {
            return Err(Fault::Bug("a call without an instance".to_owned()));
        };
        record(&mut self.recorder, |recorder| recorder.on_call(&call));
        let is_sampled = self.executor.samples(&call);
        let call = Box::pin(instance.call(call));
        let mut running = pin!(self.executor.run(call, is_sampled));

        // most calls end at their first poll; only a slow one pays for looking after the queue
        let mut polled = poll_fn(|context| Poll::Ready(running.as_mut().poll(context))).await;
        let (instance, result) = loop {
            match polled {
                Poll::Ready(outcome) => break outcome,
                Poll::Pending => tokio::select! {
                    biased;
                    outcome = &mut running => polled = Poll::Ready(outcome),
                    () = Box::pin(queue.progress(false)) => {}
                },
            }
        };

        self.instance = instance;
        record(&mut self.recorder, |recorder| {
            recorder.on_outcome(&result);
        });
        result
    }

    /// Begins to record the calls.
    pub(super) fn set_recorder(&mut self, recorder: Recorder) {
        self.recorder = Some(Box::new(recorder));
    }

    /// Whether the calls are recorded.
    pub(super) fn is_recorded(&self) -> bool {
        let recorder = self.recorder.as_ref();
        recorder.is_some_and(|recorder| !recorder.has_ended())
    }

    /// Has the recorder do something, if there is one; one whose recording has ended is dropped.
    pub(super) fn record(&mut self, act: impl FnOnce(&mut Recorder)) {
        record(&mut self.recorder, act);
    }

    /// The context for a new instance in place of the present one.
    pub(super) fn next_ctx(&mut self, ctx: &Arc<ServiceCtx>) -> Arc<ServiceCtx> {
        match &mut self.recorder {
            Some(recorder) => recorder.next_ctx(ctx),
            None => ctx.clone(),
        }
    }
}

/// Not a method, because a running call borrows the executor.
fn record(recorder: &mut Option<Box<Recorder>>, act: impl FnOnce(&mut Recorder)) {
    let Some(present) = recorder else {
        return;
    };
    act(present);
    if present.has_ended() {
        *recorder = None;
    }
}
