//! Actor: the loop of one service. In: what its mailbox and the supervisor have for it, one thing at a time. Out: what the
//! guest calls came to, committed in the order state, timers, subscriptions, publishes, acknowledgement. Owns the running service.
//!
//! `queue` is what waits for it, `work` what a guest is to do, `trying` what is done when it fails, `aside` what becomes of messages
//! meanwhile, `renewal` how the guest is replaced, `ending` the end.

use std::future::poll_fn;
use std::ops::ControlFlow;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tracing::info;

use crate::config;
use crate::effects::{Effects, StateChange};
use crate::guest::{Call, Component, Fault, Instance, OptionalExport, Setting};
use crate::mailbox::{self, Next};
use crate::message::{Receipt, SubscriptionChange};
use crate::panic_hook;
use crate::router::ServiceId;
use crate::session::{self, Commit};
use crate::store::{Record, Store};
use crate::timers::{self, sleep_until};

use super::backlog::Tried;
use super::call::Caller;
use super::pace::{Pace, Spent};
use super::presence::Presence;
use super::retry::Retry;
use super::shadow::Sample;
use super::statistics::Statistics;
use super::status::Status;
use super::swap::Versions;
use super::switch::Switch;
use super::tally::Tally;
use super::{Command, First, Parts, Standing, is_fixed};

mod aside;
mod ending;
mod limits;
mod queue;
mod renewal;
mod swapping;
mod trying;
mod work;

use limits::Dropped;
use queue::Queue;
use work::Work;

/// What one turn takes from the mailbox at most: looking around costs as much as a part of a short call.
const AT_ONCE: usize = 32;

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
    queue: Queue,
    session: session::Handle,
    clock: timers::Handle,
    presence: Presence,
    caller: Caller,
    commands: mpsc::Receiver<Command>,
    status: watch::Sender<Status>,
    retry: Retry,
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
    /// Whether the mailbox has had routes since before the first instance, and so every retained message.
    attached: bool,
    versions: Versions,
}

impl Task {
    pub(super) fn new(
        parts: Parts,
        commands: mpsc::Receiver<Command>,
        status: watch::Sender<Status>,
        standing: watch::Sender<Standing>,
    ) -> Self {
        let (sender, mailbox) = parts.mailbox;
        let limit = parts.config.limits.call.time;
        let switch = Switch::new(&parts.config);
        let outputs = (parts.session.clone(), parts.store.clone());
        let queue = Queue::new(
            parts.id,
            parts.config.clone(),
            outputs,
            mailbox,
            parts.spool,
        );
        Self {
            id: parts.id,
            retry: Retry::new(&parts.config.limits),
            config: parts.config,
            setting: parts.setting,
            sender,
            queue,
            session: parts.session,
            clock: parts.timers,
            presence: parts.presence,
            caller: Caller::new(parts.pools, limit),
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
            attached: parts.attached,
            versions: Versions::new(parts.history, parts.trial, standing),
        }
    }

