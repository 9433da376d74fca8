//! Reload of the configuration, on SIGHUP or when its file changes.
//!
//! Everything is prepared first, while the services keep running: the file is read, certificates are opened, components loaded and
//! guests started. Only when all of this has succeeded is the new configuration put in force, by steps that cannot fail. If any
//! part fails, the running configuration stays.

mod refused;

use std::path::PathBuf;
use std::time::Instant;

use tokio::task::JoinSet;
use tracing::{debug, error, info, warn};

use crate::config::{self, Blank, Broker, Config, Connection, Difference, Tls};
use crate::logging::{Levels, Logs};
use crate::rollout::loader::Loader;
use crate::router::ServiceId;
use crate::service::{self, Pools, Shared};
use crate::session::transport;
use crate::supervisor::Supervisor;
use crate::supervisor::reload::{Agreed, Prepared, Ready, Running, prepare};
use crate::timers;

use super::Source;
use super::awaited::{Files, Happened, inode};
use super::identity;
use super::sessions::Sessions;
use super::source::empty;
use super::start::{self, Intervals, Surroundings};
use super::systemd::Notifier;

use refused::Refused;
pub use refused::say_refused;

/// A new configuration, completely prepared.
pub struct Plan {
    loaded: config::Loaded,
    difference: Difference,
    /// Instances for the services that change and those that are new.
    ready: Vec<Ready>,
    /// Services whose running guest has taken over its new section itself.
    agreed: Vec<Agreed>,
    /// New settings of the connection, if they change.
    connection: Option<Connection>,
}

/// Result of preparing a new configuration.
pub struct Outcome {
    plan: Result<Plan, Refused>,
    /// The number of its file in the file system, when it was read.
    inode: Option<u64>,
}

/// The running configuration, and the state of a reload.
pub struct Reload {
    source: Source,
    config: Config,
    blank: Option<Blank>,
    /// The client identifier where the configuration has none.
    client_id: String,
    files: Files,
    /// Reason to read the configuration again, if one is pending.
    asked: Option<&'static str>,
    preparing: JoinSet<Outcome>,
}

impl Reload {
    /// `loaded` came from `source` and runs, with `client_id` where it has none. Services that were left out are added when their
    /// files come.
    pub fn new(source: Source, loaded: &config::Loaded, client_id: String) -> Self {
        let mut config = loaded.config.clone();
        identity::complete(&mut config, &client_id);
        let files = Files::new(config.file.clone(), config.host.watch_interval);
        for held in &loaded.held {
            let service = held.service.as_str();
            held.errors.iter().for_each(|problem| {
                error!(service, "does not run before this is mended: {problem}")
            });
        }
        let missing = loaded
            .held
            .iter()
            .flat_map(|held| &held.errors)
            .filter_map(|problem| problem.awaited.clone());
        files.wait_for(missing.collect());
        let (blank, asked, preparing) = (loaded.blank, None, JoinSet::new());
        Self {
            source,
            config,
            blank,
            client_id,
            files,
            asked,
            preparing,
        }
    }

    /// The configuration that runs.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Waits until one of the files changes or a plan is made. Cancel-safe.
    pub async fn next(&mut self) -> Next {
        tokio::select! {
            happened = self.files.next() => Next::Files(happened),
            Some(outcome) = self.preparing.join_next() => {
                let failed = |bug: tokio::task::JoinError| Outcome { plan: Err(bug.into()), inode: None };
                Next::Plan(Box::new(outcome.unwrap_or_else(failed)))
            }
        }
    }

    /// Copies the running configuration, for the comparison with a new one.
    fn before(&self, connection: &Connection) -> Before {
        let (source, config, connection) =
            (self.source.clone(), self.config.clone(), connection.clone());
        Before {
            source,
            config,
            blank: self.blank,
            client_id: self.client_id.clone(),
            connection,
        }
    }
}

/// Next step of a reload.
pub enum Next {
    /// Ask for a plan, or log why there is none.
    Files(Happened),
    /// Put a plan in force, or log why there is none.
    Plan(Box<Outcome>),
}

/// Running configuration, with which a new one is compared.
struct Before {
    source: Source,
    config: Config,
    blank: Option<Blank>,
    client_id: String,
    connection: Connection,
}

