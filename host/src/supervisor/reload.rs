//! Reload of services. All sections of a new configuration are prepared before any running service is touched; if one fails, none
//! is put in force.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use tracing::{info, warn};

use crate::config;
use crate::guest::{self, Component, OptionalExport};
use crate::rollout::handover;
use crate::rollout::loader::{LoadError, Loader};
use crate::router::ServiceId;
use crate::service::{Command, OfferError, ServiceRef, Shared};
use crate::service_ctx::ServiceCtx;
use crate::span;

use super::{Entry, QueuedCommand, Supervisor};

/// A section of the configuration with an instance that was started with it.
pub struct Ready {
    /// The section, in its context.
    pub ctx: Arc<ServiceCtx>,
    /// Its component file.
    pub file: PathBuf,
    /// The instance.
    pub prepared: handover::StartedInstance,
}

/// Reason why a section cannot be put in force.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// Its component cannot be loaded.
    #[error("services.{name}: {source}")]
    Load {
        /// The service.
        name: String,
        /// The files that it is loaded from.
        files: Vec<PathBuf>,
        /// The error.
        source: LoadError,
    },
    /// Its guest does not start with it.
    #[error("services.{name}: does not start with the new configuration: {fault}")]
    Start {
        /// The service.
        name: String,
        /// The files and directories that it is started with.
        files: Vec<PathBuf>,
        /// The guest's fault.
        fault: guest::Fault,
    },
    /// Its guest refuses it.
    #[error("services.{name}: refuses its new configuration: {reason}")]
    Refused {
        /// The service.
        name: String,
        /// Its reason.
        reason: OfferError,
    },
    /// Nothing to run.
    #[error("services.{0}: has no component; write component: <file.wasm>")]
    NoComponent(String),
}

impl Refusal {
    /// Files and directories that may fix it when they appear or change.
    pub fn awaited_files(&self) -> &[PathBuf] {
        match self {
            Self::Load { files, .. } | Self::Start { files, .. } => files,
            Self::Refused { .. } | Self::NoComponent(_) => &[],
        }
    }
}

/// A service that runs, as far as new sections need to know it.
pub struct Runs {
    ctx: Arc<ServiceCtx>,
    file: PathBuf,
    component: Component,
    service_ref: ServiceRef,
}

/// The services that run.
pub type Running = Vec<Runs>;

/// A service whose running guest has taken over its new section.
pub struct AcceptedSection {
    ctx: Arc<ServiceCtx>,
}

/// Everything that new sections need, prepared.
pub struct PreparedSections {
    /// Instances for services that are new, or whose guest cannot take over a new section itself.
    pub ready: Vec<Ready>,
    /// Services whose guest has done so.
    pub agreed: Vec<AcceptedSection>,
}

/// Loads and starts an instance for each of `services`, while the running ones continue. The file of a running component is not
/// read again: the watch does that, and the file may be half-written at the moment.
///
/// # Errors
/// The first that fails; instances started for the others are dropped.
pub async fn prepare(
    loader: &Loader,
    running: &Running,
    services: Vec<config::Service>,
    shared: &Shared,
) -> Result<PreparedSections, Refusal> {
    let mut ready = Vec::new();
    let mut offers = Vec::new();
    for config in services {
        if let Some(runs) = running.iter().find(|runs| runs.takes_over(&config)) {
            let ctx = shared.service_ctx(config).await;
            offers.push((runs, AcceptedSection { ctx }));
            continue;
        }
        let name = config.name.clone();
        let file = config
            .component
            .clone()
            .ok_or_else(|| Refusal::NoComponent(name.clone()))?;
        let own = running
            .iter()
            .find(|runs| runs.file == file && runs.ctx.config.name == name);
        let component = match own.or_else(|| running.iter().find(|runs| runs.file == file)) {
            Some(runs) => runs.component.clone(),
            None => loader
                .load(&file, config.swap.versions > 0)
                .await
                .map_err(|source| Refusal::Load {
                    name: name.clone(),
                    files: loader.watched_files(&file),
                    source,
                })?,
        };

        let directories = config
            .grants
            .directories
            .iter()
            .map(|directory| directory.path.clone());
        let files = directories.chain(loader.watched_files(&file)).collect();
        let ctx = shared.service_ctx(config).await;
        let prepared = loader.prepare(component, ctx.clone()).await;
        let prepared = prepared.map_err(|fault| Refusal::Start { name, files, fault })?;
        ready.push(Ready {
            ctx,
            file,
            prepared,
        });
    }

    // last, because a guest that agrees runs with its new section at once
    let agreed = offer(offers).await?;
    Ok(PreparedSections { ready, agreed })
}

