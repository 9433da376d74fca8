//! Machine: a running guest. In: one call at a time. Out: the effects of the call, or a fault; a faulted instance is gone. Owns
//! the wasmtime store, and with it the guest's memory.
//!
//! A call is a future that owns its instance. It runs on a stack of its own; where it lasts longer than a tick it yields at
//! every tick, so that whoever polls it may move it to another thread, and it ends with a fault when its time is up.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use wasmtime::component::{Func, InstancePre};
use wasmtime::{Store, StoreContextMut, UpdateDeadline};

use crate::effects::{DueTimer, Effects};
use crate::guest::bindings::Service;
use crate::guest::component::Indices;
use crate::guest::fault::{DeadlineReached, Fault};
use crate::guest::store::{Current, Data, Setting};
use crate::guest::ticker::{TICK, Ticker, Turn};
use crate::message::Message;

/// Ticks until a call first yields: after one to two milliseconds, so that a call that begins just before a tick is not
/// taken off the message path for it.
const FIRST_YIELD: u64 = 2;

/// How much longer than its deadline a call may take to notice it: a call that waits in a host function notices no ticks and
/// is cut off after this.
const GRACE: Duration = Duration::from_millis(20);

/// Bytes that the arguments of one host call may have beside one payload of the largest size.
const HOSTCALL_SLACK: usize = 1024 * 1024;

/// What a guest is called for.
#[derive(Debug, Clone)]
pub enum Call {
    /// `start`, once, before anything else. Nothing happens when the guest does not export it.
    Start,
    /// `stop`, once, after everything else. Nothing happens when the guest does not export it.
    Stop,
    /// `handle`.
    Message {
        /// The message.
        message: Message,
        /// Which attempt at it this is, from 1.
        attempt: u32,
    },
    /// `tick`, with the timers that are due.
    Tick(Vec<DueTimer>),
}

/// A guest that is ready to be called.
pub struct Instance {
    store: Store<Data>,
    exports: Functions,
    turn: Turn,
}

/// The guest's exports in its store.
struct Functions {
    required: Service,
    start: Option<Func>,
    stop: Option<Func>,
}

impl Instance {
    pub(super) async fn new(
        pre: &InstancePre<Data>,
        indices: &Indices,
        ticker: &Arc<Ticker>,
        setting: Arc<Setting>,
    ) -> Result<Box<Self>, Fault> {
        let limit = setting.limits.call;
        let mut store = store(pre, setting);
        let mut turn = Turn::new(ticker.clone());
        turn.begin();
        let instance = within(limit, pre.instantiate_async(&mut store)).await;
        let instance = instance.map_err(|error| Fault::of_instantiation(&error))?;
        let missing = || Fault::Instantiation("an export of the component is missing".to_owned());
        let mut find = |index| instance.get_func(&mut store, index).ok_or_else(missing);
        let exports = Functions {
            start: indices.start.as_ref().map(&mut find).transpose()?,
            stop: indices.stop.as_ref().map(&mut find).transpose()?,
            required: indices.required.load(&mut store, &instance).map_err(|_| missing())?,
        };
        turn.end();
        Ok(Box::new(Self { store, exports, turn }))
    }

    /// Runs one call. Gives the instance back unless it is dead; after any fault but [`Fault::Refused`] it is. What the guest
    /// asked for in a call that failed is dropped.
    ///
    /// Must be polled within a tokio runtime with timers.
    pub async fn call(mut self: Box<Self>, call: Call) -> (Option<Box<Self>>, Result<Effects, Fault>) {
        self.turn.begin();
        let limit = self.store.data().setting.limits.call;
        let outcome = within(limit, self.run(call)).await;
        self.turn.end();
        match outcome {
            Ok(Ok(())) => {
                let effects = self.store.data_mut().commit();
                (Some(self), Ok(effects))
            }
            Ok(Err(reason)) => {
                self.store.data_mut().roll_back();
                (Some(self), Err(Fault::refused(reason)))
            }
            Err(error) => (None, Err(Fault::of_running(&error))),
        }
    }

    async fn run(&mut self, call: Call) -> wasmtime::Result<Result<(), String>> {
        self.store.set_epoch_deadline(FIRST_YIELD);
        match call {
            Call::Message { message, attempt } => self.handle(message, attempt).await,
            Call::Tick(due) => {
                self.store.data_mut().open(None, due);
                self.exports.required.call_tick(&mut self.store).await
            }
            Call::Start => self.optional(self.exports.start).await,
            Call::Stop => self.optional(self.exports.stop).await,
        }
    }

    /// The arguments are written from the message's own buffers into the guest's memory.
    async fn handle(&mut self, message: Message, attempt: u32) -> wasmtime::Result<Result<(), String>> {
        let (topic, payload) = (message.topic.clone(), message.payload.clone());
        let data = self.store.data_mut();
        data.open(Some(Current { message, attempt }), Vec::new());
        let topic = data.setting.base.relative(&topic).unwrap_or(topic.as_str());
        self.exports.required.call_handle(&mut self.store, topic, &payload).await
    }

    async fn optional(&mut self, function: Option<Func>) -> wasmtime::Result<Result<(), String>> {
        let Some(function) = function else { return Ok(Ok(())) };
        self.store.data_mut().open(None, Vec::new());
        let function = function.typed::<(), (Result<(), String>,)>(&self.store)?;
        let (result,) = function.call_async(&mut self.store, ()).await?;
        Ok(result)
    }
}

fn store(pre: &InstancePre<Data>, setting: Arc<Setting>) -> Store<Data> {
    let fuel = setting.limits.payload.saturating_add(HOSTCALL_SLACK);
    let mut store = Store::new(pre.engine(), Data::new(setting));
    store.limiter(|data| &mut data.limiter);
    store.set_hostcall_fuel(fuel);
    store.epoch_deadline_callback(on_tick);
    store.set_epoch_deadline(FIRST_YIELD);
    store
}

/// Called in the guest's call at ticks from [`FIRST_YIELD`] on. The clock is first read here, so short calls never read it.
fn on_tick(mut store: StoreContextMut<'_, Data>) -> wasmtime::Result<UpdateDeadline> {
    let now = Instant::now();
    let data = store.data_mut();
    let limit = data.setting.limits.call;
    let since = *data.since.get_or_insert(now.checked_sub(TICK).unwrap_or(now));
    if now.duration_since(since) >= limit { Err(DeadlineReached(limit).into()) } else { Ok(UpdateDeadline::Yield(1)) }
}

/// Ends `call` some time after `limit`, also when it waits in a host function and sees no ticks. A call that is ready at once
/// costs nothing: the timer is made when it is first found to be waiting.
async fn within<T>(limit: Duration, call: impl Future<Output = wasmtime::Result<T>>) -> wasmtime::Result<T> {
    let (mut call, mut end) = (pin!(call), pin!(None));
    poll_fn(|cx| {
        if let Poll::Ready(result) = call.as_mut().poll(cx) {
            return Poll::Ready(result);
        }
        if end.is_none() {
            end.set(Some(tokio::time::sleep(limit + GRACE)));
        }
        match end.as_mut().as_pin_mut() {
            Some(end) => end.poll(cx).map(|()| Err(DeadlineReached(limit).into())),
            None => Poll::Pending,
        }
    })
    .await
}
