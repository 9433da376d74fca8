//! Actor: the loop of one service. In: what its mailbox and the supervisor have for it, one thing at a time. Out: what the
//! guest calls came to, committed in the order timers, subscriptions, publishes, acknowledgement. Owns the running service.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tracing::{error, info, warn};

use crate::config;
use crate::effects::{DueTimer, Effects, StateChange};
use crate::guest::{Call, Component, Fault, Instance, Optional, Setting};
use crate::mailbox::{self, Delivery, Mailbox, Next, Notice};
use crate::message::{Receipt, SubscriptionChange};
use crate::router::ServiceId;
use crate::session::{self, Commit};
use crate::store::Store;
use crate::timers::set::TimerSet;
use crate::timers::{self};

use super::call::Caller;
use super::drops::Drops;
use super::lifecycle::{Lifecycle, Status};
use super::presence::Presence;
use super::statistics::{Purpose, Statistics};
use super::switch::Switch;
use super::{Command, First, Parts, Prepared, is_fixed, subscriptions};

/// Ends the loop; carried outwards by `?`.
struct Stop(Instant);

type Flow<T = ()> = ControlFlow<Stop, T>;

/// What a guest is to do; kept so that it can be tried again.
enum Work {
    Message(Delivery),
    Tick(DueTimer),
    Notice(Notice),
}

impl Work {
    fn call(&self, attempt: u32) -> Call {
        match self {
            // a message shares its bytes, so the copy for a possible further attempt costs two reference counts
            Self::Message(delivery) => Call::Message { message: delivery.message.clone(), attempt },
            Self::Tick(due) => Call::Tick(due.clone()),
            Self::Notice(Notice::Connected { session_present }) => {
                Call::Connected { session_present: *session_present }
            }
            Self::Notice(Notice::Disconnected) => Call::Disconnected,
            Self::Notice(Notice::Outcome(token, outcome)) => Call::Delivered(*token, outcome.clone()),
        }
    }

