//! Messages in the database that wait for the broker, and the session's changes to them.

use std::sync::Arc;
use std::time::Instant;

use redb::{ReadTransaction, ReadableTable, Table, TableDefinition, WriteTransaction};
use serde::{Deserialize, Serialize};
use tracing::error;

use super::dead_letters;
use super::spool::SPOOL;
use super::table::present;
use crate::message::record::Record;
use crate::message::{Message, Publication, Terms};
use crate::session::state::{PersistOp, RestoredMessage};

/// Messages that wait, by number: everything but the payload as JSON, and the payload.
const WAITING: TableDefinition<'_, u64, (&str, &[u8])> = TableDefinition::new("waiting");

/// A message that waits to be sent, without its payload.
#[derive(Serialize, Deserialize)]
struct WaitingRecord {
    #[serde(flatten)]
    message: Record,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    publisher: Option<String>,
}

/// Writes changes to the messages that are kept.
pub(super) fn write(
    transaction: &WriteTransaction,
    changes: &[PersistOp],
) -> Result<(), redb::Error> {
    let mut waiting = transaction.open_table(WAITING)?;
    let mut spool = transaction.open_table(SPOOL)?;

    for change in changes {
        match change {
            PersistOp::Put(number, origin, message) => {
                insert(&mut waiting, *number, message, origin.name.as_deref())?;
            }
            PersistOp::Delete(number) => {
                waiting.remove(*number)?;
            }
            PersistOp::DeadLetter(unsent) => {
                if let Some(number) = unsent.kept {
                    waiting.remove(number)?;
                }
                dead_letters::push_unsent(transaction, unsent)?;
            }
            PersistOp::Handled(number) => {
                spool.remove(*number)?;
            }
        }
    }

    Ok(())
}

/// Reads all messages that wait, by rising number. A message that cannot be read is logged.
pub(super) fn read_all(transaction: &ReadTransaction) -> Result<Vec<RestoredMessage>, redb::Error> {
    let mut waiting = Vec::new();
    let Some(table) = present(transaction.open_table(WAITING))? else {
        return Ok(waiting);
    };

    for entry in table.iter()? {
        let (number, message) = entry?;
        let (head, payload) = message.value();
        match restore(number.value(), head, payload) {
            Some(restored) => waiting.push(restored),
            None => error!("cannot read a message that waits for the broker: {head}"),
        }
    }

    Ok(waiting)
}

fn insert(
    table: &mut Table<'_, u64, (&str, &[u8])>,
    number: u64,
    message: &Message,
    publisher: Option<&str>,
) -> Result<(), redb::Error> {
    let record = WaitingRecord {
        message: Record::from(message),
        publisher: publisher.map(str::to_owned),
    };
    match serde_json::to_string(&record) {
        Ok(head) => {
            table.insert(number, (head.as_str(), &*message.payload))?;
        }
        // other messages of the transaction must not fail with it
        Err(error) => error!(
            "cannot keep the message on {} on disk: {error}",
            message.topic
        ),
    }

    Ok(())
}

/// The message kept under `number`; `None` when `head` is not a record of ours.
fn restore(number: u64, head: &str, payload: &[u8]) -> Option<RestoredMessage> {
    let WaitingRecord { message, publisher } = serde_json::from_str(head).ok()?;
    let message = message.with(payload)?;

    let terms = Terms {
        token: None,
        only_if_changed: None,
        offline: None,
        kept: Some(number),
        at: Instant::now(),
    };

    Some(RestoredMessage {
        number,
        publisher: publisher.map(Arc::from),
        publication: Publication {
            message,
            terms: Some(Box::new(terms)),
        },
    })
}
