//! The pid file, with a lock for as long as the host lives. Whether a host runs is decided by the
//! lock alone, which the system releases when its process ends, however that was. The number in the
//! file is for people and for signals.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, Signal, kill_process};

/// Errors of the pid file.
#[derive(Debug, thiserror::Error)]
pub enum PidFileError {
    /// Another host holds it.
    #[error("a host runs already with the pid file {path}: its process id is {pid}")]
    Running {
        /// The file.
        path: PathBuf,
        /// The process.
        pid: u32,
    },
    /// No host holds it.
    #[error("no host runs with the pid file {0}")]
    NotRunning(PathBuf),
    /// The file cannot be used.
    #[error("cannot use the pid file {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

/// A pid file that this process holds.
#[derive(Debug)]
pub struct PidFile {
    file: File,
    path: PathBuf,
}

impl PidFile {
    /// Takes the file and writes the process id into it.
    ///
    /// # Errors
    /// When another host holds it, or it cannot be written.
    pub fn take(path: &Path) -> Result<Self, PidFileError> {
        let failed = |source| PidFileError::Io {
            path: path.to_owned(),
            source,
        };
        loop {
            let mut file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(path)
                .map_err(failed)?;

            if !try_lock(&file).map_err(failed)? {
                return Err(PidFileError::Running {
                    path: path.to_owned(),
                    pid: read(&mut file).map_err(failed)?,
                });
            }

            // its former owner may have removed it between opening and locking: then another file has the name by now
            if !is_at(&file, path).map_err(failed)? {
                continue;
            }
            file.set_len(0)
                .and_then(|()| writeln!(file, "{}", std::process::id()))
                .map_err(failed)?;
            return Ok(Self {
                file,
                path: path.to_owned(),
            });
        }
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // in a folder that is not ours it cannot be removed; without a lock it counts as absent anyway
        let _ = self.file.set_len(0);
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Process id of the host that holds the file; `None` if no host does.
///
/// # Errors
/// When the file exists and cannot be read.
pub fn holder(path: &Path) -> Result<Option<u32>, PidFileError> {
    let failed = |source| PidFileError::Io {
        path: path.to_owned(),
        source,
    };
    let mut file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(failed)?,
    };
    if try_lock(&file).map_err(failed)? {
        return Ok(None);
    }
    read(&mut file).map(Some).map_err(failed)
}

/// Signals to a running host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostSignal {
    /// Read the configuration again (SIGHUP).
    Reload,
    /// Stop (SIGTERM).
    Stop,
}

/// Sends a signal to the host that holds the file, and returns its process id.
///
/// # Errors
/// When no host holds it, or the signal is not permitted.
pub fn send(path: &Path, signal: HostSignal) -> Result<u32, PidFileError> {
    let failed = |source| PidFileError::Io {
        path: path.to_owned(),
        source,
    };
    let id = holder(path)?.ok_or_else(|| PidFileError::NotRunning(path.to_owned()))?;
    let pid = i32::try_from(id)
        .ok()
        .and_then(Pid::from_raw)
        .ok_or_else(|| failed(no_pid()))?;

    let signal = match signal {
        HostSignal::Reload => Signal::HUP,
        HostSignal::Stop => Signal::TERM,
    };
    kill_process(pid, signal).map_err(|error| failed(error.into()))?;

    Ok(id)
}

/// Blocks until no host holds the file.
///
/// # Errors
/// When the file cannot be used.
pub fn wait(path: &Path) -> Result<(), PidFileError> {
    match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        opened => opened
            .and_then(|file| file.lock())
            .map_err(|source| PidFileError::Io {
                path: path.to_owned(),
                source,
            }),
    }
}

/// Takes the lock; `false` if another process has it.
fn try_lock(file: &File) -> io::Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let ours = file.metadata()?;
    match std::fs::metadata(path) {
        Ok(there) => Ok((there.dev(), there.ino()) == (ours.dev(), ours.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn read(file: &mut File) -> io::Result<u32> {
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    text.trim().parse().map_err(|_| no_pid())
}

fn no_pid() -> io::Error {
    io::Error::other("the host that holds it has not written its process id yet")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn lock_decides_whether_a_host_runs() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("host.pid");
        // a stale file, of a process that runs even: our own parent
        std::fs::write(&path, "1\n").unwrap();
        assert_eq!(holder(&path).unwrap(), None);
        let ours = PidFile::take(&path).unwrap();
        assert_eq!(holder(&path).unwrap(), Some(std::process::id()));
        let refused = PidFile::take(&path).unwrap_err().to_string();
        assert!(
            refused.contains(&std::process::id().to_string()),
            "{refused}"
        );
        drop(ours);
        assert!(!path.exists());
        assert!(matches!(
            send(&path, HostSignal::Stop),
            Err(PidFileError::NotRunning(_))
        ));
        wait(&path).unwrap();
    }
}
