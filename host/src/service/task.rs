//! Actor: the loop of one service. In: what its mailbox and the supervisor have for it, one thing at a time. Out: what the
//! guest calls came to, committed in the order state, timers, subscriptions, publishes, acknowledgement. Owns the running service.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tracing::{debug, error, info, warn};

use crate::config;
use crate::effects::{Effects, StateChange};
use crate::guest::{Call, Component, Fault, Instance, Optional, Setting};
use crate::mailbox::{self, Mailbox, Next};
use crate::message::{Publication, Receipt, SubscriptionChange};
use crate::router::ServiceId;
use crate::session::{self, Commit};
use crate::store::Store;
use crate::timers::{self, sleep_until};
use crate::trouble::Trouble;

use super::call::Caller;
use super::dead_letter::{Verdict, dead_letter};
use super::lifecycle::{Lifecycle, Status};
use super::pace::{Pace, Spent};
use super::presence::Presence;
use super::statistics::Statistics;
use super::switch::Switch;
use super::tally::Tally;
use super::{Command, First, Parts, is_fixed};

mod ending;
mod limits;
mod renewal;
mod work;

use limits::Dropped;
use work::Work;

/// Ends the loop; carried outwards by `?`.
struct Stop {
    deadline: Instant,
    /// The service does not come back while the host runs, so nothing may be left unacknowledged.
    leaves: bool,
}

type Flow<T = ()> = ControlFlow<Stop, T>;

pub(super) struct Task {
    id: ServiceId,
    config: Arc<config::Service>,
    setting: Arc<Setting>,
    sender: mailbox::Sender,
    mailbox: Mailbox,
    session: session::Handle,
    clock: timers::Handle,
    presence: Presence,
    caller: Caller,
    commands: mpsc::Receiver<Command>,
    status: watch::Sender<Status>,
    lifecycle: Lifecycle,
    tally: Tally,
    pace: Pace,
    /// Messages that the mailbox has dropped, as far as they are in `tally`.
    dropped: Dropped,
    /// Whether what is being done about a fault is told, and not only counted.
    tells: bool,
    statistics: Statistics,
    store: Store,
    protocol: config::Protocol,
    switch: Switch,
    component: Option<Component>,
    instance: Option<Box<Instance>>,
    /// The message in work, until it is settled.
    open: Option<Receipt>,
}

impl Task {
    pub(super) fn new(parts: Parts, commands: mpsc::Receiver<Command>, status: watch::Sender<Status>) -> Self {
        let (sender, mailbox) = parts.mailbox;
        let switch = Switch::new(&parts.config);
        Self {
            id: parts.id,
            lifecycle: Lifecycle::new(&parts.config.limits),
            config: parts.config,
            setting: parts.setting,
            sender,
            mailbox,
            session: parts.session,
            clock: parts.timers,
            presence: parts.presence,
            caller: Caller::new(parts.pool),
            tally: Tally::default(),
            pace: Pace::default(),
            dropped: Dropped::default(),
            tells: true,
            statistics: Statistics::new(Instant::now()),
            store: parts.store,
            protocol: parts.protocol,
            switch,
            commands,
            status,
            component: None,
            instance: None,
            open: None,
        }
    }

    /// The service, from its first start to its stop.
    pub(super) async fn run(mut self, first: First) {
        if let ControlFlow::Break(stop) = self.live(first).await {
            self.end(&stop).await;
            if stop.leaves {
                self.give_up().await;
            }
        }
        self.set_status(Status::Stopped).await;
    }

    async fn live(&mut self, first: First) -> Flow {
        match first {
            First::Prepared(prepared) => self.install(*prepared).await,
            First::Failed(component) => {
                self.component = Some(component);
                self.restart().await?;
            }
            First::Nothing => self.set_status(Status::Waiting).await,
        }
        loop {
            self.turn().await?;
        }
    }

    /// Waits for one thing and does it. Commands come first: a swap or a stop must not wait behind a full mailbox.
    async fn turn(&mut self) -> Flow {
        self.tell();
        let renewal = self.presence.renewal();
        let next = tokio::select! {
            biased;
            command = self.commands.recv() => return self.obey(command).await,
            next = self.mailbox.next(), if self.instance.is_some() => next,
            () = sleep_until(renewal) => return { self.presence.renew().await; Flow::Continue(()) },
            () = sleep_until(self.tally.due()) => return Flow::Continue(()),
        };
        match next {
            Next::Delivery(delivery) => match self.switch.admit(delivery, &self.setting.name) {
                Ok(delivery) => self.work(Work::Message(delivery)).await,
                Err(receipt) => {
                    self.settle(receipt).await;
                    Flow::Continue(())
                }
            },
            Next::Timers => self.tick().await,
            Next::Notice(notice) => self.work(Work::Notice(notice)).await,
            Next::Closed => Flow::Continue(()),
        }
    }

