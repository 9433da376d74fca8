//! Machine: where a guest call runs. In: an instance and what to call. Out: the instance and the effects or the fault, and what of
//! the call's duration is known. Owns the decision: calls begin on the message path, where no thread hop is paid. One that is still
//! running at the next epoch tick moves to the pool; after one that was slow, calls begin there until the service has shown that it
//! is fast again. So a slow guest holds up nobody, for longer than once. What a service runs that has lately exceeded a limit or died
//! has only the processor time that nobody else wants, as long as there is any, and so has a call from a tenth of `limits.call` on.

use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::effects::Effects;
use crate::guest::{Call, Component, Fault, Instance, Setting};
use crate::store::Left;

use super::Prepared;
use super::pools::{Pools, Work};
use super::swap::private;

/// What messages of other services may wait for one call. It is little beside the time that a message takes anyway, and much beside
/// what a thread hop costs.
const SHORT: Duration = Duration::from_micros(200);

/// So many short calls on the pool, one after the other, bring the service back to the message path.
const TRUSTED: u32 = 32;

/// For so long after an offence a service has only spare time.
const PENALTY: Duration = Duration::from_secs(10);

/// The part of `limits.call` that a call may compute before it has only spare time; see [`Pools`].
const SHARE: u32 = 10;

/// One in so many calls for a message is measured: reading the clock twice would cost a short call a tenth of its time.
const SAMPLE: u32 = 16;

/// What a guest call came to: the instance unless it died, and the effects or the fault.
pub type Outcome<T = Effects> = (Option<Box<Instance>>, Result<T, Fault>);

/// Runs the calls of one service, one after the other.
#[derive(Debug)]
pub struct Caller {
    pools: Pools,
    /// What a call may compute before it has only spare time, unless the service has offended.
    share: Duration,
    /// Until when the service has only spare time.
    penalty: Option<Instant>,
    /// How many short calls are to be seen on the pool yet; zero: calls begin on the message path.
    owed: u32,
    /// Calls for messages, counted to measure some.
    messages: u32,
    took: Option<Duration>,
}

impl Caller {
    /// Calls begin on the message path; the pools take those that turn out slow. `limit`: `limits.call`.
    pub fn new(pools: Pools, limit: Duration) -> Self {
        Self {
            pools,
            share: limit / SHARE,
            penalty: None,
            owed: 0,
            messages: 0,
            took: None,
        }
    }

    /// From the next call on this is `limits.call`.
    pub fn set_limit(&mut self, limit: Duration) {
        self.share = limit / SHARE;
    }

    /// The service has offended.
    pub fn penalise(&mut self, now: Instant) {
        self.penalty = Some(now + PENALTY);
    }

    /// The processor time that work may have before it has only spare time.
    fn patience(&mut self) -> Duration {
        self.penalty = self.penalty.filter(|end| *end > Instant::now());
        if self.penalty.is_some() {
            Duration::ZERO
        } else {
            self.share
        }
    }

    /// Runs work on the pools and says how long it ran.
    async fn run_on_pools<T: Send + 'static>(
        &mut self,
        work: Work<T>,
    ) -> Result<(T, Duration), Fault> {
        let patience = self.patience();
        let run = self.pools.run(work, patience).await;
        run.map_err(|error| Fault::Bug(error.to_string()))
    }

    /// Whether calls begin on the message path, where they are short.
    pub fn is_fast(&self) -> bool {
        self.owed == 0
    }

    /// How long the last call ran, if it was measured: of calls for messages one in sixteen is, of others each.
    pub fn took(&self) -> Option<Duration> {
        self.took
    }

    /// Runs one call to its end.
    pub async fn call(&mut self, instance: Box<Instance>, call: Call) -> Outcome {
        let measured = if matches!(call, Call::Message { .. }) {
            self.messages = self.messages.wrapping_add(1);
            self.messages % SAMPLE == 1
        } else {
            true
        };
        self.run(Box::pin(instance.call(call)), measured).await
    }

    /// Runs `save`: its bytes, or `None` when the guest does not export it.
    pub async fn save(&mut self, instance: Box<Instance>) -> Outcome<Option<Vec<u8>>> {
        self.run(Box::pin(instance.save()), true).await
    }

    async fn run<T: Send + 'static>(
        &mut self,
        mut future: Work<Outcome<T>>,
        measured: bool,
    ) -> Outcome<T> {
        if self.is_fast() {
            let begun = measured.then(Instant::now);
            // a no-op waker: what is not finished now is polled afresh on the pool
            if let Poll::Ready(outcome) = future
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()))
            {
                self.took = begun.map(|begun| begun.elapsed());
                if self.took.is_some_and(|took| took > SHORT) {
                    self.owed = TRUSTED;
                }
                return outcome;
            }
            self.owed = TRUSTED;
        }
        // seldom, so it does not make the future of every call larger
        Box::pin(self.run_slowly(future)).await
    }

    async fn run_slowly<T: Send + 'static>(&mut self, future: Work<Outcome<T>>) -> Outcome<T> {
        match self.run_on_pools(future).await {
            Ok((outcome, took)) => {
                self.took = Some(took);
                self.owed = if took > SHORT {
                    TRUSTED
                } else {
                    self.owed.saturating_sub(1)
                };
                outcome
            }
            Err(fault) => {
                self.took = None;
                (None, Err(fault))
            }
        }
    }

    /// Runs something beside the service.
    pub fn spawn(&mut self, future: impl Future<Output = ()> + Send + 'static) {
        let patience = self.patience();
        let pools = self.pools.clone();
        let run = async move { drop(pools.run(Box::pin(future), patience).await) };
        // it ends by itself
        drop(self.pools.usual.spawn(run));
    }

    /// Has a started instance load what another has saved.
    ///
    /// # Errors
    /// What the guest did wrong; the instance is of no use then.
    pub async fn load(&mut self, prepared: Prepared, saved: Bytes) -> Result<Prepared, Fault> {
        let Prepared {
            component,
            instance,
            effects,
        } = prepared;
        loaded(
            component,
            effects,
            self.call(instance, Call::Load(saved)).await,
        )
    }

    /// As [`prepare_with`], on the pool.
    ///
    /// # Errors
    /// What the guest did wrong; nothing of it has taken effect.
    pub async fn prepare_with(
        &mut self,
        component: Component,
        setting: &Setting,
        left: &Left,
    ) -> Result<Prepared, Fault> {
        let (setting, left) = (private(setting, left), left.clone());
        let work = async move { prepare_with(component, setting, &left).await };
        self.run_on_pools(Box::pin(work)).await?.0
    }

    /// Makes an instance and runs its `start` on the pool: what starts is not in a hurry.
    ///
    /// # Errors
    /// What the guest did wrong; nothing of it has taken effect.
    pub async fn prepare(
        &mut self,
        component: Component,
        setting: Arc<Setting>,
    ) -> Result<Prepared, Fault> {
        let work = prepare(component, setting);
        self.run_on_pools(Box::pin(work)).await?.0
    }
}

