//! Pure: who is to be told what became of a message. In: published messages with a token, outcomes, the time. Out: the service of
//! each outcome, once; timeouts. Owns the tokens that nothing was told about.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use crate::message::{Terms, Token};
use crate::router::ServiceId;

/// Tokens that nothing was told about.
#[derive(Debug)]
pub struct DeliveryTracker {
    timeout: Duration,
    open: HashMap<Token, ServiceId>,
    /// All have the same timeout, so they end in the order in which they were made.
    ends: VecDeque<(Instant, Token)>,
}

impl DeliveryTracker {
    /// None yet; each lasts `timeout`.
    pub fn new(timeout: Duration) -> Self {
        Self {
            timeout,
            open: HashMap::new(),
            ends: VecDeque::new(),
        }
    }

    /// `service` wants to know what becomes of a message on these terms.
    pub fn make(&mut self, service: ServiceId, terms: &Terms) {
        let Some(token) = terms.token else { return };
        self.open.insert(token, service);
        self.ends
            .extend(terms.at.checked_add(self.timeout).map(|end| (end, token)));
    }

    /// Something is known about a message: the service to tell, unless it was told something before.
    pub fn keep(&mut self, token: Token) -> Option<ServiceId> {
        let service = self.open.remove(&token)?;
        self.tidy();
        Some(service)
    }

    /// The next message about which nothing was told in time.
    pub fn overdue(&mut self, now: Instant) -> Option<(ServiceId, Token)> {
        self.tidy();
        let (_, token) = *self.ends.front().filter(|(end, _)| *end <= now)?;
        Some((self.keep(token)?, token))
    }

    /// When the next one will be overdue; `None`: never.
    pub fn next(&self) -> Option<Instant> {
        self.ends.front().map(|(end, _)| *end)
    }

    fn tidy(&mut self) {
        while self
            .ends
            .front()
            .is_some_and(|(_, token)| !self.open.contains_key(token))
        {
            self.ends.pop_front();
        }
    }
}
