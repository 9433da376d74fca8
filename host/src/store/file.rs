//! The database file: opened, read at the start, written in transactions. A damaged file is renamed and replaced by an empty
//! one. The file is created when there is something to keep.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use redb::{Builder, Database, DatabaseError, ReadableDatabase, WriteTransaction};
use tracing::error;

use super::dead_letters::{self, DeadLetter, LetterId};
use super::error::StoreError;
use super::spool::{self, Portion, Segment};
use super::versions::{self, Snapshot};
use super::{outgoing, state, subscriptions};
use crate::message::Subscription;
use crate::rollout::history::VersionHistory;
use crate::session::state::RestoredMessage;
use crate::version::Version;
use crate::{panic_hook, secure_dir};

/// Bytes of the file that the database caches. A small cache is enough, because the file is read once, at the start; the
/// default would be a GiB.
const CACHE: usize = 4 << 20;

/// The contents of the file at the start.
#[derive(Debug, Default)]
pub struct Contents {
    /// The state of each service, by its name.
    pub state: HashMap<String, Vec<(String, Bytes)>>,
    /// Messages that waited for the broker, by rising number.
    pub waiting: Vec<RestoredMessage>,
    /// Messages that were acknowledged and not handled, by service.
    pub spools: HashMap<String, Segment>,
    /// The number of the next message of a spool.
    next: u64,
}

/// The file.
pub(super) struct File {
    path: PathBuf,
    /// `None`: the file does not exist yet, or an error has closed it and the next transaction opens it again.
    database: Option<Database>,
    /// The number of the next message of a spool.
    next: u64,
}

impl File {
    /// Opens the file if there is one. A damaged one is renamed.
    pub(super) fn open(path: &Path) -> Result<(Self, Contents), StoreError> {
        let mut file = Self {
            path: path.to_owned(),
            database: None,
            next: 0,
        };
        if !path.exists() {
            return Ok((file, Contents::default()));
        }

        // the database panics on some kinds of damage
        let Ok(opened) = panic_hook::catch_expected(|| load(path)) else {
            return file.set_aside("reading it failed");
        };
        match opened {
            Ok((database, contents)) => {
                file.database = Some(database);
                file.next = contents.next;
                Ok((file, contents))
            }
            Err(redb::Error::DatabaseAlreadyOpen) => Err(file.error("another host uses it")),
            Err(redb::Error::Io(error)) if error.kind() != io::ErrorKind::InvalidData => {
                Err(file.error(error.to_string()))
            }
            Err(damage) => file.set_aside(&damage.to_string()),
        }
    }

    fn set_aside(self, damage: &str) -> Result<(Self, Contents), StoreError> {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        let mut aside = self.path.clone().into_os_string();
        aside.push(format!(".broken-{now}"));

        fs::rename(&self.path, &aside).map_err(|error| {
            self.error(format!(
                "is damaged ({damage}) and cannot be renamed: {error}"
            ))
        })?;
        error!(
            "the state file {} is damaged and was renamed to {}; the services start without state: {damage}",
            self.path.display(),
            Path::new(&aside).display()
        );
        Ok((self, Contents::default()))
    }