    async fn tick(&mut self) -> Flow {
        let due = self.setting.belongings.timers().due(Instant::now());
        for timer in due {
            self.work(Work::Tick(timer)).await?;
        }
        self.wind().await;
        Flow::Continue(())
    }

    /// Tries until it ends well or was tried as often as allowed.
    async fn work(&mut self, work: Work) -> Flow {
        if work.export().is_some_and(|export| !self.exports(export)) {
            return Flow::Continue(());
        }
        self.open = work.receipt();
        self.tells = false;
        for attempt in 1.. {
            let begun = self.statistics.measures(work.purpose()).then(Instant::now);
            let outcome = self.perform(work.call(attempt), work.receipt()).await;
            let failure = outcome.as_ref().err().map(Fault::to_string);
            self.statistics.ended(work.purpose(), begun.map(|begun| begun.elapsed()), failure);
            let requested = self.look_at_meter();
            let fault = match outcome {
                Ok(spent) => {
                    self.lifecycle.succeeded();
                    return self.keep_pace(&work, spent, requested).await;
                }
                Err(fault) => fault,
            };
            let name = self.failed(fault.trouble());
            if self.instance.is_none() {
                self.set_status(Status::Waiting).await;
            }
            let verdict = self.lifecycle.failed(attempt, fastrand::f64());
            let (service, what) = (self.setting.name.as_str(), work.describe());
            if verdict.give_up {
                if self.tells {
                    error!(service, attempt, fault = name, "{what} failed and is given up: {fault}");
                } else {
                    debug!(service, attempt, fault = name, "{what} failed and is given up: {fault}");
                }
                let publishes = self.dead_letter(&work, attempt, &fault);
                // without changes of the state a commit cannot fail
                drop(self.commit(Effects { publishes, ..Effects::default() }, work.receipt()).await);
                return self.revive(verdict.wait).await;
            }
            if self.tells {
                warn!(
                    service,
                    attempt,
                    fault = name,
                    "{what} failed and is tried again in {:?}: {fault}",
                    verdict.wait
                );
            }
            self.pause(verdict.wait).await?;
            self.revive(Duration::ZERO).await?;
        }
        Flow::Continue(())
    }

    /// What is published about a message that is given up; it is acknowledged when the broker has taken that.
    fn dead_letter(&self, work: &Work, attempts: u32, fault: &Fault) -> Vec<Publication> {
        let (Work::Message(delivery), Some(topic)) = (work, &self.config.dead_letter) else { return Vec::new() };
        let (service, reason) = (self.setting.name.as_str(), fault.to_string());
        let component = self.component.as_ref().map(Component::hash);
        let verdict = Verdict { service, reason: &reason, attempts, component };
        vec![dead_letter(topic.clone(), &delivery.message, verdict, self.protocol).into()]
    }

    /// Starts the service again if the last call killed its instance.
    async fn revive(&mut self, wait: Duration) -> Flow {
        if self.instance.is_none() {
            self.set_status(Status::Waiting).await;
            self.pause(wait).await?;
            self.restart().await?;
        }
        Flow::Continue(())
    }

    /// Makes and starts instances of the component until one starts, or a swap brings one.
    async fn restart(&mut self) -> Flow {
        while self.instance.is_none() {
            let Some(component) = self.component.clone() else { break };
            self.set_status(Status::Starting).await;
            match self.caller.prepare(component, self.setting.clone()).await {
                Ok(prepared) => {
                    if self.tells {
                        info!(service = self.setting.name.as_str(), "started again");
                    }
                    self.install(prepared).await;
                }
                Err(fault) => {
                    let wait = self.lifecycle.failed(1, fastrand::f64()).wait;
                    let (service, name) = (self.setting.name.as_str(), fault.trouble().name());
                    if self.tally.note(Trouble::Start, 1, Instant::now()) {
                        error!(service, fault = name, "could not start, next attempt in {wait:?}: {fault}");
                    } else {
                        debug!(service, fault = name, "could not start, next attempt in {wait:?}: {fault}");
                    }
                    self.set_status(Status::Waiting).await;
                    self.pause(wait).await?;
                }
            }
        }
        Flow::Continue(())
    }

