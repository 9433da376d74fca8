//! Loop of one service: takes one thing after another from its mailbox and invokes the guest for it.
//!
//! The task joins the parts of a service, each of which owns what it names: `queue` (waiting messages), `runner` (the guest), `usage`
//! (cost and limits), `outputs` (effects of calls). Futures that are seldom needed are boxed: there may be thousands of
//! services, and each has room for the rest all the time.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::guest::Fault;
use crate::mailbox::Next;
use crate::panic_hook;
use crate::service_ctx::ServiceCtx;
use crate::tap::CallSummary;
use crate::timers::sleep_until;
use crate::typed::binding::Binding;

use super::command_channel::CommandReceiver;
use super::invocation::Invocation;
use super::outputs::Outputs;
use super::queue::{EarlierAttempts, Queue};
use super::runner::Runner;
use super::status::Status;
use super::swap::VersionStatus;
use super::usage::Usage;
use super::usage::rate_limits::CallCost;
use super::{First, Parts};
use crate::rollout::Rollout;

mod commands;
mod commit;
mod deadlines;
mod deferred;
mod faults;
mod reconfigure;
mod record;
mod recording;
mod rollback;
mod shutdown;
mod snapshot;
mod spans;
mod swap;
mod typed;
mod versions;

use spans::InvocationSpans;

/// Things that one turn takes from the mailbox at most: looking at everything else costs as much as a part of a short call.
const AT_ONCE: usize = 32;

/// Ends the loop; carried outwards by `?`.
struct Stop {
    deadline: Instant,
    /// Whether the host continues without the service, so that no message may stay unacknowledged.
    leaves: bool,
}

type Flow<T = ()> = ControlFlow<Stop, T>;

/// One service.
pub(super) struct Task {
    ctx: Arc<ServiceCtx>,
    commands: CommandReceiver,
    queue: Queue,
    runner: Runner,
    usage: Usage,
    outputs: Outputs,
    rollout: Rollout,
    /// The record of the current call, if anybody listens.
    record: Option<Box<CallSummary>>,
    /// The spans of the current invocation, if its trace is recorded.
    spans: Option<Box<InvocationSpans>>,
}

impl Task {
    pub(super) fn new(
        parts: Parts,
        commands: CommandReceiver,
        status: watch::Sender<Status>,
        versions: watch::Sender<VersionStatus>,
    ) -> Self {
        Self {
            commands,
            queue: Queue::new(
                parts.id,
                parts.ctx.config.clone(),
                (parts.session.clone(), parts.store.clone()),
                parts.mailbox,
                parts.earlier.spool,
            ),
            runner: Runner::new(parts.pools, &parts.ctx.config.limits),
            usage: Usage::new(Instant::now()),
            outputs: Outputs {
                id: parts.id,
                session: parts.session,
                store: parts.store,
                timers: parts.timers,
                presence: parts.presence,
                status,
                versions,
                protocol: parts.protocol,
                is_attached: parts.attached,
            },
            rollout: Rollout::new(parts.earlier.history, parts.earlier.interrupted),
            record: None,
            spans: None,
            ctx: parts.ctx,
        }
    }

    /// Runs the service from its first start to its stop.
    pub(super) async fn run(mut self: Box<Self>, first: First) {
        if let ControlFlow::Break(stop) = self.live(first).await {
            if self.serves() {
                Box::pin(self.serve_locally(&Binding::default())).await;
            }
            Box::pin(self.end(&stop)).await;
        }

        self.set_status(Status::Stopped).await;
    }

    async fn live(&mut self, first: First) -> Flow {
        if let Some(component) = first.component() {
            Box::pin(self.begin_history(component)).await;
        }
        match first {
            First::Prepared(prepared) => Box::pin(self.install(*prepared, None)).await,
            First::Failed(_) => Box::pin(self.restart()).await?,
            First::Nothing => self.set_status(Status::Waiting).await,
        }

        loop {
            match panic_hook::catch_panic(self.turn()).await {
                Ok(flow) => flow?,
                Err(report) => Box::pin(self.on_panic(report)).await?,
            }
        }
    }

    /// Waits for something and handles it. Commands come first: a swap or a stop must not wait behind a full mailbox.
    async fn turn(&mut self) -> Flow {
        self.log_due();
        if !self.runner.is_ready() {
            return Box::pin(self.await_instance()).await;
        }
        self.queue.advance();
        if self.queue.is_behind() || self.queue.mailbox.is_congested() {
            return Box::pin(self.catch_up()).await;
        }

        // deferred messages come before those in the mailbox
        let is_due = |at: Instant| at <= Instant::now();
        if self.queue.backlog.due().is_some_and(is_due) {
            return Box::pin(self.catch_up()).await;
        }
        let deadline = self.next_deadline();
        let mut next = tokio::select! {
            biased;
            command = self.commands.recv() => return Box::pin(self.on_command(command)).await,
            next = self.queue.mailbox.next() => next,
            () = sleep_until(deadline) => return Box::pin(self.on_deadline()).await,
        };

        for handled in 1.. {
            let is_congested = next == Next::Congested;
            self.on_next(next).await?;
            if is_congested || handled == AT_ONCE || !self.may_continue() {
                break;
            }
            match self.queue.mailbox.try_next() {
                Some(more) => next = more,
                None => break,
            }
        }

        Flow::Continue(())
    }

