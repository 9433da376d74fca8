//! Messages about versions between the supervisor and a service.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::guest::Component;
use crate::rollout::handover::StartedInstance;
use crate::rollout::history::VersionHistory;
use crate::service_ctx::ServiceCtx;
use crate::store::Snapshot;
use crate::version::Version;

use super::CommandError;

/// Takes the answer to a command: the version that runs now, or the reason of the failure.
pub type Answer = oneshot::Sender<Result<Version, CommandError>>;

/// A started instance that replaces the running one between two messages.
pub struct Swap {
    /// Counts the swaps of one service.
    pub number: u64,
    /// The context that the instance was started with.
    pub ctx: Arc<ServiceCtx>,
    /// The instance.
    pub prepared: StartedInstance,
    /// The instance is a former version, and the state is set back to this snapshot.
    pub rollback: Option<Snapshot>,
    /// Takes the answer to a command.
    pub answer: Option<Answer>,
}

/// The versions of a service, as the rest of the host sees them.
#[derive(Debug, Clone)]
pub struct VersionStatus {
    /// The component that runs, or is started again; `None` while none could be loaded.
    pub component: Option<Component>,
    /// The history.
    pub history: Arc<VersionHistory>,
    /// The number of the last swap that was carried out or refused.
    pub concluded: u64,
    /// Whether the service keeps the broker from sending to the other services: its spool is full, and `limits.when_full` is
    /// `hold`.
    pub holds_up_others: bool,
}
