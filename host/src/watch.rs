//! Actor: notices that files were replaced: components and the configuration. In: their paths, and what the operating system says
//! about their directories. Out: the path of each file whose content may be new, once it has been quiet for a moment. Owns the
//! watches and what was last seen of each file.
//!
//! Renaming over the file, rewriting it in place and switching a symbolic link on the way to it are all seen, because every
//! directory on the way is watched and a file counts as changed when what its path leads to changed.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::warn;

/// How long a file must have been left alone before it is read: a writer that pauses longer than this shows a half-written
/// file, which is refused and looked at again when the rest comes.
const QUIET: Duration = Duration::from_millis(50);

/// Longest chain of symbolic links that is followed, as the kernel's own limit.
const LINKS: usize = 40;

/// Why a directory could not be watched.
#[derive(Debug, thiserror::Error)]
#[error("cannot watch {path} for changes: {source}")]
pub struct WatchError {
    path: PathBuf,
    source: notify::Error,
}

/// What is seen of a file without reading it. When any of it differs, the content may.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    target: PathBuf,
    inode: u64,
    bytes: u64,
    modified: Option<SystemTime>,
}

/// Watches files.
#[derive(Debug)]
pub struct Watch {
    watcher: RecommendedWatcher,
    touched: mpsc::Receiver<()>,
    files: HashMap<PathBuf, Option<Seen>>,
    directories: HashSet<PathBuf>,
    pending: HashMap<PathBuf, Instant>,
}

impl Watch {
    /// Watches `files`; what they are now counts as seen.
    ///
    /// # Errors
    /// When the operating system refuses to watch one of their directories.
    pub fn new(files: impl IntoIterator<Item = PathBuf>) -> Result<Self, WatchError> {
        // one slot: which file it was is found out by looking, so one waiting notice stands for any number
        let (touch, touched) = mpsc::channel(1);
        let watcher = notify::recommended_watcher(move |_| {
            let _ = touch.try_send(());
        })
        .map_err(|source| WatchError { path: PathBuf::new(), source })?;
        let files = files.into_iter().map(|file| (file.clone(), see(&file))).collect();
        let mut watch = Self { watcher, touched, files, directories: HashSet::new(), pending: HashMap::new() };
        watch.cover()?;
        watch.look();
        Ok(watch)
    }

    /// Watches `files` and no others from now on; what new ones are now counts as seen.
    ///
    /// # Errors
    /// When the operating system refuses to watch one of their directories.
    pub fn watch(&mut self, files: impl IntoIterator<Item = PathBuf>) -> Result<(), WatchError> {
        let mut known = std::mem::take(&mut self.files);
        let seen = |file: PathBuf| {
            let seen = known.remove(&file).unwrap_or_else(|| see(&file));
            (file, seen)
        };
        self.files = files.into_iter().map(seen).collect();
        self.pending.retain(|file, _| self.files.contains_key(file));
        self.cover()?;
        self.look();
        Ok(())
    }

    /// The next file that changed and was then left alone. Cancel-safe.
    pub async fn changed(&mut self) -> PathBuf {
        loop {
            let quiet = self.pending.iter().min_by_key(|(_, at)| **at).map(|(file, at)| (file.clone(), *at));
            tokio::select! {
                Some(()) = self.touched.recv() => self.look(),
                file = wait(quiet) => {
                    self.pending.remove(&file);
                    return file;
                }
            }
        }
    }

    /// Looks at every file. When that leads to directories that were not watched, it looks again, since what changed there before
    /// it was watched is told by nobody.
    fn look(&mut self) {
        for _ in 0..LINKS {
            for (file, last) in &mut self.files {
                let now = see(file);
                if now != *last {
                    *last = now;
                    self.pending.insert(file.clone(), Instant::now() + QUIET);
                }
            }
            match self.cover() {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => return warn!("{error}"),
            }
        }
    }