    /// Whether the next thing in the mailbox may be handled without looking at everything else first. A slow service looks each
    /// time: timers must not wait for many long calls.
    fn may_continue(&self) -> bool {
        self.runner.is_ready()
            && self.runner.executor.is_fast()
            && !self.queue.is_behind()
            && self.commands.is_empty()
    }

    async fn on_next(&mut self, next: Next) -> Flow {
        match next {
            Next::Delivery(delivery) => match self.queue.filter(delivery) {
                Ok(delivery) => {
                    self.invoke(Invocation::Message(delivery), EarlierAttempts::default())
                        .await
                }
                Err(receipt) => {
                    self.outputs.acknowledge(receipt).await;
                    Flow::Continue(())
                }
            },
            Next::Timers => self.on_timers().await,
            Next::Notice(notice) => {
                self.invoke(Invocation::Notice(notice), EarlierAttempts::default())
                    .await
            }
            Next::Unreadable(unreadable) => {
                self.on_unreadable(unreadable).await;
                Flow::Continue(())
            }
            // handled by the next turn
            Next::Closed | Next::Congested => Flow::Continue(()),
        }
    }

    async fn on_timers(&mut self) -> Flow {
        let due = self.ctx.state.timers().due(Instant::now());
        for timer in due {
            self.invoke(Invocation::Timer(timer), EarlierAttempts::default())
                .await?;
        }
        self.outputs.schedule(&self.ctx.state).await;
        Flow::Continue(())
    }

    /// Invokes the guest until the invocation was handled, deferred or given up.
    async fn invoke(&mut self, invocation: Invocation, earlier: EarlierAttempts) -> Flow {
        if invocation
            .export()
            .is_some_and(|export| !self.needs_call(export))
        {
            return Flow::Continue(());
        }

        self.apply_penalty();
        self.usage.begin_invocation(earlier.is_logged);
        self.queue.current = Some(invocation);

        let first = earlier.count.saturating_add(1);
        let mut attempt = first;
        while self.queue.current.is_some() {
            if self.ctx.tracer.is_some() {
                self.begin_spans(attempt, attempt == first);
            }
            let Some(invocation) = &self.queue.current else {
                break;
            };
            let call = invocation.call(attempt);
            let sample = self.rollout.sample(&call);
            if self.ctx.calls.is_open() {
                self.begin_record(attempt);
            }
            let outcome = match self.runner.call(call, &mut self.queue).await {
                Ok(effects) => self.complete(effects, sample).await,
                Err(fault) => Err(fault),
            };
            let wait = match self.on_call_ended(outcome) {
                Ok(wait) => wait,
                Err(fault) => {
                    let on_fault = Box::pin(self.on_invocation_fault(attempt, fault));
                    match on_fault.await? {
                        Some(next) => attempt = next,
                        None => break,
                    }
                    continue;
                }
            };

            if self.rollout.is_on_probation() {
                Box::pin(self.on_handled()).await;
            }
            self.queue.current = None;
            if let Some(wait) = wait {
                Box::pin(self.slow_down(wait)).await?;
            }
        }

        self.queue.current = None;
        self.spans = None;
        Flow::Continue(())
    }

    /// Counts a call for the current invocation. Returns how long the service has to wait because it is over a rate.
    fn on_call_ended(
        &mut self,
        outcome: Result<CallCost, Fault>,
    ) -> Result<Option<Duration>, Fault> {
        if let Some(invocation) = &self.queue.current {
            let took = self.runner.executor.took();
            self.usage
                .on_call_ended(invocation.purpose(), took, outcome.as_ref().err());
        }
        if self.spans.is_some() {
            self.end_spans(outcome.as_ref().err());
        }
        if let Some(record) = self.record.take() {
            self.send_record(record, outcome.as_ref().err());
        }
        let requested = self.usage.read_meter(self.ctx.state.meter());

        let mut cost = outcome?;
        cost.add_requests(requested.count, requested.bytes);
        if let Some(Invocation::Message(delivery)) = &self.queue.current {
            cost = cost.paid_by(&delivery.message);
        }
        self.runner.retry.on_success();
        Ok(self.usage.charge(cost, &self.ctx.config.limits))
    }

    /// Logs due entries, and publishes a changed status.
    fn log_due(&mut self) {
        self.usage.read_meter(self.ctx.state.meter());
        self.usage.count_dropped(self.queue.mailbox.counters());
        self.usage.log_due();
        self.apply_penalty();
        if self.outputs.versions.borrow().holds_up_others != self.queue.holds_up_others() {
            self.publish_versions();
        }
    }

    /// Gives the guest only spare processor time for a while after an offence.
    fn apply_penalty(&mut self) {
        if let Some(at) = self.usage.take_offence() {
            self.runner.executor.penalise(at);
        }
    }

    async fn set_status(&mut self, status: Status) {
        self.queue.set_failed(status == Status::Failed);
        self.outputs.set_status(status).await;
    }
}
