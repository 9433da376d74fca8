//! Start of the configured services: loads their components and starts instances, then spawns the service tasks.

use std::collections::HashMap;
use std::path::PathBuf;

use anyhow::bail;
use tracing::{error, warn};

use crate::config;
use crate::effects::Effects;
use crate::guest::Component;
use crate::mailbox::{self, Mailbox};
use crate::rollout::Fallback;
use crate::rollout::history::VersionHistory;
use crate::rollout::loader::LoadError;
use crate::router::ServiceId;
use crate::service::{self, First, Parts, Presence, PresenceSetup, Shared};
use crate::store::Segment;
use crate::supervisor::reload::Ready;
use crate::supervisor::{Entry, Supervisor};
use crate::watch::Watch;

use super::loaded_service::LoadedService;
use super::service_deps::ServiceDeps;
use super::sessions::Sessions;

/// A service of the configuration, its component, and its records of an earlier run.
struct Found {
    config: config::Service,
    file: PathBuf,
    component: Option<Component>,
    /// Its versions.
    history: VersionHistory,
    /// Fallback in case the version that was on probation when the host ended fails.
    interrupted: Option<Fallback>,
    /// Messages that it has not handled.
    spool: Option<Segment>,
}

/// A component that could not be loaded.
pub(super) struct Failure {
    service: String,
    error: LoadError,
}

/// Logs the components that could not be loaded. Their services wait for better files, and the others run. `named`: the
/// components were named on the command line.
///
/// # Errors
/// When components were named and none of them could be loaded: the user is waiting for that result.
pub(super) fn judge(
    loaded: &[LoadedService],
    mut failures: Vec<Failure>,
    named: bool,
) -> anyhow::Result<()> {
    let none = loaded.iter().all(|one| matches!(one.first, First::Nothing));
    if named && none && !failures.is_empty() {
        return Err(failures.swap_remove(0).error.into());
    }
    for Failure { service, error } in failures {
        error!(
            service,
            "{error}; the service starts when there is a better file"
        );
    }
    Ok(())
}

/// Loads and starts every service; one whose component cannot be loaded has nothing to run.
///
/// # Errors
/// When a service has no component.
pub(super) async fn load_all(
    deps: &ServiceDeps,
    services: Vec<config::Service>,
    mut spools: HashMap<String, Segment>,
) -> anyhow::Result<(Vec<LoadedService>, Vec<Failure>)> {
    let ServiceDeps { loader, shared, .. } = deps;
    let mut components: HashMap<PathBuf, Option<Component>> = HashMap::new();
    let mut failures = Vec::new();
    let mut loaded = Vec::with_capacity(services.len());
    for (number, config) in services.into_iter().enumerate() {
        let Some(file) = config.component.clone() else {
            bail!(
                "services.{}: has no component; write component: <file.wasm>",
                config.name
            )
        };
        if !components.contains_key(&file) {
            let outcome = loader.load(&file, config.swap.versions > 0).await;
            let fail = |error| {
                failures.push(Failure {
                    service: config.name.clone(),
                    error,
                })
            };
            components.insert(file.clone(), outcome.map_err(fail).ok());
        }
        let mut component = components.get(&file).cloned().flatten();
        let history = shared.history(&config.name).await;
        if let Some(found) = component {
            let name = &config.name;
            component = Some(loader.load_in_place_of(found, name, &history).await);
        }
        let interrupted = match &component {
            Some(component) => {
                let version = component.version();
                let store = &shared.store;
                loader
                    .load_interrupted(version, &config.name, &history, store)
                    .await
            }
            None => None,
        };
        let spool = spools.remove(&config.name);
        let found = Found {
            config,
            file,
            component,
            history,
            interrupted,
            spool,
        };
        loaded.push(begin(ServiceId(u32::try_from(number)?), found, deps).await);
    }
    Ok((loaded, failures))
}

