//! The thread that writes the database. All commands that wait are written in one transaction, so many services cost hardly
//! more than one.

use redb::WriteTransaction;
use tokio::sync::mpsc;
use tracing::{debug, warn};

use super::command::Command;
use super::error::StoreError;
use super::file::File;
use super::{outgoing, spool, state, subscriptions, versions};

/// Carries out commands until all senders are gone or one closes the file.
pub(super) fn run(mut file: File, mut commands: mpsc::Receiver<Command>) {
    while let Some(first) = commands.blocking_recv() {
        let mut batch = vec![first];
        while let Ok(next) = commands.try_recv() {
            batch.push(next);
        }

        number_spooled(&mut file, &mut batch);
        batch.retain(|command| !is_remembered(&file, command));
        let outcome = write(&mut file, &batch);
        report(&batch, &outcome);

        let mut close = None;
        for command in batch {
            match command {
                Command::Close(reply) => close = Some(reply),
                other => answer(&mut file, other, &outcome),
            }
        }

        if let Some(reply) = close {
            drop(file);
            // the caller may have gone
            let _ = reply.send(());
            return;
        }
    }
}

/// Assigns numbers to the messages that the batch adds to spools.
fn number_spooled(file: &mut File, batch: &mut [Command]) {
    for command in batch {
        if let Command::Spool(append, _) = command {
            append.first = file.next_numbers(append.messages.len());
        }
    }
}

/// Whether the command is to remember subscriptions that are in the file already, as at most starts of a guest.
fn is_remembered(file: &File, command: &Command) -> bool {
    let Command::RememberSubscriptions(service, subscriptions) = command else {
        return false;
    };
    file.subscriptions(service)
        .is_ok_and(|known| known.as_ref() == Some(subscriptions))
}

/// Writes the batch in one transaction.
fn write(file: &mut File, batch: &[Command]) -> Result<(), StoreError> {
    if !batch.iter().any(Command::writes_in_batch) {
        return Ok(());
    }
    file.transaction(|transaction| {
        batch
            .iter()
            .try_for_each(|command| command.write(transaction))
    })
}

/// Logs a failure that no caller hears of.
fn report(batch: &[Command], outcome: &Result<(), StoreError>) {
    let persists = |command: &&Command| matches!(command, Command::Persist(_));
    let records = |command: &Command| matches!(command, Command::RecordVersions(..));
    let remembers = |command: &Command| matches!(command, Command::RememberSubscriptions(..));

    match outcome {
        // the number of changes to messages that wait for the broker which are safe from here on
        Ok(()) => {
            let waiting = batch.iter().filter(persists).count();
            debug!(commands = batch.len(), waiting, "written to the state file");
        }
        Err(error) => {
            if batch.iter().any(|command| persists(&command)) {
                warn!("cannot keep messages that wait for the broker: {error}");
            }
            if batch.iter().any(records) {
                warn!("cannot persist the version history: {error}");
            }
            if batch.iter().any(remembers) {
                warn!("cannot persist the subscriptions of services: {error}");
            }
        }
    }
}

/// Answers a command, and carries it out if it was not part of the batch's transaction. A caller may have gone, so errors of
/// sending are ignored.
fn answer(file: &mut File, command: Command, outcome: &Result<(), StoreError>) {
    match command {
        Command::Commit { reply, .. } => {
            let _ = reply.send(outcome.clone());
        }
        Command::Spool(append, reply) => {
            let _ = reply.send(outcome.clone().map(|()| append.first));
        }
        Command::FindSpool(service, reply) => {
            let _ = reply.send(file.spool(&service));
        }
        Command::ReadSpool {
            service,
            segment,
            bytes,
            reply,
        } => {
            let _ = reply.send(file.portion(&service, segment, bytes));
        }

        Command::PushDeadLetter {
            service,
            letter,
            limit,
            reply,
        } => {
            let _ = reply.send(file.push_dead_letter(&service, &letter, limit));
        }
        Command::DeadLetters(service, reply) => {
            let _ = reply.send(file.dead_letters(&service));
        }
        Command::DeleteDeadLetter(service, id, reply) => {
            let _ = reply.send(file.delete_dead_letter(&service, id));
        }
        Command::CountDeadLetters(services, reply) => {
            let _ = reply.send(file.count_dead_letters(&services));
        }
        Command::RequeueDeadLetters(service, reply) => {
            let _ = reply.send(file.requeue_dead_letters(&service));
        }
        Command::History(service, reply) => {
            let _ = reply.send(file.history(&service));
        }
        Command::Subscriptions(service, reply) => {
            let _ = reply.send(file.subscriptions(&service));
        }
        Command::Snapshot(service, version, reply) => {
            let _ = reply.send(file.snapshot(&service, version));
        }
        Command::Persist(_)
        | Command::RecordVersions(..)
        | Command::RememberSubscriptions(..)
        | Command::Close(_) => {}
    }
}

impl Command {
    /// Whether it is written in the transaction of its batch. All others have a transaction of their own, or none.
    fn writes_in_batch(&self) -> bool {
        matches!(
            self,
            Self::Commit { .. }
                | Self::Persist(_)
                | Self::RecordVersions(..)
                | Self::RememberSubscriptions(..)
                | Self::Spool(..)
        )
    }

    fn write(&self, transaction: &WriteTransaction) -> Result<(), redb::Error> {
        match self {
            Self::Commit {
                service,
                changes,
                versions,
                ..
            } => {
                state::write(transaction, service, changes)?;
                match versions {
                    Some(record) => versions::write(transaction, service, record),
                    None => Ok(()),
                }
            }
            Self::Persist(changes) => outgoing::write(transaction, changes),
            Self::RecordVersions(service, record) => versions::write(transaction, service, record),
            Self::RememberSubscriptions(service, list) => {
                subscriptions::write(transaction, service, list)
            }
            Self::Spool(append, _) => spool::append(transaction, append),
            _ => Ok(()),
        }
    }
}
