//! Actor: keeps the services. In: changed component files, new sections of the configuration, the order to stop. Out: swaps,
//! changes and stops to the services. Owns the services' handles, the watch on their files and the preparation of new versions.

pub mod load;
pub mod reload;

use std::collections::{HashSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::{Interval, interval_at};
use tracing::{error, info, warn};

use crate::config;
use crate::guest::{self, Component, Setting};
use crate::router::ServiceId;
use crate::service::{self, Command, Prepared, Status};
use crate::watch::Watch;

use load::{LoadError, component_of, load};

/// SHA-256 of a component's bytes.
type Hash = [u8; 32];

/// One service as the supervisor sees it.
pub struct Entry {
    /// Its number.
    pub id: ServiceId,
    /// Its configuration.
    pub config: Arc<config::Service>,
    /// What its guest gets to know.
    pub setting: Arc<Setting>,
    /// Its component file.
    pub file: PathBuf,
    /// The component that runs; `None` while none could be loaded.
    pub component: Option<Component>,
    /// The way to it.
    pub handle: service::Handle,
}

/// Keeps the services.
pub struct Supervisor {
    host: Arc<guest::Host>,
    pool: tokio::runtime::Handle,
    entries: Vec<Entry>,
    watch: Watch,
    preparing: JoinSet<(PathBuf, Result<Vec<Replacement>, LoadError>)>,
    busy: HashSet<PathBuf>,
    again: HashSet<PathBuf>,
    /// When statistics are logged; `None`: on request only.
    reports: Option<Interval>,
    /// What is to be told to services as soon as they take it.
    orders: VecDeque<Order>,
    /// Services that are no longer configured and have not ended yet.
    leaving: JoinSet<ServiceId>,
}

/// Something to be told to a service, and what the log says about it.
struct Order {
    id: ServiceId,
    command: Command,
    news: String,
}

/// A new version for one service.
struct Replacement {
    id: ServiceId,
    component: Component,
    /// What the instance was started with.
    setting: Arc<Setting>,
    prepared: Result<Prepared, guest::Fault>,
}

impl Supervisor {
    /// Keeps `entries`, whose files `watch` watches.
    /// Their statistics are logged every `reports`, where that is not zero.
    pub fn new(
        host: Arc<guest::Host>,
        pool: tokio::runtime::Handle,
        entries: Vec<Entry>,
        watch: Watch,
        reports: Duration,
    ) -> Self {
        let (preparing, busy, again) = (JoinSet::new(), HashSet::new(), HashSet::new());
        let reports = (!reports.is_zero()).then(|| interval_at(tokio::time::Instant::now() + reports, reports));
        let (orders, leaving) = (VecDeque::new(), JoinSet::new());
        Self { host, pool, entries, watch, preparing, busy, again, orders, leaving, reports }
    }

    /// How many services there are.
    pub fn services(&self) -> usize {
        self.entries.len()
    }

    /// Swaps services whose files change until one that was to leave has ended: that one is returned. Cancel-safe.
    pub async fn run(&mut self) -> ServiceId {
        loop {
            tokio::select! {
                () = hand_over(&mut self.orders, &self.entries), if !self.orders.is_empty() => {}
                Some(left) = self.leaving.join_next() => match left {
                    Ok(id) => return id,
                    Err(bug) => error!("waiting for a service failed in the host, which is a bug: {bug}"),
                },
                file = self.watch.changed() => self.prepare(component_of(&self.host, file)),
                () = due(&mut self.reports) => self.report().await,
                Some(done) = self.preparing.join_next() => match done {
                    Ok((file, outcome)) => self.take_over(file, outcome),
                    Err(bug) => error!("preparing a component failed in the host, which is a bug: {bug}"),
                },
            }
        }
    }

    /// Has every service say in the log what its calls cost.
    pub async fn report(&self) {
        for entry in &self.entries {
            entry.handle.send(Command::Report).await;
        }
    }

    /// Stops all services; each handles what it has until the deadline.
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
        let running = self.entries.iter().filter(|entry| entry.handle.status() != Status::Stopped);
        running.map(|entry| (entry.id, entry.config.clone())).collect()
    }

    /// Compiles the file and starts an instance for each service that uses it, beside the running ones.
    fn prepare(&mut self, file: PathBuf) {
        if !self.busy.insert(file.clone()) {
            self.again.insert(file);
            return;
        }
        let users: Vec<_> = (self.entries.iter())
            .filter(|entry| entry.file == file)
            .map(|entry| (entry.id, entry.hash(), entry.setting.clone()))
            .collect();
        let (host, pool) = (self.host.clone(), self.pool.clone());
        self.preparing.spawn_on(
            async move {
                let outcome = replacements(&host, &pool, &file, users).await;
                (file, outcome)
            },
            &self.pool,
        );
    }

    fn take_over(&mut self, file: PathBuf, outcome: Result<Vec<Replacement>, LoadError>) {
        self.busy.remove(&file);
        match outcome {
            Ok(replacements) => {
                for replacement in replacements {
                    self.swap(replacement);
                }
            }
            Err(error) => warn!("{error}; the running version stays"),
        }
        if self.again.remove(&file) {
            self.prepare(file);
        }
    }

    fn swap(&mut self, new: Replacement) {
        let Some(entry) = self.entries.iter_mut().find(|entry| entry.id == new.id) else { return };
        if !Arc::ptr_eq(&entry.setting, &new.setting) {
            // its section changed meanwhile: the instance was started with the former one
            self.again.insert(entry.file.clone());
            return;
        }
        let service = entry.config.name.as_str();
        let (file, version) = (entry.file.display(), short(&new.component.hash()));
        match new.prepared {
            Ok(prepared) => {
                let news = format!("new version of {file} takes over version={version}");
                entry.component = Some(new.component);
                self.orders.push_back(Order { id: entry.id, command: Command::Swap(Box::new(prepared)), news });
            }
            Err(fault) => {
                let name = fault.trouble().name();
                warn!(
                    service,
                    version,
                    fault = name,
                    "{file}: the new version did not start, the running one stays: {fault}"
                );
            }
        }
    }
}

