//! Watch on the files that decide whether a configuration can be used: its own file, and files that it names and that were
//! missing or incomplete. While the configuration is being written, the log gets a refusal once only.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tracing::warn;

use crate::settling::Settling;
use crate::watch::Watch;

/// The files.
pub struct Files {
    configuration: Option<PathBuf>,
    watch: Option<Watch>,
    settling: Settling,
    /// Which file was refused and why, as it was said last.
    said: Option<(Option<u64>, String)>,
}

/// Event of the watched files.
pub enum Happened {
    /// A file has changed; the text names the cause.
    Changed(&'static str),
    /// The configuration file has stopped changing and is refused for this reason.
    Settled(String),
}

impl Files {
    /// Watches `configuration`, if there is one, and looks at it every `interval`.
    pub fn new(configuration: Option<PathBuf>, interval: Duration) -> Self {
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
            settling: Settling::default(),
            said: None,
        }
    }

    /// Watches these as well from now on, and no others. Those that are there count as changed.
    pub fn wait_for(&self, awaited: Vec<PathBuf>) {
        if let Some(watch) = &self.watch {
            watch.watch(self.configuration.iter().cloned().chain(awaited));
        }
    }

    /// The next thing that happens. Cancel-safe.
    pub async fn next(&mut self) -> Happened {
        loop {
            let settled = self.settling.next();
            let changed = async {
                match &mut self.watch {
                    Some(watch) => watch.changed().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                file = changed => {
                    let own = self.configuration.as_ref() == Some(&file);
                    return Happened::Changed(if own { "the file has changed" } else { "a file that it names has changed" });
                }
                () = until(settled) => {
                    let due = self.settling.due(Instant::now());
                    if let Some((_, refusal)) = due.into_iter().next() {
                        return Happened::Settled(refusal);
                    }
                }
            }
        }
    }

    /// The configuration was refused. Returns `refusal` where it is to be said now, and not when the file was left alone.
    pub fn refused(&mut self, inode: Option<u64>, refusal: String) -> Option<String> {
        let now = Instant::now();
        if self.are_settling() && self.said.as_ref() == Some(&(inode, refusal.clone())) {
            return None;
        }
        let refusal = match &self.configuration {
            Some(file) => self.settling.on_rejected(file, inode, refusal, now)?,
            None => refusal,
        };
        self.said = Some((inode, refusal.clone()));
        Some(refusal)
    }

    /// Whether a refusal was said so lately that the next one may wait.
    pub fn are_settling(&self) -> bool {
        self.configuration
            .as_ref()
            .is_some_and(|file| self.settling.has(file, Instant::now()))
    }

    /// The next refusal is said at once.
    pub fn forget(&mut self) {
        if let Some(file) = &self.configuration {
            self.settling.forget(file);
        }
    }
}

/// Waits until then; without a time for ever.
pub async fn until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time.into()).await,
        None => std::future::pending().await,
    }
}

/// The number of the file in its file system, if it is there.
pub fn inode(file: &Path) -> Option<u64> {
    std::fs::metadata(file).map(|metadata| metadata.ino()).ok()
}
