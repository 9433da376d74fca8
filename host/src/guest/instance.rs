//! A running guest: one call at a time, which ends with effects or a fault. An instance that has trapped cannot be called
//! again.
//!
//! A call is a future that owns its instance. It runs on a stack of its own. If it lasts longer than a tick, it yields at every
//! tick, so that its executor can move it to another thread, and it ends with a fault when its time is up.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use wasmtime::component::{ComponentNamedList, Func, InstancePre, Lower};
use wasmtime::{Store, StoreContextMut, UpdateDeadline};

use crate::effects::{DueTimer, Effects};
use crate::guest::bindings::miqro::service::messaging::DeliveryOutcome;
use crate::guest::call_state::Current;
use crate::guest::entry::{Entry, check_timers};
use crate::guest::exports::{ExportIndices, OptionalExport};
use crate::guest::fault::{DeadlineReached, Fault};
use crate::guest::input_recorder::InputRecorder;
use crate::guest::pool::PoolSlot;
use crate::guest::request::WatchGuard;
use crate::guest::store::StoreData;
use crate::guest::ticker::{ActiveCall, TICK, Ticker};
use crate::guest::time_limit::within;
use crate::guest::typed::typed_exports::TypedExports;
use crate::guest::typed::values::VALUE_BYTES;
use crate::message::{Message, Outcome, Token};
use crate::service_ctx::ServiceCtx;
use crate::topic::Filter;
use crate::typed::binding::Binding;

/// Ticks until a call first yields: after one to two milliseconds, so that a call that begins just before a tick is not
/// taken off the message path for it.
const FIRST_YIELD: u64 = 2;

/// Bytes that the arguments of one host call may have besides one payload of the largest size.
const HOSTCALL_SLACK: usize = 1024 * 1024;

/// A call of a guest's export.
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
    /// `tick`, with the timer that is due.
    Tick(DueTimer),
    /// `connected`.
    Connected {
        /// Whether the broker still knew the session.
        session_present: bool,
    },
    /// `disconnected`.
    Disconnected,
    /// `delivered`, with the outcome of a published message.
    Delivered(Token, Outcome),
    /// `config-changed`.
    ConfigChanged,
    /// `load`, with the bytes that another instance has saved. Nothing happens when the guest does not export it.
    Load(Bytes),
}

/// A guest that is ready to be called.
pub struct Instance {
    pub(super) store: Store<StoreData>,
    exports: Functions,
    active_call: ActiveCall,
    /// Its typed interfaces, if it serves or calls any.
    pub(super) typed: Option<Box<TypedExports>>,
}

/// The guest's exports in its store.
struct Functions {
    entry: Entry,
    /// In the order of [`OptionalExport::ALL`].
    optional: [Option<Func>; OptionalExport::ALL.len()],
}

impl Instance {
    pub(super) async fn new(
        pre: &InstancePre<StoreData>,
        indices: &ExportIndices,
        ticker: &Arc<Ticker>,
        slot: Option<PoolSlot>,
        (ctx, binding): (Arc<ServiceCtx>, Arc<Binding>),
    ) -> Result<Box<Self>, Fault> {
        let limit = ctx.config.limits.call.time;
        let delivered = indices.optional[OptionalExport::Delivered as usize].is_some();
        check_memory(ctx.config.limits.memory.bytes, slot)?;
        check_timers(&ctx, &indices.entry)?;
        let table_elements = slot.map(|slot| slot.table_elements);
        let data = StoreData::new(ctx.clone(), binding.clone(), delivered, table_elements)?;
        let mut store = store(pre, data);
        let watches = watch_properties(&ctx, &binding).await;
        let wait_clock = store.data().wait_clock.clone();
        let mut active_call = ActiveCall::new(ticker.clone());
        active_call.begin();
        let instance = within(limit, &wait_clock, pre.instantiate_async(&mut store)).await;
        let instance = instance.map_err(|error| Fault::of_instantiation(&error))?;
        let missing = || Fault::Instantiation("an export of the component is missing".to_owned());
        let find = |index: &Option<_>| {
            index
                .as_ref()
                .and_then(|index| instance.get_func(&mut store, index))
        };
        let exports = Functions {
            optional: indices.optional.each_ref().map(find),
            entry: Entry::load(&indices.entry, &mut store, &instance).ok_or_else(missing)?,
        };

        active_call.end();
        let typed = (!binding.is_empty()).then(|| {
            let functions = indices.typed.iter().map(|interface| {
                let functions = interface.iter();
                functions
                    .filter_map(|function| instance.get_func(&mut store, function))
                    .collect()
            });

            let functions = functions.collect();
            Box::new(TypedExports::new(binding, functions, watches))
        });

        Ok(Box::new(Self {
            store,
            exports,
            active_call,
            typed,
        }))
    }