async fn due(interval: &mut Option<Interval>) {
    match interval {
        Some(interval) => drop(interval.tick().await),
        None => std::future::pending().await,
    }
}

impl Entry {
    fn hash(&self) -> Option<Hash> {
        self.component.as_ref().map(Component::hash)
    }
}

/// Gives the first order when its service takes it. Cancel-safe: it is taken out of the queue when it is given.
async fn hand_over(orders: &mut VecDeque<Order>, entries: &[Entry]) {
    let Some(first) = orders.front() else { return };
    let entry = entries.iter().find(|entry| entry.id == first.id);
    if let Some(entry) = entry {
        entry.handle.room().await;
    }
    if let (Some(order), Some(entry)) = (orders.pop_front(), entry)
        && entry.handle.give(order.command)
    {
        info!(service = entry.config.name.as_str(), "{}", order.news);
    }
}

/// Enough of a hash to tell versions apart in a log.
fn short(hash: &Hash) -> String {
    hash.iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

async fn replacements(
    host: &Arc<guest::Host>,
    pool: &tokio::runtime::Handle,
    file: &Path,
    users: Vec<(ServiceId, Option<Hash>, Arc<Setting>)>,
) -> Result<Vec<Replacement>, LoadError> {
    let component = load(host, pool, file).await?;
    let mut replacements = Vec::new();
    for (id, running, setting) in users {
        if running != Some(component.hash()) {
            let prepared = service::prepare(component.clone(), setting.clone()).await;
            replacements.push(Replacement { id, component: component.clone(), setting, prepared });
        }
    }
    Ok(replacements)
}
