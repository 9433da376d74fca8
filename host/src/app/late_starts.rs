//! Services that begin after the host has connected: their component has to be compiled first, or the `start` of their guest takes
//! long. The other services run meanwhile, and messages for these wait.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinSet};
use tracing::error;

use crate::guest::Component;
use crate::rollout::first_version::FirstVersion;
use crate::rollout::history::VersionHistory;
use crate::rollout::loader::{LoadError, Loader};
use crate::router::ServiceId;
use crate::service::First;
use crate::service_ctx::ServiceCtx;
use crate::span;
use crate::store::Store;
use crate::supervisor::FirstStart;

/// Everything that makes a service begin.
pub(super) struct ServiceLoader {
    /// The number of the service.
    pub id: ServiceId,
    /// Its configuration and its resources.
    pub ctx: Arc<ServiceCtx>,
    /// Its component file.
    pub file: PathBuf,
    /// The versions that it had before.
    pub history: VersionHistory,
    /// Loads its components.
    pub loader: Loader,
    /// Store of the states that its versions left.
    pub store: Store,
}

/// A service that can begin, or whose component cannot be loaded.
pub(super) struct StartOutcome {
    /// Its number.
    pub id: ServiceId,
    /// The context that its instance was started with.
    pub ctx: Arc<ServiceCtx>,
    /// How it begins.
    pub outcome: Result<FirstStart, LoadError>,
}

/// A component that could not be loaded.
pub(super) struct Failure {
    /// The service.
    pub service: String,
    /// The reason, which names the file.
    pub error: LoadError,
}

/// Services that are starting.
pub(super) struct LateStarts {
    tasks: JoinSet<StartOutcome>,
    /// Components that could not be loaded, as far as they were not logged.
    failures: Vec<Failure>,
    /// Whether a service has a component that could be loaded.
    has_begun: bool,
    /// Whether the components were named on the command line.
    named: bool,
}

impl ServiceLoader {
    /// The same for a service whose code is in the compile cache.
    pub(super) fn without_compiling(&self) -> Self {
        Self {
            loader: self.loader.without_compiling(),
            ctx: self.ctx.clone(),
            file: self.file.clone(),
            history: self.history.clone(),
            store: self.store.clone(),
            id: self.id,
        }
    }

    /// Loads the component of its file.
    ///
    /// # Errors
    /// When it cannot run, or is not compiled and the loader does not compile.
    pub(super) async fn load(&self) -> Result<Component, LoadError> {
        let keep = self.ctx.config.swap.versions > 0;
        self.loader.load(&self.file, keep).await
    }

    /// Chooses the version that the service begins with, whose file has `component`.
    ///
    /// # Errors
    /// When it is not compiled, and the loader does not compile.
    pub(super) async fn choose(&self, component: Component) -> Result<FirstVersion, LoadError> {
        let config = &self.ctx.config;
        self.loader
            .first_version(component, config, &self.history, &self.store)
            .await
    }

    /// Starts an instance.
    pub(super) async fn start(self, version: FirstVersion) -> StartOutcome {
        let FirstVersion {
            component,
            in_file,
            interrupted,
        } = version;
        let preparing = self.loader.prepare(component.clone(), self.ctx.clone());
        let first = match preparing.await {
            Ok(prepared) => First::Prepared(Box::new(prepared)),
            Err(fault) => {
                span::service(&self.ctx.config.name).in_scope(|| {
                    error!("could not start and is tried again: {fault}");
                });
                First::Failed(component)
            }
        };

        StartOutcome {
            id: self.id,
            ctx: self.ctx,
            outcome: Ok(FirstStart {
                first,
                in_file,
                interrupted,
            }),
        }
    }

    /// Compiles the component in its turn, then starts an instance.
    async fn begin(self, turn: Arc<Semaphore>) -> StartOutcome {
        let permit = turn.acquire_owned().await;
        let loaded = match self.load().await {
            Ok(component) => self.choose(component).await,
            Err(error) => Err(error),
        };
        drop(permit);

        match loaded {
            Ok(version) => self.start(version).await,
            Err(error) => StartOutcome {
                id: self.id,
                ctx: self.ctx,
                outcome: Err(error),
            },
        }
    }

    /// Has services begin whose components have to be compiled, the smallest first.
    pub(super) fn begin_all(mut late: Vec<Self>, tasks: &mut JoinSet<StartOutcome>, pool: &Handle) {
        late.sort_by_key(|one| std::fs::metadata(&one.file).map_or(0, |file| file.len()));
        // one after the other, because the whole file of each is in memory
        let turn = Arc::new(Semaphore::new(1));
        for one in late {
            tasks.spawn_on(one.begin(turn.clone()), pool);
        }
    }
}

impl StartOutcome {
    /// The service of a task that has ended; `None`: it panicked, which is logged.
    pub(super) fn from_joined(joined: Result<Self, JoinError>) -> Option<Self> {
        joined
            .inspect_err(|bug| {
                error!("starting a service failed in the host, which is a bug: {bug}")
            })
            .ok()
    }
}

impl LateStarts {
    /// `failures`: components that could not be loaded. `has_begun`: whether another one could.
    pub(super) fn new(
        tasks: JoinSet<StartOutcome>,
        failures: Vec<Failure>,
        has_begun: bool,
    ) -> Self {
        Self {
            tasks,
            failures,
            has_begun,
            named: false,
        }
    }

    /// Sets whether the components were named on the command line, so that a user is waiting for the first of them.
    pub(super) fn with_named(self, named: bool) -> Self {
        Self { named, ..self }
    }

    /// Whether a user is still waiting to hear whether one of the named components can run.
    pub(super) fn is_undecided(&self) -> bool {
        self.named && !self.has_begun && !self.tasks.is_empty()
    }

    /// The next service that can begin, or cannot. Waits for ever when no service is starting. Cancel-safe.
    pub(super) async fn next(&mut self) -> Option<StartOutcome> {
        match self.tasks.join_next().await {
            Some(joined) => StartOutcome::from_joined(joined),
            None => std::future::pending().await,
        }
    }

    /// Notes that a component could be loaded.
    pub(super) fn on_begun(&mut self) {
        self.has_begun = true;
    }

    /// Notes that a component could not be loaded.
    pub(super) fn on_failed(&mut self, failure: Failure) {
        self.failures.push(failure);
    }

    /// Logs the components that could not be loaded. Their services wait for better files, and the others run.
    ///
    /// # Errors
    /// When components were named and none of them can run: the user is waiting for that result.
    pub(super) fn judge(&mut self) -> anyhow::Result<()> {
        if self.is_undecided() {
            return Ok(());
        }
        if self.named && !self.has_begun && !self.failures.is_empty() {
            return Err(self.failures.swap_remove(0).error.into());
        }
        for Failure { service, error } in self.failures.drain(..) {
            span::service(&service).in_scope(|| {
                error!("{error}; the service starts when there is a better file");
            });
        }

        Ok(())
    }
}
