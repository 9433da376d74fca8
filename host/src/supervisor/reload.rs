//! Actor's part: from new sections of the configuration to services that run with them. In: which services are new, changed or
//! gone. Out: started instances, all or none; then the changes to the services. Owns nothing: nothing of what runs is touched
//! before everything is prepared.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use tracing::{info, warn};

use crate::config;
use crate::guest::{self, Component, Setting};
use crate::router::ServiceId;
use crate::service::{self, Change, Command, Prepared};

use super::load::{LoadError, load};
use super::{Entry, Order, Supervisor};

/// A section of the configuration with an instance that was started with it.
pub struct Ready {
    /// The section.
    pub config: Arc<config::Service>,
    /// What the guest gets to know of it.
    pub setting: Arc<Setting>,
    /// Its component file.
    pub file: PathBuf,
    /// The instance.
    pub prepared: Prepared,
}

/// Why a section cannot be put in force.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// Its component cannot be loaded.
    #[error("services.{name}: {source}")]
    Load {
        /// The service.
        name: String,
        /// What is wrong.
        source: LoadError,
    },
    /// Its guest does not start with it.
    #[error("services.{name}: does not start with the new configuration: {fault}")]
    Start {
        /// The service.
        name: String,
        /// What the guest did.
        fault: guest::Fault,
    },
    /// Nothing to run.
    #[error("services.{0}: has no component; write component: <file.wasm>")]
    NoComponent(String),
}

/// What services run, as far as new sections need to know it.
pub type Running = Vec<(PathBuf, Component)>;

/// Loads and starts an instance for each of `services`, beside whatever runs. A file that runs already is not read again: that
/// is the watch's business, and it may be half-written just now.
///
/// # Errors
/// The first that fails; what was started for the others is dropped.
pub async fn prepare(
    host: &Arc<guest::Host>,
    pool: &tokio::runtime::Handle,
    running: &Running,
    services: Vec<config::Service>,
) -> Result<Vec<Ready>, Refusal> {
    let mut ready = Vec::with_capacity(services.len());
    for config in services {
        let name = config.name.clone();
        let file = config.component.clone().ok_or_else(|| Refusal::NoComponent(name.clone()))?;
        let component = match running.iter().find(|(other, _)| *other == file) {
            Some((_, component)) => component.clone(),
            None => load(host, pool, &file).await.map_err(|source| Refusal::Load { name: name.clone(), source })?,
        };
        let setting = Arc::new(service::setting(&config));
        let started = pool.spawn(service::prepare(component, setting.clone())).await;
        let prepared = started.unwrap_or_else(|bug| Err(guest::Fault::Bug(bug.to_string())));
        let prepared = prepared.map_err(|fault| Refusal::Start { name, fault })?;
        ready.push(Ready { config: Arc::new(config), setting, file, prepared });
    }
    // config-changed: here, after everything else is prepared, the running instance of each changed service that exports it is
    // asked with the new setting, and keeps running with it in place of the new one; a refusal is a `Refusal`, and those that
    // agreed before are told their former setting again.
    Ok(ready)
}

impl Supervisor {
    /// The components that run, with their files.
    pub fn running(&self) -> Running {
        self.entries.iter().filter_map(|entry| Some((entry.file.clone(), entry.component.clone()?))).collect()
    }

    /// The number of the service `name`.
    pub fn id(&self, name: &str) -> Option<ServiceId> {
        self.entries.iter().find(|entry| entry.config.name == name).map(|entry| entry.id)
    }

    /// Whether a service that was to leave has not ended yet.
    pub fn is_parting(&self) -> bool {
        !self.leaving.is_empty()
    }

    /// Puts a new section of the service `id` in force: the instance that was started with it takes over between two messages.
    pub fn change(&mut self, id: ServiceId, ready: Ready) {
        let Some(entry) = self.entries.iter_mut().find(|entry| entry.id == id) else { return };
        let Ready { config, setting, file, prepared } = ready;
        let component = prepared.component.clone();
        let older = entry.file == file && entry.hash() != Some(component.hash());
        (entry.config, entry.setting, entry.file) = (config.clone(), setting.clone(), file.clone());
        entry.component = Some(component);
        let command = Command::Change(Box::new(Change { config, setting, prepared }));
        self.orders.push_back(Order { id, command, news: "runs with its new configuration".to_owned() });
        if older {
            // a new version has taken over while this was prepared with the former one
            self.prepare(file);
        }
    }

    /// Keeps one more service.
    pub fn add(&mut self, entry: Entry) {
        info!(service = entry.config.name.as_str(), "added");
        self.entries.push(entry);
    }

    /// Lets the service `id` handle what it has until `deadline` and end; `run` says when it has.
    pub fn remove(&mut self, id: ServiceId, deadline: Instant) {
        let Some(index) = self.entries.iter().position(|entry| entry.id == id) else { return };
        let mut entry = self.entries.remove(index);
        self.orders.retain(|order| order.id != id);
        info!(service = entry.config.name.as_str(), "is no longer configured and ends");
        self.leaving.spawn(async move {
            entry.handle.send(Command::Leave(deadline)).await;
            entry.handle.ended().await;
            id
        });
    }

    /// Watches the component files of the services as they are now.
    pub fn watch(&mut self) {
        if let Err(error) = self.watch.watch(self.entries.iter().map(|entry| entry.file.clone())) {
            warn!("{error}; a new version there is not noticed");
        }
    }
}
