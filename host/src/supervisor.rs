//! Supervisor of the services. It owns their handles, watches their component files, prepares new versions, and sends the
//! services their commands.

mod begin;
mod candidates;
mod changes;
mod commands;
mod deployments;
pub mod reload;
mod shadows;
mod updates;

use std::collections::{HashMap, HashSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Interval, interval_at};
use tracing::error;

use crate::config;
use crate::guest::Component;
use crate::rejection_log::RejectionLog;
use crate::rollout::handover::StartedInstance;
use crate::rollout::loader::Loader;
use crate::router::ServiceId;
use crate::service::{
    self, Allowances, AvailableVersion, Command, ServiceSnapshot, Status, Swap, Versions,
};
use crate::service_ctx::ServiceCtx;
use crate::store::Store;
use crate::version::Version;
use crate::watch::Watch;

pub use begin::FirstStart;
use candidates::Outcome;
use deployments::StartByCommand;
pub use deployments::{DeployOrder, DeployTarget};
use shadows::ShadowOutcome;
pub use shadows::{ShadowRun, ShadowStatus};
pub use updates::FileVersion;

/// One service as the supervisor sees it.
pub struct Entry {
    /// Its number.
    pub id: ServiceId,
    /// Its configuration and its resources.
    pub ctx: Arc<ServiceCtx>,
    /// Its component file.
    pub file: PathBuf,
    /// The version that the file holds; `None`: none that can run, or it is not loaded yet.
    pub in_file: Option<FileVersion>,
    /// The last swap that was sent to it, or its begin.
    pub issued: Option<IssuedSwap>,
    /// The version that runs as its shadow.
    pub shadow: Option<ShadowRun>,
    /// Whether its component is still being compiled, or its guest still starts, for the first time.
    pub is_starting: bool,
    /// Handle of its task.
    pub handle: service::Handle,
}

/// A swap, or the begin, that was sent to a service.
pub struct IssuedSwap {
    number: u64,
    component: Component,
}

/// Supervisor of all services.
pub struct Supervisor {
    loader: Loader,
    entries: Vec<Entry>,
    watch: Watch,
    preparations: Preparations,
    /// When statistics are logged; `None`: on request only.
    reports: Option<Interval>,
    /// Commands to send to services as soon as they have room for them.
    orders: VecDeque<QueuedCommand>,
    /// Services that are no longer configured and have not ended yet.
    leaving: JoinSet<ServiceId>,
    /// Versions that are being started by command.
    starts: JoinSet<StartByCommand>,
    /// New versions that run as shadows.
    shadows: JoinSet<ShadowOutcome>,
    store: Store,
    /// Files that were refused recently.
    rejection_log: RejectionLog,
}

/// Files that changed and are being prepared.
#[derive(Default)]
struct Preparations {
    tasks: JoinSet<Outcome>,
    in_progress: HashSet<PathBuf>,
    /// Files to prepare again, since they or their users changed meanwhile.
    dirty: HashSet<PathBuf>,
    /// Files that a deployment replaces, as soon as its version runs. Until then they hold a former version, which must not take over.
    deploying: HashMap<PathBuf, watch::Receiver<()>>,
    /// Ends with each deployment. Names its file, and tells whether it was replaced.
    deployments: JoinSet<(PathBuf, bool)>,
}

impl Preparations {
    /// Whether a deployment that has not ended replaces a file.
    fn is_deploying(&self, file: &Path) -> bool {
        let ended = self.deploying.get(file);
        ended.is_some_and(|ended| ended.has_changed().is_ok())
    }
}

/// Command for a service.
struct QueuedCommand {
    id: ServiceId,
    command: Command,
}

impl Supervisor {
    /// Creates the supervisor of `entries`, whose files `watch` watches. Their statistics are logged every `reports`, unless
    /// that is zero.
    pub fn new(
        loader: Loader,
        entries: Vec<Entry>,
        watch: Watch,
        store: Store,
        reports: Duration,
    ) -> Self {
        let reports = (!reports.is_zero())
            .then(|| interval_at(tokio::time::Instant::now() + reports, reports));
        Self {
            loader,
            entries,
            watch,
            preparations: Preparations::default(),
            orders: VecDeque::new(),
            leaving: JoinSet::new(),
            reports,
            starts: JoinSet::new(),
            shadows: JoinSet::new(),
            store,
            rejection_log: RejectionLog::default(),
        }
    }

    /// How many services there are.
    pub fn services(&self) -> usize {
        self.entries.len()
    }