    /// From the next call on, the guest gets to know this; limits of memory stay as they were.
    pub fn set_ctx(&mut self, ctx: Arc<ServiceCtx>) {
        self.store.data_mut().set_ctx(ctx);
    }

    /// Runs one call. Gives the instance back unless it is dead, as it is after any fault but [`Fault::Refused`]. The effects of
    /// a call that failed are dropped.
    ///
    /// Must be polled within a tokio runtime with timers.
    pub async fn call(
        mut self: Box<Self>,
        call: Call,
    ) -> (Option<Box<Self>>, Result<Effects, Fault>) {
        self.active_call.begin();
        let limit = self.store.data().ctx.config.limits.call.time;
        let wait_clock = self.store.data().wait_clock.clone();
        let outcome = if self.typed.is_some() {
            within(limit, &wait_clock, Box::pin(self.run_typed(call))).await
        } else {
            within(limit, &wait_clock, self.run(call)).await
        };
        self.active_call.end();
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

    /// Runs a call of a guest with typed interfaces: a message may be for one of them, and properties may change.
    async fn run_typed(&mut self, call: Call) -> wasmtime::Result<Result<(), String>> {
        let stops = matches!(call, Call::Stop);
        let is_start = matches!(call, Call::Start);
        if matches!(call, Call::Connected { .. }) {
            self.forget_published();
        }

        let member = match &call {
            Call::Message { message, .. } => self.member(&message.topic),
            _ => None,
        };
        let outcome = match (call, member) {
            (Call::Message { message, attempt }, Some(member)) => {
                self.store.set_epoch_deadline(FIRST_YIELD);
                self.call_member(member, message, attempt).await?
            }
            (call, _) => self.run(call).await?,
        };

        if outcome.is_ok() && is_start {
            self.subscribe_members();
        }
        if outcome.is_ok() && !stops && self.has_properties() {
            self.publish_properties().await?;
        }
        Ok(outcome)
    }

    async fn run(&mut self, call: Call) -> wasmtime::Result<Result<(), String>> {
        self.store.set_epoch_deadline(FIRST_YIELD);
        match call {
            Call::Message { message, attempt } => self.handle(message, attempt).await,
            Call::Tick(due) => {
                self.store.data_mut().open(None, vec![due]);
                match &self.exports.entry {
                    Entry::Service(service) => service.call_tick(&mut self.store).await,
                    // `check_timers` has refused its timers
                    Entry::Peer(_) => Ok(Ok(())),
                }
            }
            Call::Start => self.optional(OptionalExport::Start, ()).await,
            Call::Stop => self.optional(OptionalExport::Stop, ()).await,
            Call::Connected { session_present } => {
                self.optional(OptionalExport::Connected, (session_present,))
                    .await
            }
            Call::Disconnected => self.optional(OptionalExport::Disconnected, ()).await,
            Call::Delivered(token, outcome) => {
                let outcome = DeliveryOutcome::from(&outcome);
                self.optional(OptionalExport::Delivered, (token.0.get(), outcome))
                    .await
            }
            Call::ConfigChanged => self.optional(OptionalExport::ConfigChanged, ()).await,
            Call::Load(saved) => self.optional(OptionalExport::Load, (&*saved,)).await,
        }
    }

    /// Runs `save` and returns its bytes, or `None` if the guest does not export it. Gives the instance back unless it is dead.
    /// Effects of the call are dropped. Like `call`, it must be polled within a tokio runtime with timers.
    pub async fn save(mut self: Box<Self>) -> (Option<Box<Self>>, Result<Option<Vec<u8>>, Fault>) {
        let Some(function) = self.exports.optional[OptionalExport::Save as usize] else {
            return (Some(self), Ok(None));
        };
        self.active_call.begin();
        let limits = self.store.data().ctx.config.limits.clone();
        let wait_clock = self.store.data().wait_clock.clone();
        // the bytes come out of the guest's memory, which is bounded
        self.store
            .set_hostcall_fuel(limits.memory.bytes.saturating_add(HOSTCALL_SLACK));
        let outcome = within(limits.call.time, &wait_clock, self.saved(function)).await;
        self.active_call.end();
        self.store.set_hostcall_fuel(fuel(self.store.data()));
        self.store.data_mut().roll_back();
        match outcome {
            Ok(bytes) => (Some(self), Ok(Some(bytes))),
            Err(error) => (None, Err(Fault::of_running(&error))),
        }
    }

    async fn saved(&mut self, function: Func) -> wasmtime::Result<Vec<u8>> {
        self.store.set_epoch_deadline(FIRST_YIELD);
        self.store.data_mut().open(None, Vec::new());
        let function = function.typed::<(), (Vec<u8>,)>(&self.store)?;
        Ok(function.call_async(&mut self.store, ()).await?.0)
    }

    /// Bytes of the guest's memories.
    pub fn memory_bytes(&self) -> usize {
        self.store.data().limiter.used()
    }

    /// The filters that the guest has subscribed to itself.
    pub fn subscriptions(&self) -> Vec<Filter> {
        self.store.data().subscriptions.keys().cloned().collect()
    }

    /// Records the inputs of its calls; `None`: they are not the machine's.
    pub fn input_recorder(&self) -> Option<&Arc<InputRecorder>> {
        self.store.data().inputs.input_recorder()
    }

    /// The typed interfaces that it serves and calls.
    pub fn binding(&self) -> &Binding {
        &self.store.data().binding
    }

    /// The arguments are written from the message's own buffers into the guest's memory.
    async fn handle(
        &mut self,
        message: Message,
        attempt: u32,
    ) -> wasmtime::Result<Result<(), String>> {
        let topic = message.topic.clone();
        let payload = message.payload.clone();
        let data = self.store.data_mut();
        data.open(Some(Current { message, attempt }), Vec::new());
        let service = match &self.exports.entry {
            Entry::Service(service) => service,
            Entry::Peer(function) => {
                // boxed, so that ordinary calls do not grow
                return Box::pin(function.call(&mut self.store)).await;
            }
        };

        let topic = data
            .ctx
            .config
            .base
            .relative(&topic)
            .unwrap_or(topic.as_str());

        service.call_handle(&mut self.store, topic, &payload).await
    }

    /// Calls an export that may be missing; then nothing happens.
    async fn optional<P>(
        &mut self,
        export: OptionalExport,
        parameters: P,
    ) -> wasmtime::Result<Result<(), String>>
    where
        P: ComponentNamedList + Lower + Send + Sync,
    {
        let Some(function) = self.exports.optional[export as usize] else {
            return Ok(Ok(()));
        };
        self.store.data_mut().open(None, Vec::new());
        let function = function.typed::<P, (Result<(), String>,)>(&self.store)?;
        let (result,) = function.call_async(&mut self.store, parameters).await?;
        Ok(result)
    }
}

/// Bytes that one host call may move.
fn fuel(data: &StoreData) -> usize {
    let fuel = data
        .ctx
        .config
        .limits
        .call
        .payload
        .saturating_add(HOSTCALL_SLACK);

    if data.binding.is_empty() {
        fuel
    } else {
        // wasmtime counts each byte of a `list<u8>` as a value
        fuel.saturating_mul(VALUE_BYTES)
    }
}

/// Has the host keep the values of the properties that the guest may read.
async fn watch_properties(ctx: &ServiceCtx, binding: &Binding) -> Vec<WatchGuard> {
    let mut watches = Vec::new();
    let Some(requests) = &ctx.requests else {
        return watches;
    };
    for filter in binding.watched_filters() {
        watches.push(requests.watch(filter).await);
    }
    watches
}

fn store(pre: &InstancePre<StoreData>, data: StoreData) -> Store<StoreData> {
    let fuel = fuel(&data);
    let mut store = Store::new(pre.engine(), data);
    store.limiter(|data| &mut data.limiter);
    store.set_hostcall_fuel(fuel);
    store.epoch_deadline_callback(on_tick);
    store.set_epoch_deadline(FIRST_YIELD);
    store
}

/// A limit that was raised while the host runs may be beyond the memories that the pool reserved at the start.
fn check_memory(limit: usize, slot: Option<PoolSlot>) -> Result<(), Fault> {
    let Some(room) = slot.and_then(|slot| usize::try_from(slot.memory).ok()) else {
        return Ok(());
    };
    if limit <= room {
        return Ok(());
    }
    Err(Fault::Instantiation(format!(
        "expected limits.memory of at most {room} bytes, found {limit}: this machine's address space is small, and memories of \
         {room} bytes were reserved at the start; restart the host to reserve larger ones"
    )))
}

/// Called in the guest's call at ticks from [`FIRST_YIELD`] on. The clock is first read here, so short calls never read it.
fn on_tick(mut store: StoreContextMut<'_, StoreData>) -> wasmtime::Result<UpdateDeadline> {
    let now = Instant::now();
    let data = store.data_mut();
    let limit = data.ctx.config.limits.call.time;
    let since = *data
        .call
        .since
        .get_or_insert(now.checked_sub(TICK).unwrap_or(now));
    let ran = now
        .duration_since(since)
        .saturating_sub(data.wait_clock.waited(now));
    if ran >= limit {
        Err(DeadlineReached(limit).into())
    } else {
        Ok(UpdateDeadline::Yield(1))
    }
}
