//! Supervisor of the services. It owns their handles, watches their component files, prepares new versions, and sends the
//! services their commands.

mod changes;
mod commands;
pub mod reload;
mod shadows;

use std::collections::{HashSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::{Interval, interval_at};
use tracing::{error, warn};

use crate::config;
use crate::guest::{self, Component};
use crate::rollout::handover::{self, Prepared};
use crate::rollout::history::HistoryEvent;
use crate::rollout::loader::{LoadError, Loader};
use crate::rollout::shadow::shadow_ctx;
use crate::router::ServiceId;
use crate::service::{self, Command, Status, Swap};
use crate::service_ctx::ServiceCtx;
use crate::settling::Settling;
use crate::store::Store;
use crate::version::Version;
use crate::watch::Watch;

use commands::RollbackReady;
use shadows::Shadowed;

/// One service as the supervisor sees it.
pub struct Entry {
    /// Its number.
    pub id: ServiceId,
    /// Its configuration and its resources.
    pub ctx: Arc<ServiceCtx>,
    /// Its component file.
    pub file: PathBuf,
    /// The last swap that was sent to it.
    pub given: Option<Given>,
    /// The version that runs as its shadow, or did so last.
    pub shadow: Option<Version>,
    /// Handle of its task.
    pub handle: service::Handle,
}

/// A swap that was sent to a service.
pub struct Given {
    number: u64,
    component: Component,
}

/// Supervisor of all services.
pub struct Supervisor {
    loader: Loader,
    entries: Vec<Entry>,
    watch: Watch,
    preparing: JoinSet<Outcome>,
    busy: HashSet<PathBuf>,
    again: HashSet<PathBuf>,
    /// When statistics are logged; `None`: on request only.
    reports: Option<Interval>,
    /// Commands to send to services as soon as they have room for them.
    orders: VecDeque<Order>,
    /// Services that are no longer configured and have not ended yet.
    leaving: JoinSet<ServiceId>,
    /// Former versions that are being made ready to come back, by command.
    rollbacks: JoinSet<RollbackReady>,
    /// New versions that run as shadows.
    shadows: JoinSet<Option<Shadowed>>,
    store: Store,
    /// Files that were refused recently.
    settling: Settling,
}

/// Result of preparing a changed file.
struct Outcome {
    file: PathBuf,
    /// Its number in the file system, when it was read.
    inode: Option<u64>,
    replacements: Result<Vec<Replacement>, LoadError>,
}

/// Command for a service.
struct Order {
    id: ServiceId,
    command: Command,
}

/// A service that uses a file.
struct User {
    id: ServiceId,
    running: Option<Version>,
    /// Versions that were rolled back.
    refused: Vec<Version>,
    /// Version that runs as its shadow.
    shadow: Option<Version>,
    /// How long a new version is to run as a shadow; `None`: not at all.
    span: Option<Duration>,
    ctx: Arc<ServiceCtx>,
}

/// A new version for one service.
struct Replacement {
    id: ServiceId,
    version: Version,
    /// Context with which the instance was started.
    ctx: Arc<ServiceCtx>,
    fate: Fate,
}

/// Fate of a version that was found in a file.
enum Fate {
    /// It has started.
    Started(Box<Prepared>),
    /// It has started with this context, to run as a shadow.
    Shadow(Box<Prepared>, Arc<ServiceCtx>),
    /// It has not.
    Failed(guest::Fault),
    /// It was rolled back before.
    Refused,
    /// It is the one that runs, after another was rolled back.
    Same,
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
        let (preparing, busy, again) = (JoinSet::new(), HashSet::new(), HashSet::new());
        let reports = (!reports.is_zero())
            .then(|| interval_at(tokio::time::Instant::now() + reports, reports));
        let (orders, leaving) = (VecDeque::new(), JoinSet::new());
        let (rollbacks, shadows) = (JoinSet::new(), JoinSet::new());
        let settling = Settling::default();
        Self {
            loader,
            entries,
            watch,
            preparing,
            busy,
            again,
            orders,
            leaving,
            reports,
            rollbacks,
            shadows,
            store,
            settling,
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
                () = hand_over(&mut self.orders, &self.entries), if !self.orders.is_empty() => {}
                Some(left) = self.leaving.join_next() => match left {
                    Ok(id) => return id,
                    Err(bug) => error!("waiting for a service failed in the host, which is a bug: {bug}"),
                },
                file = self.watch.changed() => self.changed(file),
                () = due(&mut self.reports) => self.report().await,
                () = changes::settled(&self.settling) => self.say_settled(),
                Some(done) = self.preparing.join_next() => match done {
                    Ok(outcome) => self.take_over(outcome),
                    Err(bug) => error!("preparing a component failed in the host, which is a bug: {bug}"),
                },
                Some(done) = self.shadows.join_next() => match done {
                    Ok(shadowed) => shadowed.into_iter().for_each(|shadowed| self.end_shadow(shadowed)),
                    Err(bug) => error!("a shadow failed in the host, which is a bug: {bug}"),
                },
                Some(done) = self.rollbacks.join_next() => match done {
                    Ok(ready) => self.on_rollback_ready(ready),
                    Err(bug) => error!("preparing a former version failed in the host, which is a bug: {bug}"),
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
            entry.handle.ended().await;
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

    /// Compiles the file and starts an instance for each service that uses it, while the running ones continue.
    fn prepare(&mut self, file: PathBuf) {
        if !self.busy.insert(file.clone()) {
            self.again.insert(file);
            return;
        }
        let users: Vec<_> = (self.entries.iter())
            .filter(|entry| entry.file == file)
            .map(|entry| User {
                id: entry.id,
                running: entry.version(),
                refused: entry.handle.versions().history.rejected().to_vec(),
                shadow: entry.shadow,
                // without a running version there is nothing to compare with
                span: Some(entry.ctx.config.swap.shadow)
                    .filter(|_| entry.handle.status() == Status::Running),
                ctx: entry.ctx.clone(),
            })
            .collect();
        let keep = self.archives(&file);
        if keep {
            self.loader.tidy_archive(self.kept_versions());
        }
        let loader = self.loader.clone();
        let pool = self.loader.pool();
        self.preparing.spawn_on(
            async move {
                let inode = changes::inode(loader.pool(), &file).await;
                let replacements = replacements(&loader, &file, keep, users).await;
                Outcome {
                    file,
                    inode,
                    replacements,
                }
            },
            pool,
        );
    }

    /// Whether versions of the file are kept.
    fn archives(&self, file: &Path) -> bool {
        self.entries
            .iter()
            .any(|entry| entry.file == file && entry.ctx.config.swap.versions > 0)
    }

    /// Every version that some service keeps or may be about to run.
    fn kept_versions(&self) -> HashSet<Version> {
        let of = |entry: &Entry| {
            let history = entry.handle.versions().history;
            history
                .kept_versions()
                .chain(entry.version())
                .collect::<Vec<_>>()
        };
        self.entries.iter().flat_map(of).collect()
    }

    fn swap(
        &mut self,
        Replacement {
            id,
            version,
            ctx,
            fate,
        }: Replacement,
    ) {
        let Some(entry) = self.entries.iter_mut().find(|entry| entry.id == id) else {
            return;
        };
        if !Arc::ptr_eq(&entry.ctx, &ctx) {
            // its section changed meanwhile: the instance was started with the former one
            self.again.insert(entry.file.clone());
            return;
        }
        let (service, file, short) = (
            entry.ctx.config.name.as_str(),
            entry.file.display(),
            version.short(),
        );
        let command = match fate {
            Fate::Started(prepared) => Command::Swap(Box::new(entry.issue_swap(*prepared))),
            Fate::Shadow(prepared, apart) => {
                return self.begin_shadow(id, version, *prepared, apart);
            }
            Fate::Failed(fault) => {
                let name = fault.kind().name();
                warn!(
                    service,
                    version = short,
                    fault = name,
                    "{file}: the new version did not start, the running one stays: {fault}"
                );
                Command::Note(Some(version), HistoryEvent::Refused, fault.to_string())
            }
            Fate::Refused => {
                let reason =
                    "it was rolled back, and is not taken again until the file has other bytes";
                return warn!(
                    service,
                    version = short,
                    "{file}: the running version stays: {reason}"
                );
            }
            Fate::Same => Command::ClearRejected,
        };
        self.orders.push_back(Order { id, command });
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
        let given = self
            .given
            .as_ref()
            .filter(|given| given.number > standing.concluded);
        given
            .map(|given| given.component.clone())
            .or(standing.component)
    }

    fn version(&self) -> Option<Version> {
        self.component().map(|component| component.version())
    }

    /// A swap to a started instance.
    fn issue_swap(&mut self, prepared: Prepared) -> Swap {
        let component = prepared.component.clone();
        let number = self.given.as_ref().map_or(0, |given| given.number) + 1;
        self.given = Some(Given { number, component });
        self.shadow = None;
        Swap {
            number,
            ctx: self.ctx.clone(),
            prepared,
            rollback: None,
        }
    }
}

/// Sends the first order when its service has room for it. Cancel-safe: it leaves the queue only when it is sent.
async fn hand_over(orders: &mut VecDeque<Order>, entries: &[Entry]) {
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

async fn replacements(
    loader: &Loader,
    file: &Path,
    keep: bool,
    users: Vec<User>,
) -> Result<Vec<Replacement>, LoadError> {
    let component = loader.load(file, keep).await?;
    let version = component.version();
    let mut replacements = Vec::new();
    for User {
        id,
        running,
        refused,
        shadow,
        span,
        ctx,
    } in users
    {
        let fate = match version {
            same if running == Some(same) && refused.is_empty() => continue,
            same if running == Some(same) => Fate::Same,
            bad if refused.contains(&bad) => Fate::Refused,
            known if shadow == Some(known) => continue,
            _ if span.is_some_and(|span| !span.is_zero()) => {
                let apart = shadow_ctx(&ctx);
                match handover::prepare(component.clone(), apart.clone()).await {
                    Ok(prepared) => Fate::Shadow(Box::new(prepared), apart),
                    Err(fault) => Fate::Failed(fault),
                }
            }
            _ => match handover::prepare(component.clone(), ctx.clone()).await {
                Ok(prepared) => Fate::Started(Box::new(prepared)),
                Err(fault) => Fate::Failed(fault),
            },
        };
        replacements.push(Replacement {
            id,
            version,
            ctx,
            fate,
        });
    }
    Ok(replacements)
}
