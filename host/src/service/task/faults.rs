//! Handling of faults: carries out the decisions of [`crate::service::retry`], restarts the guest, and waits between attempts.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use tracing::{debug, error, info, warn};

use super::{EarlierAttempts, Flow, Task};
use crate::guest::Fault;
use crate::panic_hook::PanicReport;
use crate::service::Command;
use crate::service::invocation::Invocation;
use crate::service::retry::{Decision, Operation};
use crate::service::status::Status;
use crate::timers::sleep_until;

/// A fault, with its description for the log.
struct Failure {
    operation: Operation,
    description: String,
    fault: Fault,
    /// Whether it is logged, and not only counted.
    is_logged: bool,
}

impl Failure {
    fn log_error(&self, consequence: &str) {
        let attempt = self.operation.attempt();
        let fault = self.fault.kind().name();
        let description = &self.description;
        let reason = &self.fault;
        if self.is_logged {
            error!(attempt, fault, "{description}{consequence}: {reason}");
        } else {
            debug!(attempt, fault, "{description}{consequence}: {reason}");
        }
    }

    fn log_retry(&self, after: Duration) {
        if self.is_logged {
            warn!(
                attempt = self.operation.attempt(),
                fault = self.fault.kind().name(),
                "{} failed and is tried again in {after:?}: {}",
                self.description,
                self.fault
            );
        }
    }
}

impl Task {
    /// Handles a failed attempt at the current invocation. Returns the number of the next attempt, if there is one.
    pub(super) async fn on_invocation_fault(
        &mut self,
        attempt: u32,
        fault: Fault,
    ) -> Flow<Option<u32>> {
        let Some(invocation) = &self.queue.current else {
            return Flow::Continue(None);
        };
        let operation = match invocation {
            Invocation::Message(_) => Operation::Message {
                attempt,
                waiting: self.queue.waiting(),
            },
            Invocation::Timer(_) | Invocation::Notice(_) => Operation::Event { attempt },
        };

        let description = invocation.describe();
        if self.ctx.state.interruption().take() {
            info!("{description} is handled again after a command: {fault}");
            return self.on_interruption(attempt).await;
        }
        let is_logged = self.usage.on_fault(&fault, Instant::now());
        self.on_fault(Failure {
            operation,
            description,
            fault,
            is_logged,
        })
        .await
    }

    /// Carries out the commands for which a call was interrupted. The attempt does not count: it is the next one, too.
    async fn on_interruption(&mut self, attempt: u32) -> Flow<Option<u32>> {
        // the command may still be on its way
        tokio::task::yield_now().await;
        while let Some(command) = self.commands.try_recv() {
            self.on_command(Some(command)).await?;
        }

        self.runner.retry.forgive_next_restart();
        self.revive(Duration::ZERO).await?;
        Flow::Continue(Some(attempt))
    }

    async fn on_start_fault(&mut self, fault: Fault) -> Flow {
        let is_logged = self.usage.on_start_fault(&fault, Instant::now());
        let failure = Failure {
            operation: Operation::Start,
            description: "could not start".to_owned(),
            fault,
            is_logged,
        };

        match self.on_fault(failure).await {
            ControlFlow::Continue(_) => Flow::Continue(()),
            ControlFlow::Break(stop) => Flow::Break(stop),
        }
    }

    /// Carries out the decision of the policy. Returns the number of the next attempt at the current invocation, if there is one.
    async fn on_fault(&mut self, failure: Failure) -> Flow<Option<u32>> {
        if matches!(failure.fault, Fault::RemoteCall { .. }) {
            self.runner.retry.forgive_next_restart();
        }
        let mut exceeds_probation = self.exceeds_probation(&failure.fault).await;
        loop {
            let jitter = fastrand::f64();
            let operation = failure.operation;
            let decision = self
                .runner
                .retry
                .on_fault(operation, exceeds_probation, jitter);
            if decision != Decision::RollBack && !self.runner.is_ready() {
                self.set_status(Status::Waiting).await;
            }

            match decision {
                Decision::RollBack => {
                    if self.roll_back(&failure.fault).await {
                        return Flow::Continue(Some(1));
                    }
                    exceeds_probation = false;
                }
                Decision::Restart { after } => {
                    failure.log_error(&format!(", next attempt in {after:?}"));
                    self.pause(Some(after)).await?;
                    return Flow::Continue(None);
                }
                Decision::GiveUp { restart_after } => {
                    failure.log_error(" failed and is given up");
                    self.give_up_current(operation.attempt(), &failure.fault.to_string())
                        .await;
                    self.revive(restart_after).await?;
                    return Flow::Continue(None);
                }
                Decision::Defer { after } => {
                    failure.log_retry(after);
                    self.queue.spool_current().await;
                    let earlier = EarlierAttempts {
                        count: operation.attempt(),
                        is_logged: failure.is_logged,
                    };
                    self.queue.defer_current(earlier, after);
                    self.revive(after).await?;
                    return Flow::Continue(None);
                }
                Decision::Retry { after } => {
                    failure.log_retry(after);
                    self.queue.spool_current().await;
                    self.pause(Some(after)).await?;
                    self.revive(Duration::ZERO).await?;
                    return Flow::Continue(Some(operation.attempt().saturating_add(1)));
                }
            }
        }
    }