    /// The service, from its first start to its stop.
    pub(super) async fn run(mut self: Box<Self>, first: First) {
        if let ControlFlow::Break(stop) = self.live(first).await {
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
                Err(bug) => Box::pin(self.recover(bug)).await?,
            }
        }
    }

    /// Waits for one thing and does it. Commands come first: a swap or a stop must not wait behind a full mailbox.
    async fn turn(&mut self) -> Flow {
        self.tell();
        if self.instance.is_none() {
            // a save that faulted, or a start by command that failed, has left none
            let revived = async {
                if self.component.is_some() {
                    self.revive(Duration::ZERO).await
                } else {
                    self.pause(None).await
                }
            };
            return Box::pin(revived).await;
        }
        self.queue.advance();
        if self.queue.is_behind() || self.queue.mailbox.is_congested() {
            return Box::pin(self.catch_up()).await;
        }
        let (renewal, due, news) = (
            self.presence.renewal(),
            self.queue.backlog.due(),
            self.tally.due(),
        );
        let passes = self
            .versions
            .trial
            .as_ref()
            .map(|trial| trial.probation.until());
        tokio::select! {
            biased;
            command = self.commands.recv() => Box::pin(self.obey(command)).await,
            () = sleep_until(due), if due.is_some() => Box::pin(self.catch_up()).await,
            next = self.queue.mailbox.next() => self.handle_all(next).await,
            () = sleep_until(passes) => { Box::pin(self.pass_probation()).await; Flow::Continue(()) }
            () = sleep_until(renewal) => { Box::pin(self.presence.renew()).await; Flow::Continue(()) }
            () = sleep_until(news) => Flow::Continue(()),
        }
    }

    /// Handles what has come and what waits behind it, until something else wants attention. A slow service looks around each time:
    /// what is due must not wait for many long calls.
    async fn handle_all(&mut self, first: Next) -> Flow {
        let mut next = first;
        for handled in 1.. {
            let may_publish = next != Next::Congested;
            self.handle(next).await?;
            let goes_on = may_publish
                && self.instance.is_some()
                && self.caller.is_fast()
                && handled < AT_ONCE;
            if !goes_on || self.queue.is_behind() || !self.commands.is_empty() {
                break;
            }
            let Some(more) = self.queue.mailbox.try_next() else {
                break;
            };
            next = more;
        }
        Flow::Continue(())
    }

    async fn handle(&mut self, next: Next) -> Flow {
        match next {
            Next::Delivery(delivery) => {
                self.message(Tried {
                    delivery,
                    attempts: 0,
                })
                .await
            }
            Next::Timers => self.tick().await,
            Next::Notice(notice) => self.work(Work::Notice(notice), 0).await,
            Next::Unreadable(unreadable) => {
                self.lose(unreadable).await;
                Flow::Continue(())
            }
            // what is to be done then is decided in the next turn
            Next::Closed | Next::Congested => Flow::Continue(()),
        }
    }

    async fn message(&mut self, Tried { delivery, attempts }: Tried) -> Flow {
        match self.switch.admit(delivery, &self.setting.name) {
            Ok(delivery) => self.work(Work::Message(delivery), attempts).await,
            Err(receipt) => {
                self.settle(receipt).await;
                Flow::Continue(())
            }
        }
    }

    async fn tick(&mut self) -> Flow {
        let due = self.setting.belongings.timers().due(Instant::now());
        for timer in due {
            self.work(Work::Tick(timer), 0).await?;
        }
        self.wind().await;
        Flow::Continue(())
    }

    fn exports(&self, export: OptionalExport) -> bool {
        self.component
            .as_ref()
            .is_some_and(|component| component.exports().has(export))
    }

    fn report(&mut self) {
        self.tell();
        let counters = self.queue.mailbox.counters();
        let service = self.setting.name.as_str();
        let troubles = self
            .tally
            .report()
            .map(|troubles| format!("troubles: {troubles}"));
        let parts: Vec<String> = self
            .statistics
            .report(Instant::now())
            .into_iter()
            .chain(troubles)
            .collect();
        if !parts.is_empty() {
            info!(
                service,
                waiting = counters.depth,
                most = counters.high_water,
                "{}",
                parts.join("; ")
            );
        }
    }

    async fn obey(&mut self, command: Option<Command>) -> Flow {
        match command {
            Some(Command::Report) => {
                self.report();
                Flow::Continue(())
            }
            Some(Command::Offer(offer)) => {
                self.consider(*offer).await;
                Flow::Continue(())
            }
            Some(Command::Stop(deadline)) => Flow::Break(Stop {
                deadline,
                leaves: false,
            }),
            Some(Command::Leave(deadline)) => Flow::Break(Stop {
                deadline,
                leaves: true,
            }),
            Some(command) => {
                self.carry_out(command).await;
                Flow::Continue(())
            }
            // the supervisor is gone: so is the host
            None => Flow::Break(Stop {
                deadline: Instant::now(),
                leaves: false,
            }),
        }
    }

    async fn call(&mut self, call: Call) -> Result<Effects, Fault> {
        let Some(instance) = self.instance.take() else {
            return Err(Fault::Bug("a call without an instance".to_owned()));
        };
        let mut running = pin!(self.caller.call(instance, call));
        let mut polled = poll_fn(|context| Poll::Ready(running.as_mut().poll(context))).await;
        let (instance, result) = loop {
            match polled {
                Poll::Ready(outcome) => break outcome,
                // it runs on the pool; messages that wait meanwhile must not hold up other services
                Poll::Pending => tokio::select! {
                    biased;
                    outcome = &mut running => polled = Poll::Ready(outcome),
                    () = Box::pin(self.queue.progress(false)) => {}
                },
            }
        };
        self.instance = instance;
        result
    }

    /// Runs a call and makes what it asked for happen; says what that came to. `finishes`: with that, the work in hand is done.
    async fn perform(&mut self, call: Call, finishes: bool) -> Result<Spent, Fault> {
        let sample = self
            .versions
            .mirror
            .as_ref()
            .and_then(|_| Sample::of(&call));
        let effects = self.call(call).await?;
        if finishes && self.queue.is_writing_current() {
            Box::pin(self.queue.finish_writing()).await;
        }
        let receipt = self
            .queue
            .current
            .as_ref()
            .filter(|_| finishes)
            .and_then(Work::receipt);
        let (sample, spent) = (
            sample.map(|sample| sample.published(&effects)),
            Spent::of(&effects),
        );
        self.commit(effects, receipt).await?;
        if let (Some(sample), Some(mirror)) = (sample, &self.versions.mirror)
            && !mirror.give(sample)
        {
            self.versions.mirror = None;
        }
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
            Box::pin(self.keep_state(effects.state, None)).await?;
        }
        if !effects.timers.is_empty() {
            self.setting
                .belongings
                .timers()
                .apply(effects.timers, Instant::now());
            self.wind().await;
        }
        if receipt.is_none() && effects.publishes.is_empty() && effects.subscriptions.is_empty() {
            return Ok(());
        }
        let mut subscriptions = effects.subscriptions;
        subscriptions.retain(|change| match change {
            SubscriptionChange::Subscribe(subscription) => {
                !is_fixed(&self.config, &subscription.filter)
            }
            SubscriptionChange::Unsubscribe(filter) => !is_fixed(&self.config, filter),
        });
        let trace = self.queue.current.as_ref().and_then(Work::trace);
        let commit = Commit {
            service: self.id,
            receipt,
            subscriptions,
            publishes: effects.publishes,
            trace,
        };
        self.session.send(session::Command::Commit(commit)).await;
        Ok(())
    }

    /// Puts changes of the state on disk. When that fails, the instance believes what is not so, and is given up.
    async fn keep_state(
        &mut self,
        changes: Vec<StateChange>,
        record: Option<Record>,
    ) -> Result<(), Fault> {
        if let Err(error) = self
            .store
            .commit_with(&self.setting.name, changes.clone(), record)
            .await
        {
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
        self.queue.set_failed(status == Status::Failed);
        self.status.send_replace(status);
        self.presence.update(status).await;
    }
}
