//! Wiring: from configured services to running ones. In: the services of the configuration. Out: loaded components with
//! started instances, then the services around them. Owns nothing.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use tokio::runtime::Handle;
use tracing::{error, warn};

use crate::config;
use crate::effects::Effects;
use crate::guest::{self, Component, Setting};
use crate::mailbox::{self, Mailbox};
use crate::message::Subscription;
use crate::router::ServiceId;
use crate::service::{self, Announced, First, Parts, Presence, Shared};
use crate::supervisor::load::{LoadError, load, watched};
use crate::supervisor::reload::Ready;
use crate::supervisor::{Entry, Supervisor};
use crate::timers;
use crate::watch::Watch;

use super::sessions::Sessions;

/// A service whose component is loaded, or could not be.
pub struct Loaded {
    /// Its number.
    pub id: ServiceId,
    /// Its configuration.
    pub config: Arc<config::Service>,
    /// What its guest gets to know.
    pub setting: Arc<Setting>,
    /// Its component file.
    pub file: PathBuf,
    /// Its component; `None` when it could not be loaded.
    pub component: Option<Component>,
    /// How it begins.
    pub first: First,
    /// What it is subscribed to from the beginning.
    pub subscriptions: Vec<Subscription>,
    /// Where its messages wait.
    pub mailbox: (mailbox::Sender, Mailbox),
}

/// Loads and starts every service. One that fails is said in the log and waits for a better file; the others run.
///
/// # Errors
/// When none can be loaded.
pub async fn load_all(
    host: &Arc<guest::Host>,
    pool: &Handle,
    services: Vec<config::Service>,
    shared: &Shared,
) -> anyhow::Result<Vec<Loaded>> {
    let mut components: HashMap<PathBuf, Result<Component, LoadError>> = HashMap::new();
    let mut loaded = Vec::with_capacity(services.len());
    for (number, config) in services.into_iter().enumerate() {
        let Some(file) = config.component.clone() else {
            bail!("services.{}: has no component; write component: <file.wasm>", config.name)
        };
        if !components.contains_key(&file) {
            components.insert(file.clone(), load(host, pool, &file).await);
        }
        let component = components.get(&file).and_then(|result| result.as_ref().ok()).cloned();
        loaded.push(begin(ServiceId(u32::try_from(number)?), config, file, component, pool, shared).await);
    }
    let all_failed = components.values().all(Result::is_err);
    let mut failed = loaded.iter().filter_map(|one| Some((one, components.remove(&one.file)?.err()?)));
    // the one that ends the host is not logged as well
    let fatal = if all_failed { failed.next() } else { None };
    for (one, error) in failed {
        error!(service = one.config.name.as_str(), "{error}");
    }
    fatal.map_or(Ok(()), |(_, error)| Err(error))?;
    Ok(loaded)
}

async fn begin(
    id: ServiceId,
    config: config::Service,
    file: PathBuf,
    component: Option<Component>,
    pool: &Handle,
    shared: &Shared,
) -> Loaded {
    let setting = Arc::new(shared.setting(&config).await);
    let running = component.clone();
    let first = match component {
        None => First::Nothing,
        Some(component) => match pool.spawn(service::prepare(component.clone(), setting.clone())).await {
            Ok(Ok(prepared)) => First::Prepared(Box::new(prepared)),
            Ok(Err(fault)) => {
                error!(service = config.name.as_str(), "could not start and is tried again: {fault}");
                First::Failed(component)
            }
            Err(bug) => {
                error!(service = config.name.as_str(), "starting it failed in the host, which is a bug: {bug}");
                First::Failed(component)
            }
        },
    };
    let nothing = Effects::default();
    let effects = if let First::Prepared(prepared) = &first { &prepared.effects } else { &nothing };
    let subscriptions = service::subscriptions(&config, effects);
    if let First::Prepared(_) = first {
        warn_idle(&config, effects);
    }
    let mailbox = mailbox::mailbox(mailbox::Limits::from(&config.limits));
    Loaded { id, config: Arc::new(config), setting, file, component: running, first, subscriptions, mailbox }
}

/// A service whose instance was started already: one that a new configuration brings.
pub fn prepared(id: ServiceId, ready: Ready) -> Loaded {
    let Ready { config, setting, file, prepared } = ready;
    warn_idle(&config, &prepared.effects);
    let subscriptions = service::subscriptions(&config, &prepared.effects);
    let mailbox = mailbox::mailbox(mailbox::Limits::from(&config.limits));
    let component = Some(prepared.component.clone());
    Loaded { id, config, setting, file, component, first: First::Prepared(Box::new(prepared)), subscriptions, mailbox }
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

/// Where services run.
pub struct Surroundings<'a> {
    /// The MQTT connections.
    pub sessions: &'a Sessions,
    /// The timers task.
    pub clock: &'a timers::Handle,
    /// Where slow guest calls run.
    pub pool: &'a Handle,
    /// What services share.
    pub shared: &'a Shared,
    /// How often something is done.
    pub intervals: Intervals,
}

/// How often something is done.
#[derive(Debug, Clone, Copy)]
pub struct Intervals {
    /// A service that is online says so again; zero: never.
    pub online: Duration,
    /// Statistics are logged; zero: never.
    pub statistics: Duration,
}

/// Makes the services run, and a supervisor that keeps them.
///
/// # Errors
/// When a base topic leaves no room for `online`, or the component files cannot be watched.
pub async fn services(
    host: Arc<guest::Host>,
    loaded: Vec<Loaded>,
    around: &Surroundings<'_>,
) -> anyhow::Result<Supervisor> {
    let watch = Watch::new(loaded.iter().flat_map(|one| watched(&host, &one.file)))?;
    let mut entries = Vec::with_capacity(loaded.len());
    for one in loaded {
        entries.push(run(one, around).await?);
    }
    Ok(Supervisor::new(host, around.pool.clone(), entries, watch, around.intervals.statistics))
}

/// Makes one service run.
///
/// # Errors
/// When its base topic leaves no room for `online`.
pub async fn run(one: Loaded, around: &Surroundings<'_>) -> anyhow::Result<Entry> {
    let Loaded { id, config, setting, file, component, first, mailbox, .. } = one;
    let (session, expiry) = around.sessions.presence(id);
    let announced = Announced {
        session,
        expiry,
        interval: around.intervals.online,
        main: around.sessions.main(),
        further: config.availability.clone(),
    };
    let presence = Presence::new(&config, announced)?;
    around.clock.register(id, mailbox.0.clone()).await;
    let parts = Parts {
        id,
        config: config.clone(),
        setting: setting.clone(),
        mailbox,
        session: around.sessions.main(),
        timers: around.clock.clone(),
        presence,
        store: around.shared.store.clone(),
        protocol: around.shared.protocol,
        pool: around.pool.clone(),
    };
    let (handle, task) = service::service(parts, first);
    tokio::spawn(task);
    Ok(Entry { id, config, setting, file, component, handle })
}
