//! Messages whose publisher waits for the outcome: each outcome is reported once, or the timeout.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use crate::message::{Terms, Token};
use crate::router::ServiceId;

/// Tokens without an outcome so far.
#[derive(Debug)]
pub(super) struct DeliveryTracker {
    timeout: Duration,
    pending: HashMap<Token, ServiceId>,
    /// In the order of publishing, since all have the same timeout.
    deadlines: VecDeque<(Instant, Token)>,
}

impl DeliveryTracker {
    /// Creates an empty tracker.
    pub(super) fn new(timeout: Duration) -> Self {
        Self {
            timeout,
            pending: HashMap::new(),
            deadlines: VecDeque::new(),
        }
    }

    /// Tracks a message of `service`, if its terms ask for the outcome.
    pub(super) fn track(&mut self, service: ServiceId, terms: &Terms) {
        let Some(token) = terms.token else { return };
        self.pending.insert(token, service);
        self.deadlines
            .extend(terms.at.checked_add(self.timeout).map(|end| (end, token)));
    }

    /// Resolves a message. Returns the service to notify, unless it was notified before.
    pub(super) fn resolve(&mut self, token: Token) -> Option<ServiceId> {
        let service = self.pending.remove(&token)?;
        self.drop_resolved();
        Some(service)
    }

    /// Returns the next message whose outcome did not come in time.
    pub(super) fn pop_expired(&mut self, now: Instant) -> Option<(ServiceId, Token)> {
        self.drop_resolved();
        let (_, token) = *self.deadlines.front().filter(|(end, _)| *end <= now)?;
        Some((self.resolve(token)?, token))
    }

    /// The next deadline; `None`: there is none.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.front().map(|(end, _)| *end)
    }

    fn drop_resolved(&mut self) {
        while self
            .deadlines
            .front()
            .is_some_and(|(_, token)| !self.pending.contains_key(token))
        {
            self.deadlines.pop_front();
        }
    }
}
