//! Commands of an operator: the history of a service, a rollback, a restart. The service itself carries them out.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use crate::rollout::Fallback;
use crate::rollout::handover::{StartedInstance, isolated_ctx, prepare_former};
use crate::rollout::history::VersionHistory;
use crate::rollout::loader::Loader;
use crate::service::{Answer, Command, CommandError, ServiceRef, ServiceSnapshot};
use crate::service_ctx::ServiceCtx;
use crate::store::{Snapshot, Store};
use crate::topic::Topic;
use crate::version::Version;

use super::deployments::{StartByCommand, StartedVersion, reject};
use super::{Entry, QueuedCommand, Supervisor};

impl Supervisor {
    /// The names of the services.
    pub fn names(&self) -> Vec<String> {
        self.entries
            .iter()
            .map(|entry| entry.ctx.config.name.clone())
            .collect()
    }

    /// Makes snapshots of all services, in the order of the configuration. One that does not answer within `patience`, because it is
    /// in a long call, has no activity in it.
    pub fn snapshots(
        &self,
        patience: Duration,
    ) -> impl Future<Output = Vec<ServiceSnapshot>> + Send + use<> {
        let known: Vec<(ServiceRef, ServiceSnapshot)> = self
            .entries
            .iter()
            .map(|entry| {
                let known = entry.known(self.available(entry));
                (entry.handle.service_ref(), known)
            })
            .collect();
        join_all(known.into_iter().map(move |(service, known)| async move {
            let answered = tokio::time::timeout(patience, service.snapshot()).await;
            match answered.ok().flatten() {
                Some(snapshot) => ServiceSnapshot {
                    available: known.available,
                    ..snapshot
                },
                None => known,
            }
        }))
    }

    /// The services that keep the broker from sending to the others, because their spool is full.
    pub fn holding_up_others(&self) -> Vec<String> {
        let holding = self
            .entries
            .iter()
            .filter(|entry| entry.handle.versions().holds_up_others);
        holding.map(|entry| entry.ctx.config.name.clone()).collect()
    }

    /// The version history of a service.
    ///
    /// # Errors
    /// When there is no such service.
    pub fn history(&self, service: &str) -> Result<Arc<VersionHistory>, CommandError> {
        self.entry(service)
            .map(|entry| entry.handle.versions().history)
    }

    /// A reference to a service that messages can be sent with.
    ///
    /// # Errors
    /// When there is no such service.
    pub fn service_ref(&self, service: &str) -> Result<ServiceRef, CommandError> {
        self.entry(service).map(|entry| entry.handle.service_ref())
    }

    /// Configuration and resources of a service.
    ///
    /// # Errors
    /// When there is no such service.
    pub fn service_ctx(&self, service: &str) -> Result<&ServiceCtx, CommandError> {
        self.entry(service).map(|entry| &*entry.ctx)
    }

    /// The topic that switches a service on and off.
    ///
    /// # Errors
    /// When there is no such service, or its base topic leaves no room for it.
    pub fn enabled_topic(&self, service: &str) -> Result<Topic, CommandError> {
        Ok(self.entry(service)?.ctx.config.base.topic("enabled")?)
    }

    /// Restarts the instance of a service.
    pub fn restart(&mut self, service: &str, answer: Answer) {
        match self.entry(service).map(|entry| entry.id) {
            Ok(id) => self.orders.push_back(QueuedCommand {
                id,
                command: Command::Restart(answer),
            }),
            Err(error) => reject(answer, error),
        }
    }

    /// Rolls a service back to a former version, with the state that it left: the last one, or the one whose name begins with
    /// `to`.
    pub fn roll_back(&mut self, service: &str, to: Option<&str>, answer: Answer) {
        let found = self.entry(service).and_then(|entry| {
            let version = entry.handle.versions().history.find_former(to)?;
            Ok((entry.id, version, entry.ctx.clone()))
        });
        let (id, version, ctx) = match found {
            Ok(found) => found,
            Err(error) => return reject(answer, error),
        };

        let loader = self.loader.clone();
        let store = self.store.clone();
        let starting = async move {
            let outcome = start_former(version, &ctx, &loader, &store).await;
            StartByCommand {
                id,
                ctx,
                answer,
                outcome: outcome
                    .map(|(started, snapshot)| StartedVersion::Former(started, snapshot)),
            }
        };

        self.starts.spawn_on(starting, self.loader.pool());
    }

    pub(super) fn entry(&self, service: &str) -> Result<&Entry, CommandError> {
        let entry = self
            .entries
            .iter()
            .find(|entry| entry.ctx.config.name == service);
        entry.ok_or_else(|| CommandError::UnknownService {
            service: service.to_owned(),
            known: self.names().join(", "),
        })
    }
}

/// Starts a former version on a copy of the state that it left.
async fn start_former(
    version: Version,
    ctx: &ServiceCtx,
    loader: &Loader,
    store: &Store,
) -> Result<(StartedInstance, Snapshot), CommandError> {
    let Fallback {
        component,
        snapshot,
    } = loader
        .load_fallback(version, &ctx.config.name, store)
        .await?;

    let isolated = isolated_ctx(ctx, &snapshot);
    let prepared = prepare_former(component, isolated, &snapshot)
        .await
        .map_err(|fault| CommandError::Start { version, fault })?;
    Ok((prepared, snapshot))
}
