//! Executors for work that can wait: the usual pool, which keeps a tenth of a busy machine, and the spare pool, whose thread has
//! only the processor time that no other thread uses (see [`crate::priority`]).
//!
//! A machine that is always busy has no spare time, and a thread that waits for it cannot be given a better rank: leaving
//! SCHED_IDLE takes a privilege. So the spare pool gets work only after a measurement has shown spare time, the work lies in
//! a [`Slot`] between its turns, and it goes back to the usual pool when the spare pool stands still.
#![expect(
    clippy::disallowed_methods,
    reason = "this is the place that spawns on the pools"
)]

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::task::JoinError;
use tokio::time::timeout;
use tracing::Instrument;

use crate::priority::processor_time;

/// So long the spare pool may stand still before it counts as starved. A turn of a guest lasts a millisecond.
const STANDSTILL: Duration = Duration::from_millis(100);

/// There is spare time when the spare pool computes for at least this fraction of a turn; the usual pool has as much.
const SHARE: u32 = 10;

/// The computing that shows whether there is spare time.
const SAMPLE: Duration = Duration::from_millis(5);

/// The time between two measurements.
const PAUSE: Duration = Duration::from_secs(1);

/// Work that may move to another pool whenever it yields.
pub(super) type Work<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The runtimes for work that is not in a hurry. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Pools {
    /// For slow guest calls; it stands back behind the message path.
    pub usual: Handle,
    /// For services that offend and for calls that take long.
    spare: Handle,
    spare_time: Arc<SpareTime>,
}

/// Work that has ended on the pools.
#[derive(Debug)]
pub(super) struct PoolRun<T> {
    pub(super) output: T,
    /// How long it ran, from its first turn on.
    pub(super) took: Duration,
    /// Processor time of it. Waiting, also for the processor, does not count.
    pub(super) computed: Duration,
}

/// The end of work on one pool.
enum PoolTurn<T> {
    Ended(PoolRun<T>),
    /// It continues on another pool.
    Moves(PoolRun<Work<T>>),
}

impl Pools {
    /// `spare`: with a thread that has spare time only. Whether there is any is measured when it is first wanted.
    pub fn new(usual: Handle, spare: Handle) -> Self {
        Self {
            usual,
            spare,
            spare_time: Arc::default(),
        }
    }

    #[cfg(test)]
    pub(super) fn with_spare_time(usual: Handle, spare: Handle) -> Self {
        let pools = Self::new(usual, spare);
        pools.spare_time.set(true);
        pools
    }

