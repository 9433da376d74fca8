//! Actor: what is done when a guest call fails. In: what the guest is to do. Out: it, done at some attempt, or a dead letter; a guest
//! that was started again. Owns nothing.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use tracing::{debug, error, info, warn};

use super::work::Work;
use super::{Flow, Task};
use crate::guest::Fault;
use crate::panic_hook::PanicReport;
use crate::service::Command;
use crate::service::pace::Spent;
use crate::service::retry::{Decision, Operation};
use crate::service::status::Status;
use crate::timers::sleep_until;

impl Task {
    /// Tries until it ends well or was tried as often as allowed; `tried`: how often it was already.
    pub(super) async fn work(&mut self, work: Work, tried: u32) -> Flow {
        if work.export().is_some_and(|export| !self.exports(export)) {
            return Flow::Continue(());
        }
        self.queue.current = Some(work);
        self.tells = false;
        let flow = self.try_hand(tried).await;
        if flow.is_continue() {
            self.queue.current = None;
        }
        flow
    }

    async fn try_hand(&mut self, tried: u32) -> Flow {
        let mut attempt = tried.saturating_add(1);
        loop {
            let outcome = self.attempt(attempt).await;
            let requested = self.look_at_meter();
            match outcome {
                Ok(spent) => {
                    self.retry.on_success();
                    self.handled().await;
                    let work = self.queue.current.take();
                    return self.keep_pace(work, spent, requested).await;
                }
                // boxed, as all that is seldom: there may be thousands of services, and each has room for what is not
                Err((what, fault)) => {
                    let operation = self.failed_operation(attempt);
                    let on_fault = Box::pin(self.on_fault(operation, &what, fault));
                    match on_fault.await? {
                        Some(next) => attempt = next,
                        None => return Flow::Continue(()),
                    }
                }
            }
        }
    }

    fn failed_operation(&self, attempt: u32) -> Operation {
        match &self.queue.current {
            Some(Work::Message(_)) => Operation::Message {
                attempt,
                waiting: self.queue.waiting(),
            },
            _ => Operation::Event { attempt },
        }
    }

    /// Does what the policy says after a fault. Returns the number of the next attempt at the invocation, if there is one.
    async fn on_fault(
        &mut self,
        operation: Operation,
        what: &str,
        fault: Fault,
    ) -> Flow<Option<u32>> {
        let name = fault.kind().name();
        let told = match operation {
            Operation::Start => self.start_failed(&fault),
            Operation::Event { .. } | Operation::Message { .. } => self.failed(&fault),
        };
        let service = self.setting.name.clone();

        let mut exceeds_probation = self.exceeds_probation(&fault).await;
        loop {
            let jitter = fastrand::f64();
            let decision = self.retry.on_fault(operation, exceeds_probation, jitter);
            if decision != Decision::RollBack && self.instance.is_none() {
                self.set_status(Status::Waiting).await;
            }
            match decision {
                Decision::RollBack => {
                    if self.roll_back(&fault).await {
                        return Flow::Continue(Some(1));
                    }
                    exceeds_probation = false;
                }
                Decision::Restart { after } => {
                    let text = format!("could not {what}, next attempt in {after:?}: {fault}");
                    if told {
                        error!(service, fault = name, "{text}");
                    } else {
                        debug!(service, fault = name, "{text}");
                    }
                    self.pause(Some(after)).await?;
                    return Flow::Continue(None);
                }
                Decision::GiveUp { restart_after } => {
                    let text = format!("{what} failed and is given up: {fault}");
                    if told {
                        error!(
                            service,
                            attempt = operation.attempt(),
                            fault = name,
                            "{text}"
                        );
                    } else {
                        debug!(
                            service,
                            attempt = operation.attempt(),
                            fault = name,
                            "{text}"
                        );
                    }
                    self.give_up_current(operation.attempt(), &fault.to_string())
                        .await;
                    self.revive(restart_after).await?;
                    return Flow::Continue(None);
                }
                Decision::Retry { after } | Decision::Defer { after } => {
                    if told {
                        let attempt = operation.attempt();
                        warn!(
                            service,
                            attempt,
                            fault = name,
                            "{what} failed and is tried again in {after:?}: {fault}"
                        );
                    }
                    self.queue.spool_current().await;
                    if matches!(decision, Decision::Defer { .. }) {
                        self.queue.defer_current(operation.attempt(), after);
                        self.revive(after).await?;
                        return Flow::Continue(None);
                    }
                    self.pause(Some(after)).await?;
                    self.revive(Duration::ZERO).await?;
                    return Flow::Continue(Some(operation.attempt().saturating_add(1)));
                }
            }
        }
    }

