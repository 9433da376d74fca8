//! Actor: what is done when a guest call fails. In: what the guest is to do. Out: it, done at some attempt, or a dead letter; a guest
//! that was started again. Owns nothing.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use tracing::{debug, error, info, warn};

use super::work::Work;
use super::{Flow, Task};
use crate::bug::Bug;
use crate::config::WhenFailing;
use crate::guest::Fault;
use crate::service::Command;
use crate::service::backlog::Tried;
use crate::service::lifecycle::Status;
use crate::service::pace::Spent;
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
        for attempt in tried.saturating_add(1).. {
            let outcome = self.attempt(attempt).await;
            let requested = self.look_at_meter();
            match outcome {
                Ok(spent) => {
                    self.lifecycle.succeeded();
                    self.handled().await;
                    let work = self.queue.current.take();
                    return self.keep_pace(work, spent, requested).await;
                }
                // boxed, as all that is seldom: there may be thousands of services, and each has room for what is not
                Err((what, fault)) => {
                    if !Box::pin(self.tries_again(attempt, &what, fault)).await? {
                        break;
                    }
                }
            }
        }
        Flow::Continue(())
    }

    /// Does what is to be done after an attempt that failed; says whether there is another one of what is in hand.
    async fn tries_again(&mut self, attempt: u32, what: &str, fault: Fault) -> Flow<bool> {
        let name = self.failed(&fault);
        if self.falls(&fault).await {
            // the former version, which is not on probation, begins anew with it
            self.try_hand(0).await?;
            return Flow::Continue(false);
        }
        if self.instance.is_none() {
            self.set_status(Status::Waiting).await;
        }
        let verdict = self.lifecycle.failed(attempt, fastrand::f64());
        let service = self.setting.name.as_str();
        if verdict.give_up {
            if self.tells {
                error!(
                    service,
                    attempt,
                    fault = name,
                    "{what} failed and is given up: {fault}"
                );
            } else {
                debug!(
                    service,
                    attempt,
                    fault = name,
                    "{what} failed and is given up: {fault}"
                );
            }
            self.give_up_current(attempt, &fault.to_string()).await;
            self.revive(verdict.wait).await?;
            return Flow::Continue(false);
        }
        if self.tells {
            let wait = verdict.wait;
            warn!(
                service,
                attempt,
                fault = name,
                "{what} failed and is tried again in {wait:?}: {fault}"
            );
        }
        Box::pin(self.queue.spool_current()).await;
        if self.put_later(attempt, verdict.wait) {
            self.revive(verdict.wait).await?;
            return Flow::Continue(false);
        }
        self.pause(Some(verdict.wait)).await?;
        self.revive(Duration::ZERO).await?;
        Flow::Continue(true)
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

    /// Puts the message in hand away until its next attempt, where those behind it may go on meanwhile.
    fn put_later(&mut self, attempts: u32, wait: Duration) -> bool {
        let limits = &self.config.limits;
        if limits.when_failing == WhenFailing::InOrder || self.queue.backlog.len() >= limits.mailbox
        {
            return false;
        }
        match self.queue.current.take() {
            Some(Work::Message(delivery)) => {
                self.queue
                    .backlog
                    .later(Tried { delivery, attempts }, Instant::now() + wait);
                true
            }
            other => {
                self.queue.current = other;
                false
            }
        }
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
            if !self.lifecycle.may_restart(Instant::now()) {
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
                Err(fault) if self.falls(&fault).await => {}
                Err(fault) => {
                    let wait = self.lifecycle.failed(1, fastrand::f64()).wait;
                    let told = self.start_failed(&fault);
                    let (service, name) = (self.setting.name.as_str(), fault.trouble().name());
                    if told {
                        error!(
                            service,
                            fault = name,
                            "could not start, next attempt in {wait:?}: {fault}"
                        );
                    } else {
                        debug!(
                            service,
                            fault = name,
                            "could not start, next attempt in {wait:?}: {fault}"
                        );
                    }
                    self.set_status(Status::Waiting).await;
                    self.pause(Some(wait)).await?;
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
            limits.restarts,
            limits.restart_window
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
    pub(super) async fn recover(&mut self, bug: Bug) -> Flow {
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
        let wait = self.lifecycle.failed(1, fastrand::f64()).wait;
        self.revive(wait).await
    }
}
