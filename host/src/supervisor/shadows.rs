//! Shadow runs. One of a changed file ends after `swap.shadow`: its comparison is reported in the log and in the history, and a fresh
//! instance of the version is swapped in. One by command ends by command, or when another version takes over.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::oneshot;
use tracing::{error, info};

use crate::guest::Component;
use crate::rollout::Timestamp;
use crate::rollout::comparison::Comparison;
use crate::rollout::handover::{self, StartedInstance};
use crate::rollout::history::{HistoryEvent, format_utc};
use crate::rollout::shadow::{Shadow, ShadowError, ShadowReport, shadow_ctx};
use crate::router::ServiceId;
use crate::service::{Answer, Command, CommandError, Status};
use crate::service_ctx::ServiceCtx;
use crate::span;
use crate::version::Version;

use super::candidates::{Candidate, Replacement};
use super::deployments::{StartByCommand, StartedVersion, reject, start_kept};
use super::{Entry, QueuedCommand, Supervisor};

/// A version that runs as the shadow of a service.
pub struct ShadowRun {
    /// The version.
    pub version: Version,
    /// The comparison so far.
    report: Arc<ShadowReport>,
    /// When it began, in milliseconds since 1970 (UTC).
    since: u64,
    is_by_command: bool,
}

impl ShadowRun {
    /// The version of a changed file, which takes over at the end of the run; `None`: it runs by command.
    pub(super) fn of_file(&self) -> Option<Version> {
        (!self.is_by_command).then_some(self.version)
    }
}

/// A shadow run as operators see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ShadowStatus {
    /// The version.
    pub version: Version,
    /// When it began, in UTC.
    pub since: String,
    /// Whether it ends by command; otherwise it takes over after `swap.shadow`.
    pub by_command: bool,
    /// The comparison so far.
    pub comparison: Comparison,
}

/// A shadow run that has ended.
pub(super) struct ShadowOutcome {
    id: ServiceId,
    /// `None`: it was given up.
    outcome: Option<Result<(), ShadowError>>,
    report: Arc<ShadowReport>,
    component: Component,
    /// Context in which the version is to run.
    ctx: Arc<ServiceCtx>,
    /// A fresh instance; `None` when it is not to take over.
    candidate: Option<Candidate>,
}

impl Entry {
    /// Forgets the shadow. Returns the note about a run by command, which nothing else reports.
    pub(super) fn forget_shadow(&mut self) -> Option<QueuedCommand> {
        let shadow = self.shadow.take().filter(|shadow| shadow.is_by_command)?;
        let comparison = shadow.report.comparison().to_string();
        let version = shadow.version.short();
        span::service(&self.ctx.config.name)
            .in_scope(|| info!(version, "ran as a shadow: {comparison}"));
        Some(QueuedCommand {
            id: self.id,
            command: Command::Note(Some(shadow.version), HistoryEvent::Shadowed, comparison),
        })
    }
}

impl Supervisor {
    /// Has a version of the archive run as the shadow of a service until it is stopped, in place of another that does, as soon as `begin`
    /// names it. Without a version, the command is dropped.
    pub fn start_shadow(
        &mut self,
        service: &str,
        begin: oneshot::Receiver<Version>,
        answer: Answer,
    ) {
        let entry = match self.entry(service) {
            Ok(entry) if entry.handle.status() == Status::Running => entry,
            Ok(_) => return reject(answer, CommandError::NothingToCompare),
            Err(error) => return reject(answer, error),
        };

        let id = entry.id;
        let ctx = entry.ctx.clone();
        let running = entry.version();
        let loader = self.loader.clone();
        let starting = async move {
            let apart = shadow_ctx(&ctx);
            let outcome = match begin.await {
                Ok(version) if running == Some(version) => Err(CommandError::Running(version)),
                Ok(version) => start_kept(version, &apart, &loader).await,
                // nobody waits for the answer
                Err(_) => Err(CommandError::Ended),
            };
            StartByCommand {
                id,
                ctx,
                answer,
                outcome: outcome.map(|prepared| StartedVersion::Shadow(prepared, apart, None)),
            }
        };
        self.starts.spawn_on(starting, self.loader.pool());
    }

    /// Stops the shadow of a service. Returns its version and the comparison.
    ///
    /// # Errors
    /// When there is no such service, or no shadow.
    pub fn stop_shadow(&mut self, service: &str) -> Result<(Version, String), CommandError> {
        let id = self.entry(service)?.id;
        let entry = self.entries.iter_mut().find(|entry| entry.id == id);
        let entry = entry.ok_or(CommandError::Removed)?;
        let shadow = entry.shadow.as_mut().ok_or(CommandError::NoShadow)?;
        // one of a changed file has no time to report itself any more
        shadow.is_by_command = true;
        let stopped = (shadow.version, shadow.report.comparison().to_string());

        self.orders.extend(entry.forget_shadow());
        self.orders.push_back(QueuedCommand {
            id,
            command: Command::EndShadow,
        });
        Ok(stopped)
    }

