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
use crate::guest::{self, Component, Requests, Setting};
use crate::mailbox::{self, Mailbox};
use crate::message::Subscription;
use crate::router::ServiceId;
use crate::service::{self, Announced, First, Parts, Presence};
use crate::store::Store;
use crate::supervisor::load::{LoadError, load};
use crate::supervisor::{Entry, Supervisor};
use crate::timers;
use crate::topic::Topic;
use crate::watch::Watch;

use super::sessions::Sessions;
use super::state::State;

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
    /// Hash of the component.
    pub hash: Option<[u8; 32]>,
    /// How it begins.
    pub first: First,
    /// What it is subscribed to from the beginning.
    pub subscriptions: Vec<Subscription>,
    /// Where its messages wait.
    pub mailbox: (mailbox::Sender, Mailbox),
}

/// What services have of the host, beside what is their own.
pub struct Shared<'a> {
    /// Their state.
    pub state: &'a mut State,
    /// Where their requests go.
    pub requests: Requests,
    /// Where Home Assistant looks for announcements.
    pub discovery_prefix: Topic,
}

/// Loads and starts every service. One that fails is said in the log and waits for a better file; the others run.
///
/// # Errors
/// When none can be loaded.
pub async fn load_all(
    host: &Arc<guest::Host>,
    pool: &Handle,
    services: Vec<config::Service>,
    mut shared: Shared<'_>,
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
        loaded.push(begin(ServiceId(u32::try_from(number)?), config, file, component, pool, &mut shared).await);
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
    shared: &mut Shared<'_>,
) -> Loaded {
    let setting = Arc::new(Setting {
        name: config.name.clone(),
        base: config.base.clone(),
        config_json: config.config.to_string(),
        limits: config.limits.clone(),
        grants: config.grants.clone(),
        offline: config.offline.clone(),
        discovery_prefix: shared.discovery_prefix.clone(),
        belongings: shared.state.belongings(&config).await,
        requests: Some(shared.requests.clone()),
    });
    let hash = component.as_ref().map(Component::hash);
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
    if let First::Prepared(_) = first
        && !called(&config, &subscriptions)
        && effects.timers.is_empty()
    {
        let section = format!("services.{}.subscriptions", config.name);
        warn!(
            service = config.name.as_str(),
            "will never be called: it has no subscriptions and no timers; write {section}: [<filter>]"
        );
    }
    let mailbox = mailbox::mailbox(mailbox::Limits::from(&config.limits));
    Loaded { id, config: Arc::new(config), setting, file, hash, first, subscriptions, mailbox }
}

/// Whether there are subscriptions beside the one for the service's switch.
fn called(config: &config::Service, subscriptions: &[Subscription]) -> bool {
    !config.subscriptions.is_empty() || subscriptions.len() > 1
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
    pool: Handle,
    loaded: Vec<Loaded>,
    sessions: &Sessions,
    clock: &timers::Handle,
    intervals: Intervals,
    store: &Store,
) -> anyhow::Result<Supervisor> {
    let watch = Watch::new(loaded.iter().map(|one| one.file.clone()))?;
    let mut entries = Vec::with_capacity(loaded.len());
    for one in loaded {
        clock.register(one.id, one.mailbox.0.clone()).await;
        let (session, expiry) = sessions.presence(one.id);
        let announced = Announced {
            session,
            expiry,
            interval: intervals.online,
            main: sessions.main(),
            further: one.config.availability.clone(),
        };
        let presence = Presence::new(&one.config.base, announced)?;
        let parts = Parts {
            id: one.id,
            config: one.config.clone(),
            setting: one.setting.clone(),
            mailbox: one.mailbox,
            session: sessions.main(),
            timers: clock.clone(),
            presence,
            store: store.clone(),
            pool: pool.clone(),
        };
        let (handle, task) = service::service(parts, one.first);
        tokio::spawn(task);
        entries.push(Entry {
            id: one.id,
            config: one.config,
            setting: one.setting,
            file: one.file,
            hash: one.hash,
            handle,
        });
    }
    Ok(Supervisor::new(host, pool, entries, watch, intervals.statistics))
}
