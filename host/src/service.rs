//! One service: takes messages, timers and notices from its mailbox, calls the guest for them, and commits the effects of the call.
//!
//! `task` is the loop. It joins four parts, each of which owns what it names: `queue` (mailbox, spool, deferred messages), `runner`
//! (component, instance, executor, retry policy), `usage` (rates, statistics, throttled log) and `outputs` (state, timers,
//! presence, dead letters). The supervisor holds a [`Handle`] and sends it commands.
//! [`crate::rollout`] decides about versions.

mod command_channel;
mod command_error;
mod dead_letter;
mod enabled;
mod executor;
mod invocation;
mod local_call;
mod outputs;
mod parts;
mod pools;
mod presence;
mod queue;
mod recorder;
pub mod retry;
mod runner;
mod shared;
mod snapshot;
mod status;
mod swap;
mod task;
mod turn;
mod usage;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{oneshot, watch};
use tracing::Instrument;

use crate::config;
use crate::effects::Effects;
use crate::guest::{Component, Fault, INTERRUPTION_GRACE};
use crate::message::{Qos, Subscription};
use crate::recording::{self, Header};
use crate::rollout::Fallback;
use crate::rollout::handover::StartedInstance;
use crate::rollout::history::HistoryEvent;
use crate::rollout::shadow::Shadow;
use crate::service_ctx::ServiceCtx;
use crate::span;
use crate::store::Segment;
use crate::topic::{BaseTopic, Filter};
use crate::version::Version;

use command_channel::CommandSender;

pub use command_error::CommandError;
pub use parts::{EarlierRun, Parts};
pub use pools::Pools;
pub use presence::{Presence, PresenceSetup, will};
pub use recorder::Recording;
pub use shared::Shared;
pub use snapshot::{
    Activity, Allowances, AvailableVersion, QueuedMessages, ServiceSnapshot, SubscriptionSnapshot,
    TimerSnapshot, UsedGrants, UsedLimits, Versions,
};
pub use status::Status;
pub use swap::{Answer, Swap, VersionStatus};
pub use usage::statistics::{CallTotals, DURATION_BOUNDS, Durations, LastFault};

/// Command of the supervisor, carried out between two guest calls.
pub enum Command {
    /// Begin: the component is loaded now.
    Begin(Box<Begin>),
    /// Take over a started instance: of a new component, with a new section of the configuration, or of a former version.
    Swap(Box<Swap>),
    /// Have a started instance handle copies of the messages of the running one.
    Shadow(Box<Shadow>),
    /// End the shadow, if there is one.
    EndShadow,
    /// Restart the instance. The answer says that it runs, or why it does not.
    Restart(Answer),
    /// Record an event in the history that changes nothing else.
    Note(Option<Version>, HistoryEvent, String),
    /// Forget which version was rolled back: the file has other bytes now.
    ClearRejected,
    /// Offer the running guest a new section of the configuration.
    Offer(Box<Offer>),
    /// Log the cost of the calls.
    Report,
    /// Answer with a snapshot.
    Snapshot(oneshot::Sender<ServiceSnapshot>),
    /// Handle these messages of the spool.
    Replay(Segment),
    /// Record the calls.
    Record(Box<Record>),
    /// Answer with the header of a recording that begins now.
    DescribeRecording(oneshot::Sender<Result<Header, CommandError>>),
    /// Handle waiting messages until the deadline, then stop. The remaining ones are delivered again when the host starts again.
    Stop(Instant),
    /// As `Stop`, but for good while the host continues: the remaining messages are kept on disk or given up, so that the
    /// acknowledgements behind them can leave.
    Leave(Instant),
}

impl Command {
    /// Whether it ends a wait, because it may change the condition that the service waits for.
    fn ends_wait(&self) -> bool {
        match self {
            Self::Report
            | Self::Snapshot(_)
            | Self::Note(..)
            | Self::ClearRejected
            | Self::EndShadow
            | Self::Replay(_)
            | Self::DescribeRecording(_) => false,
            Self::Record(record) => record.begin == recording::Begin::Start,
            _ => true,
        }
    }

