//! Packets for which the broker ends the connection: losses and time for the state's search, and filters in quarantine.

use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::{Dispatcher, wanted};
use crate::session::clock::now;
use crate::session::state::EndedBy;
use crate::topic::Filter;

/// How long a filter stays in quarantine at least when the same version of a service subscribes to it again.
pub(super) const RETRY_AFTER: Duration = Duration::from_secs(60);

impl Dispatcher {
    /// The filters for which the broker ends the connection.
    pub(crate) fn quarantine(&self) -> watch::Receiver<Vec<Filter>> {
        self.quarantine.subscribe()
    }

    /// Handles the loss of the connection.
    pub(crate) fn on_connection_lost(&mut self, by: EndedBy) {
        self.state.handle_disconnect(by, now());
        self.on_disconnected();
    }

    /// Lets time pass for the search and the quarantines.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.state.handle_timeout(now);
    }

    /// Subscribes to filters again that have been in quarantine for at least `rested`.
    pub(super) fn retry_quarantined<'a>(
        &mut self,
        filters: impl Iterator<Item = &'a Filter>,
        rested: Duration,
    ) {
        for filter in filters {
            if self.state.release_filter(filter, rested) {
                self.subscribe_again(filter);
            }
        }
    }

    pub(super) fn subscribe_again(&mut self, filter: &Filter) {
        if let Some(identified) = self.router.identified_subscription(filter) {
            self.state
                .change_subscriptions(vec![wanted(identified)], Vec::new());
        }
    }

    pub(super) fn publish_quarantine(&self) {
        let quarantined = self.state.quarantined_filters();
        self.quarantine.send_if_modified(|old| {
            let changed = *old != quarantined;
            *old = quarantined;
            changed
        });
    }
}