    /// Runs work to its end. From `patience` of processor time on it has only spare time, as long as there is any.
    ///
    /// # Errors
    /// When the work panics.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        mut work: Work<T>,
        mut patience: Duration,
    ) -> Result<PoolRun<T>, JoinError> {
        let mut before = Duration::ZERO;
        let mut computed = Duration::ZERO;
        loop {
            let turned = if patience.is_zero() && self.has_spare_time() {
                self.run_on_spare(work).await?
            } else {
                let run = self.clone().run_on_usual(work, patience);
                self.usual.spawn(run.in_current_span()).await?
            };

            match turned {
                PoolTurn::Ended(mut run) => {
                    run.took += before;
                    run.computed += computed;
                    return Ok(run);
                }
                PoolTurn::Moves(run) => {
                    work = run.output;
                    patience = patience.saturating_sub(run.computed);
                    before += run.took;
                    computed += run.computed;
                }
            }
        }
    }

    async fn run_on_usual<T>(self, mut work: Work<T>, patience: Duration) -> PoolTurn<T> {
        let begun = Instant::now();
        let mut computed = Duration::ZERO;
        let output = poll_fn(|context| {
            let before = processor_time();
            let polled = work.as_mut().poll(context);
            computed += processor_time().saturating_sub(before);
            if polled.is_ready() {
                return polled.map(Some);
            }

            if computed > patience && self.has_spare_time() {
                Poll::Ready(None)
            } else {
                Poll::Pending
            }
        });

        let output = output.await;
        let took = begun.elapsed();
        match output {
            Some(output) => PoolTurn::Ended(PoolRun {
                output,
                took,
                computed,
            }),
            None => PoolTurn::Moves(PoolRun {
                output: work,
                took,
                computed,
            }),
        }
    }

    async fn run_on_spare<T: Send + 'static>(
        &self,
        work: Work<T>,
    ) -> Result<PoolTurn<T>, JoinError> {
        let begun = Instant::now();
        let slot = Arc::new(Slot::new(work));
        let run = slot.clone().run(self.spare_time.clone());
        let mut task = self.spare.spawn(run.in_current_span());

        let mut turns = self.spare_time.turns.load(Ordering::Relaxed);
        loop {
            if let Ok(turned) = timeout(STANDSTILL, &mut task).await {
                return turned;
            }

            let former = turns;
            turns = self.spare_time.turns.load(Ordering::Relaxed);
            if turns == former && !slot.has_begun.load(Ordering::Relaxed) {
                self.spare_time.set(false);
            }
            if !self.spare_time.is_there()
                && let Some(work) = slot.take()
            {
                task.abort();
                return Ok(PoolTurn::Moves(PoolRun {
                    output: work,
                    took: begun.elapsed(),
                    computed: Duration::ZERO,
                }));
            }
        }
    }

    /// Whether the last measurement found spare time. If it did not, another measurement is started.
    fn has_spare_time(&self) -> bool {
        let there = self.spare_time.is_there();
        if !there && !self.spare_time.is_measured.swap(true, Ordering::Relaxed) {
            // it ends by itself
            drop(self.spare.spawn(self.spare_time.clone().measure()));
        }
        there
    }
}

/// Whether the machine has spare time, as far as the spare pool has seen.
#[derive(Debug, Default)]
struct SpareTime {
    is_there: AtomicBool,
    /// Whether it is being measured.
    is_measured: AtomicBool,
    /// Turns of work on the spare pool, counted to see whether it stands still.
    turns: AtomicU32,
}

impl SpareTime {
    fn is_there(&self) -> bool {
        self.is_there.load(Ordering::Relaxed)
    }

    fn set(&self, is_there: bool) {
        self.is_there.store(is_there, Ordering::Relaxed);
    }

    /// Runs on the spare pool.
    async fn measure(self: Arc<Self>) {
        let begun = Instant::now();
        let before = processor_time();
        let mut computed = Duration::ZERO;
        while computed < SAMPLE {
            computed = processor_time().saturating_sub(before);
        }

        let suffices = suffices(begun.elapsed(), computed);
        self.set(suffices);
        if !suffices {
            tokio::time::sleep(PAUSE).await;
        }
        self.is_measured.store(false, Ordering::Relaxed);
    }
}

/// Whether a thread that `computed` for so much of `span` has its share.
fn suffices(span: Duration, computed: Duration) -> bool {
    span <= computed * SHARE
}

/// Whether a turn that lasted for `span` was held up for want of spare time.
fn is_starved(span: Duration, computed: Duration) -> bool {
    span >= STANDSTILL && !suffices(span, computed)
}

/// Work on the spare pool. Between two turns it can be taken back.
struct Slot<T> {
    work: Mutex<Option<Work<T>>>,
    has_begun: AtomicBool,
}

impl<T> Slot<T> {
    fn new(work: Work<T>) -> Self {
        Self {
            work: Mutex::new(Some(work)),
            has_begun: AtomicBool::new(false),
        }
    }

