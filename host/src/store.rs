//! Actor: the database of the host, one file. In: committed state of services, messages that wait for the broker or for a service,
//! dead letters. Out: the same at the next start; an answer when it is on disk. Owns the file and the thread that writes it.
//!
//! What waits is written together in one transaction, so many services cost hardly more than one. A file that is damaged is
//! set aside under another name and said to be so; the host then begins with an empty one. The file is made when there is
//! something to keep.

mod archive;
mod file;
mod letters;
mod record;
mod spool;
mod versions;

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tracing::{debug, error, warn};

use crate::effects::StateChange;
use crate::mailbox::SpillQueue;
use crate::message::Message;
use crate::rollout::history::VersionHistory;
use crate::session::state::{PersistOp, RestoredMessage};
use crate::version::Version;

pub use archive::{Archive, ArchiveError};
use file::File;
pub use letters::Letter;
use letters::Request;
use spool::Append;
pub use spool::{Portion, Segment};

/// Orders that may wait; who sends more waits, or is refused.
const WAITING: usize = 1024;

/// So many bytes of messages that the broker holds until they are handled wait for one service in memory.
const IN_MEMORY: usize = 1 << 20;

/// Why something is not on disk.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The file cannot be read or written.
    #[error("the state file {path}: {reason}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Too much is being written.
    #[error("the disk is slower than the messages: too much waits to be written")]
    Busy,
    /// The thread that writes is gone.
    #[error("the state is no longer written: the host is stopping")]
    Ended,
}

/// What an earlier run left.
#[derive(Debug, Default)]
pub struct Contents {
    /// The state of each service, by its name.
    pub state: HashMap<String, Vec<(String, Bytes)>>,
    /// Messages that waited for the broker, by rising number.
    pub waiting: Vec<RestoredMessage>,
    /// Messages that were acknowledged and not handled, by service.
    pub spools: HashMap<String, Segment>,
    /// The number of the next message that is kept for a service.
    next: u64,
}

/// What is kept about the versions of a service.
#[derive(Debug, Clone)]
pub struct Record {
    /// Which there are, and what happened.
    pub history: VersionHistory,
    /// What the version has left that was just replaced.
    pub left: Option<(Version, Left)>,
}

/// What a version left when it was replaced.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Left {
    /// What its `save` gave, if it has one.
    pub saved: Option<Bytes>,
    /// The service's state.
    pub state: Vec<(String, Bytes)>,
}

/// What the thread is asked for.
enum Order {
    Commit {
        service: String,
        changes: Vec<StateChange>,
        record: Option<Box<Record>>,
        done: oneshot::Sender<Result<(), StoreError>>,
    },
    Keep(Vec<PersistOp>),
    /// Keep messages of a service until they are handled.
    Spool(Append),
    /// The spool of a service.
    Spooled(String, oneshot::Sender<Result<Option<Segment>, StoreError>>),
    /// A portion of the spool of a service, of so many bytes.
    Portion {
        service: String,
        segment: Segment,
        bytes: usize,
        answer: oneshot::Sender<Result<Portion, StoreError>>,
    },
    /// About dead letters of a service.
    Letters(String, Request),
    /// Nobody waits for it.
    Record(String, Box<Record>),
    History(
        String,
        oneshot::Sender<Result<Option<VersionHistory>, StoreError>>,
    ),
    Left(String, Version, oneshot::Sender<Result<Left, StoreError>>),
    /// Answers when everything before it is done and the file is closed.
    Close(oneshot::Sender<()>),
}

/// The way to the database. Cheap to clone; the thread ends when all are gone.
#[derive(Debug, Clone)]
pub struct Store {
    orders: mpsc::Sender<Order>,
    archive: Archive,
    directory: Arc<Path>,
}

