//! Machine: where a guest call runs. In: an instance and what to call. Out: the instance and the effects or the fault, and what of
//! the call's duration is known. Owns the decision: calls begin on the message path, where no thread hop is paid. One that is still
//! running at the next epoch tick moves to the pool; after one that was slow, calls begin there until the service has shown that it
//! is fast again. So a slow guest holds up nobody, for longer than once. What a service runs that has lately exceeded a limit or died
//! has only the processor time that nobody else wants, and so has a call from a tenth of `limits.call` on: on a machine that is busy all
//! the time the pool has a tenth of it, so such a call would not end in time there either.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::runtime::Handle;

use crate::effects::Effects;
use crate::guest::{Call, Component, Fault, Instance, Setting};
use crate::priority::processor_time;
use crate::store::Left;

use super::Prepared;
use super::swap::private;

/// What messages of other services may wait for one call. It is little beside the time that a message takes anyway, and much beside
/// what a thread hop costs.
const SHORT: Duration = Duration::from_micros(200);

/// So many short calls on the pool, one after the other, bring the service back to the message path.
const TRUSTED: u32 = 32;

/// For so long after an offence a service has only spare time.
const PENALTY: Duration = Duration::from_secs(10);

/// The part of `limits.call` that a call may compute before it has only spare time; see [`crate::priority`].
const SHARE: u32 = 10;

/// One in so many calls for a message is measured: reading the clock twice would cost a short call a tenth of its time.
const SAMPLE: u32 = 16;

/// What a guest call came to: the instance unless it died, and the effects or the fault.
pub type Outcome<T = Effects> = (Option<Box<Instance>>, Result<T, Fault>);

/// The runtimes for what is not in a hurry. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Pools {
    /// For slow guest calls; it stands back behind the message path.
    pub usual: Handle,
    /// For those of services that offend; it has spare processor time only.
    pub spare: Handle,
}

/// A call on its way to its end.
type Running<T> = Pin<Box<dyn Future<Output = Outcome<T>> + Send>>;

/// Runs the calls of one service, one after the other.
#[derive(Debug)]
pub struct Caller {
    pools: Pools,
    /// What a call may compute before it has only spare time.
    patience: Duration,
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
            patience: limit / SHARE,
            penalty: None,
            owed: 0,
            messages: 0,
            took: None,
        }
    }

    /// From the next call on this is `limits.call`.
    pub fn set_limit(&mut self, limit: Duration) {
        self.patience = limit / SHARE;
    }

    /// The service has offended.
    pub fn penalise(&mut self, now: Instant) {
        self.penalty = Some(now + PENALTY);
    }

    /// Where what is not in a hurry runs now.
    fn pool(&mut self) -> &Handle {
        self.penalty = self.penalty.filter(|end| *end > Instant::now());
        if self.penalty.is_some() {
            &self.pools.spare
        } else {
            &self.pools.usual
        }
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
        mut future: Running<T>,
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
        self.run_on_pool(future).await
    }

    async fn run_on_pool<T: Send + 'static>(&mut self, future: Running<T>) -> Outcome<T> {
        let (begun, patience) = (Instant::now(), self.patience);
        let ended = match self.pool().spawn(patiently(future, patience)).await {
            Ok(Ok(ended)) => Ok(ended),
            Ok(Err(late)) => self
                .pools
                .spare
                .spawn(late)
                .await
                .map(|outcome| (outcome, begun.elapsed())),
            Err(error) => Err(error),
        };
        match ended {
            Ok((outcome, took)) => {
                self.took = Some(took);
                self.owed = if took > SHORT {
                    TRUSTED
                } else {
                    self.owed.saturating_sub(1)
                };
                outcome
            }
            Err(error) => {
                self.took = None;
                (None, Err(Fault::Bug(error.to_string())))
            }
        }
    }

    /// Runs something beside the service.
    pub fn spawn(&mut self, future: impl Future<Output = ()> + Send + 'static) {
        // it ends by itself
        drop(self.pool().spawn(future));
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
        match self
            .pool()
            .spawn(async move { prepare_with(component, setting, &left).await })
            .await
        {
            Ok(result) => result,
            Err(error) => Err(Fault::Bug(error.to_string())),
        }
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
        match self.pool().spawn(prepare(component, setting)).await {
            Ok(result) => result,
            Err(error) => Err(Fault::Bug(error.to_string())),
        }
    }
}

/// Runs a call to its end and says how long that took.
///
/// # Errors
/// Gives the call back when it has computed for longer than `patience`; waiting, also for the processor, does not count.
async fn patiently<T>(
    mut call: Running<T>,
    patience: Duration,
) -> Result<(Outcome<T>, Duration), Running<T>> {
    let (begun, mut computed) = (Instant::now(), Duration::ZERO);
    let outcome = poll_fn(|context| {
        let before = processor_time();
        match call.as_mut().poll(context) {
            Poll::Ready(outcome) => return Poll::Ready(Some(outcome)),
            Poll::Pending => computed += processor_time().saturating_sub(before),
        }
        if computed > patience {
            Poll::Ready(None)
        } else {
            Poll::Pending
        }
    });
    match outcome.await {
        Some(outcome) => Ok((outcome, begun.elapsed())),
        None => Err(call),
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
        let pools = Pools {
            usual: usual.handle().clone(),
            spare: spare.handle().clone(),
        };
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