impl Before {
    /// Reads the configuration again, and finds out what it changes.
    fn compare(self) -> Result<(config::Loaded, Difference, Option<Connection>), Refused> {
        let mut loaded = self.source.load()?;
        identity::complete(&mut loaded.config, &self.client_id);
        let difference = self.config.difference(&loaded.config);
        if let Some(blank) = loaded.blank.filter(|blank| Some(*blank) != self.blank)
            && !self.config.services.is_empty()
        {
            return Err(empty(
                blank,
                &loaded.config,
                "the services that run would lose all that was configured",
            )
            .into());
        }
        if !difference.restart.is_empty() {
            return Err(Refused::Restart(difference.restart));
        }
        let connection = difference
            .connection
            .then(|| renewed(&loaded.config, &self.connection));
        if let Some(Err(error)) = connection.as_ref().map(transport::check) {
            return Err(Refused::Connection(
                error,
                connection
                    .iter()
                    .flat_map(|new| certificates(&new.tls))
                    .collect(),
            ));
        }
        Ok((loaded, difference, connection))
    }
}

/// The files of a TLS connection.
fn certificates(tls: &Tls) -> Vec<PathBuf> {
    let own = tls
        .client_certificate
        .iter()
        .flat_map(|(certificate, key)| [certificate, key]);
    own.chain(&tls.ca_certs).cloned().collect()
}

/// Reads the configuration and prepares everything that it changes, without touching running services.
async fn plan(
    before: Before,
    running: Running,
    loader: Loader,
    shared: Shared,
) -> Result<Plan, Refused> {
    let (loaded, difference, connection) = loader
        .pool()
        .spawn_blocking(move || before.compare())
        .await??;
    let services: Vec<_> = difference
        .changed
        .iter()
        .chain(&difference.added)
        .cloned()
        .collect();
    for service in &services {
        service::will(service).map_err(|error| Refused::Base(service.name.clone(), error))?;
    }
    let prepared = prepare(&loader, &running, services, &shared).await;
    let prepared = prepared.map_err(|refusal| Refused::Service(Box::new(refusal)))?;
    let Prepared { ready, agreed } = prepared;
    Ok(Plan {
        loaded,
        difference,
        ready,
        agreed,
        connection,
    })
}

/// New settings of the connection. The address of an embedded broker does not change.
fn renewed(config: &Config, current: &Connection) -> Connection {
    match &config.broker {
        Broker::Remote(connection) => connection.clone(),
        Broker::Embedded(_, connection) => Connection {
            host: current.host.clone(),
            port: current.port,
            ..connection.clone()
        },
    }
}

/// Shared parts from which services are built.
pub struct Means {
    /// Loads their components.
    pub loader: Loader,
    /// Executors for slow guest calls and background work.
    pub pools: Pools,
    /// The timers task.
    pub clock: timers::Handle,
    /// Parts that all services share.
    pub shared: Shared,
    /// Intervals of repeated work.
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
    pub fn new(
        means: Means,
        sessions: Sessions,
        supervisor: Supervisor,
        logs: &'a Logs,
        reload: Reload,
    ) -> Self {
        let next = u32::try_from(supervisor.services()).unwrap_or(u32::MAX);
        Self {
            sessions,
            supervisor,
            reload,
            means,
            logs,
            next,
        }
    }

    /// Handles SIGHUP: reopens the log file and asks for a reload.
    pub fn hangup(&mut self) {
        if let Err(error) = self.logs.reopen() {
            error!("{error}");
        }
        self.reload.files.forget();
        self.ask("SIGHUP");
    }

    /// Asks for a new plan.
    pub fn ask(&mut self, cause: &'static str) {
        if self.reload.files.are_settling() {
            // the file is being written, and was refused a moment ago
            debug!("reading the configuration again: {cause}");
            self.reload.asked = Some(cause);
            return;
        }
        let wait = if self.supervisor.is_parting() {
            ", as soon as the services that leave have ended"
        } else {
            ""
        };
        info!("reading the configuration again: {cause}{wait}");
        self.reload.asked = Some(cause);
    }

