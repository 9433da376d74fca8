//! Dead letters: messages that services have given up, with the reason. They are kept until there are too many, or until they are
//! replayed, which puts them into the service's spool.

use std::time::{SystemTime, UNIX_EPOCH};

use redb::{ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};
use tokio::sync::oneshot;
use tracing::{error, warn};

use super::StoreError;
use super::file::{File, present, unwritable};
use super::record::{letter, letter_head};
use super::spool::{self, SPOOL, Segment};
use crate::config::RetryLimits;
use crate::message::Message;
use crate::session::state::UnsentMessage;

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
    /// Whether the service published it, and the broker did not take it.
    pub outgoing: bool,
}

/// Where an answer goes.
type Answer<T> = oneshot::Sender<Result<T, StoreError>>;

/// What the thread is asked about dead letters of one service.
pub(super) enum Request {
    /// Keep a dead letter, and no more than `most`; the answer is how many old ones were thrown away for it.
    Bury {
        letter: Box<Letter>,
        most: usize,
        answer: Answer<usize>,
    },
    /// The dead letters, the oldest first.
    Letters { answer: Answer<Vec<Letter>> },
    /// Put the dead letters into the spool; the answer is where they are.
    Replay { answer: Answer<Option<Segment>> },
}

impl Request {
    /// Does it, in a transaction of its own. Who no longer waits for the answer does not want to know.
    pub(super) fn carry_out(self, service: &str, file: &mut File) {
        match self {
            Self::Bury {
                letter,
                most,
                answer,
            } => {
                drop(
                    answer
                        .send(file.within(|transaction| bury(transaction, service, &letter, most))),
                );
            }
            Self::Letters { answer } => {
                let letters = file.letters(service);
                drop(answer.send(
                    letters.map(|letters| letters.into_iter().map(|(_, letter)| letter).collect()),
                ));
            }
            Self::Replay { answer } => {
                let replayed = file.letters(service).and_then(|dead| {
                    let first = file.numbers(dead.len());
                    file.within(|transaction| replay(transaction, service, first, dead))
                });
                drop(answer.send(replayed));
            }
        }
    }
}

impl File {
    /// The dead letters of `service` with their numbers, the oldest first.
    fn letters(&self, service: &str) -> Result<Vec<(u64, Letter)>, StoreError> {
        self.read(
            |database| match present(database.begin_read()?.open_table(DEAD))? {
                Some(table) => letters(&table, service),
                None => Ok(Vec::new()),
            },
        )
    }
}

pub(super) fn bury(
    transaction: &WriteTransaction,
    service: &str,
    letter: &Letter,
    most: usize,
) -> Result<usize, redb::Error> {
    let mut table = transaction.open_table(DEAD)?;
    let head = letter_head(letter).map_err(unwritable)?;
    let all = (service, 0)..=(service, u64::MAX);
    let first = table
        .range(all.clone())?
        .next()
        .transpose()?
        .map(|(key, _)| key.value().1);
    let last = table
        .range(all)?
        .next_back()
        .transpose()?
        .map(|(key, _)| key.value().1);
    let own = last.map_or(0, |last| last + 1);
    table.insert((service, own), (head.as_str(), &*letter.message.payload))?;
    let first = first.unwrap_or(own);
    let surplus = (own - first + 1).saturating_sub(most as u64);
    for old in first..first + surplus {
        table.remove((service, old))?;
    }
    Ok(surplus as usize)
}

/// Keeps a message as a dead letter that was never sent, since the broker ends the connection for it.
pub(super) fn bury_unsent(
    transaction: &WriteTransaction,
    unsent: &UnsentMessage,
) -> Result<(), redb::Error> {
    let UnsentMessage {
        origin,
        message,
        reason,
        ..
    } = unsent;
    let at = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_millis();
    let letter = Letter {
        message: message.clone(),
        reason: (*reason).to_owned(),
        attempts: 0,
        component: None,
        at: u64::try_from(at).unwrap_or(u64::MAX),
        outgoing: true,
    };
    let service = origin.name.as_deref().unwrap_or_default();
    let dropped = bury(
        transaction,
        service,
        &letter,
        RetryLimits::default().dead_letters,
    )?;
    if dropped > 0 {
        warn!(
            service,
            "{dropped} old dead letters are gone, since there are too many"
        );
    }
    Ok(())
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

fn replay(
    transaction: &WriteTransaction,
    service: &str,
    first: u64,
    dead: Vec<(u64, Letter)>,
) -> Result<Option<Segment>, redb::Error> {
    let mut letters = transaction.open_table(DEAD)?;
    let mut table = transaction.open_table(SPOOL)?;
    let mut segment: Option<Segment> = None;
    for (old, _) in &dead {
        letters.remove((service, *old))?;
    }
    let (unsent, dead): (Vec<_>, Vec<_>) =
        dead.into_iter().partition(|(_, letter)| letter.outgoing);
    // these are not for the service to handle; their numbers follow one another again
    for (number, (_, letter)) in (0..).zip(&unsent) {
        let head = letter_head(letter).map_err(unwritable)?;
        letters.insert((service, number), (head.as_str(), &*letter.message.payload))?;
    }
    for (number, (_, letter)) in (first..).zip(dead) {
        spool::put(&mut table, service, number, &letter.message)?;
        let bytes = letter.message.weight();
        match &mut segment {
            Some(segment) => segment.push(number, bytes),
            None => segment = Some(Segment::new(number, bytes)),
        }
    }
    Ok(segment)
}
