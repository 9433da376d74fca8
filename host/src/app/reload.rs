//! Wiring: a new configuration takes the place of the one that runs. In: SIGHUP, a changed file. Out: services and connections
//! that run with it, or, when anything of it is wrong, everything as it was. Owns what runs.
//!
//! First everything is prepared beside what runs: the file read, certificates opened, components loaded, guests started. Only
//! when all of it has worked is it put in force, by steps that cannot fail.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tracing::{error, info, warn};

use crate::config::{Broker, Config, ConfigError, Connection, Difference, Problem};
use crate::guest;
use crate::logging::{Levels, Logs};
use crate::router::ServiceId;
use crate::service::{self, Pools, Shared};
use crate::session::link;
use crate::supervisor::Supervisor;
use crate::supervisor::reload::{Agreed, Prepared, Ready, Refusal, Running, prepare};
use crate::timers;
use crate::watch::Watch;

use super::Source;
use super::sessions::Sessions;
use super::start::{self, Intervals, Surroundings};
use super::systemd::Notifier;

/// A new configuration, of which everything is prepared.
pub struct Plan {
    config: Config,
    warnings: Vec<Problem>,
    difference: Difference,
    /// Instances for the services that change and those that are new.
    ready: Vec<Ready>,
    /// Services whose running guest has taken over its new section itself.
    agreed: Vec<Agreed>,
    /// What to connect with from now on, if that changes.
    connection: Option<Connection>,
}