    /// Waits, but obeys at once; a command cuts the wait short.
    async fn pause(&mut self, wait: Duration) -> Flow {
        let end = Instant::now() + wait;
        loop {
            tokio::select! {
                command = self.commands.recv() => match command {
                    Some(Command::Report) => self.report(),
                    other => return self.obey(other).await,
                },
                () = tokio::time::sleep_until(end.into()) => return Flow::Continue(()),
            }
        }
    }

    fn exports(&self, export: Optional) -> bool {
        self.component.as_ref().is_some_and(|component| component.exports().has(export))
    }

    fn report(&mut self) {
        self.tell();
        let counters = self.mailbox.counters();
        let service = self.setting.name.as_str();
        let troubles = self.tally.report().map(|troubles| format!("troubles: {troubles}"));
        let parts: Vec<String> = self.statistics.report(Instant::now()).into_iter().chain(troubles).collect();
        if !parts.is_empty() {
            info!(service, waiting = counters.depth, most = counters.high_water, "{}", parts.join("; "));
        }
    }

    async fn obey(&mut self, command: Option<Command>) -> Flow {
        match command {
            Some(Command::Swap(prepared)) => {
                self.stop_guest().await;
                self.install(*prepared).await;
                Flow::Continue(())
            }
            Some(Command::Report) => {
                self.report();
                Flow::Continue(())
            }
            Some(Command::Change(change)) => {
                self.stop_guest().await;
                self.change(*change).await;
                Flow::Continue(())
            }
            Some(Command::Offer(offer)) => {
                self.consider(*offer).await;
                Flow::Continue(())
            }
            Some(Command::Stop(deadline)) => Flow::Break(Stop { deadline, leaves: false }),
            Some(Command::Leave(deadline)) => Flow::Break(Stop { deadline, leaves: true }),
            // the supervisor is gone: so is the host
            None => Flow::Break(Stop { deadline: Instant::now(), leaves: false }),
        }
    }

    async fn call(&mut self, call: Call) -> Result<Effects, Fault> {
        let Some(instance) = self.instance.take() else {
            return Err(Fault::Bug("a call without an instance".to_owned()));
        };
        let (instance, result) = self.caller.call(instance, call).await;
        self.instance = instance;
        result
    }

    /// Runs a call and makes what it asked for happen; says what that came to.
    async fn perform(&mut self, call: Call, receipt: Option<Receipt>) -> Result<Spent, Fault> {
        let effects = self.call(call).await?;
        let spent = Spent::of(&effects);
        self.commit(effects, receipt).await?;
        Ok(spent)
    }

    /// Acknowledges a message without anything having come of it.
    async fn settle(&mut self, receipt: Option<Receipt>) {
        // a commit of nothing cannot fail
        drop(self.commit(Effects::default(), receipt).await);
    }

    /// Makes what a call asked for happen; all of it or nothing.
    async fn commit(&mut self, effects: Effects, receipt: Option<Receipt>) -> Result<(), Fault> {
        if !effects.state.is_empty() {
            self.keep(effects.state).await?;
        }
        if !effects.timers.is_empty() {
            self.setting.belongings.timers().apply(effects.timers, Instant::now());
            self.wind().await;
        }
        if receipt.is_none() && effects.publishes.is_empty() && effects.subscriptions.is_empty() {
            return Ok(());
        }
        if receipt.is_some() {
            self.open = None;
        }
        let mut subscriptions = effects.subscriptions;
        subscriptions.retain(|change| match change {
            SubscriptionChange::Subscribe(subscription) => !is_fixed(&self.config, &subscription.filter),
            SubscriptionChange::Unsubscribe(filter) => !is_fixed(&self.config, filter),
        });
        let commit = Commit { service: self.id, receipt, subscriptions, publishes: effects.publishes };
        self.session.send(session::Command::Commit(commit)).await;
        Ok(())
    }

    /// Puts changes of the state on disk. When that fails, the instance believes what is not so, and is given up.
    async fn keep(&mut self, changes: Vec<StateChange>) -> Result<(), Fault> {
        if let Err(error) = self.store.commit(&self.setting.name, changes.clone()).await {
            self.instance = None;
            return Err(Fault::State(error.to_string()));
        }
        self.setting.belongings.apply(changes);
        Ok(())
    }

    /// Tells the timers task when this service is due next.
    async fn wind(&mut self) {
        let next = self.setting.belongings.timers().next();
        self.clock.set(self.id, next).await;
    }

    async fn set_status(&mut self, status: Status) {
        self.status.send_replace(status);
        self.presence.update(status).await;
    }
}
