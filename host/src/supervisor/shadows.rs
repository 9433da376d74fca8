//! Shadow runs: reports the comparison in the log and in the history, then swaps in a fresh instance of the version.

use std::sync::Arc;

use tokio::sync::oneshot;
use tracing::{error, info};

use crate::guest::Component;
use crate::rollout::comparison::Comparison;
use crate::rollout::handover::{self, StartedInstance};
use crate::rollout::history::HistoryEvent;
use crate::rollout::shadow::{Shadow, ShadowError};
use crate::router::ServiceId;
use crate::service::Command;
use crate::service_ctx::ServiceCtx;
use crate::span;
use crate::version::Version;

use super::candidates::{Candidate, Replacement};
use super::{QueuedCommand, Supervisor};

/// A shadow run that has ended.
pub(super) struct ShadowOutcome {
    id: ServiceId,
    outcome: Result<Comparison, ShadowError>,
    component: Component,
    /// Context in which the version is to run.
    ctx: Arc<ServiceCtx>,
    /// A fresh instance; `None` when it is not to take over.
    candidate: Option<Candidate>,
}

impl Supervisor {
    /// Has a started instance run as the shadow of a service, in place of another that did.
    pub(super) fn begin_shadow(
        &mut self,
        id: ServiceId,
        version: Version,
        prepared: StartedInstance,
        apart: Arc<ServiceCtx>,
    ) {
        let Some(entry) = self.entries.iter_mut().find(|entry| entry.id == id) else {
            return;
        };
        entry.shadow = Some(version);
        let (done, ended) = oneshot::channel();
        let component = prepared.component.clone();
        let ctx = entry.ctx.clone();
        let shadow = Shadow {
            prepared,
            ctx: apart,
            span: entry.ctx.config.swap.shadow,
            done,
        };

        self.orders.push_back(QueuedCommand {
            id,
            command: Command::Shadow(Box::new(shadow)),
        });
        self.shadows.spawn_on(
            async move {
                // an error means that the run was given up
                let outcome = ended.await.ok()?;
                let candidate = match outcome {
                    Ok(_) => Some(
                        match handover::prepare(component.clone(), ctx.clone()).await {
                            Ok(prepared) => Candidate::Started(Box::new(prepared)),
                            Err(fault) => Candidate::Failed(fault),
                        },
                    ),
                    Err(_) => None,
                };

                Some(ShadowOutcome {
                    id,
                    outcome,
                    component,
                    ctx,
                    candidate,
                })
            },
            self.loader.pool(),
        );
    }

    /// Reports the result of a shadow run, and has the version take over.
    pub(super) fn end_shadow(&mut self, shadowed: ShadowOutcome) {
        let ShadowOutcome {
            id,
            outcome,
            component,
            ctx,
            candidate,
        } = shadowed;

        let version = component.version();
        let entry = self.entries.iter_mut().find(|entry| entry.id == id);
        // meanwhile another version may have taken over, or be the shadow
        let Some(entry) = entry.filter(|entry| entry.shadow == Some(version)) else {
            return;
        };
        entry.shadow = None;
        let service = entry.ctx.config.name.as_str();
        let short = version.short();
        let file = entry.file.clone();
        let (what, note) = match outcome {
            Ok(comparison) => {
                span::service(service).in_scope(|| {
                    info!(version = short, "ran as a shadow: {comparison}");
                });
                (HistoryEvent::Shadowed, comparison.to_string())
            }
            Err(reason) => {
                span::service(service).in_scope(|| {
                    error!(
                        version = short,
                        "does not take over, the running version stays: {reason}"
                    );
                });
                (HistoryEvent::Refused, reason.to_string())
            }
        };

        self.orders.push_back(QueuedCommand {
            id,
            command: Command::Note(Some(version), what, note),
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
