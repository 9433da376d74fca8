//! The database of the host: one file, written by one thread.
//!
//! It keeps the state of services, messages that wait for the broker or for a service, dead letters and versions. [`Store`] is
//! a handle to the thread; the answer to a command arrives when the change is on disk.

mod command;
mod dead_letters;
mod error;
mod file;
mod outgoing;
mod spool;
mod state;
mod subscriptions;
mod table;
mod versions;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::thread;

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tracing::error;

use crate::effects::StateChange;
use crate::mailbox::SpillQueue;
use crate::message::{Message, Subscription};
use crate::rollout::history::VersionHistory;
use crate::session::state::PersistOp;
use crate::version::Version;

use command::{Command, Reply};
pub use dead_letters::{DeadLetter, LetterId, LetterIdError};
pub use error::StoreError;
pub use file::Contents;
use file::File;
use spool::Append;
pub use spool::{Portion, Segment};
pub use versions::{Snapshot, VersionRecord};

/// Commands that may wait for the thread; callers beyond that wait themselves or get [`StoreError::Busy`].
const WAITING: usize = 1024;

/// Bytes of messages in memory for one service, of those that the broker holds until they are handled.
const IN_MEMORY: usize = 1 << 20;

/// A handle to the database. Cheap to clone; the thread ends when all handles are gone.
#[derive(Debug, Clone)]
pub struct Store {
    commands: mpsc::Sender<Command>,
    directory: Arc<Path>,
}

impl Store {
    /// Opens the file if it exists and reads its contents. A damaged file is renamed, and an empty one takes its place.
    ///
    /// # Errors
    /// When another host uses the file, or it cannot be read although it is not damaged, or the thread cannot be started.
    pub fn open(path: &Path) -> Result<(Self, Contents), StoreError> {
        let (file, contents) = File::open(path)?;

        let (commands, receiver) = mpsc::channel(WAITING);
        thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || writer::run(file, receiver))
            .map_err(|error| StoreError::File {
                path: path.to_owned(),
                reason: error.to_string(),
            })?;

