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

/// The reason why there is no host in the background.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// Another one runs.
    #[error("{0}")]
    PidFile(#[from] PidFileError),
    /// A file for it cannot be made.
    #[error("cannot make {path}: {source}")]
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

/// How the program is started again.
#[derive(Debug)]
pub struct Launch {
    /// Its arguments, with absolute paths.
    pub arguments: Vec<OsString>,
    /// As whom; `None`: as who started it.
    pub identity: Option<Identity>,
    /// The directory.
    pub directory: PathBuf,
    /// Its pid file.
    pub pid_file: Option<PathBuf>,
    /// Its log file.
    pub log_file: Option<PathBuf>,
}

impl Launch {
    /// Starts it in the background and waits until it is ready: its process id, or the exit code with which it failed after all
    /// that it had to say was written to stderr.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn background(self, log: &Path) -> Result<Result<u32, ExitCode>, DaemonError> {
        self.give_away()?;
        let mut log = opened(log)?;
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
            return Ok(Ok(child.id()));
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
        Ok(Err(ExitCode::from(code.unwrap_or(1))))
    }

    /// Starts it in the place of this program, with the same process id; returns only when that fails.
    pub fn in_place(self) -> DaemonError {
        match self.give_away().and_then(|()| self.command()) {
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

    /// Makes the files that it could not make itself, in folders that are not its own, and gives them to it.
    fn give_away(&self) -> Result<(), DaemonError> {
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
            let file = opened(path)?;
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

fn opened(path: &Path) -> Result<File, DaemonError> {
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

/// The second program's part.
#[derive(Debug)]
pub struct Background {
    parent: UnixStream,
}

impl Background {
    /// Leaves the terminal; to be called before anything else.
    ///
    /// # Errors
    /// When the program was not started by the first one.
    pub fn begin() -> io::Result<Self> {
        rustix::process::setsid()?;
        let parent = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
        Ok(Self { parent })
    }

    /// Tells the first program that all is well, which ends it.
    pub fn ready(&self) {
        // an error means that it has been ended meanwhile, which is no reason to stop
        let _ = (&self.parent).write_all(&[READY]);
    }
}

/// Takes the pid file, if there is to be one, for as long as the result lives.
///
/// # Errors
/// When another host holds it.
pub fn hold(path: Option<&Path>) -> Result<Option<PidFile>, PidFileError> {
    path.map(PidFile::take).transpose()
}

/// The number of the user who runs this.
pub fn user() -> u32 {
    rustix::process::getuid().as_raw()
}

/// Whether this is the superuser.
pub fn is_root() -> bool {
    rustix::process::getuid().is_root()
}