impl Store {
    /// Opens the file if it is there and reads what is in it.
    ///
    /// # Errors
    /// When another host uses the file, or it cannot be read though it is not damaged, or the thread cannot be started.
    pub fn open(path: &Path) -> Result<(Self, Contents), StoreError> {
        let (file, contents) = File::open(path)?;
        let (orders, waiting) = mpsc::channel(WAITING);
        let started = thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || write(file, waiting));
        started.map_err(|error: io::Error| StoreError::File {
            path: path.to_owned(),
            reason: error.to_string(),
        })?;
        let directory = Arc::from(path.parent().unwrap_or(Path::new(".")));
        Ok((
            Self {
                orders,
                archive: Archive::beside(path),
                directory,
            },
            contents,
        ))
    }

    /// Where messages wait for a service when there are too many for memory: beside the database.
    pub fn spill_queue(&self, service: &str) -> SpillQueue {
        SpillQueue::new(Arc::clone(&self.directory), service, IN_MEMORY)
    }

    /// Waits until the changes are on disk, all or none.
    ///
    /// # Errors
    /// When they are not; then nothing of them is.
    pub async fn commit(&self, service: &str, changes: Vec<StateChange>) -> Result<(), StoreError> {
        self.commit_with(service, changes, None).await
    }

    /// As `commit`, together with what is kept about the service's versions.
    ///
    /// # Errors
    /// As `commit`.
    pub async fn commit_with(
        &self,
        service: &str,
        changes: Vec<StateChange>,
        record: Option<Record>,
    ) -> Result<(), StoreError> {
        let (service, record) = (service.to_owned(), record.map(Box::new));
        self.ask(|done| Order::Commit {
            service,
            changes,
            record,
            done,
        })
        .await
    }

    /// Keeps what there is about the service's versions, without waiting until it is on disk; a failure is logged.
    pub async fn record(&self, service: &str, record: Record) {
        // an error means that the host is stopping
        let _ = self
            .orders
            .send(Order::Record(service.to_owned(), Box::new(record)))
            .await;
    }

    /// What was kept about the service's versions; `None`: nothing.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn history(&self, service: &str) -> Result<Option<VersionHistory>, StoreError> {
        self.ask(|answer| Order::History(service.to_owned(), answer))
            .await
    }

    /// What a former version left; nothing where nothing was kept.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn left(&self, service: &str, version: Version) -> Result<Left, StoreError> {
        self.ask(|answer| Order::Left(service.to_owned(), version, answer))
            .await
    }

    /// The components of versions.
    pub fn archive(&self) -> &Archive {
        &self.archive
    }

    async fn ask<T>(
        &self,
        order: impl FnOnce(oneshot::Sender<Result<T, StoreError>>) -> Order,
    ) -> Result<T, StoreError> {
        let (done, answer) = oneshot::channel();
        self.orders
            .send(order(done))
            .await
            .map_err(|_| StoreError::Ended)?;
        answer.await.unwrap_or(Err(StoreError::Ended))
    }

    /// Keeps messages that wait, or forgets them; never waits.
    pub fn keep(&self, changes: Vec<PersistOp>) {
        if self.orders.try_send(Order::Keep(changes)).is_err() {
            error!(
                "messages that wait for the broker are not kept on disk: too much is being written"
            );
        }
    }

    /// Begins to keep messages of a service until they are handled (`PersistOp::Handled`). Messages of several services are written
    /// together. The answer comes when they are on disk, or cannot be written: the number of the first, after which the others follow.
    ///
    /// # Errors
    /// When too much is being written; see `room`.
    pub fn begin_spool(
        &self,
        service: &str,
        messages: Vec<Message>,
    ) -> Result<oneshot::Receiver<Result<u64, StoreError>>, StoreError> {
        let (done, answer) = oneshot::channel();
        let append = Append {
            service: service.to_owned(),
            messages,
            first: 0,
            done,
        };
        match self.orders.try_send(Order::Spool(append)) {
            Ok(()) => Ok(answer),
            Err(mpsc::error::TrySendError::Full(_)) => Err(StoreError::Busy),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(StoreError::Ended),
        }
    }

    /// Waits until something can be asked for without waiting. Cancel-safe.
    pub async fn room(&self) {
        // an error means that the thread is gone, which the next call says
        let _ = self.orders.reserve().await;
    }

    /// Whether something can be asked for without waiting.
    pub fn has_room(&self) -> bool {
        self.orders.capacity() > 0
    }

    /// The spool of a service that does not run; `None`: it is empty.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn spooled(&self, service: &str) -> Result<Option<Segment>, StoreError> {
        self.ask(|answer| Order::Spooled(service.to_owned(), answer))
            .await
    }

    /// The first messages of a segment of a spool: at least one, and then as many as weigh `bytes` bytes together.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn portion(
        &self,
        service: &str,
        segment: Segment,
        bytes: usize,
    ) -> Result<Portion, StoreError> {
        let service = service.to_owned();
        self.ask(|answer| Order::Portion {
            service,
            segment,
            bytes,
            answer,
        })
        .await
    }

    /// Keeps a dead letter, and no more than `most` of the service: how many old ones were thrown away for it.
    ///
    /// # Errors
    /// When it is not on disk.
    pub async fn bury(
        &self,
        service: &str,
        letter: Letter,
        most: usize,
    ) -> Result<usize, StoreError> {
        self.ask(|answer| {
            Order::Letters(
                service.to_owned(),
                Request::Bury {
                    letter: Box::new(letter),
                    most,
                    answer,
                },
            )
        })
        .await
    }

    /// The dead letters of a service, the oldest first.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn letters(&self, service: &str) -> Result<Vec<Letter>, StoreError> {
        self.ask(|answer| Order::Letters(service.to_owned(), Request::Letters { answer }))
            .await
    }

    /// Puts the dead letters of a service into its spool; `None`: there are none.
    ///
    /// # Errors
    /// When that cannot be written; then they stay dead letters.
    pub async fn replay(&self, service: &str) -> Result<Option<Segment>, StoreError> {
        self.ask(|answer| Order::Letters(service.to_owned(), Request::Replay { answer }))
            .await
    }

    /// Waits until everything that was asked for is done and the file is closed; nothing is written after that.
    pub async fn close(&self) {
        let (done, answer) = oneshot::channel();
        if self.orders.send(Order::Close(done)).await.is_ok() {
            // an error means that the thread is gone, and with it what is waited for
            let _ = answer.await;
        }
    }
}

