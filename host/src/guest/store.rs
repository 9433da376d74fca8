//! The data of one instance in its wasmtime store, which host functions read and write: the context of its service, the effects
//! of the running call, and WASI with everything denied that is not granted.

use std::sync::Arc;

use wasmtime::component::ResourceTable;
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use crate::config::{Directory, ServiceTimer};
use crate::effects::{DueTimer, Effects};
use crate::fault_kind::FaultKind;
use crate::guest::call_state::{CallState, Current};
use crate::guest::fault::Fault;
use crate::guest::http::HttpPolicy;
use crate::guest::input_source::InputSource;
use crate::guest::limits::Limiter;
use crate::guest::log_quota::LogQuota;
use crate::guest::output::{Output, Stream};
use crate::guest::socket_policy::SocketPolicy;
use crate::guest::undo_map::UndoMap;
use crate::guest::wait_clock::WaitClock;
use crate::service_ctx::ServiceCtx;
use crate::topic::Filter;
use crate::typed::binding::Binding;
use crate::typed::json;

/// WASI resources (streams, pollables) that a guest may hold at once.
const RESOURCES: usize = 1_000;

/// Bytes that a guest may ask of `wasi:random` at once.
const RANDOM_BYTES: u64 = 64 * 1024;

/// The data of one store.
pub(super) struct StoreData {
    pub(super) ctx: Arc<ServiceCtx>,
    pub(super) limiter: Limiter,
    /// The running call.
    pub(super) call: CallState,
    /// The typed interfaces that the service serves and calls.
    pub(super) binding: Arc<Binding>,
    /// Timers that the service has, with whether they are periodic.
    pub(super) timers: UndoMap<String, bool>,
    /// Subscriptions that the service made itself.
    pub(super) subscriptions: UndoMap<Filter, ()>,
    /// Whether the guest wants to know what becomes of its messages.
    pub(super) delivered: bool,
    /// The source of clocks, random numbers and answers.
    pub(super) inputs: InputSource,
    /// The quota of log lines.
    pub(super) log_quota: Arc<LogQuota>,
    /// The time that the running call spends waiting for others.
    pub(super) wait_clock: Arc<WaitClock>,
    /// Decides which addresses sockets may reach.
    pub(super) socket_policy: Arc<SocketPolicy>,
    wasi: WasiState,
}

/// The side of WASI that belongs to one instance.
struct WasiState {
    ctx: WasiCtx,
    http: WasiHttpCtx,
    http_policy: HttpPolicy,
    resources: ResourceTable,
}

impl StoreData {
    /// # Errors
    /// When a directory that was granted cannot be opened.
    pub(super) fn new(
        ctx: Arc<ServiceCtx>,
        binding: Arc<Binding>,
        delivered: bool,
        table_slot: Option<usize>,
    ) -> Result<Self, Fault> {
        let mut resources = ResourceTable::new();
        resources.set_max_capacity(RESOURCES);
        let wait_clock = Arc::<WaitClock>::default();
        let log_quota = Arc::new(LogQuota::new(&ctx));
        let socket_policy = SocketPolicy::new(&ctx);
        let inputs = ctx.inputs.clone().unwrap_or_default();
        let mut timers = UndoMap::default();
        set_configured(&mut timers, &[], &ctx.config.triggers.timers);

        Ok(Self {
            limiter: Limiter::new(&ctx.config.limits, table_slot),
            call: CallState::default(),
            binding,
            timers,
            subscriptions: UndoMap::default(),
            delivered,
            wasi: WasiState {
                ctx: wasi(&ctx, &inputs, &log_quota, &socket_policy)?,
                http: WasiHttpCtx::new(),
                http_policy: HttpPolicy::new(&ctx, wait_clock.clone()),
                resources,
            },
            inputs,
            wait_clock,
            socket_policy,
            log_quota,
            ctx,
        })
    }

    /// Puts another section of the configuration in force for the calls from now on.
    pub(super) fn set_ctx(&mut self, ctx: Arc<ServiceCtx>) {
        let before = &self.ctx.config.triggers.timers;
        set_configured(&mut self.timers, before, &ctx.config.triggers.timers);
        self.ctx = ctx;
    }

