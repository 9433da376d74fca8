//! Surface: where log lines go and which are written. In: `tracing` events, `config::Logging`, the levels of services. Out:
//! lines on stderr or in a file: for people with colours on a terminal and without elsewhere, or one JSON object a line. Owns the
//! thread that writes, so that whoever logs never waits for the reader of stderr (see `logging::writer`).

mod file;
mod journal;
mod json;
mod line;
mod look;
mod writer;

use std::collections::HashMap;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Filter, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry};

use crate::config::{Config, Level, LogFormat};
use look::Look;
use writer::Pipe;

/// Targets of what guests log begin with this; such events have a field `service`.
const GUEST: &str = "miqro::guest";

/// Which events are written. Ours by the host's level, a guest's by its service's, and other crates' from warning on: what they
/// have to say below is for their developers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Levels {
    host: LevelFilter,
    /// Services that have a level of their own.
    services: HashMap<String, LevelFilter>,
}

impl Levels {
    /// The levels of a configuration.
    pub fn of(config: &Config) -> Self {
        let services = config
            .services
            .iter()
            .filter_map(|s| Some((s.name.clone(), filter(s.log_level?))))
            .collect();
        Self {
            host: filter(config.log.level),
            services,
        }
    }

    /// One level for all, as when there is no configuration yet.
    pub fn all(level: Level) -> Self {
        Self {
            host: filter(level),
            services: HashMap::new(),
        }
    }

    /// Sets the level of one service; `None`: as the host's.
    pub fn set_service(&mut self, name: &str, level: Option<Level>) {
        match level {
            Some(level) => self.services.insert(name.to_owned(), filter(level)),
            None => self.services.remove(name),
        };
    }

    /// The level from which on an event at this place may be written, whichever service it is of.
    fn at(&self, metadata: &Metadata<'_>) -> LevelFilter {
        match metadata.target() {
            target if target.starts_with(GUEST) => self.most(),
            target if target.starts_with("miqro") => self.host,
            _ if self.host == LevelFilter::TRACE => LevelFilter::DEBUG,
            // a line for each bad client: the broker sums them up in one of its own
            target if target.starts_with("mqtt5") => self.host.min(LevelFilter::ERROR),
            _ => self.host.min(LevelFilter::WARN),
        }
    }

    fn most(&self) -> LevelFilter {
        self.services
            .values()
            .copied()
            .fold(self.host, LevelFilter::max)
    }
}

fn filter(level: Level) -> LevelFilter {
    match level {
        Level::Trace => LevelFilter::TRACE,
        Level::Debug => LevelFilter::DEBUG,
        Level::Info => LevelFilter::INFO,
        Level::Warning => LevelFilter::WARN,
        Level::Error => LevelFilter::ERROR,
    }
}

/// The levels in force. Read for each event that the place in the code does not decide: lines of guests at a level that some
/// service wants. (`tracing_subscriber::reload` does not ask about events, only about places.)
#[derive(Debug, Clone)]
struct Live(Arc<RwLock<Levels>>);

impl Live {
    fn read(&self) -> RwLockReadGuard<'_, Levels> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, levels: Levels) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = levels;
        tracing::callsite::rebuild_interest_cache();
    }
}

impl<S: Subscriber> Filter<S> for Live {
    fn enabled(&self, metadata: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        *metadata.level() <= self.read().at(metadata)
    }

    /// The answer for a place in the code is remembered there, so that a line that is not written costs next to nothing.
    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        if *metadata.level() > self.read().at(metadata) {
            Interest::never()
        } else if metadata.target().starts_with(GUEST) {
            Interest::sometimes()
        } else {
            Interest::always()
        }
    }

    fn event_enabled(&self, event: &Event<'_>, _: &Context<'_, S>) -> bool {
        let levels = self.read();
        if levels.services.is_empty() || !event.metadata().target().starts_with(GUEST) {
            return true;
        }
        let mut wanted = Wanted {
            levels: &levels,
            limit: levels.host,
        };
        event.record(&mut wanted);
        *event.metadata().level() <= wanted.limit
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.read().most())
    }
}

/// Looks up the level of the service that an event is of.
struct Wanted<'a> {
    levels: &'a Levels,
    limit: LevelFilter,
}

impl Visit for Wanted<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "service" {
            self.limit = self
                .levels
                .services
                .get(value)
                .copied()
                .unwrap_or(self.levels.host);
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// There is a subscriber already.
    #[error("logging has been set up before")]
    Twice,
    /// The system gave no thread.
    #[error("no thread for writing the log: {0}")]
    Thread(std::io::Error),
    /// The log file cannot be written.
    #[error("cannot write the log file {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// More lines wait than may, so that the log file could not be opened again.
    #[error("the log is not read: the log file was not opened again")]
    Stuck,
}

