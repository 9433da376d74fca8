//! Commands to the thread that writes the database.

use tokio::sync::oneshot;

use super::dead_letters::{DeadLetter, LetterId};
use super::error::StoreError;
use super::spool::{Append, Portion, Segment};
use super::versions::{Snapshot, VersionRecord};
use crate::effects::StateChange;
use crate::message::Subscription;
use crate::rollout::history::VersionHistory;
use crate::session::state::PersistOp;
use crate::version::Version;

/// The channel for the answer to a command.
pub(super) type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// A command to the thread.
pub(super) enum Command {
    /// Write changes of a service's state, and its versions if they change at the same time.
    Commit {
        service: String,
        changes: Vec<StateChange>,
        versions: Option<Box<VersionRecord>>,
        reply: Reply<()>,
    },
    /// Keep or forget messages that wait for the broker.
    Persist(Vec<PersistOp>),
    /// Write the versions of a service; a failure is logged.
    RecordVersions(String, Box<VersionRecord>),
    /// Remember the subscriptions of a service; a failure is logged.
    RememberSubscriptions(String, Vec<Subscription>),
    /// Append messages to the spool of a service. The answer is the number of the first; the others follow it.
    Spool(Append, Reply<u64>),
    /// Find the spool of a service.
    FindSpool(String, Reply<Option<Segment>>),
    /// Read a portion of the spool of a service.
    ReadSpool {
        service: String,
        segment: Segment,
        bytes: usize,
        reply: Reply<Portion>,
    },
    /// Keep a dead letter of a service, and at most `limit` of them. The answer is how many old ones were dropped.
    PushDeadLetter {
        service: String,
        letter: Box<DeadLetter>,
        limit: usize,
        reply: Reply<usize>,
    },
    /// Read the dead letters of a service.
    DeadLetters(String, Reply<Vec<(LetterId, DeadLetter)>>),
    /// Delete a dead letter of a service. The answer is the letter; `None`: there is no such letter.
    DeleteDeadLetter(String, LetterId, Reply<Option<DeadLetter>>),
    /// Count the dead letters of services, in their order.
    CountDeadLetters(Vec<String>, Reply<Vec<u64>>),
    /// Move the dead letters of a service into its spool.
    RequeueDeadLetters(String, Reply<Option<Segment>>),
    /// Read the version history of a service.
    History(String, Reply<Option<VersionHistory>>),
    /// Read the subscriptions that were remembered.
    Subscriptions(String, Reply<Option<Vec<Subscription>>>),
    /// Read the snapshot of a former version.
    Snapshot(String, Version, Reply<Snapshot>),
    /// Close the file. Answers when every earlier command is done.
    Close(oneshot::Sender<()>),
}
