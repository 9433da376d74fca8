//! Actor: keeps the services. In: changed component files and the order to stop. Out: swaps and stops to the services.
//! Owns the services' handles, the watch on their files and the preparation of new versions.

pub mod load;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::{Interval, interval_at};
use tracing::{error, info, warn};

use crate::config;
use crate::guest::{self, Setting};
use crate::router::ServiceId;
use crate::service::{self, Command, Prepared, Status};
use crate::watch::Watch;

use load::{LoadError, load};

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
    /// Hash of the component that runs; `None` while none could be loaded.
    pub hash: Option<Hash>,
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
}

/// A prepared instance for the service with this index, or why there is none.
type Replacement = (usize, Hash, Result<Prepared, guest::Fault>);

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
        Self { host, pool, entries, watch, preparing, busy, again, reports }
    }

    /// How many services there are.
    pub fn services(&self) -> usize {
        self.entries.len()
    }

    /// Swaps services whose files change, for ever. Cancel-safe.
    pub async fn run(&mut self) {
        loop {
            tokio::select! {
                file = self.watch.changed() => self.prepare(file),
                () = due(&mut self.reports) => self.report().await,
                Some(done) = self.preparing.join_next() => match done {
                    Ok((file, outcome)) => self.take_over(file, outcome).await,
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
        let users: Vec<_> = (self.entries.iter().enumerate())
            .filter(|(_, entry)| entry.file == file)
            .map(|(index, entry)| (index, entry.hash, entry.setting.clone()))
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

    async fn take_over(&mut self, file: PathBuf, outcome: Result<Vec<Replacement>, LoadError>) {
        self.busy.remove(&file);
        match outcome {
            Ok(replacements) => {
                for (index, hash, prepared) in replacements {
                    self.swap(index, hash, prepared).await;
                }
            }
            Err(error) => warn!("{error}; the running version stays"),
        }
        if self.again.remove(&file) {
            self.prepare(file);
        }
    }

    async fn swap(&mut self, index: usize, hash: Hash, prepared: Result<Prepared, guest::Fault>) {
        let Some(entry) = self.entries.get_mut(index) else { return };
        let service = entry.config.name.as_str();
        match prepared {
            Ok(prepared) => {
                entry.hash = Some(hash);
                if entry.handle.send(Command::Swap(Box::new(prepared))).await {
                    info!(service, version = short(&hash), "new version of {} takes over", entry.file.display());
                }
            }
            Err(fault) => {
                let file = entry.file.display();
                warn!(
                    service,
                    version = short(&hash),
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

/// Enough of a hash to tell versions apart in a log.
fn short(hash: &Hash) -> String {
    hash.iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

async fn replacements(
    host: &Arc<guest::Host>,
    pool: &tokio::runtime::Handle,
    file: &Path,
    users: Vec<(usize, Option<Hash>, Arc<Setting>)>,
) -> Result<Vec<Replacement>, LoadError> {
    let component = load(host, pool, file).await?;
    let hash = component.hash();
    let mut replacements = Vec::new();
    for (index, running, setting) in users {
        if running != Some(hash) {
            replacements.push((index, hash, service::prepare(component.clone(), setting).await));
        }
    }
    Ok(replacements)
}