/// Logging at work. Dropped at the end of the program, it writes what is waiting, for as long as a second.
#[derive(Debug)]
pub struct Logs {
    levels: Live,
    look: Look,
    pipe: Pipe,
    file: Option<PathBuf>,
}

impl Logs {
    /// From now on these levels and this format hold.
    pub fn set(&self, levels: Levels, format: LogFormat) {
        self.levels.set(levels);
        self.look.set(format);
    }

    /// Opens the log file again, which may have been moved away; without one nothing is to be done.
    ///
    /// # Errors
    /// When it cannot be written; lines go on into the old one then.
    pub fn reopen(&self) -> Result<(), LoggingError> {
        let Some(path) = &self.file else {
            return Ok(());
        };
        if self.pipe.redirect(file::open(path)?) {
            Ok(())
        } else {
            Err(LoggingError::Stuck)
        }
    }

    /// How many lines were dropped because stderr was not read.
    pub fn lost(&self) -> u64 {
        self.pipe.lost()
    }
}

impl Drop for Logs {
    fn drop(&mut self) {
        self.pipe.finish();
    }
}

/// Sends the events of the whole process to stderr, or to `file`.
///
/// # Errors
/// When it was done before, the system gave no thread, or the file cannot be written.
pub fn start(levels: Levels, format: LogFormat, file: Option<&Path>) -> Result<Logs, LoggingError> {
    let (pipe, look) = match file {
        Some(path) => (Pipe::new(file::open(path)?), Look::new(format, false)),
        None => (
            Pipe::new(std::io::stderr()),
            Look::new(format, journal::is_read()),
        ),
    };
    let colours = file.is_none()
        && std::io::stderr().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty());
    let pipe = pipe.map_err(LoggingError::Thread)?;
    let levels = Live(Arc::new(RwLock::new(levels)));
    subscriber(levels.clone(), look.clone(), colours, pipe.clone())
        .try_init()
        .map_err(|_| LoggingError::Twice)?;
    Ok(Logs {
        levels,
        look,
        pipe,
        file: file.map(Path::to_owned),
    })
}