    /// The shadow of a service, if there is one.
    ///
    /// # Errors
    /// When there is no such service.
    pub fn shadow(&self, service: &str) -> Result<Option<ShadowStatus>, CommandError> {
        let shadow = self.entry(service)?.shadow.as_ref();
        Ok(shadow.map(|shadow| ShadowStatus {
            version: shadow.version,
            since: format_utc(shadow.since),
            by_command: shadow.is_by_command,
            comparison: shadow.report.comparison(),
        }))
    }

    /// Has a started instance run as the shadow of a service, in place of another that did. `span`: `None` for a run by command, which
    /// ends by command.
    pub(super) fn begin_shadow(
        &mut self,
        id: ServiceId,
        span: Option<Duration>,
        prepared: StartedInstance,
        apart: Arc<ServiceCtx>,
    ) {
        let Some(entry) = self.entries.iter_mut().find(|entry| entry.id == id) else {
            return;
        };
        self.orders.extend(entry.forget_shadow());
        let component = prepared.component.clone();
        let report = Arc::<ShadowReport>::default();
        entry.shadow = Some(ShadowRun {
            version: component.version(),
            report: report.clone(),
            since: Timestamp::now().unix_millis,
            is_by_command: span.is_none(),
        });

        let (done, ended) = oneshot::channel();
        let ctx = entry.ctx.clone();
        let shadow = Shadow {
            prepared,
            ctx: apart,
            span,
            report: report.clone(),
            done,
        };
        self.orders.push_back(QueuedCommand {
            id,
            command: Command::Shadow(Box::new(shadow)),
        });

        let run = async move {
            // an error means that the run was given up
            let outcome = ended.await.ok();
            let candidate = match outcome {
                Some(Ok(())) => Some(start_again(component.clone(), ctx.clone()).await),
                _ => None,
            };
            ShadowOutcome {
                id,
                outcome,
                report,
                component,
                ctx,
                candidate,
            }
        };
        self.shadows.spawn_on(run, self.loader.pool());
    }

    /// Reports the result of a shadow run, and has the version of a changed file take over.
    pub(super) fn end_shadow(&mut self, shadowed: ShadowOutcome) {
        let ShadowOutcome {
            id,
            outcome,
            report,
            component,
            ctx,
            candidate,
        } = shadowed;

        let entry = self.entries.iter_mut().find(|entry| entry.id == id);
        let is_this = |run: &ShadowRun| Arc::ptr_eq(&run.report, &report);
        // meanwhile another version may have taken over, or be the shadow
        let Some(entry) = entry.filter(|entry| entry.shadow.as_ref().is_some_and(is_this)) else {
            return;
        };
        self.orders.extend(entry.forget_shadow());
        let Some(outcome) = outcome else {
            return;
        };

        let version = component.version();
        let (event, note) = report_end(entry, version, outcome, &report);
        let file = entry.file.clone();
        self.orders.push_back(QueuedCommand {
            id,
            command: Command::Note(Some(version), event, note),
        });

        if let Some(candidate) = candidate {
            self.swap(Replacement {
                id,
                version,
                ctx,
                candidate,
            });

            if self.preparations.dirty.remove(&file) {
                self.prepare(file);
            }
        }
    }
}

/// Logs the end of a shadow run, and returns the event and the note for the history.
fn report_end(
    entry: &Entry,
    version: Version,
    outcome: Result<(), ShadowError>,
    report: &ShadowReport,
) -> (HistoryEvent, String) {
    let version = version.short();
    let span = span::service(&entry.ctx.config.name);
    let _inside = span.enter();
    match outcome {
        Ok(()) => {
            let comparison = report.comparison().to_string();
            info!(version, "ran as a shadow: {comparison}");
            (HistoryEvent::Shadowed, comparison)
        }
        Err(reason) => {
            error!(
                version,
                "does not take over, the running version stays: {reason}"
            );
            (HistoryEvent::Refused, reason.to_string())
        }
    }
}

/// Starts a fresh instance of a version that has run as a shadow.
async fn start_again(component: Component, ctx: Arc<ServiceCtx>) -> Candidate {
    match handover::prepare(component, ctx).await {
        Ok(prepared) => Candidate::Started(Box::new(prepared)),
        Err(fault) => Candidate::Failed(fault),
    }
}
