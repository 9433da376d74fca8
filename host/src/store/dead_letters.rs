//! Dead letters in the database: messages that services have given up, with the reason. A service keeps at most
//! `limits.dead_letters` of them, the newest, until they are requeued into its spool.

use std::fmt;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use redb::{Database, ReadableDatabase, ReadableTable, Table, TableDefinition, WriteTransaction};
use serde::{Deserialize, Serialize};
use tracing::{error, warn};

use super::spool::{self, SPOOL, Segment};
use super::table::{present, unwritable};
use crate::config::RetryLimits;
use crate::message::Message;
use crate::message::record::Record;
use crate::session::state::UnsentMessage;
use crate::span;

/// Dead letters by service and number: everything but the payload as JSON, and the payload. A later letter has a larger number.
const DEAD: TableDefinition<'_, (&str, u64), (&str, &[u8])> = TableDefinition::new("dead");

/// The number of dead letters by service. Without a row, as in files of former hosts, the numbers of a service have no gaps.
const COUNTS: TableDefinition<'_, &str, u64> = TableDefinition::new("dead-counts");

/// A message that a service has given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The message.
    pub message: Message,
    /// The error of the last attempt.
    pub reason: String,
    /// The number of attempts.
    pub attempts: u32,
    /// SHA-256 of the component, in hexadecimal digits.
    pub component: Option<String>,
    /// The time at which it was given up, in milliseconds since 1970.
    pub at: u64,
    /// Whether the service published it and the broker did not take it.
    pub outgoing: bool,
}

/// The identity of a dead letter of a service: its number, and the time at which it was given up, in milliseconds since 1970.
/// A number may be given again once all letters are gone; together they are unique.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LetterId {
    number: u64,
    at: u64,
}

impl fmt::Display for LetterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.number, self.at)
    }
}

/// A text that is not the identity of a dead letter.
#[derive(Debug, thiserror::Error)]
#[error(
    "expected the identity of a dead letter, as the list of dead letters shows it, found {0:?}"
)]
pub struct LetterIdError(String);

impl FromStr for LetterId {
    type Err = LetterIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let id = || {
            let (number, at) = text.split_once('-')?;
            Some(Self {
                number: number.parse().ok()?,
                at: at.parse().ok()?,
            })
        };

        id().ok_or_else(|| LetterIdError(text.to_owned()))
    }
}

impl DeadLetter {
    fn id(&self, number: u64) -> LetterId {
        LetterId {
            number,
            at: self.at,
        }
    }
}

/// A dead letter without the payload of its message.
#[derive(Serialize, Deserialize)]
struct LetterRecord {
    #[serde(flatten)]
    message: Record,
    given_up: GivenUp,
}

/// The part of a dead letter that is not the message.
#[derive(Serialize, Deserialize)]
struct GivenUp {
    reason: String,
    attempts: u32,
    component: Option<String>,
    at: u64,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    outgoing: bool,
}

/// Adds a dead letter and keeps the newest `limit` of the service. Returns how many old ones were dropped.
pub(super) fn push(
    transaction: &WriteTransaction,
    service: &str,
    letter: &DeadLetter,
    limit: usize,
) -> Result<usize, redb::Error> {
    let mut table = transaction.open_table(DEAD)?;
    let mut counts = transaction.open_table(COUNTS)?;
    let before = counted(&table, Some(&counts), service)?;
    let newest = table.range(all(service))?.next_back().transpose()?;
    let number = newest.map_or(0, |(key, _)| key.value().1 + 1);

    let head = head(letter)?;
    table.insert((service, number), (head.as_str(), &*letter.message.payload))?;

    let surplus = (before + 1).saturating_sub(limit as u64);
    for _ in 0..surplus {
        let oldest = table.range(all(service))?.next().transpose()?;
        let Some(oldest) = oldest.map(|(key, _)| key.value().1) else {
            break;
        };
        table.remove((service, oldest))?;
    }

    counts.insert(service, before + 1 - surplus)?;
    Ok(surplus as usize)
}

/// The keys of all dead letters of a service.
fn all(service: &str) -> std::ops::RangeInclusive<(&str, u64)> {
    (service, 0)..=(service, u64::MAX)
}

/// The number of dead letters of a service.
fn counted(
    table: &impl ReadableTable<(&'static str, u64), (&'static str, &'static [u8])>,
    counts: Option<&impl ReadableTable<&'static str, u64>>,
    service: &str,
) -> Result<u64, redb::Error> {
    if let Some(counts) = counts
        && let Some(count) = counts.get(service)?
    {
        return Ok(count.value());
    }

    let mut range = table.range(all(service))?;
    let Some((oldest, _)) = range.next().transpose()? else {
        return Ok(0);
    };
    let newest = range.next_back().transpose()?;
    let newest = newest.map_or(oldest.value().1, |(key, _)| key.value().1);
    Ok(newest - oldest.value().1 + 1)
}

/// Adds a message that was never sent as a dead letter, because the broker ends the connection for it.
pub(super) fn push_unsent(
    transaction: &WriteTransaction,
    unsent: &UnsentMessage,
) -> Result<(), redb::Error> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let letter = DeadLetter {
        message: unsent.message.clone(),
        reason: unsent.reason.to_owned(),
        attempts: 0,
        component: None,
        at: u64::try_from(now.as_millis()).unwrap_or(u64::MAX),
        outgoing: true,
    };

    let service = unsent.origin.name.as_deref().unwrap_or_default();
    let limit = RetryLimits::default().dead_letters;
    let dropped = push(transaction, service, &letter, limit)?;
    if dropped > 0 {
        span::service(service).in_scope(|| {
            warn!("dropped {dropped} old dead letters, because there are too many");
        });
    }

    Ok(())
}

