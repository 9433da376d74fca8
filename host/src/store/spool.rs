//! Spools in the database: messages that are acknowledged and not yet handled, in the order in which they arrived. A message
//! is written before it is acknowledged, and removed when its handling was committed.
//!
//! The spool of a service can be much larger than memory. It is therefore known by the numbers of its messages, as
//! [`Segment`]s, and read in portions.

use std::collections::HashMap;

use redb::{
    Database, ReadTransaction, ReadableDatabase, ReadableTable, Table, TableDefinition,
    WriteTransaction,
};
use tracing::error;

use super::table::{present, unwritable};
use crate::message::{Message, record};
use crate::span;

/// Messages by number: the service, everything but the payload as JSON, and the payload.
pub(super) const SPOOL: TableDefinition<'_, u64, (&str, &str, &[u8])> =
    TableDefinition::new("aside");

/// A range of a service's spool. Messages of other services may have numbers in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// The number of the first message.
    pub first: u64,
    /// The number of the last message.
    pub last: u64,
    /// The number of messages.
    pub messages: usize,
    /// Their weight in memory, in bytes.
    pub bytes: usize,
}

impl Segment {
    /// Creates a segment of one message of `bytes` bytes.
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
    /// The rest of the segment; `None`: nothing is left.
    pub rest: Option<Segment>,
}

/// The spools of all services.
#[derive(Default)]
pub(super) struct Spools {
    /// The spool of each service, by its name.
    pub(super) by_service: HashMap<String, Segment>,
    /// The number of the next message.
    pub(super) next: u64,
}

/// Messages for the spool of one service.
pub(super) struct Append {
    pub(super) service: String,
    pub(super) messages: Vec<Message>,
    /// The number of the first message; the thread assigns it.
    pub(super) first: u64,
}

/// Appends messages to a spool.
pub(super) fn append(transaction: &WriteTransaction, append: &Append) -> Result<(), redb::Error> {
    let mut table = transaction.open_table(SPOOL)?;
    for (number, message) in (append.first..).zip(&append.messages) {
        insert(&mut table, &append.service, number, message)?;
    }
    Ok(())
}

/// Writes one message.
pub(super) fn insert(
    table: &mut Table<'_, u64, (&str, &str, &[u8])>,
    service: &str,
    number: u64,
    message: &Message,
) -> Result<(), redb::Error> {
    let head = record::head(message).map_err(unwritable)?;
    table.insert(number, (service, head.as_str(), &*message.payload))?;
    Ok(())
}

/// Reads the numbers and sizes of all spools.
pub(super) fn read_all(transaction: &ReadTransaction) -> Result<Spools, redb::Error> {
    let Some(table) = present(transaction.open_table(SPOOL))? else {
        return Ok(Spools::default());
    };
    Ok(Spools {
        by_service: segments(&table)?,
        next: table.last()?.map_or(0, |(last, _)| last.value() + 1),
    })
}

/// Reads the spool of one service; `None`: it is empty.
pub(super) fn find(database: &Database, service: &str) -> Result<Option<Segment>, redb::Error> {
    match present(database.begin_read()?.open_table(SPOOL))? {
        Some(table) => Ok(segments(&table)?.remove(service)),
        None => Ok(None),
    }
}

/// Reads the first messages of `segment`: at least one, if there are any, and then as many as weigh `limit` bytes together.
pub(super) fn read(
    database: &Database,
    service: &str,
    segment: Segment,
    limit: usize,
) -> Result<Portion, redb::Error> {
    let mut portion = Portion::default();
    let Some(table) = present(database.begin_read()?.open_table(SPOOL))? else {
        return Ok(portion);
    };

    let mut weight = 0;
    for entry in table.range(segment.first..=segment.last)? {
        let (number, value) = entry?;
        let (owner, head, payload) = value.value();
        if owner != service {
            continue;
        }

        if weight >= limit {
            portion.rest = Some(Segment {
                first: number.value(),
                last: segment.last,
                messages: segment.messages.saturating_sub(portion.messages.len()),
                bytes: segment.bytes.saturating_sub(weight),
            });

            break;
        }

        if let Some(message) = restore(service, head, payload) {
            weight += message.weight();
            portion.messages.push((number.value(), message));
        }
    }

    Ok(portion)
}

fn segments(
    table: &impl ReadableTable<u64, (&'static str, &'static str, &'static [u8])>,
) -> Result<HashMap<String, Segment>, redb::Error> {
    let mut segments: HashMap<String, Segment> = HashMap::new();
    for entry in table.iter()? {
        let (number, value) = entry?;
        let (service, head, payload) = value.value();
        let Some(message) = restore(service, head, payload) else {
            continue;
        };

        let bytes = message.weight();
        match segments.get_mut(service) {
            Some(segment) => segment.push(number.value(), bytes),
            None => {
                segments.insert(service.to_owned(), Segment::new(number.value(), bytes));
            }
        }
    }

    Ok(segments)
}

/// The message; `None`, with a line in the log, when `head` is not a record of ours.
fn restore(service: &str, head: &str, payload: &[u8]) -> Option<Message> {
    let message = record::message(head, payload);
    if message.is_none() {
        span::service(service).in_scope(|| error!("cannot read a message of the spool: {head}"));
    }
    message
}
