//! Executor of one service's guest calls: decides on which thread a call runs.
//!
//! Calls begin on the message path, where no thread hop is paid. A call that is still computing at the next epoch tick moves to the
//! pool; after a slow call, the next ones begin on the pool until the service has shown that it is fast again. So a slow guest
//! delays others once at most. A call that waits for an answer delays nobody: it stays on the message path, so that a call between
//! two services of the host pays no hop either. Services that recently exceeded a limit or died have only spare processor time, as
//! long as there is any. So has any call that has used a tenth of `limits.call`.

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tracing::Instrument;

use crate::effects::Effects;
use crate::guest::{Call, Component, Fault, Instance};
use crate::rollout::handover::{StartedInstance, from_load, isolated_ctx, prepare, prepare_former};
use crate::service_ctx::ServiceCtx;
use crate::store::Snapshot;

use super::pools::{PoolRun, Pools, Work};
use super::turn::Turn;

/// Time that messages of other services may wait for the computing of one call. It is little compared with the time that a message takes anyway,
/// and much compared with the cost of a thread hop.
const SHORT: Duration = Duration::from_micros(200);

/// Consecutive short calls on the pool that bring the service back to the message path.
const TRUSTED: u32 = 32;

/// Time after an offence for which a service has only spare processor time.
const PENALTY: Duration = Duration::from_secs(10);

/// Fraction of `limits.call` that a call may compute before it has only spare processor time; see [`Pools`].
const SHARE: u32 = 10;

/// One in this number of message calls is measured: reading the clock twice would cost a short call a tenth of its time.
const SAMPLE: u32 = 16;

/// Outcome of a guest call: the instance unless it died, and the effects or the fault.
pub(super) type Outcome<T = Effects> = (Option<Box<Instance>>, Result<T, Fault>);

/// Runs the calls of one service, one after the other.
#[derive(Debug)]
pub(super) struct Executor {
    pools: Pools,
    /// Processor time that a call may have before it has only spare time, unless the service has offended.
    cpu_budget: Duration,
    /// End of the time in which the service has only spare time.
    penalty_end: Option<Instant>,
    /// Short calls on the pool until calls begin on the message path again; zero: they do.
    short_calls_required: u32,
    /// Calls for messages, counted to measure some of them.
    messages: u32,
    /// Whether the next call is measured in any case.
    measures_next: bool,
    took: Option<Duration>,
    turn: Turn,
}

impl Executor {
    /// Creates an executor whose calls begin on the message path. `limit`: `limits.call`.
    pub(super) fn new(pools: Pools, limit: Duration) -> Self {
        Self {
            pools,
            cpu_budget: limit / SHARE,
            penalty_end: None,
            short_calls_required: 0,
            messages: 0,
            measures_next: false,
            took: None,
            turn: Turn::new(),
        }
    }

    /// Changes `limits.call` from the next call on.
    pub(super) fn set_limit(&mut self, limit: Duration) {
        self.cpu_budget = limit / SHARE;
    }

    /// Gives the service only spare processor time for a while: it exceeded a limit or died.
    pub(super) fn penalise(&mut self, now: Instant) {
        self.penalty_end = Some(now + PENALTY);
    }

    /// Processor time that work may have now before it has only spare time.
    fn current_budget(&mut self) -> Duration {
        self.penalty_end = self.penalty_end.filter(|end| *end > Instant::now());
        if self.penalty_end.is_some() {
            Duration::ZERO
        } else {
            self.cpu_budget
        }
    }