    /// Does `work` in one transaction. After an error the file is opened again: the database does not recover by itself, not
    /// even when a full disk has room again.
    pub(super) fn transaction<T>(
        &mut self,
        work: impl FnOnce(&WriteTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        let database = match self.database.take() {
            Some(database) => database,
            None => self.create()?,
        };

        match transact(&database, work) {
            Ok(done) => {
                self.database = Some(database);
                Ok(done)
            }
            Err(error) => Err(self.error(error.to_string())),
        }
    }

    /// Takes `count` consecutive numbers for messages of spools and returns the first.
    pub(super) fn next_numbers(&mut self, count: usize) -> u64 {
        let first = self.next;
        self.next += count as u64;
        first
    }

    /// The spool of `service` as it is on disk.
    pub(super) fn spool(&self, service: &str) -> Result<Option<Segment>, StoreError> {
        self.read(|database| spool::find(database, service))
    }

    /// The first messages of `segment`, as many as weigh `limit` bytes together.
    pub(super) fn portion(
        &self,
        service: &str,
        segment: Segment,
        limit: usize,
    ) -> Result<Portion, StoreError> {
        self.read(|database| spool::read(database, service, segment, limit))
    }

    /// The dead letters of `service`, the oldest first.
    pub(super) fn dead_letters(
        &self,
        service: &str,
    ) -> Result<Vec<(LetterId, DeadLetter)>, StoreError> {
        self.read(|database| dead_letters::read(database, service))
    }

    /// Deletes a dead letter of `service`; `None`: there is no such letter.
    pub(super) fn delete_dead_letter(
        &mut self,
        service: &str,
        id: LetterId,
    ) -> Result<Option<DeadLetter>, StoreError> {
        if self.database.is_none() {
            return Ok(None);
        }
        self.transaction(|transaction| dead_letters::delete(transaction, service, id))
    }

    /// The number of dead letters of each of `services`.
    pub(super) fn count_dead_letters(&self, services: &[String]) -> Result<Vec<u64>, StoreError> {
        self.read(|database| dead_letters::count(database, services))
    }

    /// Keeps a dead letter and returns how many old ones were dropped for it.
    pub(super) fn push_dead_letter(
        &mut self,
        service: &str,
        letter: &DeadLetter,
        limit: usize,
    ) -> Result<usize, StoreError> {
        self.transaction(|transaction| dead_letters::push(transaction, service, letter, limit))
    }

    /// The subscriptions that were remembered of `service`.
    pub(super) fn subscriptions(
        &self,
        service: &str,
    ) -> Result<Option<Vec<Subscription>>, StoreError> {
        self.read(|database| subscriptions::read(database, service))
    }

    /// Moves the dead letters of `service` into its spool.
    pub(super) fn requeue_dead_letters(
        &mut self,
        service: &str,
    ) -> Result<Option<Segment>, StoreError> {
        let letters = self.dead_letters(service)?;
        let first = self.next_numbers(letters.len());
        self.transaction(|transaction| dead_letters::requeue(transaction, service, first, letters))
    }

    /// The version history of `service`.
    pub(super) fn history(&self, service: &str) -> Result<Option<VersionHistory>, StoreError> {
        self.read(|database| versions::history(database, service))
    }

    /// The snapshot of `version` of `service`.
    pub(super) fn snapshot(&self, service: &str, version: Version) -> Result<Snapshot, StoreError> {
        self.read(|database| versions::snapshot(database, service, version))
    }

    /// Reads something; the default value when there is no file.
    fn read<T: Default>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        let Some(database) = &self.database else {
            return Ok(T::default());
        };
        work(database).map_err(|error| self.error(error.to_string()))
    }

    fn create(&self) -> Result<Database, StoreError> {
        let parent = self.path.parent().unwrap_or(Path::new("."));
        secure_dir::create(parent)
            .map_err(|error| self.error(format!("cannot create its directory: {error}")))?;

        builder().create(&self.path).map_err(|error| match error {
            DatabaseError::DatabaseAlreadyOpen => self.error("another host uses it"),
            other => self.error(other.to_string()),
        })
    }

    fn error(&self, reason: impl Into<String>) -> StoreError {
        StoreError::File {
            path: self.path.clone(),
            reason: reason.into(),
        }
    }
}

fn builder() -> Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE);
    builder
}

fn load(path: &Path) -> Result<(Database, Contents), redb::Error> {
    let database = builder().open(path)?;
    let transaction = database.begin_read()?;

    let spools = spool::read_all(&transaction)?;
    let contents = Contents {
        state: state::read_all(&transaction)?,
        waiting: outgoing::read_all(&transaction)?,
        spools: spools.by_service,
        next: spools.next,
    };

    drop(transaction);
    Ok((database, contents))
}

fn transact<T>(
    database: &Database,
    work: impl FnOnce(&WriteTransaction) -> Result<T, redb::Error>,
) -> Result<T, redb::Error> {
    let transaction = database.begin_write()?;
    let done = work(&transaction)?;
    transaction.commit()?;
    Ok(done)
}
