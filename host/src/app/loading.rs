//! Loads the components of the configured services and starts their instances, before the host connects.
//!
//! The host waits for services whose compiled code is in the cache. Components that have to be compiled first, and guests whose
//! `start` takes long, are not waited for: their services begin later, while their messages wait (see [`LateStarts`]).

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use tokio::task::JoinSet;

use crate::config;
use crate::effects::Effects;
use crate::guest::Component;
use crate::message::{Subscription, SubscriptionChange};
use crate::rollout::history::VersionHistory;
use crate::rollout::loader::LoadError;
use crate::router::ServiceId;
use crate::service::{self, First, Shared};
use crate::service_ctx::ServiceCtx;
use crate::store::Segment;
use crate::supervisor::FirstStart;

use super::late_starts::{Failure, LateStarts, ServiceLoader, StartOutcome};
use super::loaded_service::LoadedService;
use super::service_deps::ServiceDeps;
use super::start::{mailbox_of, warn_idle};

/// Time without progress after which guests that are still starting are not waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// A service of the configuration, with its records of an earlier run.
struct ConfiguredService {
    id: ServiceId,
    ctx: Arc<ServiceCtx>,
    file: PathBuf,
    /// Its versions.
    history: VersionHistory,
    /// Messages that it has not handled.
    spool: Option<Segment>,
}

/// The services that are being loaded.
struct PendingLoads<'a> {
    deps: &'a ServiceDeps,
    tasks: JoinSet<StartOutcome>,
    failures: Vec<Failure>,
    /// Services that have not begun.
    pending: HashSet<ServiceId>,
    /// Services that the host waits for as long as one after the other starts.
    quick: HashSet<ServiceId>,
    /// Services that the host waits for in any case.
    awaited: HashSet<ServiceId>,
    /// Services whose component has to be compiled.
    late: Vec<ServiceLoader>,
}

/// Loads and starts the services. One whose component cannot be loaded has nothing to run. `named`: the components were named on
/// the command line. `session_persists`: the broker keeps messages for the services while the host does not run.
///
/// # Errors
/// When a service has no component.
pub(super) async fn load_all(
    deps: &ServiceDeps,
    services: Vec<config::Service>,
    mut spools: HashMap<String, Segment>,
    session_persists: bool,
) -> anyhow::Result<(Vec<LoadedService>, LateStarts)> {
    let mut loading = PendingLoads {
        deps,
        tasks: JoinSet::new(),
        failures: Vec::new(),
        pending: HashSet::new(),
        quick: HashSet::new(),
        awaited: HashSet::new(),
        late: Vec::new(),
    };

    let mut components = HashMap::new();
    let mut found = Vec::with_capacity(services.len());
    for (number, config) in services.into_iter().enumerate() {
        let Some(file) = config.component.clone() else {
            bail!(
                "services.{}: has no component; write component: <file.wasm>",
                config.name
            )
        };

        let one = ConfiguredService {
            id: ServiceId(u32::try_from(number)?),
            history: deps.shared.history(&config.name).await,
            spool: spools.remove(&config.name),
            ctx: deps.shared.service_ctx(config).await,
            file,
        };

        loading.find(&one, &mut components).await;
        found.push(one);
    }

    if session_persists {
        loading.await_unknown(&found).await;
    }
    loading.finish(found).await
}