    /// Takes the work out; `None` during a turn.
    fn take(&self) -> Option<Work<T>> {
        self.lock().take()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Work<T>>> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs the work until it ends or starves; for ever when it was taken back.
    async fn run(self: Arc<Self>, spare_time: Arc<SpareTime>) -> PoolTurn<T> {
        let begun = Instant::now();
        let mut computed = Duration::ZERO;
        poll_fn(|context| {
            let Some(mut work) = self.take() else {
                return Poll::Pending;
            };
            self.has_begun.store(true, Ordering::Relaxed);

            let turn = Instant::now();
            let before = processor_time();
            let polled = work.as_mut().poll(context);
            let turn_computed = processor_time().saturating_sub(before);
            computed += turn_computed;
            if let Poll::Ready(output) = polled {
                return Poll::Ready(PoolTurn::Ended(PoolRun {
                    output,
                    took: begun.elapsed(),
                    computed,
                }));
            }

            spare_time.turns.fetch_add(1, Ordering::Relaxed);
            if is_starved(turn.elapsed(), turn_computed) {
                spare_time.set(false);
                return Poll::Ready(PoolTurn::Moves(PoolRun {
                    output: work,
                    took: begun.elapsed(),
                    computed,
                }));
            }

            *self.lock() = Some(work);
            Poll::Pending
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::mpsc;
    use std::thread;

    use tokio::runtime::{Builder, Runtime};

    use super::*;

    /// Two pools, of which each has one thread with its name. Spare time is there.
    struct Machine {
        usual: Runtime,
        spare: Runtime,
        pools: Pools,
    }

    impl Machine {
        fn new() -> Self {
            let [usual, spare] = ["usual", "spare"].map(|name| {
                let mut builder = Builder::new_multi_thread();
                builder.worker_threads(1).thread_name(name).enable_all();
                builder.build().unwrap()
            });
            let pools = Pools::with_spare_time(usual.handle().clone(), spare.handle().clone());
            Self {
                usual,
                spare,
                pools,
            }
        }

        /// The threads that the turns of `work` run on.
        async fn run(&self, work: impl Future<Output = Vec<String>> + Send + 'static) -> String {
            let run = self.pools.run(Box::pin(work), Duration::ZERO);
            run.await.unwrap().output.join(" ")
        }

        fn end(self) {
            self.usual.shutdown_background();
            self.spare.shutdown_background();
        }
    }

    fn here() -> String {
        thread::current().name().unwrap_or_default().to_owned()
    }

    /// Keeps its thread busy otherwise, so far as others see, in the second of three turns on the spare pool.
    async fn starved() -> Vec<String> {
        let mut turns = vec![here()];
        tokio::task::yield_now().await;
        turns.push(here());
        thread::sleep(STANDSTILL);
        tokio::task::yield_now().await;
        turns.push(here());
        turns
    }

    #[test]
    fn a_turn_is_starved_when_it_lasts_long_and_computes_little() {
        let [millisecond, second] = [1, 1000].map(Duration::from_millis);
        assert!(!is_starved(millisecond, Duration::ZERO), "it was short");
        assert!(is_starved(second, 99 * millisecond));
        assert!(!is_starved(second, 100 * millisecond), "it had its share");
    }

    #[tokio::test]
    async fn work_leaves_a_pool_that_does_not_begin_it() {
        let machine = Machine::new();
        let (busy, end) = mpsc::channel::<()>();
        machine.spare.spawn(async move { end.recv() });
        let both =
            async { tokio::join!(machine.run(async { vec![here()] }), machine.run(starved())) };
        let (one, other) = both.await;
        assert_eq!(one, "usual");
        assert_eq!(other, "usual usual usual");
        assert!(!machine.pools.has_spare_time());

        drop(busy);
        let limit = Instant::now() + Duration::from_secs(30);
        while machine.run(async { vec![here()] }).await != "spare" {
            assert!(Instant::now() < limit, "spare time is not found again");
        }
        machine.end();
    }

    #[tokio::test]
    async fn work_leaves_a_pool_on_which_it_starves() {
        let machine = Machine::new();
        assert_eq!(machine.run(starved()).await, "spare spare usual");
        machine.end();
    }

    #[tokio::test]
    async fn calls_move_to_the_spare_pool_with_spare_time() {
        let machine = Machine::new();
        machine.pools.spare_time.set(false);
        let run = machine.run(async {
            let limit = Instant::now() + Duration::from_secs(30);
            let first = here();
            while here() == first && Instant::now() < limit {
                tokio::task::yield_now().await;
            }
            vec![first, here()]
        });

        assert_eq!(run.await, "usual spare");
        machine.end();
    }
}
