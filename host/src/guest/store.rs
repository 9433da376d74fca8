//! Words: what belongs to one instance on the host's side. In: the service's context. Out: the data in the wasmtime store that
//! host functions read and write. Owns the effects of the running call and what the service holds (timers, subscriptions).

use std::sync::Arc;
use std::time::Instant;

use wasmtime::component::ResourceTable;
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use crate::config::Directory;
use crate::effects::{DueTimer, Effects};
use crate::fault_kind::FaultKind;
use crate::guest::draft::Draft;
use crate::guest::fault::Fault;
use crate::guest::http::Gate;
use crate::guest::ledger::Ledger;
use crate::guest::limits::Limiter;
use crate::guest::output::{Output, Stream};
use crate::guest::pause::Pause;
use crate::guest::sockets::Door;
use crate::guest::voice::Voice;
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
pub(super) struct Data {
    pub(super) ctx: Arc<ServiceCtx>,
    pub(super) limiter: Limiter,
    /// What the running call asked for.
    pub(super) effects: Effects,
    /// What the running call has changed of the state.
    pub(super) draft: Draft,
    /// Messages that the running call has published or sent as requests, and the bytes that they take.
    pub(super) sent: usize,
    pub(super) held: usize,
    pub(super) current: Option<Current>,
    pub(super) due: Vec<DueTimer>,
    /// Timers that the service has, with whether they are periodic.
    pub(super) timers: Ledger<String, bool>,
    /// Subscriptions that the service made itself.
    pub(super) subscriptions: Ledger<Filter, ()>,
    /// Whether the guest wants to know what becomes of its messages.
    pub(super) delivered: bool,
    /// Who may write log lines.
    pub(super) voice: Arc<Voice>,
    /// The time that the running call spends waiting for others.
    pub(super) pause: Arc<Pause>,
    /// When the running call was first seen by the ticker; `None` while it is younger than a tick.
    pub(super) since: Option<Instant>,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    gate: Gate,
    /// Which sockets are let out.
    pub(super) door: Arc<Door>,
    resources: ResourceTable,
}

impl Data {
    /// # Errors
    /// When a directory that was granted cannot be opened.
    pub(super) fn new(
        ctx: Arc<ServiceCtx>,
        delivered: bool,
        table_slot: Option<usize>,
    ) -> Result<Self, Fault> {
        let (mut resources, pause, voice) = (
            ResourceTable::new(),
            Arc::<Pause>::default(),
            Arc::new(Voice::new(&ctx)),
        );
        resources.set_max_capacity(RESOURCES);
        let door = Door::new(&ctx);
        Ok(Self {
            limiter: Limiter::new(&ctx.config.limits, table_slot),
            effects: Effects::default(),
            draft: Draft::default(),
            sent: 0,
            held: 0,
            current: None,
            due: Vec::new(),
            timers: Ledger::default(),
            subscriptions: Ledger::default(),
            delivered,
            gate: Gate::new(&ctx, pause.clone()),
            pause,
            since: None,
            wasi: wasi(&ctx, &voice, &door)?,
            door,
            voice,
            http: WasiHttpCtx::new(),
            resources,
            ctx,
        })
    }

    /// Makes ready for a call.
    pub(super) fn open(&mut self, current: Option<Current>, due: Vec<DueTimer>) {
        self.current = current;
        self.since = None;
        self.pause.reset();
        self.voice.reset();
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

    /// Notes that the guest is refused what is beyond a limit; `text` is what it is told.
    pub(super) fn beyond(&self, limit: FaultKind, text: String) -> String {
        self.ctx.state.meter().exceeded(limit);
        text
    }

    /// Whether the call may change one more subscription or timer.
    ///
    /// # Errors
    /// What the guest is told when it may not.
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
        self.effects.state = self.draft.take();
        std::mem::take(&mut self.effects)
    }
}

/// WASI with everything denied that is not granted: no files, environment, arguments, input or network. Clocks and random
/// numbers stay, and what the guest writes to its standard streams becomes log lines.
fn wasi(ctx: &ServiceCtx, voice: &Arc<Voice>, door: &Arc<Door>) -> Result<WasiCtx, Fault> {
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
    door.guard(&mut builder);
    let wasi = builder
        .max_random_size(RANDOM_BYTES)
        .stdout(Output::new(voice.clone(), Stream::Stdout))
        .stderr(Output::new(voice.clone(), Stream::Stderr))
        .build();
    Ok(wasi)
}

impl WasiHttpView for Data {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            ctx: &mut self.http,
            table: &mut self.resources,
            hooks: &mut self.gate,
        }
    }
}

impl WasiView for Data {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.resources,
        }
    }
}