/// Makes an instance and runs its `start`.
///
/// # Errors
/// What the guest did wrong; nothing of it has taken effect.
pub async fn prepare(component: Component, setting: Arc<Setting>) -> Result<Prepared, Fault> {
    let instance = component.instantiate(setting).await?;
    let (instance, result) = instance.call(Call::Start).await;
    let effects = result?;
    match instance {
        Some(instance) => Ok(Prepared {
            component,
            instance,
            effects,
        }),
        None => Err(Fault::Bug(
            "start ended well and left no instance".to_owned(),
        )),
    }
}

/// Makes an instance of a former version, runs its `start`, and has it load what it saved when it was replaced. `setting`: see
/// [`private`].
///
/// # Errors
/// What the guest did wrong; nothing of it has taken effect.
pub async fn prepare_with(
    component: Component,
    setting: Arc<Setting>,
    left: &Left,
) -> Result<Prepared, Fault> {
    load(prepare(component, setting).await?, left.saved.clone()).await
}

/// Has a started instance load what another has saved, if there is anything.
///
/// # Errors
/// What the guest did wrong; the instance is of no use then.
pub async fn load(prepared: Prepared, saved: Option<Bytes>) -> Result<Prepared, Fault> {
    let Some(saved) = saved else {
        return Ok(prepared);
    };
    let Prepared {
        component,
        instance,
        effects,
    } = prepared;
    loaded(component, effects, instance.call(Call::Load(saved)).await)
}

fn loaded(
    component: Component,
    mut effects: Effects,
    (instance, result): Outcome,
) -> Result<Prepared, Fault> {
    effects.append(result?);
    let instance =
        instance.ok_or_else(|| Fault::Bug("load ended well and left no instance".to_owned()))?;
    Ok(Prepared {
        component,
        instance,
        effects,
    })
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
    async fn what_was_slow_runs_on_the_pool_until_it_is_fast_again() {
        let [usual, spare] = ["pool", "spare"].map(runtime);
        let pools = Pools::with_spare_time(usual.handle().clone(), spare.handle().clone());
        let mut caller = Caller::new(pools, Duration::from_secs(1));
        let slow = caller
            .run(Box::pin(compute(2 * SHORT)), true)
            .await
            .1
            .unwrap();
        assert_ne!(slow, "pool", "a first call begins on the message path");
        assert!(caller.took().unwrap() >= 2 * SHORT);
        let (mut on_pool, end) = (0, Instant::now() + Duration::from_secs(30));
        while caller
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
            caller.took(),
            None,
            "on the message path, only what is to be measured is"
        );
        caller.owed = TRUSTED;
        caller.penalise(Instant::now());
        assert_eq!(
            caller
                .run(Box::pin(compute(Duration::ZERO)), false)
                .await
                .1
                .unwrap(),
            "spare"
        );
        caller.penalise(Instant::now().checked_sub(PENALTY).unwrap());
        assert_eq!(
            caller
                .run(Box::pin(compute(Duration::ZERO)), false)
                .await
                .1
                .unwrap(),
            "pool"
        );
        caller.penalty = None;
        caller.set_limit(10 * PIECE);
        let late = async {
            for _ in 0..10 {
                drop(compute(PIECE).await);
                tokio::task::yield_now().await;
            }
            compute(PIECE).await
        };
        assert_eq!(
            caller.run(Box::pin(late), false).await.1.unwrap(),
            "spare",
            "it computed for more than its part"
        );
        usual.shutdown_background();
        spare.shutdown_background();
    }
}