/// Why a new configuration is not put in force.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// It is wrong.
    #[error("{0}")]
    Config(#[from] ConfigError),
    /// It changes what is made once.
    #[error("{} cannot change while the host runs: start it again for that", .0.join(", "))]
    Restart(Vec<&'static str>),
    /// Nothing can be connected with it.
    #[error("the connection's settings cannot be used: {0}")]
    Connection(#[from] link::LinkError),
    /// A service does not run with it.
    #[error("{0}")]
    Service(#[from] Refusal),
    /// A base topic is too long.
    #[error("services.{0}: {1}")]
    Base(String, crate::topic::TopicError),
    /// A fault in the host itself.
    #[error("reading the configuration failed in the host, which is a bug: {0}")]
    Bug(#[from] tokio::task::JoinError),
}

/// The configuration that runs, and the way to the next one.
pub struct Reload {
    source: Source,
    config: Config,
    watch: Option<Watch>,
    /// Why it is to be read again.
    asked: Option<&'static str>,
    preparing: JoinSet<Result<Plan, Refused>>,
}

impl Reload {
    /// `config` came from `source` and runs.
    pub fn new(source: Source, config: Config) -> Self {
        let watch = config.file.clone().and_then(|file: PathBuf| match Watch::new([file], config.watch_interval) {
            Ok(watch) => Some(watch),
            Err(error) => {
                warn!("{error}; it is read again on SIGHUP only");
                None
            }
        });
        Self { source, config, watch, asked: None, preparing: JoinSet::new() }
    }

    /// The configuration that runs.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Waits until the file changes or a plan is made. Cancel-safe.
    pub async fn next(&mut self) -> Next {
        let changed = async {
            match &mut self.watch {
                Some(watch) => watch.changed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = changed => Next::Changed,
            Some(outcome) = self.preparing.join_next() => Next::Plan(Box::new(outcome.unwrap_or_else(|bug| Err(bug.into())))),
        }
    }
}

/// What there is to do about the configuration.
pub enum Next {
    /// To ask for a plan: the file has changed.
    Changed,
    /// To put a plan in force, or to say why there is none.
    Plan(Box<Result<Plan, Refused>>),
}

/// Reads the configuration and prepares everything that it changes; touches nothing of what runs.
async fn plan(
    source: Source,
    old: Config,
    current: Connection,
    running: Running,
    host: Arc<guest::Host>,
    pool: Handle,
    shared: Shared,
) -> Result<Plan, Refused> {
    let (config, warnings, difference, connection) = pool
        .spawn_blocking(move || {
            let loaded = source.load()?;
            let difference = old.difference(&loaded.config);
            if !difference.restart.is_empty() {
                return Err(Refused::Restart(difference.restart));
            }
            let connection = difference.connection.then(|| renewed(&loaded.config, &current));
            connection.as_ref().map_or(Ok(()), link::check)?;
            Ok((loaded.config, loaded.warnings, difference, connection))
        })
        .await??;
    let services: Vec<_> = difference.changed.iter().chain(&difference.added).cloned().collect();
    for service in &services {
        service::will(service).map_err(|error| Refused::Base(service.name.clone(), error))?;
    }
    let prepared = prepare(&host, &pool, &running, services, &shared).await?;
    let Prepared { ready, agreed } = prepared;
    Ok(Plan { config, warnings, difference, ready, agreed, connection })
}

/// What to connect with; an embedded broker stays where it listens.
fn renewed(config: &Config, current: &Connection) -> Connection {
    match &config.broker {
        Broker::Remote(connection) => connection.clone(),
        Broker::Embedded(_, connection) => {
            Connection { host: current.host.clone(), port: current.port, ..connection.clone() }
        }
    }
}

/// What services are made with.
pub struct Means {
    /// Compiles and instantiates their guests.
    pub engine: Arc<guest::Host>,
    /// Where slow guest calls run, and what is not in a hurry.
    pub pools: Pools,
    /// The timers task.
    pub clock: timers::Handle,
    /// What they share.
    pub shared: Shared,
    /// How often something is done.
    pub intervals: Intervals,
}

/// Everything that runs.
pub struct House<'a> {
    /// The MQTT connections.
    pub sessions: Sessions,
    /// The services.
    pub supervisor: Supervisor,
    /// The configuration.
    pub reload: Reload,
    pub(super) means: Means,
    logs: &'a Logs,
    /// The number of the next service.
    next: u32,
}

impl<'a> House<'a> {
    /// Everything that runs, put together.
    pub fn new(means: Means, sessions: Sessions, supervisor: Supervisor, logs: &'a Logs, reload: Reload) -> Self {
        let next = u32::try_from(supervisor.services()).unwrap_or(u32::MAX);
        Self { sessions, supervisor, reload, means, logs, next }
    }

    /// On SIGHUP.
    pub fn hangup(&mut self) {
        if let Err(error) = self.logs.reopen() {
            error!("{error}");
        }
        self.ask("SIGHUP");
    }

    /// Asks for a new plan.
    pub fn ask(&mut self, cause: &'static str) {
        let wait = if self.supervisor.is_parting() { ", as soon as the services that leave have ended" } else { "" };
        info!("reading the configuration again: {cause}{wait}");
        self.reload.asked = Some(cause);
    }

    /// Begins to prepare a new configuration if that was asked for, one at a time, and not while services are leaving: one of
    /// the same name could come back.
    pub fn begin_reload(&mut self, notifier: &Notifier) {
        let reload = &mut self.reload;
        if !reload.preparing.is_empty() || self.supervisor.is_parting() || reload.asked.take().is_none() {
            return;
        }
        notifier.reloading();
        let (source, old, current) = (reload.source.clone(), reload.config.clone(), self.sessions.connection().clone());
        let (host, pool) = (self.means.engine.clone(), self.means.pools.usual.clone());
        reload.preparing.spawn_on(
            plan(source, old, current, self.supervisor.running(), host, pool, self.means.shared.clone()),
            &self.means.pools.usual,
        );
    }

    /// Puts a plan in force, or says why there is none.
    pub async fn conclude_reload(&mut self, plan: Result<Plan, Refused>, notifier: &Notifier) {
        match plan {
            Ok(plan) if plan.difference.is_empty() => info!("the configuration has not changed"),
            Ok(plan) => self.apply(plan).await,
            Err(Refused::Config(ConfigError(problems))) => {
                for problem in &problems {
                    error!("{problem}");
                }
                error!("the new configuration is refused, the running one stays");
            }
            Err(refused) => error!("the new configuration is refused, the running one stays: {refused}"),
        }
        notifier.ready(self.supervisor.services());
    }

    /// None of this can fail.
    async fn apply(&mut self, plan: Plan) {
        let Plan { config, warnings, difference, ready, agreed, connection } = plan;
        self.logs.set(Levels::of(&config), config.log.format);
        for warning in &warnings {
            warn!("{warning}");
        }
        for line in &difference.lines {
            info!("changed: {line}");
        }
        let deadline = Instant::now() + config.stop_deadline;
        for id in difference.removed.iter().filter_map(|name| self.supervisor.id(name)).collect::<Vec<_>>() {
            self.supervisor.remove(id, deadline);
        }
        if let Some(connection) = connection {
            self.sessions.renew(connection).await;
        }
        for agreed in agreed {
            self.supervisor.agreed(agreed);
        }
        for ready in ready {
            match self.supervisor.id(&ready.config.name) {
                Some(id) => self.supervisor.change(id, ready),
                None => self.add(ready).await,
            }
        }
        self.supervisor.watch();
        self.reload.config = config;
        let session = self.sessions.main();
        tokio::spawn(async move {
            // who reads this may rely on the subscriptions
            session.confirmed().await;
            info!("the new configuration is in force");
        });
    }

    async fn add(&mut self, ready: Ready) {
        let id = ServiceId(self.next);
        self.next += 1;
        let name = ready.config.name.clone();
        let spool = self.means.shared.store.spooled(&name).await.unwrap_or_else(|error| {
            warn!(service = name.as_str(), "cannot read the service's spool: {error}");
            None
        });
        let book = self.means.shared.book(&name).await;
        let one = start::prepared(id, ready, book, spool, &self.means.shared);
        // a former service of this name may still be saying goodbye under the identifier without number
        let suffix = format!("{}-{}", one.config.name, id.0);
        let added = match self.sessions.add(id, suffix, &one.config) {
            Ok(()) => {
                let around = Surroundings {
                    sessions: &self.sessions,
                    clock: &self.means.clock,
                    pools: &self.means.pools,
                    shared: &self.means.shared,
                    intervals: self.means.intervals,
                };
                start::run(one, &around, false).await
            }
            Err(error) => Err(error),
        };
        match added {
            Ok(entry) => self.supervisor.add(entry),
            // the plan has looked at the only reason for this, the length of the base topic
            Err(error) => error!(service = name.as_str(), "cannot run: {error}"),
        }
    }

    /// Closes what a service had that was to leave and has ended.
    pub async fn close(&mut self, id: ServiceId) {
        self.sessions.remove(id).await;
        self.means.clock.remove(id).await;
    }
}
