//! Machine: where router and session state meet. In: commands, packets of the broker. Out: deliveries into mailboxes, log lines
//! for what the state reports. Owns both, and what is announced after each CONNACK. Does no I/O and never waits.

use std::collections::HashMap;

use tracing::{error, warn};

use super::command::{Command, Commit};
use super::packet::{ConnAck, Incoming};
use super::state::{State, Violation, Wanted};
use crate::message::{Message, Receipt};
use crate::router::{Difference, Numbered, Router, SubscriptionId};
use crate::topic::Topic;

/// Router and session state.
#[derive(Debug)]
pub struct Desk {
    router: Router,
    pub state: State,
    announced: HashMap<Topic, Message>,
    connected: bool,
    /// Reused for each message.
    settled: Vec<Receipt>,
    /// Events that were errors.
    pub failures: u64,
}

impl Desk {
    pub fn new(router: Router, state: State) -> Self {
        Self { router, state, announced: HashMap::new(), connected: false, settled: Vec::new(), failures: 0 }
    }

    /// Carries a command out.
    pub fn take(&mut self, command: Command) {
        match command {
            Command::Commit(commit) => self.commit(commit),
            Command::Attach { service, mailbox, subscriptions } => {
                let difference = self.router.attach(service, mailbox, &subscriptions);
                self.change(difference);
            }
            Command::Detach { service } => {
                let difference = self.router.detach(service);
                self.change(difference);
            }
            Command::Announce(message) => self.announce(message),
            Command::Quiesce => self.state.close(),
            // comes on a channel of its own
            Command::Stop { .. } => {}
        }
    }

    fn commit(&mut self, commit: Commit) {
        if !commit.subscriptions.is_empty() {
            let difference = self.router.change(commit.service, &commit.subscriptions);
            self.change(difference);
        }
        self.state.committed(commit.receipt, commit.publishes);
    }

    fn change(&mut self, difference: Difference) {
        for receipt in difference.settled {
            self.state.settled(receipt);
        }
        if !(difference.subscribe.is_empty() && difference.unsubscribe.is_empty()) {
            self.state.change(difference.subscribe.into_iter().map(wanted).collect(), difference.unsubscribe);
        }
    }

    fn announce(&mut self, message: Message) {
        if self.connected {
            self.state.committed(None, vec![message.clone()]);
        }
        self.announced.insert(message.topic.clone(), message);
    }

    /// CONNACK came with success.
    pub fn connected(&mut self, ack: &ConnAck) {
        self.connected = true;
        self.state.connected(ack, self.router.subscriptions().into_iter().map(wanted).collect());
        self.state.committed(None, self.announced.values().cloned().collect());
    }

    /// The connection is lost.
    pub fn disconnected(&mut self) {
        self.connected = false;
        self.state.disconnected();
    }

    /// A packet of the broker, other than DISCONNECT.
    pub fn received(&mut self, packet: Incoming) -> Result<(), Violation> {
        let Some(arrival) = self.state.received(packet)? else { return Ok(()) };
        let ids = arrival.subscription_ids.as_slice();
        let services = self.router.route(arrival.message, ids, arrival.receipt, &mut self.settled);
        if let Some(receipt) = arrival.receipt {
            self.state.routed(receipt, services);
        }
        for receipt in self.settled.drain(..) {
            self.state.settled(receipt);
        }
        Ok(())
    }

    /// Tells the router and the log what happened.
    pub fn report(&mut self) {
        if !self.state.has_news() {
            return;
        }
        for answer in self.state.take_answers() {
            self.router.answered(SubscriptionId(answer.id), answer.granted);
        }
        for event in self.state.take_events() {
            if event.is_error() {
                self.failures += 1;
                error!("{event}");
            } else {
                warn!("{event}");
            }
        }
    }
}

fn wanted(numbered: Numbered) -> Wanted {
    Wanted { subscription: numbered.subscription, id: numbered.id.0 }
}