    fn purpose(&self) -> Purpose<'_> {
        match self {
            Self::Message(_) => Purpose::Message,
            Self::Tick(due) => Purpose::Timer(&due.name, due.count),
            Self::Notice(_) => Purpose::Other,
        }
    }

    /// The export that the guest needs for it.
    fn export(&self) -> Option<Optional> {
        match self {
            Self::Notice(Notice::Connected { .. }) => Some(Optional::Connected),
            Self::Notice(Notice::Disconnected) => Some(Optional::Disconnected),
            Self::Notice(Notice::Outcome(..)) => Some(Optional::Delivered),
            Self::Message(_) | Self::Tick(_) => None,
        }
    }

    fn receipt(&self) -> Option<Receipt> {
        match self {
            Self::Message(delivery) => delivery.receipt,
            Self::Tick(_) | Self::Notice(_) => None,
        }
    }

    fn describe(&self) -> String {
        match self {
            Self::Message(delivery) => format!("the message on {}", delivery.message.topic),
            Self::Tick(due) => format!("timer {}", due.name),
            Self::Notice(Notice::Connected { .. }) => "connected".to_owned(),
            Self::Notice(Notice::Disconnected) => "disconnected".to_owned(),
            Self::Notice(Notice::Outcome(..)) => "delivered".to_owned(),
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
    statistics: Statistics,
    store: Store,
    switch: Switch,
    component: Option<Component>,
    instance: Option<Box<Instance>>,
}

impl Task {
    pub(super) fn new(parts: Parts, commands: mpsc::Receiver<Command>, status: watch::Sender<Status>) -> Self {
        let (sender, mailbox) = parts.mailbox;
        let switch = Switch::new(&parts.config.base);
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
            statistics: Statistics::new(Instant::now()),
            store: parts.store,
            switch,
            commands,
            status,
            component: None,
            instance: None,
        }
    }

    /// The service, from its first start to its stop.
    pub(super) async fn run(mut self, first: First) {
        if let ControlFlow::Break(stop) = self.live(first).await {
            self.end(stop).await;
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
            Next::Delivery(delivery) => match self.switch.admit(delivery, &self.setting.name) {
                Ok(delivery) => self.work(Work::Message(delivery)).await,
                Err(receipt) => {
                    // a commit of nothing cannot fail
                    drop(self.commit(Effects::default(), receipt).await);
                    Flow::Continue(())
                }
            },
            Next::Timers => self.tick().await,
            Next::Notice(notice) => self.work(Work::Notice(notice)).await,
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
        for attempt in 1.. {
            let begun = self.statistics.measures(work.purpose()).then(Instant::now);
            let outcome = match self.call(work.call(attempt)).await {
                Ok(effects) => self.commit(effects, work.receipt()).await,
                Err(fault) => Err(fault),
            };
            let failure = outcome.as_ref().err().map(Fault::to_string);
            self.statistics.ended(work.purpose(), begun.map(|begun| begun.elapsed()), failure);
            let Err(fault) = outcome else {
                self.lifecycle.succeeded();
                break;
            };
            if self.instance.is_none() {
                self.set_status(Status::Waiting).await;
            }
            let verdict = self.lifecycle.failed(attempt, fastrand::f64());
            let (service, what) = (self.setting.name.as_str(), work.describe());
            if verdict.give_up {
                error!(service, attempt, "{what} failed and is given up: {fault}");
                // a commit of nothing cannot fail
                drop(self.commit(Effects::default(), work.receipt()).await);
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
        let counters = self.mailbox.counters();
        let service = self.setting.name.as_str();
        if let Some(text) = self.statistics.report(Instant::now()) {
            info!(service, waiting = counters.depth, most = counters.high_water, "{text}");
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
            Some(Command::Stop(deadline)) => Flow::Break(Stop(deadline)),
            // the supervisor is gone: so is the host
            None => Flow::Break(Stop(Instant::now())),
        }
    }

    /// Makes a started instance the running one: its timers, subscriptions and publishes replace the former ones.
    async fn install(&mut self, prepared: Prepared) {
        let Prepared { component, instance, effects } = prepared;
        {
            let mut timers = TimerSet::default();
            timers.apply(effects.timers.clone(), Instant::now());
            let mut present = self.setting.belongings.timers();
            timers.inherit(&present);
            *present = timers;
        }
        self.wind().await;
        let subscriptions = subscriptions(&self.config, &effects);
        let attach = session::Command::Attach { service: self.id, mailbox: self.sender.clone(), subscriptions };
        self.session.send(attach).await;
        let effects = Effects { publishes: effects.publishes, state: effects.state, ..Effects::default() };
        if let Err(fault) = self.commit(effects, None).await {
            error!(service = self.setting.name.as_str(), "what start has set and published is lost: {fault}");
        }
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

    /// Handles what waits in the mailbox, as long as the deadline allows, and lets the guest stop.
    async fn end(&mut self, Stop(deadline): Stop) {
        let drained = tokio::time::timeout_at(deadline.into(), async {
            while let Some(next) = self.mailbox.try_next() {
                if let Next::Delivery(delivery) = next
                    && self.instance.is_some()
                {
                    self.last_work(delivery).await;
                }
            }
        });
        if drained.await.is_err() {
            warn!(
                service = self.setting.name.as_str(),
                "stopped with messages left; the broker delivers those of QoS 1 and 2 again"
            );
        }
        self.stop_guest().await;
    }

    /// A message at the stop is tried once: what fails stays unacknowledged and is delivered again at the next start.
    async fn last_work(&mut self, delivery: Delivery) {
        let work = match self.switch.admit(delivery, &self.setting.name) {
            Ok(delivery) => Work::Message(delivery),
            // a commit of nothing cannot fail
            Err(receipt) => return drop(self.commit(Effects::default(), receipt).await),
        };
        let outcome = match self.call(work.call(1)).await {
            Ok(effects) => self.commit(effects, work.receipt()).await,
            Err(fault) => Err(fault),
        };
        if let Err(fault) = outcome {
            warn!(service = self.setting.name.as_str(), "{} failed while stopping: {fault}", work.describe());
        }
    }

    async fn stop_guest(&mut self) {
        if self.instance.is_none() {
            return;
        }
        let outcome = match self.call(Call::Stop).await {
            Ok(effects) => self.commit(effects, None).await,
            Err(fault) => Err(fault),
        };
        if let Err(fault) = outcome {
            warn!(service = self.setting.name.as_str(), "stop failed: {fault}");
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
