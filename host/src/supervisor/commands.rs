//! Actor's part: what an operator asks of services while they run. In: the name of a service. Out: its history, a former version that
//! comes back, a start anew. Owns nothing: the services' own commands carry it out.

use std::sync::Arc;

use crate::rollout::history::VersionHistory;
use crate::router::ServiceId;
use crate::service::{self, Answer, Command, Prepared, ServiceRef, Swap, private};
use crate::service_ctx::ServiceCtx;
use crate::store::{Left, Store};
use crate::version::Version;

use super::load::load_kept;
use super::{Entry, Order, Supervisor};

/// A former version that was made ready to come back.
pub(super) struct Return {
    id: ServiceId,
    /// What the instance was started with.
    ctx: Arc<ServiceCtx>,
    answer: Answer,
    ready: Result<(Prepared, Left), String>,
}

impl Supervisor {
    /// The names of the services.
    pub fn names(&self) -> Vec<String> {
        self.entries
            .iter()
            .map(|entry| entry.ctx.config.name.clone())
            .collect()
    }

    /// The services that keep the broker from sending to the others, because their spool is full.
    pub fn holding_up_others(&self) -> Vec<String> {
        let holding = self
            .entries
            .iter()
            .filter(|entry| entry.handle.standing().holds_up_others);
        holding.map(|entry| entry.ctx.config.name.clone()).collect()
    }

    /// Which versions the service has had.
    ///
    /// # Errors
    /// When there is no such service.
    pub fn history(&self, service: &str) -> Result<Arc<VersionHistory>, String> {
        self.entry(service)
            .map(|entry| entry.handle.standing().history)
    }

    /// Who can offer something to the service.
    ///
    /// # Errors
    /// When there is no such service.
    pub fn service_ref(&self, service: &str) -> Result<ServiceRef, String> {
        self.entry(service).map(|entry| entry.handle.service_ref())
    }

    /// Starts the instance of the service anew.
    pub fn restart(&mut self, service: &str, answer: Answer) {
        match self.entry(service).map(|entry| entry.id) {
            Ok(id) => self.orders.push_back(Order {
                id,
                command: Command::Restart(answer),
            }),
            // who no longer waits does not want to know
            Err(error) => drop(answer.send(Err(error))),
        }
    }

    /// Brings back a former version of the service, the last one or the one whose name begins with `to`, with what it left.
    pub fn roll_back(&mut self, service: &str, to: Option<&str>, answer: Answer) {
        let found = self.entry(service).and_then(|entry| {
            let version = entry
                .handle
                .standing()
                .history
                .find_former(to)
                .map_err(|error| error.to_string())?;
            Ok((entry.id, version, entry.ctx.clone()))
        });
        let (id, version, ctx) = match found {
            Ok(found) => found,
            // who no longer waits does not want to know
            Err(error) => return drop(answer.send(Err(error))),
        };
        let (host, pool, store) = (self.host.clone(), self.pool.clone(), self.store.clone());
        self.returning.spawn_on(
            async move {
                let left = left(&store, &ctx.config.name, version).await;
                let ready = async {
                    let left = left?;
                    let component = load_kept(&host, &pool, version, store.archive()).await;
                    let component = component.map_err(|error| error.to_string())?;
                    let prepared =
                        service::prepare_with(component, private(&ctx, &left), &left).await;
                    let prepared = prepared.map_err(|fault| {
                        format!("version {} does not start: {fault}", version.short())
                    })?;
                    Ok((prepared, left))
                };
                let ready = ready.await;
                Return {
                    id,
                    ctx,
                    answer,
                    ready,
                }
            },
            &self.pool,
        );
    }

    /// Hands a former version over to its service.
    pub(super) fn give_back(
        &mut self,
        Return {
            id,
            ctx,
            answer,
            ready,
        }: Return,
    ) {
        let entry = self.entries.iter_mut().find(|entry| entry.id == id);
        let ready = ready.and_then(|ready| match entry {
            Some(entry) if Arc::ptr_eq(&entry.ctx, &ctx) => Ok((entry, ready)),
            Some(_) => Err("its configuration has changed meanwhile; try again".to_owned()),
            None => Err("it is no longer configured".to_owned()),
        });
        match ready {
            Ok((entry, (prepared, left))) => {
                let Command::Swap(swap) = entry.give(prepared) else {
                    return;
                };
                let swap = Swap {
                    back: Some((left, answer)),
                    ..*swap
                };
                self.orders.push_back(Order {
                    id,
                    command: Command::Swap(Box::new(swap)),
                });
            }
            // who no longer waits does not want to know
            Err(error) => drop(answer.send(Err(error))),
        }
    }

    fn entry(&self, service: &str) -> Result<&Entry, String> {
        let entry = self
            .entries
            .iter()
            .find(|entry| entry.ctx.config.name == service);
        entry.ok_or_else(|| {
            format!(
                "there is no service {service:?}; there are {}",
                self.names().join(", ")
            )
        })
    }
}

async fn left(store: &Store, service: &str, version: Version) -> Result<Left, String> {
    store
        .left(service, version)
        .await
        .map_err(|error| error.to_string())
}
