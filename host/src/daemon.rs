//! A host in the background: the same program, started again in a session of its own, as another
//! user if need be. The first one ends when the second has loaded its services, or prints why it has
//! not.
//!
//! The program is started again in place of a fork: a fork would take only one thread along, and
//! needs `unsafe`.

pub mod identity;
pub mod pid_file;

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use identity::Identity;
use pid_file::{PidFile, PidFileError};

/// The argument that marks the second program.
pub const CHILD: &str = "--in-background";

/// The byte that the second program sends when it is ready.
const READY: u8 = b'r';

/// Errors of starting the host in the background.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// Another host holds the pid file.
    #[error("{0}")]
    PidFile(#[from] PidFileError),
    /// A file for it cannot be created.
    #[error("cannot create {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The program cannot be started again.
    #[error("cannot start the program again: {0}")]
    Start(io::Error),
    /// The program can be started, but not observed.
    #[error("lost sight of the program in the background: {0}")]
    Watch(io::Error),
}

/// A new start of the program.
#[derive(Debug)]
pub struct Launch {
    /// Arguments, with absolute paths.
    pub arguments: Vec<OsString>,
    /// User and group; `None`: those of this process.
    pub identity: Option<Identity>,
    /// Working directory.
    pub directory: PathBuf,
    /// Path of the pid file.
    pub pid_file: Option<PathBuf>,
    /// Path of the log file.
    pub log_file: Option<PathBuf>,
}

/// Outcome of a start in the background.
#[derive(Debug)]
pub enum BackgroundStart {
    /// The host is ready; its process id.
    Ready(u32),
    /// The host ended with this exit code.
    Failed(ExitCode),
}

impl Launch {
    /// Starts the program in the background and waits until it is ready. If it fails, the new lines of its log are copied to
    /// stderr.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn background(self, log: &Path) -> Result<BackgroundStart, DaemonError> {
        self.create_files()?;
        let mut log = open_for_appending(log)?;
        let start = log.seek(SeekFrom::End(0)).map_err(DaemonError::Watch)?;
        let (mut ours, theirs) = UnixStream::pair().map_err(DaemonError::Start)?;

        let mut command = self.command()?;
        // a panic, too, is said there: the log line of it may never have been written
        let stderr = log.try_clone().map_err(DaemonError::Start)?;
        command
            .arg(CHILD)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(stderr);
        let mut child = command.spawn().map_err(DaemonError::Start)?;
        // its end of the socket must be the only one left, so that its end is seen
        drop(command);

        let mut word = [0];
        if matches!(ours.read(&mut word), Ok(1)) && word == [READY] {
            return Ok(BackgroundStart::Ready(child.id()));
        }

        let status = child.wait().map_err(DaemonError::Watch)?;
        log.seek(SeekFrom::Start(start))
            .map_err(DaemonError::Watch)?;
        // stderr may be gone; the exit code says it too
        let _ = io::copy(&mut log, &mut io::stderr());
        let code = status
            .code()
            .and_then(|code| u8::try_from(code).ok())
            .filter(|code| *code > 0);

        Ok(BackgroundStart::Failed(ExitCode::from(code.unwrap_or(1))))
    }

    /// Replaces this process by the program, with the same process id; returns only when that fails.
    pub fn in_place(self) -> DaemonError {
        match self.create_files().and_then(|()| self.command()) {
            Ok(mut command) => DaemonError::Start(command.exec()),
            Err(error) => error,
        }
    }

    fn command(&self) -> Result<Command, DaemonError> {
        // this name of the running program needs no right to the directories on the way to it, which another user may not have
        let mut command = Command::new("/proc/self/exe");
        command.arg0(std::env::current_exe().map_err(DaemonError::Start)?);
        command.args(&self.arguments).current_dir(&self.directory);
        if let Some(identity) = &self.identity {
            // this also drops the supplementary groups of root
            command.uid(identity.uid).gid(identity.gid);
        }
        Ok(command)
    }

    /// Creates the files that the other user may not create, and makes that user their owner.
    fn create_files(&self) -> Result<(), DaemonError> {
        if let Some(path) = &self.pid_file
            && let Some(pid) = pid_file::holder(path)?
        {
            return Err(PidFileError::Running {
                path: path.clone(),
                pid,
            }
            .into());
        }

        for path in self.pid_file.iter().chain(&self.log_file) {
            let file = open_for_appending(path)?;
            if let Some(identity) = &self.identity {
                let given =
                    std::os::unix::fs::fchown(&file, Some(identity.uid), Some(identity.gid));
                given.map_err(|source| DaemonError::File {
                    path: path.clone(),
                    source,
                })?;
            }
        }

        Ok(())
    }
}

fn open_for_appending(path: &Path) -> Result<File, DaemonError> {
    let file = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .open(path);
    file.map_err(|source| DaemonError::File {
        path: path.to_owned(),
        source,
    })
}

/// The part of the background process.
#[derive(Debug)]
pub struct Background {
    parent: UnixStream,
}

impl Background {
    /// Leaves the terminal. Must be called before anything else.
    ///
    /// # Errors
    /// When the process was not started by the first one.
    pub fn begin() -> io::Result<Self> {
        rustix::process::setsid()?;
        let parent = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
        Ok(Self { parent })
    }

    /// Tells the first process that the host is ready, which ends that process.
    pub fn ready(&self) {
        // an error means that it has been ended meanwhile, which is no reason to stop
        let _ = (&self.parent).write_all(&[READY]);
    }
}

/// Takes the pid file, if one is wanted, until the result is dropped.
///
/// # Errors
/// When another host holds it.
pub fn hold(path: Option<&Path>) -> Result<Option<PidFile>, PidFileError> {
    path.map(PidFile::take).transpose()
}

/// Id of the user of this process.
pub fn user() -> u32 {
    rustix::process::getuid().as_raw()
}

/// Whether this process runs as the superuser.
pub fn is_root() -> bool {
    rustix::process::getuid().is_root()
}
