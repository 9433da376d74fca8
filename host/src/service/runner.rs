//! Runner of one service's guest: the component, its instance, where calls run, and the policy for faults and restarts.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use crate::config::Limits;
use crate::effects::Effects;
use crate::guest::{Call, Component, Fault, Instance, OptionalExport};
use crate::service_ctx::ServiceCtx;
use crate::version::Version;

use super::executor::Executor;
use super::pools::Pools;
use super::queue::Queue;
use super::retry::Retry;

/// Runner of one service's guest.
pub(super) struct Runner {
    /// Component that runs, or is started again; `None` while none could be loaded.
    pub(super) component: Option<Component>,
    /// Instance between two calls; `None` while a call runs, and after a fault that killed it.
    pub(super) instance: Option<Box<Instance>>,
    pub(super) executor: Executor,
    pub(super) retry: Retry,
}

impl Runner {
    /// Creates a runner that has no component yet.
    pub(super) fn new(pools: Pools, limits: &Limits) -> Self {
        Self {
            component: None,
            instance: None,
            executor: Executor::new(pools, limits.call.time),
            retry: Retry::new(limits),
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
        result
    }
}