    /// Time that a guest may still wait for an answer when the command has come. A service that is to end needs the rest of its time for
    /// other things.
    fn grace(&self) -> Duration {
        match self {
            Self::Stop(deadline) | Self::Leave(deadline) => {
                let left = deadline.saturating_duration_since(Instant::now());
                INTERRUPTION_GRACE.min(left / 2)
            }
            _ => INTERRUPTION_GRACE,
        }
    }
}

/// Begin of a service whose component was not ready when the host started.
pub struct Begin {
    /// Number of the command; it counts with those of swaps.
    pub number: u64,
    /// How the service begins.
    pub first: First,
    /// Version to roll back to if the one fails that was on probation when the host ended.
    pub interrupted: Option<Fallback>,
}

/// Offer of a new section of the configuration to the running guest.
pub struct Offer {
    /// The new section, in its context.
    pub ctx: Arc<ServiceCtx>,
    /// Receives whether the guest accepted the section; if not, nothing has changed.
    pub answer: oneshot::Sender<Result<(), OfferError>>,
}

/// Order to record the calls of a service.
pub struct Record {
    /// The beginning of the recording.
    pub begin: recording::Begin,
    /// Calls after which it ends; `None`: when it is stopped.
    pub count: Option<u64>,
    /// Receives the recording.
    pub answer: oneshot::Sender<Result<Recording, CommandError>>,
}

/// Reason why a service did not accept a new section of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OfferError {
    /// The guest does not run now.
    #[error("it does not run")]
    NotRunning,
    /// The guest refused the section, failed, or its state could not be written.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// The service has ended.
    #[error("the service has ended")]
    Ended,
}

/// Reference to a service, for parts of the host that do not own it.
#[derive(Clone)]
pub struct ServiceRef(CommandSender);

impl ServiceRef {
    /// Offers the guest a new section of the configuration.
    ///
    /// # Errors
    /// When the guest did not accept it; then nothing has changed.
    pub async fn offer(&self, ctx: Arc<ServiceCtx>) -> Result<(), OfferError> {
        let (answer, answered) = oneshot::channel();
        let offer = Offer { ctx, answer };
        if !self.0.send(Command::Offer(Box::new(offer))).await {
            return Err(OfferError::Ended);
        }
        answered.await.unwrap_or(Err(OfferError::Ended))
    }

    /// A snapshot of the service; `None` when it has ended. A service in a long call answers after it.
    pub async fn snapshot(&self) -> Option<ServiceSnapshot> {
        let (answer, answered) = oneshot::channel();
        self.0.send(Command::Snapshot(answer)).await;
        answered.await.ok()
    }

    /// Records the calls of the service: from now on, or from a restart on. `count`: calls after which the recording ends.
    ///
    /// # Errors
    /// When it cannot be recorded now.
    pub async fn record(
        &self,
        begin: recording::Begin,
        count: Option<u64>,
    ) -> Result<Recording, CommandError> {
        let (answer, answered) = oneshot::channel();
        let record = Record {
            begin,
            count,
            answer,
        };
        // fails when the service has ended, and so does the answer
        self.0.send(Command::Record(Box::new(record))).await;
        answered.await.unwrap_or(Err(CommandError::Ended))
    }

    /// The header of a recording that begins now.
    ///
    /// # Errors
    /// When the service cannot be recorded now.
    pub async fn describe_recording(&self) -> Result<Header, CommandError> {
        let (answer, answered) = oneshot::channel();
        // fails when the service has ended, and so does the answer
        self.0.send(Command::DescribeRecording(answer)).await;
        answered.await.unwrap_or(Err(CommandError::Ended))
    }

    /// Has the service handle messages of its spool. A service that has ended finds them at its next start.
    pub async fn replay(&self, segment: Segment) {
        // fails when the service has ended
        self.0.send(Command::Replay(segment)).await;
    }
}

/// The supervisor's end of a service.
pub struct Handle {
    commands: CommandSender,
    status: watch::Receiver<Status>,
    versions: watch::Receiver<VersionStatus>,
}

impl Handle {
    /// Sends a command. Returns `false` when the service has ended.
    pub async fn send(&self, command: Command) -> bool {
        self.commands.send(command).await
    }

    /// Waits until there is room for a command, or the service has ended. Cancel-safe.
    pub async fn room(&self) {
        self.commands.room().await;
    }

    /// Sends a command without waiting. Returns `false` when there is no room for it, or the service has ended.
    pub fn try_send(&self, command: Command) -> bool {
        self.commands.try_send(command)
    }

