//! The running host as one value, and its changes: reloads, and services that come and go.

use std::time::Instant;

use tokio::task::JoinSet;
use tracing::{debug, error, info, warn};

use crate::config;
use crate::logging::{Levels, Logs};
use crate::router::ServiceId;
use crate::service::{self, First};
use crate::span;
use crate::supervisor::Supervisor;
use crate::supervisor::reload::Ready;

use super::awaited::inode;
use super::feedback::Suggest;
use super::late_starts::{Failure, LateStarts, StartOutcome};
use super::reload::{Outcome, Plan, Reload, ReloadError, plan, say_refused};
use super::service_deps::ServiceDeps;
use super::sessions::Sessions;
use super::start;
use super::systemd::Notifier;

/// The running host: connections, services, and the configuration that they follow.
pub(super) struct Runtime<'a> {
    /// The MQTT connections.
    pub sessions: Sessions,
    /// The services.
    pub supervisor: Supervisor,
    /// The configuration.
    pub reload: Reload,
    /// Shared parts from which services are built.
    pub(super) deps: ServiceDeps,
    /// Services that begin later.
    pub(super) starting: LateStarts,
    pub(super) logs: &'a Logs,
    /// When it was put together.
    pub(super) started: Instant,
    /// The number of the next service.
    next: u32,
    /// Announcements that a configuration is in force; each waits for its subscriptions.
    announcements: JoinSet<()>,
}

impl<'a> Runtime<'a> {
    /// Everything that runs, put together.
    pub(super) fn new(
        deps: ServiceDeps,
        sessions: Sessions,
        supervisor: Supervisor,
        logs: &'a Logs,
        (reload, starting): (Reload, LateStarts),
    ) -> Self {
        let next = u32::try_from(supervisor.services()).unwrap_or(u32::MAX);
        Self {
            sessions,
            supervisor,
            reload,
            deps,
            starting,
            logs,
            started: Instant::now(),
            next,
            announcements: JoinSet::new(),
        }
    }

    /// Has a service begin whose component was not ready when the host started, or logs why it cannot. `suggest` tells the user how
    /// to try it.
    ///
    /// # Errors
    /// When components were named on the command line and none of them can run.
    pub(super) fn on_begun(
        &mut self,
        begun: Option<StartOutcome>,
        suggest: Suggest<'_>,
    ) -> anyhow::Result<()> {
        if let Some(StartOutcome { id, ctx, outcome }) = begun {
            match outcome {
                Ok(start) => {
                    self.starting.on_begun();
                    if let First::Prepared(prepared) = &start.first {
                        start::warn_idle(&ctx.config, &prepared.effects);
                        let subscriptions = service::subscriptions(&ctx.config, &prepared.effects);
                        suggest(self.sessions.connection(), &ctx.config.base, &subscriptions);
                    }
                    self.supervisor.begin(id, &ctx, start);
                }
                Err(error) => {
                    let service = ctx.config.name.clone();
                    self.starting.on_failed(Failure { service, error });
                    self.supervisor.end_start(id);
                }
            }
        }

        self.starting.judge()
    }

    /// Tells the service manager that the host works.
    pub(super) fn notify_ready(&self, notifier: &Notifier) {
        let starting = self.supervisor.starting();
        notifier.ready(self.supervisor.services() - starting, starting);
    }

    /// Handles SIGHUP: reopens the log file and asks for a reload.
    pub(super) fn hangup(&mut self) {
        if let Err(error) = self.logs.reopen() {
            error!("{error}");
        }
        self.reload.files.forget();
        self.ask("SIGHUP");
    }

    /// Asks for a new plan.
    pub(super) fn ask(&mut self, cause: &'static str) {
        if self.reload.files.are_being_written() {
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
    pub(super) fn begin_reload(&mut self, notifier: &Notifier) {
        let reload = &mut self.reload;
        if !reload.preparing.is_empty()
            || self.supervisor.is_parting()
            || reload.asked.take().is_none()
        {
            return;
        }

        notifier.reloading();
        let before = reload.before(self.sessions.connection());
        let file = reload.config.file.clone();
        let loader = self.deps.loader.clone();
        let running = self.supervisor.running();
        let shared = self.deps.shared.clone();
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

        reload.preparing.spawn_on(prepare, &self.deps.pools.usual);
    }

    /// Puts a plan in force, or logs why there is none.
    pub(super) async fn conclude_reload(
        &mut self,
        Outcome { plan, inode }: Outcome,
        notifier: &Notifier,
    ) {
        let files = &mut self.reload.files;
        let awaited = plan
            .as_ref()
            .err()
            .map_or_else(Vec::new, ReloadError::awaited_files);
        files.wait_for(awaited);
        if plan.is_ok() {
            files.forget();
        }
        match plan {
            Ok(plan) if plan.difference.is_empty() => info!("the configuration has not changed"),
            Ok(plan) => self.apply(plan).await,
            Err(refused) => files
                .on_refused(inode, refused.lines())
                .iter()
                .for_each(|refusal| say_refused(refusal)),
        }

        self.notify_ready(notifier);
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

        let config::LoadedConfig {
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
            self.supervisor.on_section_accepted(agreed);
        }
        for ready in ready {
            match self.supervisor.id(&ready.ctx.config.name) {
                Some(id) => self.supervisor.change(id, ready),
                None => self.add(ready).await,
            }
        }

        self.supervisor.watch();
        self.reload.config = config;
        self.reload.blank = blank;
        let session = self.sessions.main();
        while self.announcements.try_join_next().is_some() {}
        self.announcements.spawn(async move {
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
            .deps
            .shared
            .store
            .find_spool(&name)
            .await
            .unwrap_or_else(|error| {
                span::service(&name).in_scope(|| {
                    warn!("cannot read the service's spool: {error}");
                });
                None
            });
        let history = self.deps.shared.history(&name).await;
        let one = start::from_ready(id, ready, history, spool, &self.deps.shared);
        // the presence connection of a former service of this name may still use the identifier without number
        let suffix = format!("{}-{}", one.ctx.config.name, id.0);
        let added = match self.sessions.add(id, suffix, &one.ctx.config) {
            Ok(()) => start::run(one, &self.deps, &self.sessions, false).await,
            Err(error) => Err(error),
        };
        match added {
            Ok(entry) => self.supervisor.add(entry),
            // the plan has checked the only reason for this, the length of the base topic
            Err(error) => span::service(&name).in_scope(|| error!("cannot run: {error}")),
        }
    }

    /// Removes the routes, timers and presence connection of a removed service that has ended.
    pub(super) async fn close(&mut self, id: ServiceId) {
        self.sessions.remove(id).await;
        self.deps.timers.remove(id).await;
    }
}