    /// One attempt at what is in hand: what it came to, or what it was and how it failed.
    async fn attempt(&mut self, attempt: u32) -> Result<Spent, (String, Fault)> {
        let Some(work) = &self.queue.current else {
            return Ok(Spent::default());
        };
        let call = work.call(attempt);
        let outcome = self.perform(call, true).await;
        let Some(work) = &self.queue.current else {
            return Ok(Spent::default());
        };
        let failure = outcome.as_ref().err().map(Fault::to_string);
        self.statistics
            .ended(work.purpose(), self.caller.took(), failure);
        outcome.map_err(|fault| (work.describe(), fault))
    }

    /// Starts the service again if the last call killed its instance.
    pub(super) async fn revive(&mut self, wait: Duration) -> Flow {
        if self.instance.is_none() {
            self.set_status(Status::Waiting).await;
            self.pause(Some(wait)).await?;
            self.restart().await?;
        }
        Flow::Continue(())
    }

    /// Makes and starts instances of the component until one starts, or a swap brings one.
    pub(super) async fn restart(&mut self) -> Flow {
        while self.instance.is_none() {
            let Some(component) = self.component.clone() else {
                break;
            };
            if !self.retry.try_restart(Instant::now()) {
                self.fail().await?;
                continue;
            }
            self.set_status(Status::Starting).await;
            match self.caller.prepare(component, self.setting.clone()).await {
                Ok(prepared) => {
                    if self.tells {
                        info!(service = self.setting.name.as_str(), "started again");
                    }
                    self.install(prepared, None).await;
                }
                Err(fault) => {
                    let on_fault = Box::pin(self.on_fault(Operation::Start, "start", fault));
                    on_fault.await?;
                }
            }
        }
        Flow::Continue(())
    }

    /// The service has failed: it waits for somebody to do something.
    async fn fail(&mut self) -> Flow {
        // from now on nothing happens that the next line about it could wait for
        self.count_anew();
        let limits = &self.config.limits;
        error!(
            service = self.setting.name.as_str(),
            "has failed: started again {} times within {:?}, as often as limits.restarts allows; it waits for a better file or \
             `miqro-host restart`",
            limits.retry.restarts,
            limits.retry.restart_window
        );
        self.set_status(Status::Failed).await;
        while self.instance.is_none() && *self.status.borrow() == Status::Failed {
            self.pause(None).await?;
        }
        Flow::Continue(())
    }

    /// Waits (`None`: for a command only), but obeys at once; a command cuts the wait short. What comes meanwhile is spooled.
    pub(super) async fn pause(&mut self, wait: Option<Duration>) -> Flow {
        self.wait(wait, true).await
    }

    /// As `pause`, but what comes meanwhile is spooled only when it holds up others: the service is slow, and has not failed.
    pub(super) async fn slow_down(&mut self, wait: Duration) -> Flow {
        self.wait(Some(wait), false).await
    }

    async fn wait(&mut self, wait: Option<Duration>, fails: bool) -> Flow {
        let end = wait.map(|wait| Instant::now() + wait);
        loop {
            tokio::select! {
                command = self.commands.recv() => {
                    let is_no_news = command.as_ref().is_some_and(Command::is_no_news);
                    match self.obey(command).await {
                        ControlFlow::Continue(()) if is_no_news => {}
                        flow => return flow,
                    }
                }
                () = sleep_until(end) => return Flow::Continue(()),
                () = self.queue.progress(fails) => {
                    self.tell();
                    self.drop_surplus().await;
                }
            }
        }
    }

    /// Does what is left of a turn that ended in a panic: the guest is started anew, what was in hand is given up, since the next
    /// attempt would end the same way.
    pub(super) async fn recover(&mut self, bug: PanicReport) -> Flow {
        self.instance = None;
        self.set_status(Status::Waiting).await;
        if let Some(work) = &self.queue.current {
            error!(
                service = self.setting.name.as_str(),
                "{} is given up: {bug}",
                work.describe()
            );
            self.give_up_current(1, &Fault::Bug(bug.to_string()).to_string())
                .await;
        }
        let wait = self.retry.next_wait(fastrand::f64());
        self.revive(wait).await
    }
}