    /// A reference to the service.
    pub fn service_ref(&self) -> ServiceRef {
        ServiceRef(self.commands.clone())
    }

    /// Status of the service.
    pub fn status(&self) -> Status {
        *self.status.borrow()
    }

    /// Which versions it has.
    pub fn versions(&self) -> VersionStatus {
        self.versions.borrow().clone()
    }

    /// Waits until the service has ended.
    pub async fn wait_for_end(&mut self) {
        // an error means that the task has ended
        let _ = self
            .status
            .wait_for(|status| *status == Status::Stopped)
            .await;
    }
}

/// Creates a service. The future runs it, and ends after `Stop` or `Leave`.
pub fn service(parts: Parts, first: First) -> (Handle, impl Future<Output = ()> + Send) {
    let (commands, received) = command_channel::channel(Arc::clone(&parts.ctx.state));
    let (status, watched) = watch::channel(Status::Starting);
    let component = first.component();
    let (shown, versions) = watch::channel(VersionStatus {
        component,
        history: Arc::new(parts.earlier.history.clone()),
        concluded: 0,
        holds_up_others: false,
    });

    let span = span::service(&parts.ctx.config.name);
    // boxed, because a future stores its arguments twice
    let task = Box::new(task::Task::new(parts, received, status, shown));
    (
        Handle {
            commands,
            status: watched,
            versions,
        },
        task.run(first).instrument(span),
    )
}

/// How a service begins.
pub enum First {
    /// With a started instance, whose subscriptions are in the router already.
    Prepared(Box<StartedInstance>),
    /// With a component whose start failed; it is restarted with back-off.
    Failed(Component),
    /// Without a component, because its file holds none, or it is still being compiled; it waits for a swap or for its begin.
    Nothing,
}

impl First {
    /// The component, if there is one.
    pub fn component(&self) -> Option<Component> {
        match self {
            Self::Prepared(prepared) => Some(prepared.component.clone()),
            Self::Failed(component) => Some(component.clone()),
            Self::Nothing => None,
        }
    }
}

/// Subscriptions of a service: those of the configuration, changed by the effects of `start`.
pub fn subscriptions(config: &config::Service, effects: &Effects) -> Vec<Subscription> {
    use crate::message::SubscriptionChange::{Subscribe, Unsubscribe};
    let mut all = config.triggers.subscriptions.clone();
    for change in &effects.subscriptions {
        let filter = match change {
            Subscribe(subscription) => &subscription.filter,
            Unsubscribe(filter) => filter,
        };
        // the guest cannot change the operator's subscriptions
        if is_fixed(config, filter) {
            continue;
        }
        all.retain(|present| present.filter != *filter);
        if let Subscribe(subscription) = change {
            all.push(subscription.clone());
        }
    }

    all.extend(enabled_filter(&config.base).map(|filter| Subscription {
        filter,
        qos: Qos::AtLeastOnce,
    }));
    all
}

/// Those of a service's `subscriptions` that its guest has made.
fn guest_subscriptions(
    config: &config::Service,
    subscriptions: &[Subscription],
) -> Vec<Subscription> {
    subscriptions
        .iter()
        .filter(|one| !is_fixed(config, &one.filter))
        .cloned()
        .collect()
}

/// Topic that enables and disables a service, below its base topic. `None`: the base topic is too long.
fn enabled_filter(base: &BaseTopic) -> Option<Filter> {
    base.filter("enabled").ok()
}

/// Whether the guest must not change the subscription, because it is the operator's or the host's.
fn is_fixed(config: &config::Service, filter: &Filter) -> bool {
    let of_operator = config
        .triggers
        .subscriptions
        .iter()
        .any(|fixed| fixed.filter == *filter);
    of_operator || enabled_filter(&config.base).is_some_and(|enabled| enabled == *filter)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Size in bytes of the future that a constructor returns besides a handle.
    fn size_of_future<A, B, F>(_: impl FnOnce(A, B) -> (Handle, F)) -> usize {
        size_of::<F>()
    }

    #[test]
    fn service_future_and_task_stay_small() {
        let future = size_of_future(service);
        let task = size_of::<task::Task>();
        assert!(
            future <= 2_800 && task <= 1_600,
            "the future takes {future} bytes, the task {task}"
        );
    }
}
