//! Versions that an operator has started: a former one for a rollback, or a new one for a deployment or an update. A version starts on the
//! pool; then its service gets it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{oneshot, watch};

use crate::guest::Component;
use crate::rollout::handover::StartedInstance;
use crate::rollout::loader::Loader;
use crate::router::ServiceId;
use crate::service::{Answer, Command, CommandError, ServiceRef, Swap};
use crate::service_ctx::ServiceCtx;
use crate::store::Snapshot;
use crate::version::Version;

use super::{Entry, QueuedCommand, Supervisor};

/// A version that was started by command.
pub(super) struct StartByCommand {
    pub(super) id: ServiceId,
    /// The context at the time of the command.
    pub(super) ctx: Arc<ServiceCtx>,
    pub(super) answer: Answer,
    pub(super) outcome: Result<StartedVersion, CommandError>,
}

/// A started version, and its purpose.
pub(super) enum StartedVersion {
    /// It comes back with the state that it left.
    Former(StartedInstance, Snapshot),
    /// It takes over.
    New(StartedInstance),
    /// It is in the component file and takes over, although it may have been rolled back.
    Update(StartedInstance),
    /// It was started with this context and runs as a shadow: for a time, after which it takes over as an update, or (`None`) until it is
    /// stopped.
    Shadow(StartedInstance, Arc<ServiceCtx>, Option<Duration>),
}

impl StartedVersion {
    /// The version, if it is an update.
    fn updated(&self) -> Option<Version> {
        match self {
            Self::Update(prepared) | Self::Shadow(prepared, _, Some(_)) => {
                Some(prepared.component.version())
            }
            _ => None,
        }
    }
}

/// An order to deploy a version.
pub struct DeployOrder {
    /// Names the version when its file is written beside the component file; dropped when there is none.
    pub begun: oneshot::Receiver<Version>,
    /// Takes the outcome of the swap.
    pub answer: Answer,
    /// Receives when the file was replaced; its sender is dropped when it is not to be.
    pub replaced: oneshot::Receiver<()>,
    /// Its sender is dropped at the end.
    pub ended: watch::Receiver<()>,
}

/// A service that a component is meant for.
pub struct DeployTarget {
    /// Its context.
    pub ctx: Arc<ServiceCtx>,
    /// Its component file.
    pub file: PathBuf,
    /// Other services that use the file.
    pub sharers: Vec<String>,
    /// The component that runs, or is about to; `None` while none could be loaded.
    pub running: Option<Component>,
    /// Versions that were rolled back.
    pub rejected: Vec<Version>,
    /// The service.
    pub service_ref: ServiceRef,
}

impl DeployTarget {
    /// The reason why a version cannot be deployed, if there is one.
    pub fn refusal(&self, version: Version) -> Option<CommandError> {
        let running = self.running.as_ref().map(Component::version);
        if !self.sharers.is_empty() {
            return Some(CommandError::SharedFile {
                file: self.file.clone(),
                others: self.sharers.join(", "),
            });
        }
        if running == Some(version) {
            return Some(CommandError::Running(version));
        }
        self.rejected
            .contains(&version)
            .then_some(CommandError::RolledBack(version))
    }
}

/// Answers a command that cannot be carried out.
pub(super) fn reject(answer: Answer, error: CommandError) {
    // the caller may have gone
    let _ = answer.send(Err(error));
}

impl Supervisor {
    /// A service, as a deployment needs to know it. Removes versions from the archive that nobody needs any longer.
    ///
    /// # Errors
    /// When there is no such service.
    pub fn deploy_target(&self, service: &str) -> Result<DeployTarget, CommandError> {
        let entry = self.entry(service)?;
        self.loader.tidy_archive(self.kept_versions());
        Ok(DeployTarget {
            ctx: entry.ctx.clone(),
            file: entry.file.clone(),
            sharers: self.sharers(entry),
            running: entry.component(),
            rejected: entry.handle.versions().history.rejected().to_vec(),
            service_ref: entry.handle.service_ref(),
        })
    }

    /// The other services that use the file of a service.
    fn sharers(&self, entry: &Entry) -> Vec<String> {
        let others = self
            .entries
            .iter()
            .filter(|other| other.file == entry.file && other.id != entry.id);
        others.map(|other| other.ctx.config.name.clone()).collect()
    }