    /// Handles a panic within a turn: the current invocation is given up, because its next attempt would panic too, and the guest
    /// is restarted.
    pub(super) async fn on_panic(&mut self, report: PanicReport) -> Flow {
        self.runner.kill();
        self.set_status(Status::Waiting).await;
        if let Some(invocation) = &self.queue.current {
            error!("{} is given up: {report}", invocation.describe());
            let reason = Fault::Bug(report.to_string()).to_string();
            self.give_up_current(1, &reason).await;
        }

        let wait = self.runner.retry.next_wait(fastrand::f64());
        self.revive(wait).await
    }

    /// Waits until there is an instance again: after a `save` that faulted, or a failed restart by command.
    pub(super) async fn await_instance(&mut self) -> Flow {
        if self.runner.component.is_some() {
            self.revive(Duration::ZERO).await
        } else {
            self.pause(None).await
        }
    }

    /// Restarts the guest after `wait` if it has no instance.
    async fn revive(&mut self, wait: Duration) -> Flow {
        if !self.runner.is_ready() {
            self.set_status(Status::Waiting).await;
            self.pause(Some(wait)).await?;
            self.restart().await?;
        }
        Flow::Continue(())
    }

    /// Makes and starts instances of the component until one starts, or a swap brings one.
    pub(super) async fn restart(&mut self) -> Flow {
        while !self.runner.is_ready() {
            let Some(component) = self.runner.component.clone() else {
                break;
            };
            if !self.runner.retry.try_restart(Instant::now()) {
                self.fail().await?;
                continue;
            }

            self.set_status(Status::Starting).await;
            self.apply_penalty();
            let ctx = self.runner.next_ctx(&self.ctx);
            match self.runner.executor.prepare(component, ctx).await {
                Ok(prepared) => {
                    if self.usage.is_verbose() {
                        info!("started again");
                    }
                    self.install(prepared, None).await;
                }
                Err(fault) => Box::pin(self.on_start_fault(fault)).await?,
            }
        }

        Flow::Continue(())
    }

    /// Stops trying: the service waits for another component or for a restart by command.
    async fn fail(&mut self) -> Flow {
        // nothing that happens from now on would write these counts to the log
        self.usage.reset(Instant::now());
        let limits = &self.ctx.config.limits;
        error!(
            "has failed: started again {} times within {:?}, as often as limits.restarts allows; it waits for a better file or \
             `miqro-host restart`",
            limits.retry.restarts, limits.retry.restart_window
        );
        self.set_status(Status::Failed).await;
        while !self.runner.is_ready() && self.outputs.status() == Status::Failed {
            self.pause(None).await?;
        }
        Flow::Continue(())
    }

    /// Waits (`None`: for a command only) and carries out commands; one that changes the service ends the wait. Messages that
    /// arrive meanwhile are spooled.
    async fn pause(&mut self, wait: Option<Duration>) -> Flow {
        self.wait(wait, true).await
    }

    /// Waits as `pause` does, because the service is slow and not because it has failed: messages that arrive meanwhile are spooled
    /// only when they hold up other services.
    pub(super) async fn slow_down(&mut self, wait: Duration) -> Flow {
        self.wait(Some(wait), false).await
    }

    async fn wait(&mut self, wait: Option<Duration>, has_failed: bool) -> Flow {
        let end = wait.map(|wait| Instant::now() + wait);
        loop {
            tokio::select! {
                command = self.commands.recv() => {
                    let ends_wait = command.as_ref().is_none_or(Command::ends_wait);
                    self.on_command(command).await?;
                    if ends_wait {
                        return Flow::Continue(());
                    }
                }
                () = sleep_until(end) => return Flow::Continue(()),
                () = self.queue.progress(has_failed) => {
                    self.log_due();
                    self.drop_surplus().await;
                }
            }
        }
    }
}
