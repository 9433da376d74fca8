//! The log: which events are written, as what, and where to.
//!
//! Lines go to stderr or to a file, as text for people (in colour on a terminal) or as one JSON object a line. A thread writes
//! them, so a task that logs never waits for the reader of stderr (see `writer`). The name of the service comes from the span
//! around an event (see [`crate::span`]).

mod file;
mod format;
mod journal;
mod json;
mod levels;
mod lines;
mod scope;
mod text;
mod writer;

#[cfg(test)]
mod tests;

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tracing::Subscriber;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry};

use crate::config::{Level, LogFormat};
use crate::tap::TapFull;

use format::Format;
use levels::LiveLevels;
use scope::SpanName;
use writer::LogWriter;

pub use levels::Levels;
pub use lines::{LogLine, LogStream};

/// Prefix of the targets of lines that guests write.
const GUEST: &str = "miqro::guest";

/// Errors of logging.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// There is a subscriber already.
    #[error("logging has been set up before")]
    AlreadyStarted,
    /// The system gave no thread.
    #[error("no thread for writing the log: {0}")]
    Thread(io::Error),
    /// The log file cannot be written.
    #[error("cannot write the log file {path}: {source}")]
    File {
        /// Path of the log file.
        path: PathBuf,
        /// Error of the operating system.
        source: io::Error,
    },
    /// The queue of lines is full, so the log file could not be opened again.
    #[error("the log file was not opened again: too many lines are waiting to be written")]
    QueueFull,
}

/// Handle of running logging. Dropped at the end of the program, it waits at most a second until pending lines are written.
#[derive(Debug)]
pub struct Logs {
    levels: LiveLevels,
    format: Format,
    writer: LogWriter,
    file: Option<PathBuf>,
    /// Whether lines go to a terminal that understands control sequences.
    on_terminal: bool,
}

impl Logs {
    /// Replaces the levels and the format.
    pub fn set(&self, levels: Levels, format: LogFormat) {
        self.levels.set(levels);
        self.format.set(format);
    }

    /// Sets the level of a service, or with `None` of the host, until the levels are replaced.
    pub fn set_level(&self, service: Option<&str>, level: Level) {
        self.levels.change(|levels| match service {
            Some(service) => levels.set_service(service, Some(level)),
            None => levels.set_host(level),
        });
    }

    /// Opens the log file again, which may have been moved away. Does nothing without a log file.
    ///
    /// # Errors
    /// When the file cannot be written; lines then continue to go to the old one.
    pub fn reopen(&self) -> Result<(), LoggingError> {
        let Some(path) = &self.file else {
            return Ok(());
        };

        if self.writer.redirect(file::open(path)?) {
            Ok(())
        } else {
            Err(LoggingError::QueueFull)
        }
    }

    /// Shows a text below the last line, where lines go to a terminal, until it gets another one; `None` removes it.
    pub fn status_line(&self) -> Arc<dyn Fn(Option<String>) + Send + Sync> {
        let writer = self.on_terminal.then(|| self.writer.clone());
        Arc::new(move |text| {
            if let Some(writer) = &writer {
                writer.show_status(text);
            }
        })
    }

    /// The last lines of a service, or of all, from a level on and behind a number, and further ones if wanted.
    ///
    /// # Errors
    /// When too many listen already.
    pub fn listen(
        &self,
        service: Option<String>,
        level: Level,
        is_followed: bool,
        after: Option<u64>,
    ) -> Result<LogStream, TapFull> {
        let level = levels::level_filter(level);
        self.format.lines.listen(service, level, is_followed, after)
    }

    /// Number of lines that were dropped because stderr was not read.
    pub fn lost(&self) -> u64 {
        self.writer.lost()
    }
}

impl Drop for Logs {
    fn drop(&mut self) {
        self.writer.flush_for_exit();
    }
}

/// Sends the events of the whole process to stderr, or to `file`.
///
/// # Errors
/// When logging was started before, the system gave no thread, or the file cannot be written.
pub fn start(levels: Levels, format: LogFormat, file: Option<&Path>) -> Result<Logs, LoggingError> {
    let for_journal = file.is_none() && journal::is_stderr();
    let format = Format::new(format, for_journal);
    let writer = match file {
        Some(path) => LogWriter::new(file::open(path)?),
        None => LogWriter::new(io::stderr()),
    };
    let writer = writer.map_err(LoggingError::Thread)?;
    let levels = LiveLevels::new(levels);

    let on_terminal = file.is_none() && io::stderr().is_terminal() && !is_terminal_dumb();
    let colours = on_terminal && !is_no_color_set();
    subscriber(levels.clone(), format.clone(), colours, writer.clone())
        .try_init()
        .map_err(|_| LoggingError::AlreadyStarted)?;

    Ok(Logs {
        levels,
        format,
        writer,
        file: file.map(Path::to_owned),
        on_terminal,
    })
}

/// Whether the terminal understands no control sequences, by terminfo(5).
fn is_terminal_dumb() -> bool {
    std::env::var_os("TERM").is_some_and(|name| name == "dumb")
}

/// See <https://no-color.org>.
fn is_no_color_set() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}

fn subscriber(
    levels: LiveLevels,
    format: Format,
    colours: bool,
    writer: LogWriter,
) -> impl Subscriber + Send + Sync {
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(writer)
        .with_ansi(colours)
        .fmt_fields(SpanName)
        .event_format(format);

    Registry::default().with(lines.with_filter(levels))
}