async fn begin(id: ServiceId, found: Found, deps: &ServiceDeps) -> LoadedService {
    let ServiceDeps { loader, shared, .. } = deps;
    let Found {
        config,
        file,
        component,
        history,
        interrupted,
        spool,
    } = found;
    let ctx = shared.service_ctx(config).await;
    let config = &ctx.config;
    let first = match component {
        None => First::Nothing,
        Some(component) => match loader.prepare(component.clone(), ctx.clone()).await {
            Ok(prepared) => First::Prepared(Box::new(prepared)),
            Err(fault) => {
                error!(
                    service = config.name.as_str(),
                    "could not start and is tried again: {fault}"
                );
                First::Failed(component)
            }
        },
    };
    let nothing = Effects::default();
    let effects = if let First::Prepared(prepared) = &first {
        &prepared.effects
    } else {
        &nothing
    };
    let subscriptions = service::subscriptions(config, effects);
    if let First::Prepared(_) = first {
        warn_idle(config, effects);
    }
    let mailbox = mailbox_of(config, shared);
    LoadedService {
        id,
        ctx,
        file,
        history,
        interrupted,
        first,
        subscriptions,
        mailbox,
        spool,
    }
}

/// Builds a service of a new configuration, whose instance was started already.
pub(super) fn from_ready(
    id: ServiceId,
    ready: Ready,
    history: VersionHistory,
    spool: Option<Segment>,
    shared: &Shared,
) -> LoadedService {
    let Ready {
        ctx,
        file,
        prepared,
    } = ready;
    let config = &ctx.config;
    warn_idle(config, &prepared.effects);
    let subscriptions = service::subscriptions(config, &prepared.effects);
    let mailbox = mailbox_of(config, shared);
    let first = First::Prepared(Box::new(prepared));
    LoadedService {
        id,
        ctx,
        file,
        history,
        interrupted: None,
        first,
        subscriptions,
        mailbox,
        spool,
    }
}

fn mailbox_of(config: &config::Service, shared: &Shared) -> (mailbox::Sender, Mailbox) {
    mailbox::with_spill_queue(
        mailbox::Limits::from(&config.limits),
        shared.store.spill_queue(&config.name),
    )
}

fn warn_idle(config: &config::Service, effects: &Effects) {
    // one subscription is the host's own, for the service's switch
    if service::subscriptions(config, effects).len() <= 1 && effects.timers.is_empty() {
        let section = format!("services.{}.subscriptions", config.name);
        warn!(
            service = config.name.as_str(),
            "will never be called: it has no subscriptions and no timers; write {section}: [<filter>]"
        );
    }
}

/// Starts the tasks of the services and returns their supervisor. `watch` has watched their files since before they were read.
///
/// # Errors
/// When a base topic leaves no room for `online`.
pub(super) async fn services(
    loaded: Vec<LoadedService>,
    watch: Watch,
    deps: &ServiceDeps,
    sessions: &Sessions,
) -> anyhow::Result<Supervisor> {
    let mut entries = Vec::with_capacity(loaded.len());
    for one in loaded {
        entries.push(run(one, deps, sessions, true).await?);
    }
    Ok(Supervisor::new(
        deps.loader.clone(),
        entries,
        watch,
        deps.shared.store.clone(),
        deps.intervals.statistics,
    ))
}

/// Starts the task of one service. `attached`: its routes are in place already.
///
/// # Errors
/// When its base topic leaves no room for `online`.
pub(super) async fn run(
    one: LoadedService,
    deps: &ServiceDeps,
    sessions: &Sessions,
    attached: bool,
) -> anyhow::Result<Entry> {
    let LoadedService {
        id,
        ctx,
        file,
        history,
        interrupted,
        first,
        mailbox,
        spool,
        ..
    } = one;
    let (session, expiry) = sessions.presence(id);
    let announced = PresenceSetup {
        session,
        expiry,
        interval: deps.intervals.online,
        main: sessions.main(),
        further: ctx.config.delivery.availability.clone(),
    };
    let presence = Presence::new(&ctx.config, announced)?;
    deps.timers.register(id, mailbox.0.clone()).await;
    let parts = Parts {
        id,
        ctx: ctx.clone(),
        mailbox,
        spool,
        attached,
        session: sessions.main(),
        timers: deps.timers.clone(),
        history,
        interrupted,
        presence,
        store: deps.shared.store.clone(),
        protocol: deps.shared.protocol,
        pools: deps.pools.clone(),
    };
    let (handle, task) = service::service(parts, first);
    tokio::spawn(task);
    Ok(Entry {
        id,
        ctx,
        file,
        issued: None,
        shadow: None,
        handle,
    })
}