        let store = Self {
            commands,
            directory: Arc::from(path.parent().unwrap_or(Path::new("."))),
        };
        Ok((store, contents))
    }

    /// The files, next to the database, for messages of a service that do not fit into memory.
    pub fn spill_queue(&self, service: &str) -> SpillQueue {
        SpillQueue::new(Arc::clone(&self.directory), service, IN_MEMORY)
    }

    /// Writes changes of a service's state, all or none, and waits until they are on disk.
    ///
    /// # Errors
    /// When they are not on disk; then none of them is.
    pub async fn commit(&self, service: &str, changes: Vec<StateChange>) -> Result<(), StoreError> {
        self.commit_with(service, changes, None).await
    }

    /// Writes changes of a service's state together with its versions; as [`Store::commit`].
    ///
    /// # Errors
    /// When they are not on disk; then none of them is.
    pub async fn commit_with(
        &self,
        service: &str,
        changes: Vec<StateChange>,
        versions: Option<VersionRecord>,
    ) -> Result<(), StoreError> {
        self.request(|reply| Command::Commit {
            service: service.to_owned(),
            changes,
            versions: versions.map(Box::new),
            reply,
        })
        .await
    }

    /// Writes the versions of a service without waiting for the disk; a failure is logged.
    pub async fn record(&self, service: &str, versions: VersionRecord) {
        let command = Command::RecordVersions(service.to_owned(), Box::new(versions));
        // an error means that the host is stopping
        let _ = self.commands.send(command).await;
    }

    /// Remembers the subscriptions that a guest made at its start, without waiting for the disk; a failure is logged.
    pub async fn remember_subscriptions(&self, service: &str, subscriptions: Vec<Subscription>) {
        let command = Command::RememberSubscriptions(service.to_owned(), subscriptions);
        // an error means that the host is stopping
        let _ = self.commands.send(command).await;
    }

    /// The subscriptions that were remembered of a service; `None`: nothing was written.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn subscriptions(
        &self,
        service: &str,
    ) -> Result<Option<Vec<Subscription>>, StoreError> {
        self.request(|reply| Command::Subscriptions(service.to_owned(), reply))
            .await
    }

    /// The version history of a service; `None`: nothing was written.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn history(&self, service: &str) -> Result<Option<VersionHistory>, StoreError> {
        self.request(|reply| Command::History(service.to_owned(), reply))
            .await
    }

    /// The snapshot of a former version; empty when nothing was written.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn snapshot(&self, service: &str, version: Version) -> Result<Snapshot, StoreError> {
        self.request(|reply| Command::Snapshot(service.to_owned(), version, reply))
            .await
    }

    /// Keeps or forgets messages that wait for the broker. Never waits; a failure is logged.
    pub fn persist(&self, changes: Vec<PersistOp>) {
        if self.commands.try_send(Command::Persist(changes)).is_err() {
            error!("cannot keep messages that wait for the broker: too much waits to be written");
        }
    }

    /// Begins to append messages to the spool of a service, where they stay until they are handled (`PersistOp::Handled`). Messages
    /// of several services are written together. The answer arrives when they are on disk or cannot be written: the number of
    /// the first message, which the others follow.
    ///
    /// # Errors
    /// When too many commands wait; see [`Store::room`].
    pub fn begin_spool(
        &self,
        service: &str,
        messages: Vec<Message>,
    ) -> Result<oneshot::Receiver<Result<u64, StoreError>>, StoreError> {
        let append = Append {
            service: service.to_owned(),
            messages,
            first: 0,
        };
        let (reply, answer) = oneshot::channel();
        match self.commands.try_send(Command::Spool(append, reply)) {
            Ok(()) => Ok(answer),
            Err(TrySendError::Full(_)) => Err(StoreError::Busy),
            Err(TrySendError::Closed(_)) => Err(StoreError::Ended),
        }
    }

    /// Waits until a command can be sent without waiting. Cancel-safe.
    pub async fn room(&self) {
        // an error means that the thread has ended, which the next command reports
        let _ = self.commands.reserve().await;
    }

    /// Whether a command can be sent without waiting.
    pub fn has_room(&self) -> bool {
        self.commands.capacity() > 0
    }

    /// The spool of a service that does not run; `None`: it is empty.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn find_spool(&self, service: &str) -> Result<Option<Segment>, StoreError> {
        self.request(|reply| Command::FindSpool(service.to_owned(), reply))
            .await
    }

    /// The first messages of a segment of a spool: at least one, and then as many as weigh `bytes` bytes together.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn read_spool(
        &self,
        service: &str,
        segment: Segment,
        bytes: usize,
    ) -> Result<Portion, StoreError> {
        self.request(|reply| Command::ReadSpool {
            service: service.to_owned(),
            segment,
            bytes,
            reply,
        })
        .await
    }

    /// Keeps a dead letter of a service, and the newest `limit` of them. Returns how many old ones were dropped.
    ///
    /// # Errors
    /// When it is not on disk.
    pub async fn push_dead_letter(
        &self,
        service: &str,
        letter: DeadLetter,
        limit: usize,
    ) -> Result<usize, StoreError> {
        self.request(|reply| Command::PushDeadLetter {
            service: service.to_owned(),
            letter: Box::new(letter),
            limit,
            reply,
        })
        .await
    }

    /// The dead letters of a service, the oldest first.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn dead_letters(
        &self,
        service: &str,
    ) -> Result<Vec<(LetterId, DeadLetter)>, StoreError> {
        self.request(|reply| Command::DeadLetters(service.to_owned(), reply))
            .await
    }

    /// Deletes a dead letter of a service, and returns it; `None`: there is no such letter.
    ///
    /// # Errors
    /// When that cannot be written; then it stays.
    pub async fn delete_dead_letter(
        &self,
        service: &str,
        id: LetterId,
    ) -> Result<Option<DeadLetter>, StoreError> {
        self.request(|reply| Command::DeleteDeadLetter(service.to_owned(), id, reply))
            .await
    }

    /// Counts the dead letters of each of `services`.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn count_dead_letters(&self, services: Vec<String>) -> Result<Vec<u64>, StoreError> {
        self.request(|reply| Command::CountDeadLetters(services, reply))
            .await
    }

    /// Moves the dead letters of a service into its spool and returns their segment; `None`: there are none.
    ///
    /// # Errors
    /// When that cannot be written; then they stay dead letters.
    pub async fn requeue_dead_letters(&self, service: &str) -> Result<Option<Segment>, StoreError> {
        self.request(|reply| Command::RequeueDeadLetters(service.to_owned(), reply))
            .await
    }

    /// Waits until every earlier command is done and the file is closed. Nothing is written afterwards.
    pub async fn close(&self) {
        let (reply, closed) = oneshot::channel();
        if self.commands.send(Command::Close(reply)).await.is_ok() {
            // an error means that the thread has ended, which closes the file too
            let _ = closed.await;
        }
    }

    async fn request<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.commands
            .send(command(reply))
            .await
            .map_err(|_| StoreError::Ended)?;
        answer.await.unwrap_or(Err(StoreError::Ended))
    }
}

#[cfg(test)]
mod tests;
