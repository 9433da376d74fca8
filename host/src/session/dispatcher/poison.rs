//! Machine: the dispatcher's part in finding what the broker ends the connection for. In: losses, the time, messages that are set aside. Out: filters
//! that are asked for again, names of services for what is kept on disk. Owns nothing: the dispatcher does.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::{Dispatcher, now, wanted};
use crate::router::ServiceId;
use crate::session::command::PersistSink;
use crate::session::state::{EndedBy, PersistOp, RestoredMessage};
use crate::topic::Filter;

/// A subscription that is made again by the same version of a service is not tried again sooner.
pub(super) const RESTED: Duration = Duration::from_secs(60);

impl Dispatcher {
    /// Filters for which the broker ends the connection.
    pub fn quarantine(&self) -> watch::Receiver<Vec<Filter>> {
        self.quarantine.subscribe()
    }

    /// Keeps messages that wait with `keeper`, where their rule asks for it; `waiting` was kept by an earlier run.
    pub fn persist_with(&mut self, keeper: PersistSink, waiting: Vec<RestoredMessage>) {
        self.keeper = Some(keeper);
        let named =
            |restored: &RestoredMessage| Some((restored.number, restored.publisher.clone()?));
        self.publishers = waiting.iter().filter_map(named).collect();
        self.state.restore(waiting);
    }

    /// The connection is lost, and was ended by somebody.
    pub fn lost(&mut self, by: EndedBy) {
        self.state.lost(by, now());
        self.disconnected();
    }

    /// The time passes for what is looked for when the broker ends connections.
    pub fn tick(&mut self, now: Instant) {
        let again = self.state.tick(now);
        again.iter().for_each(|filter| self.ask(filter));
    }

    /// Asks again for filters that were not asked for because the broker ended the connection for them at least so long ago.
    pub(super) fn try_again<'a>(
        &mut self,
        filters: impl Iterator<Item = &'a Filter>,
        rested: Duration,
    ) {
        for filter in filters {
            if self.state.try_again(filter, rested) {
                self.ask(filter);
            }
        }
    }

    fn ask(&mut self, filter: &Filter) {
        if let Some(numbered) = self.router.number(filter) {
            self.state.change(vec![wanted(numbered)], Vec::new());
        }
    }

    pub(super) fn tell_quarantine(&self) {
        let quarantined = self.state.quarantined();
        self.quarantine.send_if_modified(|old| {
            let changed = *old != quarantined;
            *old = quarantined;
            changed
        });
    }

    /// Has messages kept on disk, with the names of their services.
    pub(super) fn keep(&mut self, mut changes: Vec<PersistOp>) {
        for change in &mut changes {
            match change {
                PersistOp::Put(_, origin, _) => {
                    origin.name = origin.service.and_then(|service| self.name(service))
                }
                PersistOp::DeadLetter(unsent) => {
                    let again = self.republisher.forget(&unsent.message);
                    let own = unsent
                        .origin
                        .service
                        .or(again)
                        .and_then(|service| self.name(service));
                    unsent.origin.name = own.or_else(|| self.publishers.remove(&unsent.kept?));
                }
                PersistOp::Delete(_) | PersistOp::Handled(_) => {}
            }
        }
        // what the host says itself is not kept: it is not said again, and the log says why
        changes.retain(|change| match change {
            PersistOp::DeadLetter(unsent)
                if self.announced.get(&unsent.message.topic) == Some(&unsent.message) =>
            {
                self.announced.remove(&unsent.message.topic);
                false
            }
            _ => true,
        });
        if let Some(keeper) = &mut self.keeper {
            keeper.0(changes);
        }
    }

    /// The name of a service, where it has one.
    pub(super) fn name(&self, service: ServiceId) -> Option<Arc<str>> {
        self.router.mailbox(service)?.service()
    }
}
