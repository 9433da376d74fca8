//! Machine: where a guest call runs. In: an instance and what to call. Out: the instance and the effects or the fault.
//! Owns the decision: a call begins on the message path, where no thread hop is paid, and one that is still running at the
//! next epoch tick moves to the pool, so that a slow guest holds up nobody.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::runtime::Handle;

use crate::effects::Effects;
use crate::guest::{Call, Component, Fault, Instance, Setting};
use crate::store::Left;

use super::Prepared;
use super::swap::private;

/// A call on the pool that is shorter than this brings the next one back to the message path.
const SHORT: Duration = Duration::from_millis(1);

/// What a guest call came to: the instance unless it died, and the effects or the fault.
pub type Outcome<T = Effects> = (Option<Box<Instance>>, Result<T, Fault>);

/// Runs the calls of one service, one after the other.
#[derive(Debug)]
pub struct Caller {
    pool: Handle,
    slow: bool,
}

impl Caller {
    /// Calls begin on the message path; `pool` takes those that turn out slow.
    pub fn new(pool: Handle) -> Self {
        Self { pool, slow: false }
    }

    /// Runs one call to its end.
    pub async fn call(&mut self, instance: Box<Instance>, call: Call) -> Outcome {
        self.run(Box::pin(instance.call(call))).await
    }

    /// Runs `save`: its bytes, or `None` when the guest does not export it.
    pub async fn save(&mut self, instance: Box<Instance>) -> Outcome<Option<Vec<u8>>> {
        self.run(Box::pin(instance.save())).await
    }

    async fn run<T: Send + 'static>(
        &mut self,
        mut future: Pin<Box<dyn Future<Output = Outcome<T>> + Send>>,
    ) -> Outcome<T> {
        if !self.slow {
            // a no-op waker: what is not finished now is polled afresh on the pool
            if let Poll::Ready(outcome) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                return outcome;
            }
        }
        let begun = Instant::now();
        let outcome = match self.pool.spawn(future).await {
            Ok(outcome) => outcome,
            Err(error) => (None, Err(Fault::Bug(error.to_string()))),
        };
        self.slow = begun.elapsed() > SHORT;
        outcome
    }

    /// Runs something beside the service.
    pub fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        // it ends by itself
        drop(self.pool.spawn(future));
    }

    /// Has a started instance load what another has saved.
    ///
    /// # Errors
    /// What the guest did wrong; the instance is of no use then.
    pub async fn load(&mut self, prepared: Prepared, saved: Bytes) -> Result<Prepared, Fault> {
        let Prepared { component, instance, effects } = prepared;
        loaded(component, effects, self.call(instance, Call::Load(saved)).await)
    }

    /// As [`prepare_with`], on the pool.
    ///
    /// # Errors
    /// What the guest did wrong; nothing of it has taken effect.
    pub async fn prepare_with(&self, component: Component, setting: &Setting, left: &Left) -> Result<Prepared, Fault> {
        let (setting, left) = (private(setting, left), left.clone());
        match self.pool.spawn(async move { prepare_with(component, setting, &left).await }).await {
            Ok(result) => result,
            Err(error) => Err(Fault::Bug(error.to_string())),
        }
    }

    /// Makes an instance and runs its `start` on the pool: what starts is not in a hurry.
    ///
    /// # Errors
    /// What the guest did wrong; nothing of it has taken effect.
    pub async fn prepare(&self, component: Component, setting: Arc<Setting>) -> Result<Prepared, Fault> {
        match self.pool.spawn(prepare(component, setting)).await {
            Ok(result) => result,
            Err(error) => Err(Fault::Bug(error.to_string())),
        }
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
        Some(instance) => Ok(Prepared { component, instance, effects }),
        None => Err(Fault::Bug("start ended well and left no instance".to_owned())),
    }
}

/// Makes an instance of a former version, runs its `start`, and has it load what it saved when it was replaced. `setting`: see
/// [`private`].
///
/// # Errors
/// What the guest did wrong; nothing of it has taken effect.
pub async fn prepare_with(component: Component, setting: Arc<Setting>, left: &Left) -> Result<Prepared, Fault> {
    load(prepare(component, setting).await?, left.saved.clone()).await
}

/// Has a started instance load what another has saved, if there is anything.
///
/// # Errors
/// What the guest did wrong; the instance is of no use then.
pub async fn load(prepared: Prepared, saved: Option<Bytes>) -> Result<Prepared, Fault> {
    let Some(saved) = saved else { return Ok(prepared) };
    let Prepared { component, instance, effects } = prepared;
    loaded(component, effects, instance.call(Call::Load(saved)).await)
}

fn loaded(component: Component, mut effects: Effects, (instance, result): Outcome) -> Result<Prepared, Fault> {
    effects.append(result?);
    let instance = instance.ok_or_else(|| Fault::Bug("load ended well and left no instance".to_owned()))?;
    Ok(Prepared { component, instance, effects })
}
