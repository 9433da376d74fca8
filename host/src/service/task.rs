//! Actor: the loop of one service. In: what its mailbox and the supervisor have for it, one thing at a time. Out: what the
//! guest calls came to, committed in the order timers, subscriptions, publishes, acknowledgement. Owns the running service.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tracing::{error, info, warn};

use crate::config;
use crate::effects::{DueTimer, Effects};
use crate::guest::{Call, Component, Fault, Instance, Setting};
use crate::mailbox::{self, Delivery, Mailbox, Next};
use crate::message::{Receipt, SubscriptionChange};
use crate::router::ServiceId;
use crate::session::{self, Commit};
use crate::timers::set::TimerSet;
use crate::timers::{self};

use super::call::Caller;
use super::drops::Drops;
use super::lifecycle::{Lifecycle, Status};
use super::presence::Presence;
use super::{Change, Command, First, Parts, Prepared, subscriptions};

/// Ends the loop; carried outwards by `?`.
struct Stop {
    deadline: Instant,
    /// The service does not come back while the host runs, so nothing may be left unacknowledged.
    leaves: bool,
}

type Flow<T = ()> = ControlFlow<Stop, T>;

/// What a guest is to do; kept so that it can be tried again.
enum Work {
    Message(Delivery),
    Tick(Vec<DueTimer>),
}

impl Work {
    fn call(&self, attempt: u32) -> Call {
        match self {
            // a message shares its bytes, so the copy for a possible further attempt costs two reference counts
            Self::Message(delivery) => Call::Message { message: delivery.message.clone(), attempt },
            Self::Tick(due) => Call::Tick(due.clone()),
        }
    }

    fn receipt(&self) -> Option<Receipt> {
        match self {
            Self::Message(delivery) => delivery.receipt,
            Self::Tick(_) => None,
        }
    }

    fn describe(&self) -> String {
        match self {
            Self::Message(delivery) => format!("the message on {}", delivery.message.topic),
            Self::Tick(due) => {
                format!("timer {}", due.iter().map(|timer| timer.name.as_str()).collect::<Vec<_>>().join(", "))
            }
        }
    }
}

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
    drops: Drops,
    timers: TimerSet,
    component: Option<Component>,
    instance: Option<Box<Instance>>,
    /// The message in work, until it is settled.
    open: Option<Receipt>,
}

impl Task {
    pub(super) fn new(parts: Parts, commands: mpsc::Receiver<Command>, status: watch::Sender<Status>) -> Self {
        let (sender, mailbox) = parts.mailbox;
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
            drops: Drops::default(),
            commands,
            status,
            timers: TimerSet::default(),
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
        self.tell_drops();
        let renewal = self.presence.renewal();
        let next = tokio::select! {
            biased;
            command = self.commands.recv() => return self.obey(command).await,
            next = self.mailbox.next(), if self.instance.is_some() => next,
            () = sleep_until(renewal) => return { self.presence.renew().await; Flow::Continue(()) },
        };
        match next {
            Next::Delivery(delivery) => self.work(Work::Message(delivery)).await,
            Next::Timers => self.tick().await,
            Next::Closed => Flow::Continue(()),
        }
    }

    fn tell_drops(&mut self) {
        if let Some(count) = self.drops.news(self.mailbox.counters(), Instant::now()) {
            let limits = &self.config.limits;
            warn!(
                service = self.setting.name.as_str(),
                "{count} messages dropped: more than limits.mailbox ({}) waited", limits.mailbox
            );
        }
    }

    async fn tick(&mut self) -> Flow {
        let due = self.timers.due(Instant::now());
        if !due.is_empty() {
            self.work(Work::Tick(due)).await?;
        }
        self.wind().await;
        Flow::Continue(())
    }

