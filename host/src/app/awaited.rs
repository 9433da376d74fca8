//! Watch on the files that decide whether a configuration can be used: its own file, and files that it names and that were
//! missing or incomplete. While the configuration is being written, a refusal is logged only once.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tracing::warn;

use crate::rejection_log::RejectionLog;
use crate::watch::Watch;

/// The files.
pub(super) struct Files {
    configuration: Option<PathBuf>,
    watch: Option<Watch>,
    rejection_log: RejectionLog,
    /// Inode and reason of the refusal that was logged last.
    said: Option<(Option<u64>, String)>,
}

/// Event of the watched files.
pub(super) enum FileEvent {
    /// A file has changed; the text names the cause.
    Changed(&'static str),
    /// The configuration file has stopped changing and is refused for this reason.
    Rejected(String),
}

impl Files {
    /// Watches `configuration`, if there is one, and looks at it every `interval`.
    pub(super) fn new(configuration: Option<PathBuf>, interval: Duration) -> Self {
        let watch = configuration
            .clone()
            .and_then(|file| match Watch::new([file], interval) {
                Ok(watch) => Some(watch),
                Err(error) => {
                    warn!("{error}; it is read again on SIGHUP only");
                    None
                }
            });
        Self {
            configuration,
            watch,
            rejection_log: RejectionLog::default(),
            said: None,
        }
    }

    /// Watches `awaited` besides the configuration file, in place of earlier ones. Files that exist count as changed.
    pub(super) fn wait_for(&self, awaited: Vec<PathBuf>) {
        if let Some(watch) = &self.watch {
            watch.watch(self.configuration.iter().cloned().chain(awaited));
        }
    }

    /// Waits for the next event. Cancel-safe.
    pub(super) async fn next(&mut self) -> FileEvent {
        loop {
            let settled = self.rejection_log.next();
            let changed = async {
                match &mut self.watch {
                    Some(watch) => watch.changed().await,
                    None => std::future::pending().await,
                }
            };

            tokio::select! {
                file = changed => {
                    let own = self.configuration.as_ref() == Some(&file);
                    return FileEvent::Changed(if own { "the file has changed" } else { "a file that it names has changed" });
                }
                () = until(settled) => {
                    let due = self.rejection_log.due(Instant::now());
                    if let Some((_, refusal)) = due.into_iter().next() {
                        return FileEvent::Rejected(refusal);
                    }
                }
            }
        }
    }

    /// Records that the configuration was refused. Returns `refusal` if it is to be logged now, `None` if it is to be logged once
    /// the file has stopped changing.
    pub(super) fn on_refused(&mut self, inode: Option<u64>, refusal: String) -> Option<String> {
        let now = Instant::now();
        if self.are_being_written() && self.said.as_ref() == Some(&(inode, refusal.clone())) {
            return None;
        }
        let refusal = match &self.configuration {
            Some(file) => self.rejection_log.on_rejected(file, inode, refusal, now)?,
            None => refusal,
        };
        self.said = Some((inode, refusal.clone()));
        Some(refusal)
    }

    /// Whether a refusal was logged so recently that the next one may wait.
    pub(super) fn are_being_written(&self) -> bool {
        self.configuration
            .as_ref()
            .is_some_and(|file| self.rejection_log.has(file, Instant::now()))
    }

    /// Forgets earlier refusals, so that the next one is logged at once.
    pub(super) fn forget(&mut self) {
        if let Some(file) = &self.configuration {
            self.rejection_log.forget(file);
        }
    }
}

/// Waits until `time`, or forever if there is none.
pub(super) async fn until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time.into()).await,
        None => std::future::pending().await,
    }
}

/// The number of the file in its file system, if it is there.
pub(super) fn inode(file: &Path) -> Option<u64> {
    std::fs::metadata(file).map(|metadata| metadata.ino()).ok()
}