    /// Has a service take over a version of the archive as soon as the order names it. Until the order has ended, nothing is taken from
    /// the component file, which still has the former version.
    ///
    /// # Errors
    /// When there is no such service, or another deployment replaces its file.
    pub fn deploy(&mut self, service: &str, order: DeployOrder) -> Result<(), CommandError> {
        let entry = self.entry(service)?;
        let id = entry.id;
        let ctx = entry.ctx.clone();
        let file = entry.file.clone();
        if self.preparations.is_deploying(&file) {
            return Err(CommandError::Deploying(file));
        }

        let DeployOrder {
            begun,
            answer,
            replaced,
            mut ended,
        } = order;
        self.preparations
            .deploying
            .insert(file.clone(), ended.clone());
        let loader = self.loader.clone();
        let starting = async move {
            let outcome = match begun.await {
                Ok(version) => start_kept(version, &ctx, &loader).await,
                // nobody waits for the answer
                Err(_) => Err(CommandError::Ended),
            };
            StartByCommand {
                id,
                ctx,
                answer,
                outcome: outcome.map(StartedVersion::New),
            }
        };
        self.starts.spawn_on(starting, self.loader.pool());

        let ending = async move {
            let is_replaced = replaced.await.is_ok();
            // an error means that it has ended, and nothing else is sent
            let _ = ended.changed().await;
            (file, is_replaced)
        };
        let deployments = &mut self.preparations.deployments;
        deployments.spawn_on(ending, self.loader.pool());
        Ok(())
    }

    /// Notes the version that a deployment has put into the place of the file, and looks at a file that changed meanwhile.
    pub(super) fn on_deployed(&mut self, file: PathBuf, is_replaced: bool) {
        let users = self.entries.iter_mut().filter(|entry| entry.file == file);
        for entry in users.filter(|_| is_replaced) {
            entry.set_in_file(entry.component());
        }
        // another one may have begun meanwhile
        if self.preparations.is_deploying(&file) {
            return;
        }
        self.preparations.deploying.remove(&file);
        if self.preparations.dirty.remove(&file) {
            self.prepare(file);
        }
    }

    /// Gives a started version to its service.
    pub(super) fn on_started(&mut self, start: StartByCommand) {
        let StartByCommand {
            id,
            ctx,
            answer,
            outcome,
        } = start;
        let entry = self.entries.iter_mut().find(|entry| entry.id == id);
        let outcome = outcome.and_then(|started| match entry {
            Some(entry) if Arc::ptr_eq(&entry.ctx, &ctx) => Ok((entry, started)),
            Some(_) => Err(CommandError::Reconfigured),
            None => Err(CommandError::Removed),
        });

        let (entry, started) = match outcome {
            Ok(found) => found,
            Err(error) => return reject(answer, error),
        };
        if let Some(version) = started.updated() {
            if entry.version() == Some(version) {
                return reject(answer, CommandError::Running(version));
            }
            let history = entry.handle.versions().history;
            if history.rejected().contains(&version) {
                let command = Command::ClearRejected;
                self.orders.push_back(QueuedCommand { id, command });
            }
        }

        let (prepared, rollback) = match started {
            StartedVersion::Former(prepared, snapshot) => (prepared, Some(snapshot)),
            StartedVersion::New(prepared) | StartedVersion::Update(prepared) => (prepared, None),
            StartedVersion::Shadow(prepared, apart, span) => {
                let version = prepared.component.version();
                self.begin_shadow(id, span, prepared, apart);
                // the caller may have gone
                let _ = answer.send(Ok(version));
                return;
            }
        };
        self.orders.extend(entry.forget_shadow());
        let swap = Swap {
            rollback,
            answer: Some(answer),
            ..entry.issue_swap(prepared)
        };
        self.orders.push_back(QueuedCommand {
            id,
            command: Command::Swap(Box::new(swap)),
        });
    }
}

/// Starts a version of the archive beside the running one.
pub(super) async fn start_kept(
    version: Version,
    ctx: &Arc<ServiceCtx>,
    loader: &Loader,
) -> Result<StartedInstance, CommandError> {
    let component = loader.load_kept(version).await?;
    start(component, ctx, loader).await
}

/// Starts a component beside the running version.
pub(super) async fn start(
    component: Component,
    ctx: &Arc<ServiceCtx>,
    loader: &Loader,
) -> Result<StartedInstance, CommandError> {
    let version = component.version();
    loader
        .prepare(component, ctx.clone())
        .await
        .map_err(|fault| CommandError::Start { version, fault })
}