    /// Tries until it ends well or was tried as often as allowed.
    async fn work(&mut self, work: Work) -> Flow {
        self.open = work.receipt();
        for attempt in 1.. {
            let fault = match self.call(work.call(attempt)).await {
                Ok(effects) => {
                    self.lifecycle.succeeded();
                    self.commit(effects, work.receipt()).await;
                    break;
                }
                Err(fault) => fault,
            };
            if self.instance.is_none() {
                self.set_status(Status::Waiting).await;
            }
            let verdict = self.lifecycle.failed(attempt, fastrand::f64());
            let (service, what) = (self.setting.name.as_str(), work.describe());
            if verdict.give_up {
                error!(service, attempt, "{what} failed and is given up: {fault}");
                self.commit(Effects::default(), work.receipt()).await;
                return self.revive(verdict.wait).await;
            }
            warn!(service, attempt, "{what} failed and is tried again in {:?}: {fault}", verdict.wait);
            self.pause(verdict.wait).await?;
            self.revive(Duration::ZERO).await?;
        }
        Flow::Continue(())
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
                    info!(service = self.setting.name.as_str(), "started again");
                    self.install(prepared).await;
                }
                Err(fault) => {
                    let wait = self.lifecycle.failed(1, fastrand::f64()).wait;
                    error!(service = self.setting.name.as_str(), "could not start, next attempt in {wait:?}: {fault}");
                    self.set_status(Status::Waiting).await;
                    self.pause(wait).await?;
                }
            }
        }
        Flow::Continue(())
    }

    /// Waits, but obeys at once; a command cuts the wait short.
    async fn pause(&mut self, wait: Duration) -> Flow {
        tokio::select! {
            command = self.commands.recv() => self.obey(command).await,
            () = tokio::time::sleep(wait) => Flow::Continue(()),
        }
    }

    async fn obey(&mut self, command: Option<Command>) -> Flow {
        match command {
            Some(Command::Swap(prepared)) => {
                self.stop_guest().await;
                self.install(*prepared).await;
                Flow::Continue(())
            }
            Some(Command::Change(change)) => {
                self.stop_guest().await;
                self.change(*change).await;
                Flow::Continue(())
            }
            Some(Command::Stop(deadline)) => Flow::Break(Stop { deadline, leaves: false }),
            Some(Command::Leave(deadline)) => Flow::Break(Stop { deadline, leaves: true }),
            // the supervisor is gone: so is the host
            None => Flow::Break(Stop { deadline: Instant::now(), leaves: false }),
        }
    }

    /// Puts a new section of the configuration in force, with the instance that was started with it.
    async fn change(&mut self, Change { config, setting, prepared }: Change) {
        self.lifecycle = Lifecycle::new(&config.limits);
        self.sender.set_limits(mailbox::Limits::from(&config.limits));
        (self.config, self.setting) = (config, setting);
        self.install(prepared).await;
    }

    /// Makes a started instance the running one: its timers, subscriptions and publishes replace the former ones.
    async fn install(&mut self, prepared: Prepared) {
        let Prepared { component, instance, effects } = prepared;
        let mut timers = TimerSet::default();
        timers.apply(effects.timers.clone(), Instant::now());
        timers.inherit(&self.timers);
        self.timers = timers;
        self.wind().await;
        let subscriptions = subscriptions(&self.config, &effects);
        let attach = session::Command::Attach { service: self.id, mailbox: self.sender.clone(), subscriptions };
        self.session.send(attach).await;
        let effects = Effects { publishes: effects.publishes, ..Effects::default() };
        self.commit(effects, None).await;
        self.component = Some(component);
        self.instance = Some(instance);
        self.set_status(Status::Running).await;
    }

    async fn call(&mut self, call: Call) -> Result<Effects, Fault> {
        let Some(instance) = self.instance.take() else {
            return Err(Fault::Bug("a call without an instance".to_owned()));
        };
        let (instance, result) = self.caller.call(instance, call).await;
        self.instance = instance;
        result
    }

    /// Makes what a call asked for happen.
    async fn commit(&mut self, effects: Effects, receipt: Option<Receipt>) {
        if !effects.timers.is_empty() {
            self.timers.apply(effects.timers, Instant::now());
            self.wind().await;
        }
        if receipt.is_none() && effects.publishes.is_empty() && effects.subscriptions.is_empty() {
            return;
        }
        if receipt.is_some() {
            self.open = None;
        }
        let fixed = &self.config.subscriptions;
        let mut subscriptions = effects.subscriptions;
        subscriptions.retain(|change| match change {
            SubscriptionChange::Subscribe(s) => !fixed.iter().any(|f| f.filter == s.filter),
            SubscriptionChange::Unsubscribe(filter) => !fixed.iter().any(|f| f.filter == *filter),
        });
        let commit = Commit { service: self.id, receipt, subscriptions, publishes: effects.publishes };
        self.session.send(session::Command::Commit(commit)).await;
    }

    /// Tells the timers task when this service is due next.
    async fn wind(&mut self) {
        self.clock.set(self.id, self.timers.next()).await;
    }

    async fn set_status(&mut self, status: Status) {
        self.status.send_replace(status);
        self.presence.update(status).await;
    }

    /// Handles what waits in the mailbox, as long as the deadline allows, and lets the guest stop.
    async fn end(&mut self, stop: &Stop) {
        if stop.leaves {
            let (mailbox, subscriptions) = (self.sender.clone(), Vec::new());
            self.session.send(session::Command::Attach { service: self.id, mailbox, subscriptions }).await;
            self.give_up().await;
        }
        let drained = tokio::time::timeout_at(stop.deadline.into(), async {
            // without an instance it stays in the mailbox, for whoever ends the routes
            while self.instance.is_some()
                && let Some(next) = self.mailbox.try_next()
            {
                if let Next::Delivery(delivery) = next {
                    self.last_work(delivery).await;
                    if stop.leaves {
                        self.give_up().await;
                    }
                }
            }
        });
        let in_time = drained.await.is_ok();
        let left = self.mailbox.counters().depth;
        if stop.leaves && left > 0 {
            let service = self.setting.name.as_str();
            error!(service, "{left} messages are given up: the service is no longer configured");
        } else if !in_time && !stop.leaves {
            warn!(
                service = self.setting.name.as_str(),
                "stopped with messages left; the broker delivers those of QoS 1 and 2 again"
            );
        }
        self.stop_guest().await;
    }

    /// A message at the stop is tried once: what fails stays unacknowledged and is delivered again at the next start.
    async fn last_work(&mut self, delivery: Delivery) {
        let work = Work::Message(delivery);
        self.open = work.receipt();
        match self.call(work.call(1)).await {
            Ok(effects) => self.commit(effects, work.receipt()).await,
            Err(fault) => {
                warn!(service = self.setting.name.as_str(), "{} failed while stopping: {fault}", work.describe())
            }
        }
    }

    /// Settles the message in work, if there is one: nobody will handle it.
    async fn give_up(&mut self) {
        if let Some(receipt) = self.open.take() {
            error!(service = self.setting.name.as_str(), "a message is given up: the service is no longer configured");
            self.commit(Effects::default(), Some(receipt)).await;
        }
    }

    async fn stop_guest(&mut self) {
        if self.instance.is_none() {
            return;
        }
        match self.call(Call::Stop).await {
            Ok(effects) => self.commit(effects, None).await,
            Err(fault) => warn!(service = self.setting.name.as_str(), "stop failed: {fault}"),
        }
        self.instance = None;
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
