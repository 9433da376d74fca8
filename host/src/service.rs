//! Actor: one service. In: messages and due timers from its mailbox, commands from the supervisor. Out: commits to the
//! session, deadlines to the timers task, `online` announcements. Owns the mailbox, the instance, the timers and the status.
//!
//! `task` is the loop, `executor` where a guest call runs, `retry` what is done about a fault, `presence` the `online` topic,
//! `versions` the history and `probation` what is done about a new version that faults.

pub mod comparison;
pub mod compatibility;
mod dead_letter;
mod enabled;
mod executor;
mod invocation;
mod outputs;
mod pools;
mod presence;
pub mod probation;
mod queue;
pub mod retry;
mod runner;
mod shadow;
mod shared;
mod status;
mod swap;
mod task;
mod usage;

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{mpsc, oneshot, watch};
use tracing::Instrument;

use crate::config;
use crate::effects::Effects;
use crate::guest::{Component, Instance};
use crate::mailbox::{self, Mailbox};
use crate::message::{Qos, Subscription};
use crate::router::ServiceId;
use crate::service_ctx::ServiceCtx;
use crate::store::{Left, Segment, Store};
use crate::topic::{BaseTopic, Filter};
use crate::{session, span, timers};

use crate::rollout::history::{HistoryEvent, VersionHistory};
use crate::version::Version;

pub use executor::{prepare, prepare_with};
pub use pools::Pools;
pub use presence::{Announced, Presence, will};
pub use shadow::{Shadow, apart};
pub use shared::Shared;
pub use status::Status;
pub use swap::{Answer, Standing, Swap, private};

/// Commands that may wait for one service; the supervisor sends one at a time.
const COMMANDS: usize = 4;

/// What the supervisor asks of a service. It is done between two guest calls.
pub enum Command {
    /// Take over a started instance: of a new component, with a new section of the configuration, or of a former version.
    Swap(Box<Swap>),
    /// Have a started instance handle copies of what the running one handles.
    Shadow(Box<Shadow>),
    /// Start the instance anew; says when it runs, or why it does not.
    Restart(Answer),
    /// Write something into the history that changes nothing.
    Note(Option<Version>, HistoryEvent, String),
    /// The file has other bytes than those of the version that was rolled back.
    ClearRejected,
    /// Ask the running guest whether it takes over a new section of the configuration, and have it do so.
    Offer(Box<Offer>),
    /// Say in the log what its calls cost.
    Report,
    /// Handle these messages, which are kept on disk.
    Replay(Segment),
    /// Handle what waits until the deadline, stop, and end; what is left is delivered again when the host starts again.
    Stop(Instant),
    /// As `Stop`, but for good, while the host goes on: what is left is given up, so that the acknowledgements behind it can leave.
    Leave(Instant),
}

impl Command {
    /// Whether it may change what the service waits for, so that the wait ends.
    fn ends_wait(&self) -> bool {
        !matches!(
            self,
            Self::Report | Self::Note(..) | Self::ClearRejected | Self::Replay(_)
        )
    }
}

/// An instance whose `start` has ended well, and what it asked for: ready to take over.
pub struct Prepared {
    /// The component that the instance was made of; restarts after a fault use it.
    pub component: Component,
    /// The started instance.
    pub instance: Box<Instance>,
    /// What `start` asked for.
    pub effects: Effects,
}

/// A new section of the configuration for the guest that runs.
pub struct Offer {
    /// The new section, in its context.
    pub ctx: Arc<ServiceCtx>,
    /// Whether it has taken it over; if not, why, and then nothing has changed.
    pub answer: oneshot::Sender<Result<(), String>>,
}

/// Offers new sections to a service.
#[derive(Clone)]
pub struct Asker(mpsc::Sender<Command>);

impl Asker {
    /// Has the guest take over a new section.
    ///
    /// # Errors
    /// Why it has not; then nothing has changed.
    pub async fn offer(&self, ctx: Arc<ServiceCtx>) -> Result<(), String> {
        let (answer, answered) = oneshot::channel();
        let gone = || "the service has ended".to_owned();
        let offer = Offer { ctx, answer };
        self.0
            .send(Command::Offer(Box::new(offer)))
            .await
            .map_err(|_| gone())?;
        answered.await.unwrap_or_else(|_| Err(gone()))
    }

    /// Has the service handle messages of its spool; one that has ended finds them at its next start.
    pub async fn replay(&self, segment: Segment) {
        // fails when the service has ended
        let _ = self.0.send(Command::Replay(segment)).await;
    }
}

/// What a service works with; all of it is made by the supervisor.
pub struct Parts {
    /// Its number in the router and in the timers.
    pub id: ServiceId,
    /// Its configuration, and what it has.
    pub ctx: Arc<ServiceCtx>,
    /// Where its messages wait.
    pub mailbox: (mailbox::Sender, Mailbox),
    /// Messages of an earlier time that it has not handled.
    pub spool: Option<Segment>,
    /// Whether its routes are in place.
    pub attached: bool,
    /// The MQTT session.
    pub session: session::Handle,
    /// The timers task.
    pub timers: timers::Handle,
    /// Where its state is kept.
    pub store: Store,
    /// Version of the protocol, which decides how a dead letter looks.
    pub protocol: config::Protocol,
    /// The versions that it had in earlier runs of the host.
    pub history: VersionHistory,
    /// What is put back if the version fails that was on probation when the host ended.
    pub trial: Option<(Component, Left)>,
    /// Where its `online` goes.
    pub presence: Presence,
    /// Where slow guest calls run.
    pub pools: Pools,
}

