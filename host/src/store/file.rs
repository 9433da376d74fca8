//! Machine: the database file. In: a path, then batches of orders. Out: what is in the file, transactions on disk. Owns the open
//! database.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use redb::{
    Builder, Database, DatabaseError, ReadableDatabase, ReadableTable, TableDefinition, TableError,
    WriteTransaction,
};
use tracing::error;

use super::letters;
use super::record::{restored, waiting_head};
use super::spool::{self, SPOOL};
use super::{Contents, Left, Order, StoreError, versions};
use crate::rollout::history::VersionHistory;
use crate::session::state::PersistOp;
use crate::version::Version;
use crate::{panic_hook, secure_dir};

/// Values by service and key.
const STATE: TableDefinition<'_, (&str, &str), &[u8]> = TableDefinition::new("state");
/// Messages that wait, by number: all but the payload as JSON, and the payload.
const WAITING: TableDefinition<'_, u64, (&str, &[u8])> = TableDefinition::new("waiting");

/// How much of the file is kept in memory: what is in use is read once, at the start. It would be a GiB.
const CACHE: usize = 4 << 20;

/// The file.
pub(super) struct File {
    path: PathBuf,
    /// `None`: it was not made yet, or has failed and is opened anew.
    database: Option<Database>,
    /// The number of the next message that is kept for a service.
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
        // the database panics on some damages
        let Some(opened) = panic_hook::catch_expected(|| read(path)) else {
            return file.set_aside("reading it failed");
        };
        match opened {
            Ok((database, contents)) => {
                file.database = Some(database);
                file.next = contents.next;
                Ok((file, contents))
            }
            Err(redb::Error::DatabaseAlreadyOpen) => Err(file.error("another host uses it")),
            Err(redb::Error::Io(error)) if error.kind() != std::io::ErrorKind::InvalidData => {
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
        fs::rename(&self.path, &aside)
            .map_err(|error| self.error(format!("is damaged ({damage}) and stays: {error}")))?;
        error!(
            "the state file {} is damaged and is now {}; the services begin without state: {damage}",
            self.path.display(),
            Path::new(&aside).display()
        );
        Ok((self, Contents::default()))
    }

    /// Writes everything in one transaction.
    pub(super) fn write(&mut self, orders: &[Order]) -> Result<(), StoreError> {
        if !orders.iter().any(Order::writes) {
            return Ok(());
        }
        self.within(|transaction| {
            orders
                .iter()
                .try_for_each(|order| carry_out(transaction, order))
        })
    }

    /// Does `work` in one transaction. After an error the file is opened anew: the database does not go on by itself, not even
    /// when a full disk has room again.
    pub(super) fn within<T>(
        &mut self,
        work: impl FnOnce(&WriteTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        let database = match self.database.take() {
            Some(database) => database,
            None => self.create()?,
        };
        let outcome = transaction(&database, work);
        match outcome {
            Ok(done) => {
                self.database = Some(database);
                Ok(done)
            }
            Err(error) => Err(self.error(error.to_string())),
        }
    }

    /// Takes `count` consecutive numbers for messages that are kept: the first.
    pub(super) fn numbers(&mut self, count: usize) -> u64 {
        let first = self.next;
        self.next += count as u64;
        first
    }

    /// Reads something; what it is by default where there is no file.
    pub(super) fn read<T: Default>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        let Some(database) = &self.database else {
            return Ok(T::default());
        };
        work(database).map_err(|error| self.error(error.to_string()))
    }

    /// What was kept about the versions of `service`.
    pub(super) fn history(&self, service: &str) -> Result<Option<VersionHistory>, StoreError> {
        self.read(|database| versions::history(database, service))
    }

    /// What `version` of `service` left.
    pub(super) fn left(&self, service: &str, version: Version) -> Result<Left, StoreError> {
        self.read(|database| versions::left(database, service, version))
    }

    fn create(&self) -> Result<Database, StoreError> {
        let parent = self.path.parent().unwrap_or(Path::new("."));
        secure_dir::create(parent)
            .map_err(|error| self.error(format!("its directory cannot be made: {error}")))?;
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

impl Order {
    /// Whether it changes the file.
    fn writes(&self) -> bool {
        matches!(
            self,
            Self::Commit { .. } | Self::Keep(_) | Self::Record(..) | Self::Spool(_)
        )
    }
}

fn builder() -> Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE);
    builder
}

fn read(path: &Path) -> Result<(Database, Contents), redb::Error> {
    let database = builder().open(path)?;
    let transaction = database.begin_read()?;
    let mut contents = Contents::default();
    if let Some(table) = present(transaction.open_table(STATE))? {
        for entry in table.iter()? {
            let (key, value) = entry?;
            let (service, key) = key.value();
            let values = contents.state.entry(service.to_owned()).or_default();
            values.push((key.to_owned(), Bytes::copy_from_slice(value.value())));
        }
    }
    if let Some(table) = present(transaction.open_table(WAITING))? {
        for entry in table.iter()? {
            let (number, message) = entry?;
            let (number, (head, payload)) = (number.value(), message.value());
            match restored(number, head, payload) {
                Some(restored) => contents.waiting.push(restored),
                None => error!("a message that was kept for the broker cannot be read: {head}"),
            }
        }
    }
    if let Some(table) = present(transaction.open_table(SPOOL))? {
        contents.spools = spool::all(&table)?;
        contents.next = table.last()?.map_or(0, |(last, _)| last.value() + 1);
    }
    drop(transaction);
    Ok((database, contents))
}

/// The table, if it was made already.
pub(super) fn present<T>(opened: Result<T, TableError>) -> Result<Option<T>, redb::Error> {
    match opened {
        Ok(table) => Ok(Some(table)),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn transaction<T>(
    database: &Database,
    work: impl FnOnce(&WriteTransaction) -> Result<T, redb::Error>,
) -> Result<T, redb::Error> {
    let transaction = database.begin_write()?;
    let done = work(&transaction)?;
    transaction.commit()?;
    Ok(done)
}

fn carry_out(transaction: &WriteTransaction, order: &Order) -> Result<(), redb::Error> {
    match order {
        Order::Commit {
            service,
            changes,
            record,
            ..
        } => {
            let mut table = transaction.open_table(STATE)?;
            for change in changes {
                match &change.value {
                    Some(value) => {
                        drop(table.insert((service.as_str(), change.key.as_str()), &**value)?)
                    }
                    None => drop(table.remove((service.as_str(), change.key.as_str()))?),
                }
            }
            record.as_ref().map_or(Ok(()), |record| {
                versions::write(transaction, service, record)
            })
        }
        Order::Keep(changes) => keep(transaction, changes),
        Order::Record(service, record) => versions::write(transaction, service, record),
        Order::Spool(append) => append.write(transaction),
        // have a transaction of their own, or none
        Order::Letters(..)
        | Order::Spooled(..)
        | Order::Portion { .. }
        | Order::History(..)
        | Order::Left(..)
        | Order::Close(_) => Ok(()),
    }
}

fn keep(transaction: &WriteTransaction, changes: &[PersistOp]) -> Result<(), redb::Error> {
    let (mut table, mut spool) = (
        transaction.open_table(WAITING)?,
        transaction.open_table(SPOOL)?,
    );
    for change in changes {
        match change {
            PersistOp::Put(number, origin, message) => {
                match waiting_head(message, origin.name.as_deref()) {
                    Ok(head) => drop(table.insert(*number, (head.as_str(), &*message.payload))?),
                    Err(error) => error!(
                        "the message on {} cannot be kept on disk: {error}",
                        message.topic
                    ),
                }
            }
            PersistOp::Delete(number) => drop(table.remove(*number)?),
            PersistOp::DeadLetter(unsent) => {
                unsent
                    .kept
                    .map_or(Ok(None), |number| table.remove(number).map(Some))
                    .map(drop)?;
                letters::bury_unsent(transaction, unsent)?;
            }
            PersistOp::Handled(number) => drop(spool.remove(*number)?),
        }
    }
    Ok(())
}

pub(super) fn unwritable(error: serde_json::Error) -> redb::Error {
    redb::Error::Io(error.into())
}
