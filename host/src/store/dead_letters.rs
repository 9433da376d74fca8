//! Dead letters in the database: messages that services have given up, with the reason. A service keeps at most
//! `limits.dead_letters` of them, the newest, until they are requeued into its spool.

use std::time::{SystemTime, UNIX_EPOCH};

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};
use serde::{Deserialize, Serialize};
use tracing::{error, warn};

use super::spool::{self, SPOOL, Segment};
use super::table::{present, unwritable};
use crate::config::RetryLimits;
use crate::message::Message;
use crate::message::record::Record;
use crate::session::state::UnsentMessage;

/// Dead letters by service and number: everything but the payload as JSON, and the payload. The numbers of a service have no
/// gaps, because letters are removed from the oldest on or all at once.
const DEAD: TableDefinition<'_, (&str, u64), (&str, &[u8])> = TableDefinition::new("dead");

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
    let all = (service, 0)..=(service, u64::MAX);
    let oldest = table.range(all.clone())?.next().transpose()?;
    let oldest = oldest.map(|(key, _)| key.value().1);
    let newest = table.range(all)?.next_back().transpose()?;
    let newest = newest.map(|(key, _)| key.value().1);

    let number = newest.map_or(0, |newest| newest + 1);
    let head = head(letter)?;
    table.insert((service, number), (head.as_str(), &*letter.message.payload))?;

    let oldest = oldest.unwrap_or(number);
    let surplus = (number - oldest + 1).saturating_sub(limit as u64);
    for old in oldest..oldest + surplus {
        table.remove((service, old))?;
    }
    Ok(surplus as usize)
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
        warn!(
            service,
            "dropped {dropped} old dead letters, because there are too many"
        );
    }

    Ok(())
}

/// Reads the dead letters of a service with their numbers, the oldest first. A letter that cannot be read is logged.
pub(super) fn read(
    database: &Database,
    service: &str,
) -> Result<Vec<(u64, DeadLetter)>, redb::Error> {
    let mut letters = Vec::new();
    let Some(table) = present(database.begin_read()?.open_table(DEAD))? else {
        return Ok(letters);
    };

    for entry in table.range((service, 0)..=(service, u64::MAX))? {
        let (key, value) = entry?;
        let (head, payload) = value.value();
        match restore(head, payload) {
            Some(letter) => letters.push((key.value().1, letter)),
            None => error!(service, "cannot read a dead letter: {head}"),
        }
    }

    Ok(letters)
}

/// The number of dead letters of each of `services`. Their numbers have no gaps, so the first and the last one tell it.
pub(super) fn count(database: &Database, services: &[String]) -> Result<Vec<u64>, redb::Error> {
    let Some(table) = present(database.begin_read()?.open_table(DEAD))? else {
        return Ok(vec![0; services.len()]);
    };

    let counts = services.iter().map(|service| {
        let mut range = table.range((service.as_str(), 0)..=(service.as_str(), u64::MAX))?;
        let Some((oldest, _)) = range.next().transpose()? else {
            return Ok(0);
        };
        let newest = range.next_back().transpose()?;
        let newest = newest.map_or(oldest.value().1, |(key, _)| key.value().1);
        Ok(newest - oldest.value().1 + 1)
    });

    counts.collect()
}

/// Moves the dead letters of a service into its spool, with numbers from `first` on. Returns their segment; `None`: there
/// are none. Messages that the service published stay dead letters, because they are not for it to handle.
pub(super) fn requeue(
    transaction: &WriteTransaction,
    service: &str,
    first: u64,
    letters: Vec<(u64, DeadLetter)>,
) -> Result<Option<Segment>, redb::Error> {
    let mut table = transaction.open_table(DEAD)?;
    for (number, _) in &letters {
        table.remove((service, *number))?;
    }

    let (outgoing, incoming): (Vec<_>, Vec<_>) = letters
        .into_iter()
        .map(|(_, letter)| letter)
        .partition(|letter| letter.outgoing);

    // numbered again, so that the numbers have no gaps
    for (number, letter) in (0..).zip(&outgoing) {
        let head = head(letter)?;
        table.insert((service, number), (head.as_str(), &*letter.message.payload))?;
    }

    let mut spool = transaction.open_table(SPOOL)?;
    let mut segment: Option<Segment> = None;
    for (number, letter) in (first..).zip(incoming) {
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
