//! Messages that are acknowledged and not handled: each service has a spool, in the order in which its messages came. A message is
//! written before it is acknowledged and removed when its handling was committed.
//!
//! The messages of a service can be many more than fit into memory, so a spool is known by the numbers of its messages, as
//! [`Segment`]s, and read in portions.

use std::collections::HashMap;

use redb::{ReadableDatabase, ReadableTable, Table, TableDefinition, WriteTransaction};
use tokio::sync::oneshot;
use tracing::error;

use super::StoreError;
use super::file::{File, present, unwritable};
use crate::message::{Message, record};

/// Messages by number: the service, all but the payload as JSON, and the payload.
pub(super) const SPOOL: TableDefinition<'_, u64, (&str, &str, &[u8])> =
    TableDefinition::new("aside");

/// Messages of one service with consecutive numbers. Other services may have numbers between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// The number of the first message.
    pub first: u64,
    /// The number of the last message.
    pub last: u64,
    /// How many messages there are.
    pub messages: usize,
    /// Their weight in memory, in bytes.
    pub bytes: usize,
}

impl Segment {
    /// One message of `bytes` bytes.
    pub const fn new(number: u64, bytes: usize) -> Self {
        Self {
            first: number,
            last: number,
            messages: 1,
            bytes,
        }
    }

    /// Adds a message with a higher number.
    pub const fn push(&mut self, number: u64, bytes: usize) {
        self.last = number;
        self.messages += 1;
        self.bytes += bytes;
    }
}

/// A portion of a spool, read from disk.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Portion {
    /// Messages with their numbers, in order.
    pub messages: Vec<(u64, Message)>,
    /// What is left of the segment; `None`: nothing.
    pub rest: Option<Segment>,
}

/// Messages to be spooled, and where the answer goes: the number of the first, after which the others follow.
pub(super) struct Append {
    pub service: String,
    pub messages: Vec<Message>,
    /// Given by the store.
    pub first: u64,
    pub done: oneshot::Sender<Result<u64, StoreError>>,
}

impl Append {
    pub(super) fn write(&self, transaction: &WriteTransaction) -> Result<(), redb::Error> {
        let mut table = transaction.open_table(SPOOL)?;
        for (number, message) in (self.first..).zip(&self.messages) {
            put(&mut table, &self.service, number, message)?;
        }
        Ok(())
    }
}

/// Writes one message.
pub(super) fn put(
    table: &mut Table<'_, u64, (&str, &str, &[u8])>,
    service: &str,
    number: u64,
    message: &Message,
) -> Result<(), redb::Error> {
    let head = record::head(message).map_err(unwritable)?;
    table.insert(number, (service, head.as_str(), &*message.payload))?;
    Ok(())
}

/// The spools of all services, by name, as they are on disk.
pub(super) fn all(
    table: &impl ReadableTable<u64, (&'static str, &'static str, &'static [u8])>,
) -> Result<HashMap<String, Segment>, redb::Error> {
    let mut spools: HashMap<String, Segment> = HashMap::new();
    for entry in table.iter()? {
        let (number, value) = entry?;
        let (number, (service, head, payload)) = (number.value(), value.value());
        let Some(message) = read(service, head, payload) else {
            continue;
        };
        let bytes = message.weight();
        match spools.get_mut(service) {
            Some(spool) => spool.push(number, bytes),
            None => drop(spools.insert(service.to_owned(), Segment::new(number, bytes))),
        }
    }
    Ok(spools)
}

impl File {
    /// The spool of `service` as it is on disk.
    pub(super) fn spool(&self, service: &str) -> Result<Option<Segment>, StoreError> {
        let table =
            |database: &redb::Database| match present(database.begin_read()?.open_table(SPOOL))? {
                Some(table) => Ok(all(&table)?.remove(service)),
                None => Ok(None),
            };
        self.read(table)
    }

    /// The first messages of `segment`: at least one, if there are any, and then as many as weigh `most` bytes together.
    pub(super) fn portion(
        &self,
        service: &str,
        segment: Segment,
        most: usize,
    ) -> Result<Portion, StoreError> {
        self.read(|database| {
            let Some(table) = present(database.begin_read()?.open_table(SPOOL))? else {
                return Ok(Portion::default());
            };
            portion(&table, service, segment, most)
        })
    }
}

fn portion(
    table: &impl ReadableTable<u64, (&'static str, &'static str, &'static [u8])>,
    service: &str,
    segment: Segment,
    most: usize,
) -> Result<Portion, redb::Error> {
    let (mut messages, mut weight) = (Vec::new(), 0);
    for entry in table.range(segment.first..=segment.last)? {
        let (number, value) = entry?;
        let (number, (of, head, payload)) = (number.value(), value.value());
        if of != service {
            continue;
        }
        if weight >= most {
            let rest = Segment {
                first: number,
                last: segment.last,
                messages: segment.messages.saturating_sub(messages.len()),
                bytes: segment.bytes.saturating_sub(weight),
            };
            return Ok(Portion {
                messages,
                rest: Some(rest),
            });
        }
        if let Some(message) = read(service, head, payload) {
            weight += message.weight();
            messages.push((number, message));
        }
    }
    Ok(Portion {
        messages,
        rest: None,
    })
}

fn read(service: &str, head: &str, payload: &[u8]) -> Option<Message> {
    let message = record::message(head, payload);
    if message.is_none() {
        error!(service, "cannot read a message of the spool: {head}");
    }
    message
}
