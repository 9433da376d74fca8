//! Machine: messages that the host keeps for services: set aside until they are handled, and dead letters. In: messages, why they
//! were given up. Out: the numbers under which they are kept, and the messages again. Owns the two tables.

use redb::{ReadTransaction, ReadableTable, Table, TableDefinition, WriteTransaction};
use tokio::sync::oneshot;
use tracing::error;

use super::StoreError;
use super::file::{File, present};
use super::record;
use crate::message::Message;

/// Acknowledged messages that are not handled, by number: the service, all but the payload as JSON, and the payload.
pub(super) const ASIDE: TableDefinition<'_, u64, (&str, &str, &[u8])> = TableDefinition::new("aside");
/// Messages that were given up, by service and number: all but the payload as JSON, and the payload.
const DEAD: TableDefinition<'_, (&str, u64), (&str, &[u8])> = TableDefinition::new("dead");

/// A message that a service has given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// The message.
    pub message: Message,
    /// What went wrong at the last attempt.
    pub reason: String,
    /// How often it was tried.
    pub attempts: u32,
    /// SHA-256 of the component, in hexadecimal digits.
    pub component: Option<String>,
    /// When it was given up, in seconds since 1970.
    pub at: u64,
}

/// Messages with the numbers under which they are kept.
pub type Numbered = Vec<(u64, Message)>;

/// Where an answer goes.
type Answer<T> = oneshot::Sender<Result<T, StoreError>>;

/// What the thread is asked about messages of one service.
pub(super) enum Request {
    /// Keep these until they are handled; the answer is the first of their numbers, which are consecutive.
    SetAside { messages: Vec<Message>, answer: Answer<u64> },
    /// What is kept until it is handled, by rising number.
    Aside { answer: Answer<Numbered> },
    /// Keep a dead letter, and no more than `most`; the answer is how many old ones were thrown away for it.
    Bury { letter: Box<Letter>, most: usize, answer: Answer<usize> },
    /// The dead letters, the oldest first.
    Letters { answer: Answer<Vec<Letter>> },
    /// Set the dead letters aside as messages to be handled.
    Exhume { answer: Answer<Numbered> },
}

impl Request {
    /// Does it, in a transaction of its own. Who no longer waits for the answer does not want to know.
    pub(super) fn carry_out(self, service: &str, file: &mut File) {
        match self {
            Self::SetAside { messages, answer } => {
                let first = file.numbers(messages.len());
                let kept = file.within(|transaction| set_aside(transaction, service, first, &messages));
                drop(answer.send(kept.map(|()| first)));
            }
            Self::Aside { answer } => {
                drop(answer.send(file.within(|transaction| aside(&transaction.open_table(ASIDE)?, service))));
            }
            Self::Bury { letter, most, answer } => {
                let number = file.numbers(1);
                drop(answer.send(file.within(|transaction| bury(transaction, service, number, &letter, most))));
            }
            Self::Letters { answer } => {
                let letters = file.within(|transaction| letters(&transaction.open_table(DEAD)?, service));
                drop(answer.send(letters.map(|letters| letters.into_iter().map(|(_, letter)| letter).collect())));
            }
            Self::Exhume { answer } => {
                drop(answer.send(file.within(|transaction| exhume(transaction, service))));
            }
        }
    }
}

fn set_aside(
    transaction: &WriteTransaction,
    service: &str,
    first: u64,
    messages: &[Message],
) -> Result<(), redb::Error> {
    let mut table = transaction.open_table(ASIDE)?;
    for (number, message) in (first..).zip(messages) {
        put(&mut table, service, number, message)?;
    }
    Ok(())
}

fn put(
    table: &mut Table<'_, u64, (&str, &str, &[u8])>,
    service: &str,
    number: u64,
    message: &Message,
) -> Result<(), redb::Error> {
    let head = record::head(message).map_err(unwritable)?;
    table.insert(number, (service, head.as_str(), &*message.payload))?;
    Ok(())
}

fn aside(
    table: &impl ReadableTable<u64, (&'static str, &'static str, &'static [u8])>,
    service: &str,
) -> Result<Numbered, redb::Error> {
    let mut messages = Vec::new();
    each_aside(table, |number, of, message| {
        if of == service {
            messages.push((number, message));
        }
    })?;
    Ok(messages)
}

/// Goes through the messages that are kept until they are handled: their numbers and services.
pub(super) fn each_aside(
    table: &impl ReadableTable<u64, (&'static str, &'static str, &'static [u8])>,
    mut each: impl FnMut(u64, &str, Message),
) -> Result<(), redb::Error> {
    for entry in table.iter()? {
        let (number, value) = entry?;
        let (number, (service, head, payload)) = (number.value(), value.value());
        match record::message(head, payload) {
            Some(message) => each(number, service, message),
            None => error!(service, "a message that was set aside cannot be read: {head}"),
        }
    }
    Ok(())
}

fn bury(
    transaction: &WriteTransaction,
    service: &str,
    number: u64,
    letter: &Letter,
    most: usize,
) -> Result<usize, redb::Error> {
    let mut table = transaction.open_table(DEAD)?;
    let head = record::letter_head(letter).map_err(unwritable)?;
    table.insert((service, number), (head.as_str(), &*letter.message.payload))?;
    let numbers: Vec<u64> = table
        .range((service, 0)..=(service, u64::MAX))?
        .map(|entry| entry.map(|(key, _)| key.value().1))
        .collect::<Result<_, _>>()?;
    let surplus = numbers.len().saturating_sub(most);
    for old in &numbers[..surplus] {
        table.remove((service, *old))?;
    }
    Ok(surplus)
}

fn letters(
    table: &impl ReadableTable<(&'static str, u64), (&'static str, &'static [u8])>,
    service: &str,
) -> Result<Vec<(u64, Letter)>, redb::Error> {
    let mut letters = Vec::new();
    for entry in table.range((service, 0)..=(service, u64::MAX))? {
        let (key, value) = entry?;
        let (number, (head, payload)) = (key.value().1, value.value());
        match record::letter(head, payload) {
            Some(letter) => letters.push((number, letter)),
            None => error!(service, "a dead letter cannot be read: {head}"),
        }
    }
    Ok(letters)
}

fn exhume(transaction: &WriteTransaction, service: &str) -> Result<Numbered, redb::Error> {
    let (mut dead, mut aside) = (transaction.open_table(DEAD)?, transaction.open_table(ASIDE)?);
    let mut messages = Vec::new();
    for (number, letter) in letters(&dead, service)? {
        dead.remove((service, number))?;
        put(&mut aside, service, number, &letter.message)?;
        messages.push((number, letter.message));
    }
    Ok(messages)
}

/// The largest number that is in use.
pub(super) fn last_number(transaction: &ReadTransaction) -> Result<Option<u64>, redb::Error> {
    let aside = match present(transaction.open_table(ASIDE))? {
        Some(table) => table.last()?.map(|(number, _)| number.value()),
        None => None,
    };
    let mut last = aside;
    if let Some(table) = present(transaction.open_table(DEAD))? {
        for entry in table.iter()? {
            last = last.max(Some(entry?.0.value().1));
        }
    }
    Ok(last)
}

fn unwritable(error: serde_json::Error) -> redb::Error {
    redb::Error::Io(error.into())
}
