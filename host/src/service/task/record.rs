//! Records of calls, for those that listen.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use super::Task;
use crate::guest::Fault;
use crate::mailbox::Notice;
use crate::rollout::Timestamp;
use crate::service::invocation::Invocation;
use crate::tap::{CallFailure, CallSummary, MessageExcerpt, Trigger};

impl Task {
    /// Begins the record of an attempt at the current invocation, if anybody listens to this service and is to be told.
    pub(super) fn begin_record(&mut self, attempt: u32) {
        let service = &self.ctx.config.name;
        let Some(invocation) = &self.queue.current else {
            return;
        };
        if !self.ctx.calls.admits(service, Instant::now()) {
            return;
        }

        self.runner.executor.measure_next();
        self.record = Some(Box::new(CallSummary {
            service: service.clone(),
            version: self.runner.version().map(|version| version.to_string()),
            at_ms: 0,
            trigger: trigger(invocation),
            attempt,
            took: None,
            published: Vec::new(),
            further: 0,
            failure: None,
            line: OnceLock::new(),
        }));
    }

    /// Sends the record of a call that has ended.
    pub(super) fn send_record(&self, mut record: Box<CallSummary>, fault: Option<&Fault>) {
        record.at_ms = Timestamp::now().unix_millis;
        record.took = self.runner.executor.took();
        if let Some(fault) = fault {
            record.published.clear();
            record.further = 0;
            record.failure = Some(CallFailure {
                kind: fault.kind(),
                reason: fault.to_string(),
            });
        }

        self.ctx.calls.send(&Arc::new(*record));
    }
}

fn trigger(invocation: &Invocation) -> Trigger {
    match invocation {
        Invocation::Message(delivery) => Trigger::Message(MessageExcerpt::from(&delivery.message)),
        Invocation::Timer(due) => Trigger::Timer(due.name.clone()),
        Invocation::Notice(Notice::Connected { .. }) => Trigger::Notice("connected".to_owned()),
        Invocation::Notice(Notice::Disconnected) => Trigger::Notice("disconnected".to_owned()),
        Invocation::Notice(Notice::Outcome(_, outcome)) => {
            Trigger::Notice(format!("delivered: {outcome:?}"))
        }
    }
}