impl PendingLoads<'_> {
    /// Begins to start a service whose code is compiled, and notes one whose code is not. `components`: those of former services,
    /// which often have the same file; `None`: it could not be loaded.
    async fn find(
        &mut self,
        found: &ConfiguredService,
        components: &mut HashMap<PathBuf, Option<Component>>,
    ) {
        let loader = ServiceLoader {
            id: found.id,
            ctx: found.ctx.clone(),
            file: found.file.clone(),
            history: found.history.clone(),
            loader: self.deps.loader.clone(),
            store: self.deps.shared.store.clone(),
        };

        let compiled = loader.without_compiling();

        let component = match components.get(&found.file) {
            Some(component) => Ok(component.clone()),
            None => compiled.load().await.map(Some),
        };
        let component = match component {
            Ok(Some(component)) => component,
            Ok(None) => return,
            Err(LoadError::NotCompiled(_)) => return self.begin_late(loader),
            Err(error) => {
                components.insert(found.file.clone(), None);
                let service = found.ctx.config.name.clone();
                return self.failures.push(Failure { service, error });
            }
        };

        components.insert(found.file.clone(), Some(component.clone()));

        match compiled.choose(component).await {
            Ok(version) => {
                self.pending.insert(found.id);
                self.quick.insert(found.id);
                let pool = self.deps.loader.pool();
                self.tasks.spawn_on(loader.start(version), pool);
            }
            // the version of the file was rolled back, and the former one is not compiled
            Err(_) => self.begin_late(loader),
        }
    }

    fn begin_late(&mut self, loader: ServiceLoader) {
        self.pending.insert(loader.id);
        self.late.push(loader);
    }

    /// Has the host wait for late services that have run before and whose subscriptions were not remembered: the broker may send
    /// messages for them as soon as it is connected.
    async fn await_unknown(&mut self, found: &[ConfiguredService]) {
        for late in &self.late {
            let Some(found) = found.iter().find(|found| found.id == late.id) else {
                continue;
            };
            let ran_before = found.history.running().is_some();
            let remembered = self.deps.shared.subscriptions(&late.ctx.config.name);
            if ran_before && remembered.await.is_none() {
                self.awaited.insert(late.id);
            }
        }
    }

    /// Begins to compile, waits for the services that are ready soon, and puts everything together.
    async fn finish(
        mut self,
        found: Vec<ConfiguredService>,
    ) -> anyhow::Result<(Vec<LoadedService>, LateStarts)> {
        let late = std::mem::take(&mut self.late);
        ServiceLoader::begin_all(late, &mut self.tasks, self.deps.loader.pool());

        let mut begun = self.wait().await;
        let mut loaded = Vec::with_capacity(found.len());
        for one in found {
            let beginning = match begun.remove(&one.id) {
                Some(Ok(beginning)) => Some(beginning),
                Some(Err(error)) => {
                    let service = one.ctx.config.name.clone();
                    self.failures.push(Failure { service, error });
                    None
                }
                None => None,
            };

            loaded.push(self.put_together(one, beginning).await);
        }

        let has_begun = loaded.iter().any(|one| one.first.component().is_some());
        Ok((
            loaded,
            LateStarts::new(self.tasks, self.failures, has_begun),
        ))
    }

    /// Waits for the services that are ready soon.
    async fn wait(&mut self) -> HashMap<ServiceId, Result<FirstStart, LoadError>> {
        let mut begun = HashMap::new();
        while !(self.quick.is_empty() && self.awaited.is_empty()) {
            let next = self.tasks.join_next();
            let next = if self.awaited.is_empty() {
                match tokio::time::timeout(PATIENCE, next).await {
                    Ok(next) => next,
                    Err(_) => break,
                }
            } else {
                next.await
            };

            let Some(next) = next else { break };
            if let Some(one) = StartOutcome::from_joined(next) {
                self.pending.remove(&one.id);
                self.quick.remove(&one.id);
                self.awaited.remove(&one.id);
                begun.insert(one.id, one.outcome);
            }
        }

        begun
    }

    async fn put_together(
        &self,
        found: ConfiguredService,
        beginning: Option<FirstStart>,
    ) -> LoadedService {
        let shared = &self.deps.shared;
        let ConfiguredService {
            id,
            ctx,
            file,
            history,
            spool,
        } = found;

        let is_starting = self.pending.contains(&id);
        let (first, in_file, interrupted) = match beginning {
            Some(start) => (start.first, Some(start.in_file), start.interrupted),
            None => (First::Nothing, None, None),
        };

        let config = &ctx.config;
        let subscriptions = match &first {
            First::Prepared(prepared) => {
                warn_idle(config, &prepared.effects);
                service::subscriptions(config, &prepared.effects)
            }
            First::Failed(_) => service::subscriptions(config, &Effects::default()),
            First::Nothing => late_subscriptions(config, shared).await,
        };

        let mailbox = mailbox_of(config, shared);
        LoadedService {
            id,
            ctx,
            file,
            in_file,
            history,
            interrupted,
            first,
            is_starting,
            subscriptions,
            mailbox,
            spool,
        }
    }
}

/// Subscriptions of a service whose guest does not run yet: those that it made at its last start, as far as it may make them still.
async fn late_subscriptions(config: &config::Service, shared: &Shared) -> Vec<Subscription> {
    let remembered = shared.subscriptions(&config.name).await.unwrap_or_default();
    let allowed = remembered
        .into_iter()
        .filter(|one| config.may_subscribe(&one.filter));
    let effects = Effects {
        subscriptions: allowed.map(SubscriptionChange::Subscribe).collect(),
        ..Effects::default()
    };
    service::subscriptions(config, &effects)
}