fn subscriber(
    levels: Live,
    look: Look,
    colours: bool,
    writer: Pipe,
) -> impl Subscriber + Send + Sync {
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(writer)
        .with_ansi(colours)
        .event_format(look);
    Registry::default().with(lines.with_filter(levels))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use std::sync::Mutex;

    use super::*;

    fn levels(host: Level, services: &[(&str, Level)]) -> Levels {
        let mut levels = Levels::all(host);
        services
            .iter()
            .for_each(|(name, level)| levels.set_service(name, Some(*level)));
        levels
    }

    /// What is written while `act` runs, without the time at the beginning of each line.
    fn written(
        levels: Levels,
        format: LogFormat,
        colours: bool,
        act: impl FnOnce(&Live),
    ) -> String {
        let buffer = Buffer::default();
        let pipe = Pipe::new(buffer.clone()).unwrap();
        let levels = Live(Arc::new(RwLock::new(levels)));
        let subscriber = subscriber(
            levels.clone(),
            Look::new(format, false),
            colours,
            pipe.clone(),
        );
        tracing::subscriber::with_default(subscriber, || act(&levels));
        pipe.finish();
        String::from_utf8(buffer.0.lock().unwrap().clone()).unwrap()
    }

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn text(levels: Levels, act: impl FnOnce()) -> Vec<String> {
        let text = written(levels, LogFormat::Text, false, |_| act());
        text.lines()
            .map(|line| line.split_once(' ').unwrap().1.to_owned())
            .collect()
    }

    #[test]
    fn a_line_names_its_module_and_shows_its_fields() {
        let lines = text(levels(Level::Info, &[]), || {
            tracing::info!(target: "miqro_host::session::transport", port = 1883, host = "two words", "connected to {}", "x");
            tracing::warn!(target: "notify::watcher", "careful");
        });
        assert_eq!(
            lines,
            [
                " INFO session::transport: connected to x port=1883 host=\"two words\"",
                " WARN notify::watcher: careful"
            ]
        );
    }

    #[test]
    fn a_line_of_a_guest_names_its_service() {
        let lines = text(levels(Level::Info, &[]), || {
            tracing::info!(target: "miqro::guest", service = "echo", fields = %r#"{"n":"1"}"#, "hello");
            tracing::warn!(target: "miqro::guest::stderr", service = "echo", "panicked");
        });
        assert_eq!(lines, [" INFO [echo] hello n=1", " WARN [echo] panicked"]);
    }

    #[test]
    fn a_guest_cannot_forge_lines_or_colour_the_terminal() {
        let log = |message: &str| {
            let lines = text(levels(Level::Info, &[]), || {
                tracing::info!(target: "miqro::guest", service = "echo", "{message}");
            });
            lines.join("|")
        };
        assert_eq!(log("a\u{1b}[31mb\u{7}"), " INFO [echo] a\\u{1b}[31mb\\u{7}");
        let forged = written(levels(Level::Info, &[]), LogFormat::Text, false, |_| {
            tracing::info!(target: "miqro::guest", service = "echo", "a\n2026-01-01T00:00:00Z ERROR session: b");
        });
        assert_eq!(
            forged.lines().nth(1),
            Some("    | 2026-01-01T00:00:00Z ERROR session: b")
        );
    }

    fn everything() {
        tracing::error!(target: "miqro_host::app", "host error");
        tracing::info!(target: "miqro_host::app", "host info");
        tracing::debug!(target: "miqro_host::app", "host debug");
        tracing::info!(target: "wasmtime", "theirs info");
        tracing::debug!(target: "wasmtime", "theirs debug");
        tracing::trace!(target: "wasmtime", "theirs trace");
        tracing::error!(target: "wasmtime", "theirs error");
        for service in ["quiet", "loud", "other"] {
            tracing::error!(target: "miqro::guest", service, "{service} error");
            tracing::info!(target: "miqro::guest::stdout", service, "{service} info");
            tracing::debug!(target: "miqro::guest", service, "{service} debug");
        }
    }

    fn seen(levels: Levels) -> Vec<String> {
        let last_words = |line: &String| {
            line.split(' ')
                .rev()
                .take(2)
                .collect::<Vec<_>>()
                .into_iter()
                .rev()
                .collect::<Vec<_>>()
                .join(" ")
        };
        text(levels, everything).iter().map(last_words).collect()
    }

    #[test]
    fn each_service_has_its_level_and_others_the_hosts() {
        assert_eq!(
            seen(levels(
                Level::Info,
                &[("quiet", Level::Error), ("loud", Level::Debug)]
            )),
            [
                "host error",
                "host info",
                "theirs error",
                "quiet error",
                "loud error",
                "loud info",
                "loud debug",
                "other error",
                "other info"
            ]
        );
        assert_eq!(
            seen(levels(Level::Error, &[("loud", Level::Info)])),
            [
                "host error",
                "theirs error",
                "quiet error",
                "loud error",
                "loud info",
                "other error"
            ]
        );
    }

    #[test]
    fn other_crates_are_heard_only_at_trace() {
        let theirs = |level| {
            seen(levels(level, &[]))
                .into_iter()
                .filter(|line| line.starts_with("theirs"))
                .count()
        };
        assert_eq!([theirs(Level::Debug), theirs(Level::Trace)], [1, 3]);
    }

    #[test]
    fn levels_change_at_run_time() {
        let text = written(levels(Level::Error, &[]), LogFormat::Text, false, |live| {
            everything();
            live.set(levels(Level::Error, &[("loud", Level::Debug)]));
            tracing::debug!(target: "miqro::guest", service = "loud", "now");
            tracing::debug!(target: "miqro::guest", service = "quiet", "never");
        });
        assert!(
            text.contains("[loud] now") && !text.contains("never") && !text.contains("loud debug"),
            "{text}"
        );
    }

    #[test]
    fn json_has_one_object_a_line() {
        let text = written(levels(Level::Info, &[]), LogFormat::Json, false, |_| {
            let fields = r#"{"colour":"dark blue"}"#;
            tracing::info!(target: "miqro::guest", service = "echo", fields = %fields, count = 3, "a \"quoted\"\nline");
        });
        let object: serde_json::Value = serde_json::from_str(text.trim_end()).unwrap();
        assert_eq!(object["service"], "echo");
        assert_eq!(
            (&object["fields"]["colour"], &object["count"]),
            (&"dark blue".into(), &3.into())
        );
        assert_eq!(object["message"], "a \"quoted\"\nline");
        assert_eq!(object["level"], "INFO");
        assert!(object["timestamp"].is_string());
    }

    #[test]
    fn colours_are_used_only_where_they_are_wanted() {
        let line = |colours| {
            written(
                levels(Level::Info, &[]),
                LogFormat::Text,
                colours,
                |_| tracing::info!(target: "miqro_host", "x"),
            )
        };
        assert!(line(true).contains("\u{1b}["));
        assert!(!line(false).contains('\u{1b}'));
    }
}
