//! Words: what belongs to one instance on the host's side. In: the service's setting. Out: the data in the wasmtime store that
//! host functions read and write. Owns the effects of the running call and what the service holds (timers, subscriptions).

use std::sync::Arc;
use std::time::Instant;

use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

use crate::config::{Grants, Limits};
use crate::effects::{DueTimer, Effects};
use crate::guest::ledger::Ledger;
use crate::guest::limits::Limiter;
use crate::guest::output::{Output, Stream};
use crate::message::Message;
use crate::topic::{BaseTopic, Filter};

/// WASI resources (streams, pollables) that a guest may hold at once.
const RESOURCES: usize = 1_000;

/// Bytes that a guest may ask of `wasi:random` at once.
const RANDOM_BYTES: u64 = 64 * 1024;

/// What an instance knows about the service that it is.
#[derive(Debug)]
pub struct Setting {
    /// The service's name.
    pub name: String,
    /// The topic below which it lives.
    pub base: BaseTopic,
    /// What `config.get` gives: a JSON object.
    pub config_json: String,
    /// What it may hold and use.
    pub limits: Limits,
    /// What it may reach outside its base topic.
    pub grants: Grants,
}

/// The message being handled.
pub(super) struct Current {
    pub(super) message: Message,
    pub(super) attempt: u32,
}

/// The data of one store.
pub(super) struct Data {
    pub(super) setting: Arc<Setting>,
    pub(super) limiter: Limiter,
    /// What the running call asked for.
    pub(super) effects: Effects,
    /// Bytes that the publishes in `effects` hold.
    pub(super) held: usize,
    pub(super) current: Option<Current>,
    pub(super) due: Vec<DueTimer>,
    /// Timers that the service has, with whether they are periodic.
    pub(super) timers: Ledger<String, bool>,
    /// Subscriptions that the service made itself.
    pub(super) subscriptions: Ledger<Filter, ()>,
    /// When the running call was first seen by the ticker; `None` while it is younger than a tick.
    pub(super) since: Option<Instant>,
    wasi: WasiCtx,
    resources: ResourceTable,
}

impl Data {
    pub(super) fn new(setting: Arc<Setting>) -> Self {
        let mut resources = ResourceTable::new();
        resources.set_max_capacity(RESOURCES);
        Self {
            limiter: Limiter::new(setting.limits.memory),
            effects: Effects::default(),
            held: 0,
            current: None,
            due: Vec::new(),
            timers: Ledger::default(),
            subscriptions: Ledger::default(),
            since: None,
            wasi: wasi(&setting.name),
            resources,
            setting,
        }
    }

    /// Makes ready for a call.
    pub(super) fn open(&mut self, current: Option<Current>, due: Vec<DueTimer>) {
        self.current = current;
        self.since = None;
        for timer in &due {
            self.timers.settle(&timer.name, |periodic| !periodic);
        }
        self.due = due;
    }

    /// Ends a call that went well and hands out what it asked for.
    pub(super) fn commit(&mut self) -> Effects {
        self.timers.commit();
        self.subscriptions.commit();
        self.close()
    }

    /// Ends a call that failed: what it asked for is dropped.
    pub(super) fn roll_back(&mut self) {
        self.timers.roll_back();
        self.subscriptions.roll_back();
        self.close();
    }

    fn close(&mut self) -> Effects {
        self.current = None;
        self.due.clear();
        self.held = 0;
        std::mem::take(&mut self.effects)
    }
}

/// WASI with everything denied: no files, environment, arguments, input or network. Clocks and random numbers stay, and
/// what the guest writes to its standard streams becomes log lines.
fn wasi(service: &str) -> WasiCtx {
    WasiCtxBuilder::new()
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false)
        .max_random_size(RANDOM_BYTES)
        .stdout(Output::new(service, Stream::Stdout))
        .stderr(Output::new(service, Stream::Stderr))
        .build()
}

impl WasiView for Data {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.resources }
    }
}
