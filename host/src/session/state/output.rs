//! Everything that the session state tells its owner besides packets: one queue, drained with `State::poll_output`.
//!
//! Nothing is dropped, refused or repeated without an output that says so.

use std::collections::VecDeque;
use std::sync::Arc;

use super::event::Event;
use crate::message::{Message, Outcome, Publication, Receipt, Terms, Token};
use crate::router::ServiceId;
use crate::topic::Filter;

/// One thing that the owner of the state has to act on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// An event for the log.
    Event(Event),
    /// The outcome of a message whose publisher asked for it.
    Outcome(Token, Outcome),
    /// A change to the messages that are kept on disk.
    Persist(PersistOp),
    /// The broker's answer for a filter.
    Subscription(SubscriptionAnswer),
    /// The quarantine of a filter has ended: subscribe to it again.
    RetryFilter(Filter),
}

/// The broker's answer for a filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscriptionAnswer {
    /// The filter.
    pub filter: Filter,
    /// Whether the broker delivers for it.
    pub granted: bool,
}

/// The queue of outputs.
#[derive(Debug, Default)]
pub(super) struct Outputs {
    queue: VecDeque<Output>,
    /// Receipts of incoming messages that no longer wait for one of their publishes. The state drains them itself.
    pub resolved: Vec<Receipt>,
}

impl Outputs {
    /// Returns the next output.
    pub(super) fn pop(&mut self) -> Option<Output> {
        self.queue.pop_front()
    }

    /// Whether `pop` has something.
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Appends an event for the log.
    pub(super) fn log(&mut self, event: Event) {
        self.queue.push_back(Output::Event(event));
    }

    /// Appends a change to the messages on disk.
    pub(super) fn persist(&mut self, op: PersistOp) {
        self.queue.push_back(Output::Persist(op));
    }

    /// Appends the answer for a filter.
    pub(super) fn answer(&mut self, filter: Filter, granted: bool) {
        let answer = SubscriptionAnswer { filter, granted };
        self.queue.push_back(Output::Subscription(answer));
    }

    /// Appends a filter whose quarantine has ended.
    pub(super) fn retry_filter(&mut self, filter: Filter) {
        self.queue.push_back(Output::RetryFilter(filter));
    }

    /// Resolves a message with these terms: reports its outcome, and deletes it from disk.
    pub(super) fn resolve(&mut self, terms: Option<&Terms>, outcome: impl FnOnce() -> Outcome) {
        let Some(terms) = terms else { return };

        if let Some(token) = terms.token {
            self.queue.push_back(Output::Outcome(token, outcome()));
        }
        if let Some(number) = terms.kept {
            self.persist(PersistOp::Delete(number));
        }
    }

    /// Resolves a message that is never sent, and keeps it as a dead letter.
    pub(super) fn dead_letter(
        &mut self,
        service: Option<ServiceId>,
        publication: Publication,
        reason: &'static str,
    ) {
        let Publication { message, terms } = publication;
        if let Some(token) = terms.as_ref().and_then(|terms| terms.token) {
            let outcome = Outcome::Refused(reason.to_owned());
            self.queue.push_back(Output::Outcome(token, outcome));
        }

        self.persist(PersistOp::DeadLetter(Box::new(UnsentMessage {
            kept: terms.and_then(|terms| terms.kept),
            origin: Origin::new(service),
            message,
            reason,
        })));
    }
}

/// A change to the messages on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PersistOp {
    /// Keep this message under this number while it waits to be sent.
    Put(u64, Origin, Message),
    /// Delete the message of this number: it no longer waits to be sent.
    Delete(u64),
    /// The incoming message of this number (of `Receipt::Kept`) is handled, and the broker has taken everything that it led to.
    Handled(u64),
    /// Keep this message as a dead letter: it is never sent.
    DeadLetter(Box<UnsentMessage>),
}

/// The publisher of a message that is kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Origin {
    /// The service; `None`: the host itself, or a service of an earlier run.
    pub service: Option<ServiceId>,
    /// Its name, as far as it is known.
    pub name: Option<Arc<str>>,
}

impl Origin {
    /// A service whose name is not looked up yet.
    pub const fn new(service: Option<ServiceId>) -> Self {
        Self {
            service,
            name: None,
        }
    }
}

/// A message that an earlier run kept while it waited to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoredMessage {
    /// The number under which it is kept.
    pub number: u64,
    /// The name of the service that published it, as far as it is known.
    pub publisher: Option<Arc<str>>,
    /// The message.
    pub publication: Publication,
}

/// A message that is never sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnsentMessage {
    /// The number under which it was kept while it waited.
    pub kept: Option<u64>,
    /// Its publisher.
    pub origin: Origin,
    /// The message.
    pub message: Message,
    /// The reason, for people.
    pub reason: &'static str,
}
