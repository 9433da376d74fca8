//! Machine: messages that the host keeps for services: set aside until they are handled, and dead letters. In: messages, why they
//! were given up. Out: the numbers under which they are kept, and the messages again. Owns the two tables.

use redb::{ReadableTable, Table, TableDefinition, WriteTransaction};
use tokio::sync::oneshot;
use tracing::error;

use super::StoreError;
use super::file::File;
use super::record::{letter, letter_head};
use crate::message::{Message, record};

/// Acknowledged messages that are not handled, by number: the service, all but the payload as JSON, and the payload.
pub(super) const ASIDE: TableDefinition<'_, u64, (&str, &str, &[u8])> = TableDefinition::new("aside");
/// Messages that were given up, by service and number: all but the payload as JSON, and the payload. The numbers of a service follow
/// one another, since old ones go first or all at once.
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
    /// When it was given up, in milliseconds since 1970.
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
                drop(answer.send(file.within(|transaction| bury(transaction, service, &letter, most))));
            }
            Self::Letters { answer } => {
                let letters = file.within(|transaction| letters(&transaction.open_table(DEAD)?, service));
                drop(answer.send(letters.map(|letters| letters.into_iter().map(|(_, letter)| letter).collect())));
            }
            Self::Exhume { answer } => {
                let dead = file.within(|transaction| letters(&transaction.open_table(DEAD)?, service));
                drop(answer.send(dead.and_then(|dead| {
                    let first = file.numbers(dead.len());
                    file.within(|transaction| exhume(transaction, service, first, dead))
                })));
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

fn bury(transaction: &WriteTransaction, service: &str, letter: &Letter, most: usize) -> Result<usize, redb::Error> {
    let mut table = transaction.open_table(DEAD)?;
    let head = letter_head(letter).map_err(unwritable)?;
    let all = (service, 0)..=(service, u64::MAX);
    let first = table.range(all.clone())?.next().transpose()?.map(|(key, _)| key.value().1);
    let last = table.range(all)?.next_back().transpose()?.map(|(key, _)| key.value().1);
    let own = last.map_or(0, |last| last + 1);
    table.insert((service, own), (head.as_str(), &*letter.message.payload))?;
    let first = first.unwrap_or(own);
    let surplus = (own - first + 1).saturating_sub(most as u64);
    for old in first..first + surplus {
        table.remove((service, old))?;
    }
    Ok(surplus as usize)
}

fn letters(
    table: &impl ReadableTable<(&'static str, u64), (&'static str, &'static [u8])>,
    service: &str,
) -> Result<Vec<(u64, Letter)>, redb::Error> {
    let mut letters = Vec::new();
    for entry in table.range((service, 0)..=(service, u64::MAX))? {
        let (key, value) = entry?;
        let (number, (head, payload)) = (key.value().1, value.value());
        match letter(head, payload) {
            Some(letter) => letters.push((number, letter)),
            None => error!(service, "a dead letter cannot be read: {head}"),
        }
    }
    Ok(letters)
}

fn exhume(
    transaction: &WriteTransaction,
    service: &str,
    first: u64,
    dead: Vec<(u64, Letter)>,
) -> Result<Numbered, redb::Error> {
    let (mut graves, mut aside) = (transaction.open_table(DEAD)?, transaction.open_table(ASIDE)?);
    let mut messages = Vec::new();
    for (number, (grave, letter)) in (first..).zip(dead) {
        graves.remove((service, grave))?;
        put(&mut aside, service, number, &letter.message)?;
        messages.push((number, letter.message));
    }
    Ok(messages)
}

fn unwritable(error: serde_json::Error) -> redb::Error {
    redb::Error::Io(error.into())
}