/// Reads the dead letters of a service, the oldest first. A letter that cannot be read is logged.
pub(super) fn read(
    database: &Database,
    service: &str,
) -> Result<Vec<(LetterId, DeadLetter)>, redb::Error> {
    let mut letters = Vec::new();
    let Some(table) = present(database.begin_read()?.open_table(DEAD))? else {
        return Ok(letters);
    };

    for entry in table.range(all(service))? {
        let (key, value) = entry?;
        let (head, payload) = value.value();
        match restore(head, payload) {
            Some(letter) => letters.push((letter.id(key.value().1), letter)),
            None => span::service(service).in_scope(|| {
                error!("cannot read a dead letter: {head}");
            }),
        }
    }

    Ok(letters)
}

/// The number of dead letters of each of `services`.
pub(super) fn count(database: &Database, services: &[String]) -> Result<Vec<u64>, redb::Error> {
    let transaction = database.begin_read()?;
    let Some(table) = present(transaction.open_table(DEAD))? else {
        return Ok(vec![0; services.len()]);
    };

    let counts = present(transaction.open_table(COUNTS))?;
    services
        .iter()
        .map(|service| counted(&table, counts.as_ref(), service))
        .collect()
}

/// Deletes a dead letter of a service; `None`: there is no such letter.
pub(super) fn delete(
    transaction: &WriteTransaction,
    service: &str,
    id: LetterId,
) -> Result<Option<DeadLetter>, redb::Error> {
    let mut table = transaction.open_table(DEAD)?;
    let key = (service, id.number);
    let found = table.get(key)?.and_then(|found| {
        let (head, payload) = found.value();
        restore(head, payload)
    });
    let Some(letter) = found.filter(|letter| letter.at == id.at) else {
        return Ok(None);
    };

    let mut counts = transaction.open_table(COUNTS)?;
    remove(&mut table, &mut counts, service, &[id.number])?;
    Ok(Some(letter))
}

/// Removes letters that are in the table.
fn remove(
    table: &mut Table<'_, (&'static str, u64), (&'static str, &'static [u8])>,
    counts: &mut Table<'_, &'static str, u64>,
    service: &str,
    numbers: &[u64],
) -> Result<(), redb::Error> {
    let before = counted(table, Some(&*counts), service)?;
    for number in numbers {
        table.remove((service, *number))?;
    }

    counts.insert(service, before.saturating_sub(numbers.len() as u64))?;
    Ok(())
}

/// Moves the dead letters of a service into its spool, with numbers from `first` on. Returns their segment; `None`: there
/// are none. Messages that the service published stay dead letters, because they are not for it to handle.
pub(super) fn requeue(
    transaction: &WriteTransaction,
    service: &str,
    first: u64,
    mut letters: Vec<(LetterId, DeadLetter)>,
) -> Result<Option<Segment>, redb::Error> {
    letters.retain(|(_, letter)| !letter.outgoing);
    let numbers: Vec<u64> = letters.iter().map(|(id, _)| id.number).collect();
    let mut table = transaction.open_table(DEAD)?;
    let mut counts = transaction.open_table(COUNTS)?;
    remove(&mut table, &mut counts, service, &numbers)?;

    let mut spool = transaction.open_table(SPOOL)?;
    let mut segment: Option<Segment> = None;
    for (number, (_, letter)) in (first..).zip(letters) {
        spool::insert(&mut spool, service, number, &letter.message)?;
        let bytes = letter.message.weight();
        match &mut segment {
            Some(segment) => segment.push(number, bytes),
            None => segment = Some(Segment::new(number, bytes)),
        }
    }

    Ok(segment)
}

/// Everything of a dead letter but the payload, as JSON.
fn head(letter: &DeadLetter) -> Result<String, redb::Error> {
    let record = LetterRecord {
        message: Record::from(&letter.message),
        given_up: GivenUp {
            reason: letter.reason.clone(),
            attempts: letter.attempts,
            component: letter.component.clone(),
            at: letter.at,
            outgoing: letter.outgoing,
        },
    };

    serde_json::to_string(&record).map_err(unwritable)
}

/// The dead letter; `None` when `head` is not a record of ours.
fn restore(head: &str, payload: &[u8]) -> Option<DeadLetter> {
    let LetterRecord { message, given_up } = serde_json::from_str(head).ok()?;
    Some(DeadLetter {
        message: message.with(payload)?,
        reason: given_up.reason,
        attempts: given_up.attempts,
        component: given_up.component,
        at: given_up.at,
        outgoing: given_up.outgoing,
    })
}