    /// Runs work on the pools.
    async fn run_on_pools<T: Send + 'static>(
        &mut self,
        work: Work<T>,
    ) -> Result<PoolRun<T>, Fault> {
        let budget = self.current_budget();
        let run = self.pools.run(work, budget).await;
        run.map_err(|error| Fault::Bug(error.to_string()))
    }

    /// Whether calls begin on the message path, because the last ones were short.
    pub(super) fn is_fast(&self) -> bool {
        self.short_calls_required == 0
    }

    /// Duration of the last call, if it was measured: one in sixteen message calls is, and every other call.
    pub(super) fn took(&self) -> Option<Duration> {
        self.took
    }

    /// Whether this call is to be measured.
    pub(super) fn samples(&mut self, call: &Call) -> bool {
        if !matches!(call, Call::Message { .. }) {
            return true;
        }
        self.messages = self.messages.wrapping_add(1);
        std::mem::take(&mut self.measures_next) || self.messages % SAMPLE == 1
    }

    /// Has the next call for a message measured, because somebody wants to know how long it takes.
    pub(super) fn measure_next(&mut self) {
        self.measures_next = true;
    }

    /// Runs `save`. Returns its bytes, or `None` when the guest does not export it.
    pub(super) async fn save(&mut self, instance: Box<Instance>) -> Outcome<Option<Vec<u8>>> {
        self.run(Box::pin(instance.save()), true).await
    }

    /// Runs one call to its end.
    pub(super) async fn run<T: Send + 'static>(
        &mut self,
        mut future: Work<Outcome<T>>,
        measured: bool,
    ) -> Outcome<T> {
        if !self.is_fast() {
            return Box::pin(self.run_on_pool(future, Duration::ZERO)).await;
        }

        let begun = measured.then(Instant::now);
        if let Poll::Ready(outcome) = self.turn.poll(&mut future) {
            self.took = begun.map(|begun| begun.elapsed());
            if self.took.is_some_and(|took| took > SHORT) {
                self.short_calls_required = TRUSTED;
            }
            return outcome;
        }

        // boxed because it is rare: it would make the future of every call larger
        Box::pin(self.run_on(future, begun.unwrap_or_else(Instant::now))).await
    }

    /// Runs a call that did not end at its first turn: on the message path while it waits, on the pool from the moment on when it
    /// computes for long.
    async fn run_on<T: Send + 'static>(
        &mut self,
        mut future: Work<Outcome<T>>,
        begun: Instant,
    ) -> Outcome<T> {
        let mut computed = Duration::ZERO;
        let waited = poll_fn(|context| {
            while !self.turn.computes() && computed <= SHORT {
                if !self.turn.is_due(context.waker()) {
                    return Poll::Pending;
                }
                let turn = Instant::now();
                let polled = self.turn.poll(&mut future);
                computed += turn.elapsed();
                if polled.is_ready() {
                    return polled.map(Some);
                }
            }

            Poll::Ready(None)
        });

        if let Some(outcome) = waited.await {
            self.took = Some(begun.elapsed());
            self.count(computed);
            return outcome;
        }

        self.short_calls_required = TRUSTED;
        self.run_on_pool(future, begun.elapsed()).await
    }

    /// Runs the rest of a call on the pool. `before`: how long the call has taken already.
    async fn run_on_pool<T: Send + 'static>(
        &mut self,
        future: Work<Outcome<T>>,
        before: Duration,
    ) -> Outcome<T> {
        match self.run_on_pools(future).await {
            Ok(run) => {
                self.took = Some(before + run.took);
                self.count(run.computed);
                run.output
            }
            Err(fault) => {
                self.took = None;
                (None, Err(fault))
            }
        }
    }

    /// Counts a call that has computed for so long, waiting not included.
    fn count(&mut self, computed: Duration) {
        self.short_calls_required = if computed > SHORT {
            TRUSTED
        } else {
            self.short_calls_required.saturating_sub(1)
        };
    }

    /// Runs something in the background.
    #[expect(
        clippy::disallowed_methods,
        reason = "it ends by itself, with the service"
    )]
    pub(super) fn spawn(&mut self, future: impl Future<Output = ()> + Send + 'static) {
        let budget = self.current_budget();
        let pools = self.pools.clone();
        let run = async move { drop(pools.run(Box::pin(future), budget).await) };
        // it ends by itself, so nothing waits for its handle
        drop(self.pools.usual.spawn(run.in_current_span()));
    }

    /// Has a started instance load the state that another one saved.
    ///
    /// # Errors
    /// The fault of the guest; the instance is useless then.
    pub(super) async fn load(
        &mut self,
        prepared: StartedInstance,
        saved: Bytes,
    ) -> Result<StartedInstance, Fault> {
        let StartedInstance {
            component,
            instance,
            effects,
        } = prepared;
        let load = Box::pin(instance.call(Call::Load(saved)));
        from_load(component, effects, self.run(load, true).await)
    }

    /// As [`prepare_former`], on the pool.
    ///
    /// # Errors
    /// The fault of the guest; nothing that it asked for has happened.
    pub(super) async fn prepare_former(
        &mut self,
        component: Component,
        ctx: &ServiceCtx,
        snapshot: &Snapshot,
    ) -> Result<StartedInstance, Fault> {
        let ctx = isolated_ctx(ctx, snapshot);
        let snapshot = snapshot.clone();
        let work = async move { prepare_former(component, ctx, &snapshot).await };
        self.run_on_pools(Box::pin(work)).await?.output
    }

    /// Makes an instance and runs its `start` on the pool, because a start is not urgent.
    ///
    /// # Errors
    /// The fault of the guest; nothing that it asked for has happened.
    pub(super) async fn prepare(
        &mut self,
        component: Component,
        ctx: Arc<ServiceCtx>,
    ) -> Result<StartedInstance, Fault> {
        let work = prepare(component, ctx);
        self.run_on_pools(Box::pin(work)).await?.output
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const PIECE: Duration = Duration::from_millis(1);

    fn runtime(name: &str) -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name(name)
            .enable_all()
            .build()
            .unwrap()
    }

    /// Computes for `span` and gives the name of the thread that it did it on.
    async fn compute(span: Duration) -> Outcome<String> {
        let begun = Instant::now();
        while begun.elapsed() < span {}
        (
            None,
            Ok(std::thread::current().name().unwrap_or_default().to_owned()),
        )
    }

    #[tokio::test]
    #[expect(
        clippy::too_many_lines,
        reason = "one scenario, read from top to bottom"
    )]
    async fn slow_services_run_on_the_pool_until_fast() {
        let [usual, spare] = ["pool", "spare"].map(runtime);
        let pools = Pools::with_spare_time(usual.handle().clone(), spare.handle().clone());
        let mut executor = Executor::new(pools, Duration::from_secs(1));
        let slow = executor
            .run(Box::pin(compute(2 * SHORT)), true)
            .await
            .1
            .unwrap();
        assert_ne!(slow, "pool", "a first call begins on the message path");
        assert!(executor.took().unwrap() >= 2 * SHORT);
        let mut on_pool = 0;
        let end = Instant::now() + Duration::from_secs(30);
        while executor
            .run(Box::pin(compute(Duration::ZERO)), false)
            .await
            .1
            .unwrap()
            == "pool"
        {
            on_pool += 1;
            assert!(Instant::now() < end, "it does not come back from the pool");
        }

        assert!(on_pool >= TRUSTED, "back after {on_pool} calls");
        assert_eq!(
            executor.took(),
            None,
            "on the message path, only what is to be measured is"
        );
        executor.short_calls_required = TRUSTED;
        executor.penalise(Instant::now());
        assert_eq!(
            executor
                .run(Box::pin(compute(Duration::ZERO)), false)
                .await
                .1
                .unwrap(),
            "spare"
        );

        executor.penalise(Instant::now().checked_sub(PENALTY).unwrap());
        assert_eq!(
            executor
                .run(Box::pin(compute(Duration::ZERO)), false)
                .await
                .1
                .unwrap(),
            "pool"
        );

        executor.penalty_end = None;
        executor.set_limit(10 * PIECE);
        let late = async {
            for _ in 0..10 {
                drop(compute(PIECE).await);
                tokio::task::yield_now().await;
            }
            compute(PIECE).await
        };

        assert_eq!(
            executor.run(Box::pin(late), false).await.1.unwrap(),
            "spare",
            "it computed for more than its part"
        );
        usual.shutdown_background();
        spare.shutdown_background();
    }

    /// Pools with a thread each, and an executor on them.
    fn executor_on_pools() -> (Executor, [tokio::runtime::Runtime; 2]) {
        let runtimes = ["pool", "spare"].map(runtime);
        let [usual, spare] = &runtimes;
        let pools = Pools::with_spare_time(usual.handle().clone(), spare.handle().clone());
        (Executor::new(pools, Duration::from_secs(1)), runtimes)
    }

    fn shut_down(runtimes: [tokio::runtime::Runtime; 2]) {
        for runtime in runtimes {
            runtime.shutdown_background();
        }
    }

    /// Waits for an answer, and computes for `span` then.
    async fn ask(span: Duration) -> Outcome<String> {
        let (answer, answered) = tokio::sync::oneshot::channel();
        tokio::spawn(async move {
            tokio::time::sleep(2 * SHORT).await;
            answer.send(())
        });
        answered.await.unwrap();
        compute(span).await
    }

    #[tokio::test]
    async fn waiting_call_stays_on_the_message_path() {
        let (mut executor, runtimes) = executor_on_pools();
        for _ in 0..3 {
            let answered = executor.run(Box::pin(ask(Duration::ZERO)), false).await;
            assert_ne!(answered.1.unwrap(), "pool");
        }
        assert!(
            executor.took().unwrap() >= 2 * SHORT,
            "the wait is measured"
        );
        assert!(executor.is_fast());

        let yielding = async {
            drop(ask(Duration::ZERO).await);
            tokio::task::yield_now().await;
            drop(compute(2 * SHORT).await);
            tokio::task::yield_now().await;
            compute(Duration::ZERO).await
        };

        let computed = executor.run(Box::pin(yielding), false).await;
        assert_eq!(computed.1.unwrap(), "pool", "it computes after its wait");
        assert!(!executor.is_fast());
        shut_down(runtimes);
    }

    #[tokio::test]
    async fn waits_on_the_pool_do_not_count_as_computing() {
        let (mut executor, runtimes) = executor_on_pools();
        executor.short_calls_required = 2;
        for _ in 0..2 {
            let wait = async {
                tokio::time::sleep(5 * SHORT).await;
                compute(Duration::ZERO).await
            };
            let waited = executor.run(Box::pin(wait), false).await;
            assert_eq!(waited.1.unwrap(), "pool");
        }

        assert!(executor.is_fast());
        shut_down(runtimes);
    }
}
