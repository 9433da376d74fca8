//! Candidates: versions that were found in changed files, and their fate in each service that uses the file.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tracing::{info, warn};

use crate::guest::{self, Component};
use crate::rollout::handover::{self, StartedInstance};
use crate::rollout::history::HistoryEvent;
use crate::rollout::loader::{LoadError, Loader};
use crate::rollout::shadow::shadow_ctx;
use crate::router::ServiceId;
use crate::service::Command;
use crate::service_ctx::ServiceCtx;
use crate::span;
use crate::version::Version;

use super::updates::FileVersion;
use super::{Entry, QueuedCommand, ShadowRun, Supervisor, changes};

/// Result of preparing a changed file.
pub(super) struct Outcome {
    pub(super) file: PathBuf,
    /// Its number in the file system, when it was read.
    pub(super) inode: Option<u64>,
    /// The component, and its fate in each service for which it is new.
    pub(super) found: Result<(Component, Vec<Replacement>), LoadError>,
}

/// A service that uses a file.
struct User {
    id: ServiceId,
    running: Option<Version>,
    /// Versions that were rolled back.
    refused: Vec<Version>,
    /// Version that runs as its shadow.
    shadow: Option<Version>,
    /// How long a new version is to run as a shadow; `None`: not at all.
    span: Option<Duration>,
    ctx: Arc<ServiceCtx>,
}

/// A new version for one service.
pub(super) struct Replacement {
    pub(super) id: ServiceId,
    pub(super) version: Version,
    /// Context with which the instance was started.
    pub(super) ctx: Arc<ServiceCtx>,
    pub(super) candidate: Candidate,
}

/// Candidate of a version that was found in a file.
pub(super) enum Candidate {
    /// It has started.
    Started(Box<StartedInstance>),
    /// It has started with this context, to run as a shadow.
    Shadow(Box<StartedInstance>, Arc<ServiceCtx>),
    /// It has not.
    Failed(guest::Fault),
    /// It is not started before a command says so.
    Waiting,
    /// It was rolled back before.
    Refused,
    /// It is the one that runs, after another was rolled back.
    Same,
}

impl Supervisor {
    /// Compiles the file and starts an instance for each service that uses it, while the running ones continue.
    pub(super) fn prepare(&mut self, file: PathBuf) {
        if self.is_starting_from(&file)
            || self.preparations.is_deploying(&file)
            || !self.preparations.in_progress.insert(file.clone())
        {
            self.preparations.dirty.insert(file);
            return;
        }
        let users: Vec<_> = (self.entries.iter())
            .filter(|entry| entry.file == file)
            .map(|entry| User {
                id: entry.id,
                running: entry.version(),
                refused: entry.handle.versions().history.rejected().to_vec(),
                shadow: entry.shadow.as_ref().and_then(ShadowRun::of_file),
                span: entry.shadow_span(),
                ctx: entry.ctx.clone(),
            })
            .collect();

        let keep = self.archives(&file);
        if keep {
            self.loader.tidy_archive(self.kept_versions());
        }
        let loader = self.loader.clone();
        let pool = self.loader.pool();
        self.preparations.tasks.spawn_on(
            async move {
                let inode = changes::inode(loader.pool(), &file).await;
                let found = replacements(&loader, &file, keep, users).await;
                Outcome { file, inode, found }
            },
            pool,
        );
    }

    /// Whether versions of the file are kept.
    fn archives(&self, file: &Path) -> bool {
        self.entries
            .iter()
            .any(|entry| entry.file == file && entry.ctx.config.swap.versions > 0)
    }

    /// Every version that some service keeps or may be about to run.
    pub(super) fn kept_versions(&self) -> HashSet<Version> {
        let of = |entry: &Entry| {
            let history = entry.handle.versions().history;
            let shadow = entry.shadow.as_ref().map(|shadow| shadow.version);
            let in_file = entry.in_file.as_ref().map(FileVersion::version);
            history
                .kept_versions()
                .chain(entry.version())
                .chain(shadow)
                .chain(in_file)
                .collect::<Vec<_>>()
        };

        self.entries.iter().flat_map(of).collect()
    }

    pub(super) fn swap(
        &mut self,
        Replacement {
            id,
            version,
            ctx,
            candidate,
        }: Replacement,
    ) {
        let Some(entry) = self.entries.iter_mut().find(|entry| entry.id == id) else {
            return;
        };
        if !Arc::ptr_eq(&entry.ctx, &ctx) {
            // its section changed meanwhile: the instance was started with the former one
            self.preparations.dirty.insert(entry.file.clone());
            return;
        }
        let service = entry.ctx.config.name.as_str();
        let file = entry.file.display();
        let short = version.short();
        let command = match candidate {
            Candidate::Started(prepared) => {
                self.orders.extend(entry.forget_shadow());
                Command::Swap(Box::new(entry.issue_swap(*prepared)))
            }
            Candidate::Shadow(prepared, apart) => {
                let span = entry.ctx.config.swap.shadow;
                return self.begin_shadow(id, Some(span), *prepared, apart);
            }
            Candidate::Failed(fault) => {
                let name = fault.kind().name();
                span::service(service).in_scope(|| {
                    warn!(
                        version = short,
                        fault = name,
                        "{file}: the new version did not start, the running one stays: {fault}"
                    );
                });

                Command::Note(Some(version), HistoryEvent::Refused, fault.to_string())
            }
            Candidate::Waiting => {
                return span::service(service).in_scope(|| {
                    info!(
                        version = short,
                        "{file}: the new version waits for `miqro-host update {service}`"
                    );
                });
            }
            Candidate::Refused => {
                let reason = "it was rolled back, and is not taken again until the file has other bytes, or by `miqro-host update`";
                return span::service(service).in_scope(|| {
                    warn!(
                        version = short,
                        "{file}: the running version stays: {reason}"
                    );
                });
            }
            Candidate::Same => Command::ClearRejected,
        };

        self.orders.push_back(QueuedCommand { id, command });
    }
}

/// Compiles the file, and starts an instance for each service for which its version is new and takes over by itself.
async fn replacements(
    loader: &Loader,
    file: &Path,
    keep: bool,
    users: Vec<User>,
) -> Result<(Component, Vec<Replacement>), LoadError> {
    let component = loader.load(file, keep).await?;
    let version = component.version();
    let mut replacements = Vec::new();
    for User {
        id,
        running,
        refused,
        shadow,
        span,
        ctx,
    } in users
    {
        let candidate = match version {
            same if running == Some(same) && refused.is_empty() => continue,
            same if running == Some(same) => Candidate::Same,
            bad if refused.contains(&bad) => Candidate::Refused,
            known if shadow == Some(known) => continue,
            // without a running version there is none that could go on
            _ if running.is_some() && !ctx.config.swap.automatic => Candidate::Waiting,
            _ if span.is_some() => {
                let apart = shadow_ctx(&ctx);
                match handover::prepare(component.clone(), apart.clone()).await {
                    Ok(prepared) => Candidate::Shadow(Box::new(prepared), apart),
                    Err(fault) => Candidate::Failed(fault),
                }
            }
            _ => match handover::prepare(component.clone(), ctx.clone()).await {
                Ok(prepared) => Candidate::Started(Box::new(prepared)),
                Err(fault) => Candidate::Failed(fault),
            },
        };

        replacements.push(Replacement {
            id,
            version,
            ctx,
            candidate,
        });
    }

    Ok((component, replacements))
}