/// The supervisor's end of a service.
pub struct Handle {
    commands: mpsc::Sender<Command>,
    status: watch::Receiver<Status>,
    standing: watch::Receiver<Standing>,
}

impl Handle {
    /// Asks for something; `false` when the service has ended.
    pub async fn send(&self, command: Command) -> bool {
        self.commands.send(command).await.is_ok()
    }

    /// Waits until a command can be given without waiting, or the service has ended. Cancel-safe.
    pub async fn room(&self) {
        // an error means that the service has ended
        let _ = self.commands.reserve().await;
    }

    /// Gives a command for which there is room; `false` when there is none, or the service has ended.
    pub fn give(&self, command: Command) -> bool {
        self.commands.try_send(command).is_ok()
    }

    /// Who can offer new sections to it.
    pub fn asker(&self) -> Asker {
        Asker(self.commands.clone())
    }

    /// What the service is doing.
    pub fn status(&self) -> Status {
        *self.status.borrow()
    }

    /// Which versions it has.
    pub fn standing(&self) -> Standing {
        self.standing.borrow().clone()
    }

    /// Waits until the service has ended.
    pub async fn ended(&mut self) {
        // an error means that the task is gone, which is what is waited for
        let _ = self
            .status
            .wait_for(|status| *status == Status::Stopped)
            .await;
    }
}

/// Makes a service around what was prepared, or around a component whose first start failed and is tried again.
/// The future is the service: it ends after `Stop`.
pub fn service(parts: Parts, first: First) -> (Handle, impl Future<Output = ()> + Send) {
    let (commands, received) = mpsc::channel(COMMANDS);
    let (status, watched) = watch::channel(Status::Starting);
    let component = first.component();
    let (shown, standing) = watch::channel(Standing {
        component,
        history: Arc::new(parts.history.clone()),
        concluded: 0,
        holds_up_others: false,
    });
    let span = span::service(&parts.ctx.config.name);
    // a future has its arguments twice: once as they are given, once as they are used
    let task = Box::new(task::Task::new(parts, received, status, shown));
    (
        Handle {
            commands,
            status: watched,
            standing,
        },
        task.run(first).instrument(span),
    )
}

/// How a service begins.
pub enum First {
    /// With an instance that is started; its subscriptions are in the router already.
    Prepared(Box<Prepared>),
    /// With a component whose start failed; it is started again with back-off.
    Failed(Component),
    /// With nothing, because its file holds no component; it waits for a swap.
    Nothing,
}

impl First {
    fn component(&self) -> Option<Component> {
        match self {
            Self::Prepared(prepared) => Some(prepared.component.clone()),
            Self::Failed(component) => Some(component.clone()),
            Self::Nothing => None,
        }
    }
}

/// The subscriptions of a service: those of the configuration, changed by what `start` asked for.
pub fn subscriptions(config: &config::Service, effects: &Effects) -> Vec<Subscription> {
    use crate::message::SubscriptionChange::{Subscribe, Unsubscribe};
    let mut all = config.subscriptions.clone();
    for change in &effects.subscriptions {
        let filter = match change {
            Subscribe(subscription) => &subscription.filter,
            Unsubscribe(filter) => filter,
        };
        // what the operator wrote into the file stays, whatever the guest asks for
        if is_fixed(config, filter) {
            continue;
        }
        all.retain(|present| present.filter != *filter);
        if let Subscribe(subscription) = change {
            all.push(subscription.clone());
        }
    }
    all.extend(switch(&config.base).map(|filter| Subscription {
        filter,
        qos: Qos::AtLeastOnce,
    }));
    all
}

/// The topic by which a service is switched on and off: `enabled` below its base topic. `None`: the base topic is too long.
fn switch(base: &BaseTopic) -> Option<Filter> {
    base.filter("enabled").ok()
}

/// Whether the subscription is not the guest's to change: the operator's, and the host's own.
fn is_fixed(config: &config::Service, filter: &Filter) -> bool {
    let of_operator = config
        .subscriptions
        .iter()
        .any(|fixed| fixed.filter == *filter);
    of_operator || switch(&config.base).is_some_and(|switch| switch == *filter)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Size in bytes of the future that a constructor returns beside a handle.
    fn size_of_future<A, B, F>(_: impl FnOnce(A, B) -> (Handle, F)) -> usize {
        size_of::<F>()
    }

    #[test]
    fn service_future_and_task_stay_small() {
        let future = size_of_future(service);
        let task = size_of::<task::Task>();
        assert!(
            future <= 2_888 && task <= 1_650,
            "the future takes {future} bytes, the task {task}"
        );
    }
}