    /// Watches every directory on the way to the files that is not watched yet, and forgets those no longer on a way. Says whether
    /// there were new ones.
    fn cover(&mut self) -> Result<bool, WatchError> {
        let wanted: HashSet<PathBuf> = self.files.keys().flat_map(|file| directories(file)).collect();
        for directory in self.directories.difference(&wanted) {
            // an error means that the directory itself is gone
            let _ = self.watcher.unwatch(directory);
        }
        self.directories.retain(|directory| wanted.contains(directory));
        let before = self.directories.len();
        for directory in wanted {
            if !self.directories.contains(&directory) {
                self.watcher
                    .watch(&directory, RecursiveMode::NonRecursive)
                    .map_err(|source| WatchError { path: directory.clone(), source })?;
                self.directories.insert(directory);
            }
        }
        Ok(self.directories.len() > before)
    }
}

async fn wait(quiet: Option<(PathBuf, Instant)>) -> PathBuf {
    match quiet {
        Some((file, at)) => {
            tokio::time::sleep_until(at).await;
            file
        }
        None => std::future::pending().await,
    }
}

fn see(file: &Path) -> Option<Seen> {
    let target = fs::canonicalize(file).ok()?;
    let metadata = fs::metadata(&target).ok()?;
    Some(Seen { target, inode: metadata.ino(), bytes: metadata.len(), modified: metadata.modified().ok() })
}

/// The directories in which a change can make `file` lead to something else: its own, that of each symbolic link's target,
/// and, where a directory on the way is itself a link, the one that holds that link.
fn directories(file: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut next = Some(std::path::absolute(file).unwrap_or_else(|_| file.to_owned()));
    for _ in 0..LINKS {
        let Some(path) = next.take() else { break };
        for link in path.ancestors().skip(1).filter(|ancestor| ancestor.is_symlink()) {
            found.extend(link.parent().map(Path::to_owned));
        }
        let Some(parent) = path.parent() else { break };
        if let Ok(parent) = fs::canonicalize(parent) {
            found.push(parent);
        }
        next = fs::read_link(&path).ok().map(|target| parent.join(target));
    }
    found
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const DEADLINE: Duration = Duration::from_secs(10);

    async fn changed(watch: &mut Watch) -> PathBuf {
        tokio::time::timeout(DEADLINE, watch.changed()).await.unwrap()
    }

    #[tokio::test]
    async fn a_rename_over_the_file_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.wasm");
        fs::write(&file, "one").unwrap();
        let mut watch = Watch::new([file.clone()]).unwrap();
        fs::write(folder.path().join("a.new"), "two").unwrap();
        fs::rename(folder.path().join("a.new"), &file).unwrap();
        assert_eq!(changed(&mut watch).await, file);
    }

    #[tokio::test]
    async fn rewriting_in_place_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.wasm");
        fs::write(&file, "one").unwrap();
        let mut watch = Watch::new([file.clone()]).unwrap();
        fs::write(&file, "three").unwrap();
        assert_eq!(changed(&mut watch).await, file);
    }

    #[tokio::test]
    async fn switching_a_link_to_the_file_or_to_its_directory_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        for version in ["v1", "v2"] {
            fs::create_dir(folder.path().join(version)).unwrap();
            fs::write(folder.path().join(version).join("a.wasm"), version).unwrap();
        }
        let current = folder.path().join("current");
        std::os::unix::fs::symlink("v1", &current).unwrap();
        let file = folder.path().join("a.wasm");
        std::os::unix::fs::symlink("current/a.wasm", &file).unwrap();
        let mut watch = Watch::new([file.clone()]).unwrap();
        std::os::unix::fs::symlink("v2", folder.path().join("next")).unwrap();
        fs::rename(folder.path().join("next"), &current).unwrap();
        assert_eq!(changed(&mut watch).await, file);
        // and the directory that the link leads to now is watched too
        fs::write(folder.path().join("v2").join("a.wasm"), "version 3").unwrap();
        assert_eq!(changed(&mut watch).await, file);
    }

    #[tokio::test]
    async fn other_files_in_the_directory_do_not_count() {
        let folder = tempfile::tempdir().unwrap();
        let (file, other) = (folder.path().join("a.wasm"), folder.path().join("b.wasm"));
        fs::write(&file, "one").unwrap();
        fs::write(&other, "one").unwrap();
        let mut watch = Watch::new([file.clone()]).unwrap();
        fs::write(&other, "three").unwrap();
        fs::write(&file, "three").unwrap();
        assert_eq!(changed(&mut watch).await, file);
        assert!(watch.pending.is_empty(), "{:?}", watch.pending);
    }
}