    /// Begins to prepare a new configuration if one was asked for. Only one is prepared at a time, and none while services are
    /// leaving, because one of the same name could come back.
    pub fn begin_reload(&mut self, notifier: &Notifier) {
        let reload = &mut self.reload;
        if !reload.preparing.is_empty()
            || self.supervisor.is_parting()
            || reload.asked.take().is_none()
        {
            return;
        }
        notifier.reloading();
        let (before, file) = (
            reload.before(self.sessions.connection()),
            reload.config.file.clone(),
        );
        let loader = self.means.loader.clone();
        let (running, shared) = (self.supervisor.running(), self.means.shared.clone());
        let prepare = async move {
            let inode = match file {
                Some(file) => loader
                    .pool()
                    .spawn_blocking(move || inode(&file))
                    .await
                    .unwrap_or_default(),
                None => None,
            };
            Outcome {
                plan: plan(before, running, loader, shared).await,
                inode,
            }
        };
        reload.preparing.spawn_on(prepare, &self.means.pools.usual);
    }

    /// Puts a plan in force, or logs why there is none.
    pub async fn conclude_reload(&mut self, Outcome { plan, inode }: Outcome, notifier: &Notifier) {
        let files = &mut self.reload.files;
        let awaited = plan.as_ref().err().map_or_else(Vec::new, Refused::awaited);
        files.wait_for(awaited);
        if plan.is_ok() {
            files.forget();
        }
        match plan {
            Ok(plan) if plan.difference.is_empty() => info!("the configuration has not changed"),
            Ok(plan) => self.apply(plan).await,
            Err(refused) => files
                .refused(inode, refused.lines())
                .iter()
                .for_each(|refusal| say_refused(refusal)),
        }
        notifier.ready(self.supervisor.services());
    }

    /// Puts a plan in force. None of the steps can fail.
    async fn apply(&mut self, plan: Plan) {
        let Plan {
            loaded,
            difference,
            ready,
            agreed,
            connection,
        } = plan;
        let config::Loaded {
            config,
            warnings,
            blank,
            ..
        } = loaded;
        self.logs
            .set(Levels::from_config(&config), config.log.format);
        for warning in &warnings {
            warn!("{warning}");
        }
        for line in &difference.lines {
            info!("changed: {line}");
        }
        let deadline = Instant::now() + config.host.stop_deadline;
        for id in difference
            .removed
            .iter()
            .filter_map(|name| self.supervisor.id(name))
            .collect::<Vec<_>>()
        {
            self.supervisor.remove(id, deadline);
        }
        if let Some(connection) = connection {
            self.sessions.renew(connection).await;
        }
        for agreed in agreed {
            self.supervisor.agreed(agreed);
        }
        for ready in ready {
            match self.supervisor.id(&ready.ctx.config.name) {
                Some(id) => self.supervisor.change(id, ready),
                None => self.add(ready).await,
            }
        }
        self.supervisor.watch();
        (self.reload.config, self.reload.blank) = (config, blank);
        let session = self.sessions.main();
        tokio::spawn(async move {
            // the line tells readers of the log that the subscriptions are in place
            session.wait_for_subscriptions().await;
            info!("the new configuration is in force");
        });
    }

    async fn add(&mut self, ready: Ready) {
        let id = ServiceId(self.next);
        self.next += 1;
        let name = ready.ctx.config.name.clone();
        let spool = self
            .means
            .shared
            .store
            .find_spool(&name)
            .await
            .unwrap_or_else(|error| {
                warn!(
                    service = name.as_str(),
                    "cannot read the service's spool: {error}"
                );
                None
            });
        let history = self.means.shared.history(&name).await;
        let one = start::prepared(id, ready, history, spool, &self.means.shared);
        // the presence connection of a former service of this name may still use the identifier without number
        let suffix = format!("{}-{}", one.ctx.config.name, id.0);
        let added = match self.sessions.add(id, suffix, &one.ctx.config) {
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
            // the plan has checked the only reason for this, the length of the base topic
            Err(error) => error!(service = name.as_str(), "cannot run: {error}"),
        }
    }

    /// Removes the routes, timers and presence connection of a removed service that has ended.
    pub async fn close(&mut self, id: ServiceId) {
        self.sessions.remove(id).await;
        self.means.clock.remove(id).await;
    }
}
