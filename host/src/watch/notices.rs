//! The notifications of the operating system about directories. `notify` is named here only.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::SyncSender;
use std::time::{Duration, SystemTime};

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tracing::warn;

/// Device, inode and time of birth, where the file system has one: another directory may have come into the place of one, and may have
/// been given the number of the one that was deleted.
type Identity = (u64, u64, Option<SystemTime>);

/// Watches directories as far as the operating system does.
pub(super) struct Notices {
    wake: SyncSender<()>,
    /// `None`: refused so far.
    watcher: Option<RecommendedWatcher>,
    directories: HashMap<PathBuf, Identity>,
    /// The refused directories, for the log; empty: none.
    refused: String,
    /// The fallback without notifications, for the log.
    instead: String,
}

impl Notices {
    /// Watches nothing yet. Events go to `wake`; besides, files are checked every `interval`, if it is not zero.
    pub(super) fn new(wake: SyncSender<()>, interval: Duration) -> Self {
        let instead = match interval {
            Duration::ZERO => "changes there are not noticed (watch_interval: 0s)".to_owned(),
            _ => format!("files there are looked at every {interval:?} (watch_interval)"),
        };
        Self {
            wake,
            watcher: None,
            directories: HashMap::new(),
            refused: String::new(),
            instead,
        }
    }

    /// Watches every directory of `wanted` that is not watched yet, and forgets the others. Says whether there were new ones.
    pub(super) fn cover(&mut self, wanted: HashSet<PathBuf>) -> bool {
        let identified =
            |directory: PathBuf| identity(&directory).map(|identity| (directory, identity));
        let wanted: HashMap<PathBuf, Identity> =
            wanted.into_iter().filter_map(identified).collect();
        if let Err(error) = self.watcher() {
            self.say(Some(format!("cannot watch files for changes: {error}")));
            return false;
        }
        self.forget(&wanted);
        let before = self.directories.len();
        let refused = self.add(wanted);
        self.say(refused);
        self.directories.len() > before
    }

    fn watcher(&mut self) -> notify::Result<()> {
        if self.watcher.is_none() {
            let wake = self.wake.clone();
            self.watcher = Some(notify::recommended_watcher(move |_| {
                // a full slot wakes it too
                let _ = wake.try_send(());
            })?);
        }

        Ok(())
    }

    fn forget(&mut self, wanted: &HashMap<PathBuf, Identity>) {
        let gone = self
            .directories
            .extract_if(|directory, identity| wanted.get(directory) != Some(identity));
        for (directory, _) in gone {
            // an error means that the directory itself is gone
            let _ = self
                .watcher
                .as_mut()
                .map(|watcher| watcher.unwatch(&directory));
        }
    }

    /// Returns what is refused, where something is; the others are watched all the same.
    fn add(&mut self, wanted: HashMap<PathBuf, Identity>) -> Option<String> {
        let mut refused = Vec::new();
        for (directory, identity) in wanted {
            let Some(watcher) = &mut self.watcher else {
                continue;
            };
            if self.directories.contains_key(&directory) {
                continue;
            }
            match watcher.watch(&directory, RecursiveMode::NonRecursive) {
                Ok(()) => drop(self.directories.insert(directory, identity)),
                Err(error) => refused.push((directory, error)),
            }
        }

        // always the same one, so that it is not said again
        let refused = refused
            .into_iter()
            .min_by(|(one, _), (other, _)| one.cmp(other));
        refused.map(|(directory, error)| {
            format!("cannot watch {} for changes: {error}", directory.display())
        })
    }

    /// Says once what is refused, and again when it is something else.
    fn say(&mut self, refused: Option<String>) {
        let refused = refused.unwrap_or_default();
        if !refused.is_empty() && refused != self.refused {
            warn!("{refused}; {}", self.instead);
        }
        self.refused = refused;
    }
}

fn identity(directory: &Path) -> Option<Identity> {
    let metadata = fs::metadata(directory).ok()?;
    Some((metadata.dev(), metadata.ino(), metadata.created().ok()))
}
