//! Compiles large components in a process of their own: `miqro-host compile`, which leaves its result in the compile cache.
//!
//! The compiler needs hundreds of MiB for a Python guest, and the allocator would keep most of it in the host for ever. The process
//! ends, so its memory is free again; it has bounds for memory and time, gives way to messages, and is the first to be killed when
//! memory runs out.

use std::io::{self, Read, Seek, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, Signal, set_parent_process_death_signal, setrlimit};

use crate::guest::address_space::Reservation;
use crate::priority;

/// Components up to this size, in bytes, are compiled in the host: it takes a fraction of a second and a few MiB.
pub(super) const SMALL: usize = 1024 * 1024;

/// Memory that the process may use, in bytes. A Python guest takes 700 MB.
const MEMORY: u64 = 2 << 30;

/// Beginning of the error for a component that is not valid.
pub(super) const INVALID: &str = "the component is not valid: ";

/// Between two looks at the process.
const PAUSE: Duration = Duration::from_millis(10);

/// A component that could not be compiled within the bounds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompileProcessError {
    /// The process did not end in time.
    #[error("compiling took longer than the {0:?} of compile_timeout")]
    Timeout(Duration),
    /// The process ended by a signal; without memory, that is SIGABRT or SIGKILL.
    #[error("the compiler ended by signal {signal}, with at most {} MiB of memory: {said}", MEMORY >> 20)]
    Killed {
        /// The signal.
        signal: i32,
        /// The last line of its standard error.
        said: String,
    },
    /// The component is not valid, for this reason.
    #[error("{INVALID}{0}")]
    Invalid(String),
    /// The process could not be started or watched.
    #[error("cannot run the compiler: {0}")]
    Process(String),
}

/// The way to start the process.
#[derive(Debug, Clone)]
pub(super) struct CompileProcess {
    /// `miqro-host`.
    pub(super) program: PathBuf,
    /// The compile cache, which hands the result over.
    pub(super) cache_dir: PathBuf,
    /// A part of the compiler's settings, and so of the cache's keys.
    pub(super) reservation: Reservation,
    /// How long it may take.
    pub(super) timeout: Duration,
}

impl CompileProcess {
    /// Puts the compiled code of a component into the cache. Blocks.
    ///
    /// # Errors
    /// When the component is not valid, or the process exceeds its bounds or cannot be watched. When it does not start, or fails for
    /// another reason such as a full disk, the host compiles the component itself.
    pub(super) fn run(&self, bytes: &[u8]) -> Result<(), CompileProcessError> {
        let mut child = match self.start(bytes) {
            Ok(child) => child,
            Err(error) => {
                let program = self.program.display();
                tracing::warn!(
                    "cannot start {program}: {error}; the host compiles the component itself"
                );
                return Ok(());
            }
        };

        let status = self.wait(&mut child);
        if status.is_err() {
            // an error means that it has ended meanwhile
            let _ = child.kill();
            let _ = child.wait();
        }
        let status = status?;
        let said = errors(&mut child);
        if let Some(signal) = status.signal() {
            let said = said.lines().last().unwrap_or_default().to_owned();
            return Err(CompileProcessError::Killed { signal, said });
        }
        match said.split_once(INVALID) {
            Some((_, reason)) if !status.success() => {
                Err(CompileProcessError::Invalid(reason.trim_end().to_owned()))
            }
            _ => Ok(()),
        }
    }

    fn start(&self, bytes: &[u8]) -> io::Result<Child> {
        // a pipe would block when the process does not read
        let mut input = tempfile::tempfile()?;
        input.write_all(bytes)?;
        input.rewind()?;
        Command::new(&self.program)
            .arg("compile")
            .arg("--cache-dir")
            .arg(&self.cache_dir)
            .args(["--memory-reservation", &self.reservation.memory.to_string()])
            .arg("-")
            .stdin(input)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
    }

    fn wait(&self, child: &mut Child) -> Result<ExitStatus, CompileProcessError> {
        let started = Instant::now();
        loop {
            if let Some(status) = child.try_wait().map_err(process_error)? {
                return Ok(status);
            }
            if started.elapsed() > self.timeout {
                return Err(CompileProcessError::Timeout(self.timeout));
            }
            std::thread::sleep(PAUSE);
        }
    }
}

/// Bounds the calling process as one that only compiles. `for_host`: it ends with the host that has started it.
///
/// # Errors
/// When the system refuses the bound for memory.
pub(super) fn confine(for_host: bool) -> io::Result<()> {
    priority::lower();
    if for_host {
        // the next host would start another one, and both would need much memory
        set_parent_process_death_signal(Some(Signal::KILL))?;
    }
    // if this is refused, the OOM killer goes by size, and then most likely selects this process as well
    let _ = std::fs::write(Path::new("/proc/self/oom_score_adj"), "1000");
    let limit = Rlimit {
        current: Some(MEMORY),
        maximum: Some(MEMORY),
    };
    Ok(setrlimit(Resource::Data, limit)?)
}

fn process_error(error: io::Error) -> CompileProcessError {
    CompileProcessError::Process(error.to_string())
}

/// The standard error of an ended process.
fn errors(child: &mut Child) -> String {
    let mut text = String::new();
    if let Some(mut errors) = child.stderr.take() {
        // text that cannot be read is left out
        let _ = errors.read_to_string(&mut text);
    }
    text
}
