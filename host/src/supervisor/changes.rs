//! Changed files: swaps in the new versions that they contain. A file that cannot be loaded is reported in the log and in its
//! services' histories, once while the file is being written and once when it has stayed the same for a moment.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use tokio::sync::oneshot;
use tracing::warn;

use crate::rejection_log::{RejectionLog, STILL};
use crate::rollout::history::HistoryEvent;
use crate::service::{Command, Status};

use super::{Entry, Outcome, QueuedCommand, Supervisor};

impl Supervisor {
    /// Handles a changed file: a component may have a new version, or a directory that a service waits for may be there now.
    pub(super) fn on_changed(&mut self, file: PathBuf) {
        let waits = |entry: &&Entry| {
            let granted = entry
                .ctx
                .config
                .grants
                .directories
                .iter()
                .any(|directory| directory.path == file);

            granted && entry.handle.status() != Status::Running
        };

        for id in self
            .entries
            .iter()
            .filter(waits)
            .map(|entry| entry.id)
            .collect::<Vec<_>>()
        {
            // nobody waits for the answer
            let (answer, _) = oneshot::channel();
            self.orders.push_back(QueuedCommand {
                id,
                command: Command::Restart(answer),
            });
        }

        let component = self.loader.component_of(file);
        if self.entries.iter().any(|entry| entry.file == component) {
            self.prepare(component);
        }
    }

    /// Swaps in the versions that were prepared from a file, or reports why there are none.
    pub(super) fn take_over(&mut self, Outcome { file, inode, found }: Outcome) {
        self.preparations.in_progress.remove(&file);
        if self.preparations.is_deploying(&file) {
            self.preparations.dirty.insert(file);
            return;
        }

        match found {
            Ok((component, replacements)) => {
                self.rejection_log.forget(&file);
                self.set_in_file(&file, Some(&component));
                for replacement in replacements {
                    self.swap(replacement);
                }
            }
            Err(error) => {
                self.set_in_file(&file, None);
                if let Some(reason) =
                    self.rejection_log
                        .on_rejected(&file, inode, error.to_string(), Instant::now())
                {
                    self.say_refused(&file, reason);
                }
            }
        }

        if self.preparations.dirty.remove(&file) {
            self.prepare(file);
        }
    }

    /// Reports that the file is refused.
    fn say_refused(&mut self, file: &Path, reason: String) {
        let users = || self.entries.iter().filter(|entry| entry.file == file);
        let stays = match users().any(|entry| entry.version().is_some()) {
            true => "the running version stays",
            false => "the service waits for a better file",
        };
        warn!("{reason}; {stays}");
        let note = |id| QueuedCommand {
            id,
            command: Command::Note(None, HistoryEvent::Refused, reason.clone()),
        };
        let orders: Vec<QueuedCommand> = users().map(|entry| note(entry.id)).collect();
        self.orders.extend(orders);
    }

    /// Reports the refused files that have stopped changing.
    pub(super) fn say_settled(&mut self) {
        for (file, reason) in self.rejection_log.due(Instant::now()) {
            self.say_refused(&file, format!("{reason} (unchanged for {STILL:?})"));
        }
    }
}

/// Waits until a refused file has stopped changing.
pub(super) async fn wait_until_written(rejection_log: &RejectionLog) {
    match rejection_log.next() {
        Some(time) => tokio::time::sleep_until(time.into()).await,
        None => std::future::pending().await,
    }
}

/// The number of the file in its file system, if it is there.
pub(super) async fn inode(pool: &tokio::runtime::Handle, file: &Path) -> Option<u64> {
    let file: PathBuf = file.to_owned();
    let metadata = pool
        .spawn_blocking(move || std::fs::metadata(file))
        .await
        .ok()?;
    metadata.map(|metadata| metadata.ino()).ok()
}
