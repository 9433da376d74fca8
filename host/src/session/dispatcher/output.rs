//! Outputs of the session state: the log, outcomes for services, and messages that are kept on disk.

use std::collections::HashMap;
use std::sync::Arc;

use tracing::{error, warn};

use super::Dispatcher;
use crate::mailbox::Notice;
use crate::session::clock::{calendar_time, now};
use crate::session::command::PersistSink;
use crate::session::event_throttle::EventThrottle;
use crate::session::state::{Event, Output, PersistOp, RestoredMessage};
use crate::span;

/// Messages that are kept on disk while they wait to be sent.
#[derive(Debug, Default)]
pub(super) struct Persistence {
    sink: Option<PersistSink>,
    /// The services whose messages an earlier run kept, by the messages' numbers.
    publishers: HashMap<u64, Arc<str>>,
}

/// The outputs of one turn that are passed on together.
#[derive(Debug, Default)]
struct TurnOutputs {
    persist_ops: Vec<PersistOp>,
    has_events: bool,
    /// Filters were subscribed to again.
    has_retries: bool,
}

/// Events in the log.
#[derive(Debug)]
pub(crate) struct EventLog {
    throttle: EventThrottle,
    /// Another session reports the broker's missing features.
    is_presence: bool,
    /// Number of events that were errors.
    pub failures: u64,
}

impl EventLog {
    pub(super) fn new(is_presence: bool) -> Self {
        Self {
            throttle: EventThrottle::default(),
            is_presence,
            failures: 0,
        }
    }

    /// Logs how often events were repeated that were not logged one by one; at the `end`, all of them.
    pub(crate) fn summarize(&mut self, end: bool) {
        self.throttle
            .take_summaries(now(), end)
            .iter()
            .for_each(|summary| error!("{summary}"));
    }

    pub(super) fn reset(&mut self) {
        self.throttle.reset();
    }
}

impl Dispatcher {
    /// Keeps waiting messages on disk through `sink`, where an offline rule asks for it. `waiting` was kept by an earlier run.
    pub(crate) fn persist_with(&mut self, sink: PersistSink, waiting: Vec<RestoredMessage>) {
        self.persistence.sink = Some(sink);
        self.persistence.publishers = waiting
            .iter()
            .filter_map(|restored| Some((restored.number, restored.publisher.clone()?)))
            .collect();
        self.state.restore(waiting);
    }

    /// Passes the state's outputs on. True: there is something to send because of them.
    pub(crate) fn drain_outputs(&mut self) -> bool {
        for (service, congested) in self.state.congestion_changes() {
            if let Some(mailbox) = self.router.mailbox(service) {
                mailbox.set_congested(congested);
            }
        }
        if !(self.connected && self.state.has_pending_subscriptions()) {
            self.confirmations.clear();
        }
        if self.log.throttle.is_due() {
            self.log.summarize(false);
        }
        self.trace_acknowledgements();
        if !self.state.has_output() {
            return false;
        }

        let has_quarantine = !self.quarantine.borrow().is_empty();
        let mut drained = TurnOutputs::default();
        while let Some(output) = self.state.poll_output() {
            self.handle_output(output, &mut drained);
        }

        let diff = self.router.diff_after_answers();
        let has_diff = !(diff.subscribe.is_empty() && diff.unsubscribe.is_empty());
        self.apply(diff);
        if !drained.persist_ops.is_empty() {
            self.persist(drained.persist_ops);
        }
        if drained.has_events || has_quarantine {
            self.publish_quarantine();
        }
        has_diff || drained.has_retries
    }

    fn handle_output(&mut self, output: Output, drained: &mut TurnOutputs) {
        match output {
            Output::Event(event) => {
                drained.has_events = true;
                self.log_event(event);
            }
            Output::Outcome(token, outcome) => {
                if let Some(tracer) = &mut self.observers.tracer {
                    tracer.on_outcome(token, &outcome, calendar_time());
                }
                if let Some(service) = self.observers.deliveries.resolve(token) {
                    self.notify(service, Notice::Outcome(token, outcome));
                }
            }
            Output::Persist(op) => drained.persist_ops.push(op),
            Output::Subscription(answer) => {
                self.router.on_answer(&answer.filter, answer.granted);
            }
            Output::RetryFilter(filter) => {
                drained.has_retries = true;
                self.subscribe_again(&filter);
            }
        }
    }

    fn log_event(&mut self, event: Event) {
        if self.log.is_presence && matches!(event, Event::Lowered { .. }) {
            return;
        }
        let event = match event.throttle_key() {
            None => event,
            Some(key) => match self.log.throttle.admit(key, event, now()) {
                Some(first) => first,
                None => return,
            },
        };

        let is_error = event.is_error();
        if is_error {
            self.log.failures += 1;
        }
        let write = || {
            if is_error {
                error!("{event}");
            } else {
                warn!("{event}");
            }
        };
        let service = event
            .service()
            .and_then(|service| self.service_name(service));
        match service {
            Some(service) => span::service(&service).in_scope(write),
            None => write(),
        }
    }

    /// Passes changes on to the disk, with the names of the services.
    fn persist(&mut self, mut ops: Vec<PersistOp>) {
        for op in &mut ops {
            match op {
                PersistOp::Put(_, origin, _) => {
                    origin.name = origin
                        .service
                        .and_then(|service| self.service_name(service));
                }
                PersistOp::DeadLetter(unsent) => {
                    let republished_by = self.observers.republisher.forget(&unsent.message);
                    let name = unsent
                        .origin
                        .service
                        .or(republished_by)
                        .and_then(|service| self.service_name(service));
                    unsent.origin.name =
                        name.or_else(|| self.persistence.publishers.remove(&unsent.kept?));
                }
                PersistOp::Delete(_) | PersistOp::Handled(_) => {}
            }
        }

        // announcements of the host do not become dead letters: they are not repeated, and the log says why
        ops.retain(|op| {
            let PersistOp::DeadLetter(unsent) = op else {
                return true;
            };
            let topic = &unsent.message.topic;
            let is_announced = self.announced.get(topic) == Some(&unsent.message);
            if is_announced {
                self.announced.remove(topic);
            }
            !is_announced
        });

        if let Some(sink) = &mut self.persistence.sink {
            sink.0(ops);
        }
    }
}