/// The thread: all that waits goes into one transaction.
fn write(mut file: File, mut orders: mpsc::Receiver<Order>) {
    while let Some(first) = orders.blocking_recv() {
        let mut batch = vec![first];
        while let Ok(next) = orders.try_recv() {
            batch.push(next);
        }
        for order in &mut batch {
            if let Order::Spool(append) = order {
                append.first = file.numbers(append.messages.len());
            }
        }
        let outcome = file.write(&batch);
        if let Err(error) = &outcome
            && batch.iter().any(|order| matches!(order, Order::Keep(_)))
        {
            warn!("messages that wait for the broker are not kept on disk: {error}");
        }
        if let Err(error) = &outcome
            && batch.iter().any(|order| matches!(order, Order::Record(..)))
        {
            warn!("which versions the services have is not kept on disk: {error}");
        }
        if outcome.is_ok() {
            // a batch says of how many changes of what waits for the broker it can be relied on
            let waiting = batch
                .iter()
                .filter(|order| matches!(order, Order::Keep(_)))
                .count();
            debug!(orders = batch.len(), waiting, "written to the state file");
        }
        let mut close = None;
        for order in batch {
            match order {
                // who no longer waits does not want to know
                Order::Commit { done, .. } => drop(done.send(outcome.clone())),
                Order::Spool(Append { first, done, .. }) => {
                    drop(done.send(outcome.clone().map(|()| first)))
                }
                Order::Spooled(service, answer) => drop(answer.send(file.spool(&service))),
                Order::Portion {
                    service,
                    segment,
                    bytes,
                    answer,
                } => {
                    drop(answer.send(file.portion(&service, segment, bytes)));
                }
                Order::Letters(service, request) => request.carry_out(&service, &mut file),
                Order::History(service, answer) => drop(answer.send(file.history(&service))),
                Order::Left(service, version, answer) => {
                    drop(answer.send(file.left(&service, version)))
                }
                Order::Close(done) => close = Some(done),
                Order::Keep(_) | Order::Record(..) => {}
            }
        }
        if let Some(done) = close {
            drop(file);
            // who no longer waits does not want to know
            let _ = done.send(());
            return;
        }
    }
}

#[cfg(test)]
mod tests;
