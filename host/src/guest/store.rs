//! The data of one instance in its wasmtime store, which host functions read and write: the context of its service, the effects
//! of the running call, and WASI with everything denied that is not granted.

use std::sync::Arc;
use std::time::Instant;

use wasmtime::component::ResourceTable;
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use crate::config::Directory;
use crate::effects::{DueTimer, Effects};
use crate::fault_kind::FaultKind;
use crate::guest::fault::Fault;
use crate::guest::http::HttpPolicy;
use crate::guest::limits::Limiter;
use crate::guest::log_quota::LogQuota;
use crate::guest::output::{Output, Stream};
use crate::guest::socket_policy::SocketPolicy;
use crate::guest::state_overlay::StateOverlay;
use crate::guest::undo_map::UndoMap;
use crate::guest::wait_clock::WaitClock;
use crate::message::Message;
use crate::service_ctx::ServiceCtx;
use crate::topic::Filter;

/// WASI resources (streams, pollables) that a guest may hold at once.
const RESOURCES: usize = 1_000;

/// Bytes that a guest may ask of `wasi:random` at once.
const RANDOM_BYTES: u64 = 64 * 1024;

/// The message being handled.
pub(super) struct Current {
    pub(super) message: Message,
    pub(super) attempt: u32,
}

/// The data of one store.
pub(super) struct StoreData {
    pub(super) ctx: Arc<ServiceCtx>,
    pub(super) limiter: Limiter,
    /// Effects of the running call so far.
    pub(super) effects: Effects,
    /// Changes of the running call to the state.
    pub(super) overlay: StateOverlay,
    /// Messages that the running call has published or sent as requests, and the bytes that they take.
    pub(super) sent: usize,
    pub(super) held: usize,
    pub(super) current: Option<Current>,
    pub(super) due: Vec<DueTimer>,
    /// Timers that the service has, with whether they are periodic.
    pub(super) timers: UndoMap<String, bool>,
    /// Subscriptions that the service made itself.
    pub(super) subscriptions: UndoMap<Filter, ()>,
    /// Whether the guest wants to know what becomes of its messages.
    pub(super) delivered: bool,
    /// The quota of log lines.
    pub(super) log_quota: Arc<LogQuota>,
    /// The time that the running call spends waiting for others.
    pub(super) wait_clock: Arc<WaitClock>,
    /// When the running call was first seen by the ticker; `None` while it is younger than a tick.
    pub(super) since: Option<Instant>,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    http_policy: HttpPolicy,
    /// Decides which addresses sockets may reach.
    pub(super) socket_policy: Arc<SocketPolicy>,
    resources: ResourceTable,
}

impl StoreData {
    /// # Errors
    /// When a directory that was granted cannot be opened.
    pub(super) fn new(
        ctx: Arc<ServiceCtx>,
        delivered: bool,
        table_slot: Option<usize>,
    ) -> Result<Self, Fault> {
        let (mut resources, wait_clock, log_quota) = (
            ResourceTable::new(),
            Arc::<WaitClock>::default(),
            Arc::new(LogQuota::new(&ctx)),
        );
        resources.set_max_capacity(RESOURCES);
        let socket_policy = SocketPolicy::new(&ctx);
        Ok(Self {
            limiter: Limiter::new(&ctx.config.limits, table_slot),
            effects: Effects::default(),
            overlay: StateOverlay::default(),
            sent: 0,
            held: 0,
            current: None,
            due: Vec::new(),
            timers: UndoMap::default(),
            subscriptions: UndoMap::default(),
            delivered,
            http_policy: HttpPolicy::new(&ctx, wait_clock.clone()),
            wait_clock,
            since: None,
            wasi: wasi(&ctx, &log_quota, &socket_policy)?,
            socket_policy,
            log_quota,
            http: WasiHttpCtx::new(),
            resources,
            ctx,
        })
    }

    /// Makes ready for a call.
    pub(super) fn open(&mut self, current: Option<Current>, due: Vec<DueTimer>) {
        self.current = current;
        self.since = None;
        self.wait_clock.reset();
        self.log_quota.reset();
        for timer in &due {
            self.timers.remove_if(&timer.name, |periodic| !periodic);
        }
        self.due = due;
    }

    /// Ends a call that succeeded and returns its effects.
    pub(super) fn commit(&mut self) -> Effects {
        self.timers.commit();
        self.subscriptions.commit();
        self.close()
    }

    /// Ends a call that failed and drops its effects.
    pub(super) fn roll_back(&mut self) {
        self.timers.roll_back();
        self.subscriptions.roll_back();
        self.close();
    }

    /// Counts an exceeded limit; `text` is the error that the guest gets.
    pub(super) fn beyond(&self, limit: FaultKind, text: String) -> String {
        self.ctx.state.meter().exceeded(limit);
        text
    }

    /// Whether the call may change one more subscription or timer.
    ///
    /// # Errors
    /// The text for the guest, if it may not.
    pub(super) fn one_more_change(&self) -> Result<(), String> {
        let limit = self.ctx.config.limits.call.changes;
        if self.effects.subscriptions.len() + self.effects.timers.len() < limit {
            return Ok(());
        }
        let text = "subscriptions and timers, as many as limits.changes allows";
        Err(self.beyond(
            FaultKind::Changes,
            format!("this call has changed {limit} {text}"),
        ))
    }

    fn close(&mut self) -> Effects {
        self.current = None;
        self.due.clear();
        (self.sent, self.held) = (0, 0);
        self.effects.state = self.overlay.take();
        std::mem::take(&mut self.effects)
    }
}

/// WASI with everything denied that is not granted: no files, environment, arguments, input or network. Clocks and random
/// numbers stay available. Output to stdout and stderr becomes log lines.
fn wasi(
    ctx: &ServiceCtx,
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
            ctx: &mut self.http,
            table: &mut self.resources,
            hooks: &mut self.http_policy,
        }
    }
}

impl WasiView for StoreData {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.resources,
        }
    }
}