    /// The resources that the guest holds.
    pub(super) fn resources(&mut self) -> &mut ResourceTable {
        &mut self.wasi.resources
    }

    /// Makes ready for a call.
    pub(super) fn open(&mut self, current: Option<Current>, due: Vec<DueTimer>) {
        self.wait_clock.reset();
        self.log_quota.reset();
        for timer in &due {
            self.timers.remove_if(&timer.name, |periodic| !periodic);
        }
        self.call.open(current, due);
    }

    /// Ends a call that succeeded and returns its effects.
    pub(super) fn commit(&mut self) -> Effects {
        self.timers.commit();
        self.subscriptions.commit();
        self.call.close()
    }

    /// Ends a call that failed and drops its effects.
    pub(super) fn roll_back(&mut self) {
        self.timers.roll_back();
        self.subscriptions.roll_back();
        self.call.close();
    }

    /// Bounds of the payloads of typed interfaces.
    pub(super) fn json_limits(&self) -> json::Limits {
        json::Limits::new(self.ctx.config.limits.call.payload)
    }

    /// Counts an exceeded limit; `text` is the error that the guest gets.
    pub(super) fn beyond(&self, limit: FaultKind, text: String) -> String {
        self.ctx.state.meter().exceeded(limit);
        text
    }

    /// Checks that the call may change one more subscription or timer.
    ///
    /// # Errors
    /// The text for the guest, if it may not.
    pub(super) fn check_changes(&self) -> Result<(), String> {
        let limit = self.ctx.config.limits.call.changes;
        if self.call.changes() < limit {
            return Ok(());
        }
        let text = "subscriptions and timers, as many as limits.changes allows";
        Err(self.beyond(
            FaultKind::Changes,
            format!("this call has changed {limit} {text}"),
        ))
    }
}

/// Replaces the timers that the configuration sets. They are periodic.
fn set_configured(
    timers: &mut UndoMap<String, bool>,
    before: &[ServiceTimer],
    after: &[ServiceTimer],
) {
    for timer in before.iter().filter(|timer| !after.contains(timer)) {
        timers.remove(&timer.name);
    }
    for timer in after.iter().filter(|timer| !before.contains(timer)) {
        timers.insert(timer.name.clone(), true);
    }
    timers.commit();
}

/// WASI with everything denied that is not granted: no files, environment, arguments, input or network. Clocks and random
/// numbers stay available. Output to stdout and stderr becomes log lines.
fn wasi(
    ctx: &ServiceCtx,
    inputs: &InputSource,
    log_quota: &Arc<LogQuota>,
    socket_policy: &Arc<SocketPolicy>,
) -> Result<WasiCtx, Fault> {
    let grants = &ctx.config.grants;
    let mut builder = WasiCtxBuilder::new();
    for Directory { path, guest, write } in &grants.directories {
        let permissions = if *write {
            FsPerms::ReadWrite
        } else {
            FsPerms::ReadOnly
        };
        let opened = builder.preopened_dir(path, guest, permissions);
        opened.map_err(|error| {
            Fault::Grant(format!("grants.directories: {}: {error}", path.display()))
        })?;
    }

    for name in &grants.environment {
        if let Ok(value) = std::env::var(name) {
            builder.env(name, value);
        }
    }
    inputs.install(&mut builder);
    socket_policy.guard(&mut builder);
    let wasi = builder
        .max_random_size(RANDOM_BYTES)
        .stdout(Output::new(log_quota.clone(), Stream::Stdout))
        .stderr(Output::new(log_quota.clone(), Stream::Stderr))
        .build();
    Ok(wasi)
}

impl WasiHttpView for StoreData {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            ctx: &mut self.wasi.http,
            table: &mut self.wasi.resources,
            hooks: &mut self.wasi.http_policy,
        }
    }
}

impl WasiView for StoreData {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi.ctx,
            table: &mut self.wasi.resources,
        }
    }
}