/// Offers new sections to running guests. If one refuses, those that have agreed are given their former sections again.
async fn offer(offers: Vec<(&Runs, AcceptedSection)>) -> Result<Vec<AcceptedSection>, Refusal> {
    let mut agreed: Vec<(&Runs, AcceptedSection)> = Vec::new();
    for (runs, new) in offers {
        let Err(reason) = runs.service_ref.offer(new.ctx.clone()).await else {
            agreed.push((runs, new));
            continue;
        };
        for (runs, _) in agreed.into_iter().rev() {
            if let Err(reason) = runs.service_ref.offer(runs.ctx.clone()).await {
                span::service(&runs.ctx.config.name).in_scope(|| {
                    warn!("does not take back its former configuration: {reason}");
                });
            }
        }

        return Err(Refusal::Refused {
            name: new.ctx.config.name.clone(),
            reason,
        });
    }

    Ok(agreed.into_iter().map(|(_, agreed)| agreed).collect())
}

impl Runs {
    /// Whether the guest that runs can take over the section itself: it exports `config-changed`, and nothing changes that an
    /// instance is made with.
    fn takes_over(&self, new: &config::Service) -> bool {
        let same = |service: &config::Service| {
            (
                service.component.clone(),
                service.limits.clone(),
                service.grants.clone(),
                service.delivery.availability.clone(),
                service.typed.clone(),
            )
        };

        self.ctx.config.name == new.name
            && self.component.exports().has(OptionalExport::ConfigChanged)
            && same(&self.ctx.config) == same(new)
    }
}

impl Supervisor {
    /// The services that run.
    pub fn running(&self) -> Running {
        let runs = |entry: &Entry| {
            Some(Runs {
                ctx: entry.ctx.clone(),
                file: entry.file.clone(),
                component: entry.component()?,
                service_ref: entry.handle.service_ref(),
            })
        };

        self.entries.iter().filter_map(runs).collect()
    }

    /// Notes that a guest has taken over its new section.
    pub fn on_section_accepted(&mut self, agreed: AcceptedSection) {
        let AcceptedSection { ctx } = agreed;
        if let Some(entry) = self
            .entries
            .iter_mut()
            .find(|entry| entry.ctx.config.name == ctx.config.name)
        {
            span::service(&ctx.config.name).in_scope(|| {
                info!("has taken over its new configuration");
            });
            entry.ctx = ctx;
            let file = entry.file.clone();
            self.look_again(file);
        }
    }

    /// The number of the service `name`.
    pub fn id(&self, name: &str) -> Option<ServiceId> {
        self.entries
            .iter()
            .find(|entry| entry.ctx.config.name == name)
            .map(|entry| entry.id)
    }

    /// Whether a removed service has not ended yet.
    pub fn is_parting(&self) -> bool {
        !self.leaving.is_empty()
    }

    /// Puts a new section of the service `id` in force: the instance that was started with it takes over between two messages.
    pub fn change(&mut self, id: ServiceId, ready: Ready) {
        let Some(entry) = self.entries.iter_mut().find(|entry| entry.id == id) else {
            return;
        };
        let Ready {
            ctx,
            file,
            prepared,
        } = ready;
        let older = entry.file == file && entry.version() != Some(prepared.component.version());
        self.orders.extend(entry.forget_shadow());
        entry.ctx = ctx;
        if entry.file != file {
            entry.file.clone_from(&file);
            entry.set_in_file(Some(prepared.component.clone()));
        }
        let command = Command::Swap(Box::new(entry.issue_swap(prepared)));
        self.orders.push_back(QueuedCommand { id, command });
        if older {
            // a new version has taken over while this was prepared with the former one
            self.prepare(file);
        } else {
            self.look_again(file);
        }
    }

    /// Adds a service.
    pub fn add(&mut self, entry: Entry) {
        span::service(&entry.ctx.config.name).in_scope(|| info!("added"));
        let file = entry.file.clone();
        self.entries.push(entry);
        self.look_again(file);
    }

    /// Removes the service `id`, which handles its waiting messages until `deadline`. `run` returns its number when it has ended.
    pub fn remove(&mut self, id: ServiceId, deadline: Instant) {
        let Some(index) = self.entries.iter().position(|entry| entry.id == id) else {
            return;
        };
        let mut entry = self.entries.remove(index);
        self.orders.retain(|order| order.id != id);
        span::service(&entry.ctx.config.name).in_scope(|| {
            info!("is no longer configured and ends");
        });
        self.leaving.spawn(async move {
            entry.handle.send(Command::Leave(deadline)).await;
            entry.handle.wait_for_end().await;
            id
        });
    }

    /// Watches the files of the services as they are now.
    pub fn watch(&self) {
        self.watch.watch(
            self.entries
                .iter()
                .flat_map(|entry| self.loader.watched_for(&entry.ctx.config)),
        );
    }
}
