//! Notices that files were replaced: components and the configuration. A thread looks at the files,
//! because a network file system may let it wait; a file is reported once it has been quiet for a
//! moment.
//!
//! Renaming over the file, rewriting it in place, switching a symbolic link on the way to it and
//! replacing a directory on the way are all seen: every directory in which that can happen is
//! watched, and a file counts as changed when the target of its path has changed. Besides, all files
//! are checked at an interval, for file systems without notifications and for directories that
//! cannot be watched.

mod notices;
mod way;

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc as threads;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::{mpsc, watch};

use notices::Notices;

/// How long a file must have been left alone before it is read: a writer that pauses longer than this shows a half-written
/// file, which is refused and looked at again when the rest comes.
const QUIET: Duration = Duration::from_millis(50);

/// Notices come in flocks: how long the thread waits for the rest of one before it looks.
const FLOCK: Duration = Duration::from_millis(5);

/// Changed files that wait to be taken; the thread waits beyond that.
const WAITING: usize = 64;

/// How long the thread sleeps when nothing is to come by the clock.
const LONG: Duration = Duration::from_secs(3600);

/// The reason why files are not watched.
#[derive(Debug, thiserror::Error)]
#[error("files are not watched for changes, there is no thread for it: {0}")]
pub struct WatchError(io::Error);

/// Facts of a file that are seen without reading it. If any differs, the content may differ.
#[derive(Debug, Clone, PartialEq, Eq)]
struct FileStamp {
    target: PathBuf,
    inode: u64,
    bytes: u64,
    modified: Option<SystemTime>,
    /// Rights to read it: mode, user and group.
    access: (u32, u32, u32),
}

/// The way to the thread, which ends with it.
#[derive(Debug)]
pub struct Watch {
    files: watch::Sender<Vec<PathBuf>>,
    wake: threads::SyncSender<()>,
    changed: mpsc::Receiver<PathBuf>,
}

impl Watch {
    /// Watches `files`; their present content counts as seen. They are checked every `interval` at least, unless that is zero.
    ///
    /// # Errors
    /// When the operating system has no further thread.
    pub fn new(
        files: impl IntoIterator<Item = PathBuf>,
        interval: Duration,
    ) -> Result<Self, WatchError> {
        // one slot: which file it was is found out by looking, so one waiting word stands for any number
        let (wake, woken) = threads::sync_channel(1);
        let (told, changed) = mpsc::channel(WAITING);
        let seen: HashMap<_, _> = files
            .into_iter()
            .map(|file| (file.clone(), see(&file)))
            .collect();
        let (files, wanted) = watch::channel(seen.keys().cloned().collect());
        let notices = Notices::new(wake.clone(), interval);
        let interval = (!interval.is_zero()).then_some(interval);
        let mut looker = Looker {
            notices,
            wanted,
            woken,
            told,
            interval,
            files: seen,
            pending: HashMap::new(),
        };

        looker.look();
        thread::Builder::new()
            .name("watch".to_owned())
            .spawn(move || looker.run())
            .map_err(WatchError)?;
        Ok(Self {
            files,
            wake,
            changed,
        })
    }

    /// Watches `files` and no others from now on; new ones are told once, since they may have changed since they were read.
    pub fn watch(&self, files: impl IntoIterator<Item = PathBuf>) {
        self.files.send_replace(files.into_iter().collect());
        self.wake();
    }

    /// The next file that changed and was then left alone. Cancel-safe.
    pub async fn changed(&mut self) -> PathBuf {
        match self.changed.recv().await {
            Some(file) => file,
            // the thread ends with this only
            None => std::future::pending().await,
        }
    }

    fn wake(&self) {
        // a full slot wakes it too
        let _ = self.wake.try_send(());
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.changed.close();
        self.wake();
    }
}

/// The thread's service_state.
struct Looker {
    notices: Notices,
    wanted: watch::Receiver<Vec<PathBuf>>,
    woken: threads::Receiver<()>,
    told: mpsc::Sender<PathBuf>,
    interval: Option<Duration>,
    files: HashMap<PathBuf, Option<FileStamp>>,
    /// Files that changed, and when they have been quiet for long enough.
    pending: HashMap<PathBuf, Instant>,
}

impl Looker {
    fn run(mut self) {
        let mut looked = Instant::now();
        while !self.told.is_closed() {
            let poll = self.interval.map(|interval| looked + interval);
            let next = self.pending.values().copied().chain(poll).min();
            let wait = next.map_or(LONG, |next| next.saturating_duration_since(Instant::now()));
            // it never ends: the notices have a sender
            let woken = self.woken.recv_timeout(wait).is_ok();
            if woken {
                thread::sleep(FLOCK);
            }
            if woken || poll.is_some_and(|poll| poll <= Instant::now()) {
                self.renew();
                self.look();
                looked = Instant::now();
            }
            self.tell();
        }
    }

    /// Takes over which files are wanted now.
    fn renew(&mut self) {
        if !self.wanted.has_changed().unwrap_or(false) {
            return;
        }
        let wanted = self.wanted.borrow_and_update().clone();
        let mut known = std::mem::take(&mut self.files);
        self.files = wanted
            .into_iter()
            .map(|file| (file.clone(), known.remove(&file).unwrap_or_default()))
            .collect();
        self.pending.retain(|file, _| self.files.contains_key(file));
    }

    /// Looks at every file. When that leads to directories that were not watched, it looks again, since earlier changes in
    /// them are not reported.
    fn look(&mut self) {
        for _ in 0..way::LINKS {
            for (file, last) in &mut self.files {
                let now = see(file);
                if now != *last {
                    *last = now;
                    self.pending.insert(file.clone(), Instant::now() + QUIET);
                }
            }

            if !self.notices.cover(
                self.files
                    .keys()
                    .flat_map(|file| way::directories(file))
                    .collect(),
            ) {
                return;
            }
        }
    }

    /// Tells of the files that have been quiet for long enough.
    fn tell(&mut self) {
        let now = Instant::now();
        let quiet: Vec<PathBuf> = self
            .pending
            .iter()
            .filter(|(_, at)| **at <= now)
            .map(|(file, _)| file.clone())
            .collect();

        for file in quiet {
            self.pending.remove(&file);
            // an error means that the receiver is gone
            let _ = self.told.blocking_send(file);
        }
    }
}

fn see(file: &Path) -> Option<FileStamp> {
    let target = fs::canonicalize(file).ok()?;
    let metadata = fs::metadata(&target).ok()?;
    let access = (metadata.mode(), metadata.uid(), metadata.gid());
    Some(FileStamp {
        target,
        inode: metadata.ino(),
        bytes: metadata.len(),
        modified: metadata.modified().ok(),
        access,
    })
}

#[cfg(test)]
mod tests;