    /// Swaps services whose files change, until a removed service has ended, and returns its number. Cancel-safe.
    pub async fn run(&mut self) -> ServiceId {
        loop {
            tokio::select! {
                () = send_first(&mut self.orders, &self.entries), if !self.orders.is_empty() => {}
                Some(left) = self.leaving.join_next() => match left {
                    Ok(id) => return id,
                    Err(bug) => error!("waiting for a service failed in the host, which is a bug: {bug}"),
                },
                file = self.watch.changed() => self.on_changed(file),
                () = due(&mut self.reports) => self.report().await,
                () = changes::wait_until_written(&self.rejection_log) => self.say_settled(),
                Some(done) = self.preparations.tasks.join_next() => match done {
                    Ok(outcome) => self.take_over(outcome),
                    Err(bug) => error!("preparing a component failed in the host, which is a bug: {bug}"),
                },
                Some(done) = self.shadows.join_next() => match done {
                    Ok(shadowed) => self.end_shadow(shadowed),
                    Err(bug) => error!("a shadow failed in the host, which is a bug: {bug}"),
                },
                Some(done) = self.preparations.deployments.join_next() => match done {
                    Ok((file, is_replaced)) => self.on_deployed(file, is_replaced),
                    Err(bug) => error!("a deployment failed in the host, which is a bug: {bug}"),
                },
                Some(done) = self.starts.join_next() => match done {
                    Ok(start) => self.on_started(start),
                    Err(bug) => error!("starting a version failed in the host, which is a bug: {bug}"),
                },
            }
        }
    }

    /// Has every service log its statistics.
    pub async fn report(&self) {
        for entry in &self.entries {
            entry.handle.send(Command::Report).await;
        }
    }

    /// Stops all services. Each handles its waiting messages until the deadline.
    pub async fn stop(&mut self, deadline: Instant) {
        for entry in &self.entries {
            entry.handle.send(Command::Stop(deadline)).await;
        }
        for entry in &mut self.entries {
            entry.handle.wait_for_end().await;
        }
        while self.leaving.join_next().await.is_some() {}
    }

    /// The services that have not ended.
    pub fn unfinished(&self) -> Vec<(ServiceId, Arc<config::Service>)> {
        let running = self
            .entries
            .iter()
            .filter(|entry| entry.handle.status() != Status::Stopped);
        running
            .map(|entry| (entry.id, entry.ctx.config.clone()))
            .collect()
    }
}

async fn due(interval: &mut Option<Interval>) {
    match interval {
        Some(interval) => drop(interval.tick().await),
        None => std::future::pending().await,
    }
}

impl Entry {
    /// The component that runs, or is about to; `None` while none could be loaded.
    fn component(&self) -> Option<Component> {
        let standing = self.handle.versions();
        let issued = self
            .issued
            .as_ref()
            .filter(|issued| issued.number > standing.concluded);
        issued
            .map(|issued| issued.component.clone())
            .or(standing.component)
    }

    /// A snapshot without the service's activity, which only the service itself knows.
    fn known(&self, available: Option<AvailableVersion>) -> ServiceSnapshot {
        let versions = self.handle.versions();
        ServiceSnapshot {
            name: self.ctx.config.name.clone(),
            status: self.handle.status(),
            component: Some(self.file.clone()),
            version: versions
                .component
                .map(|component| component.version().to_string()),
            on_probation: versions.history.is_on_probation(),
            available,
            versions: Versions(versions.history),
            dead_letters: None,
            configured: Allowances(self.ctx.config.clone()),
            activity: None,
        }
    }

    fn version(&self) -> Option<Version> {
        self.component().map(|component| component.version())
    }

    /// Notes that the component was sent to the service, and returns the number of the command.
    fn issue(&mut self, component: Component) -> u64 {
        let number = self.issued.as_ref().map_or(0, |issued| issued.number) + 1;
        self.issued = Some(IssuedSwap { number, component });
        number
    }

    /// A swap to a started instance.
    fn issue_swap(&mut self, prepared: StartedInstance) -> Swap {
        let number = self.issue(prepared.component.clone());
        self.shadow = None;
        Swap {
            number,
            ctx: self.ctx.clone(),
            prepared,
            rollback: None,
            answer: None,
        }
    }
}

/// Sends the first order when its service has room for it. Cancel-safe: it leaves the queue only when it is sent.
async fn send_first(orders: &mut VecDeque<QueuedCommand>, entries: &[Entry]) {
    let Some(first) = orders.front() else { return };
    let entry = entries.iter().find(|entry| entry.id == first.id);
    if let Some(entry) = entry {
        entry.handle.room().await;
    }
    if let (Some(order), Some(entry)) = (orders.pop_front(), entry) {
        // a service that has ended does not need it
        entry.handle.try_send(order.command);
    }
}
