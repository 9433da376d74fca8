//! The section `log` and MIQRO's key `log_level`.

use super::format::{Format, Words};
use super::key::Key;
use super::section::Section;
use super::settings::{Settings, settings};
use super::value::ConfigValue;

settings! {
    /// The level and the form of log lines.
    pub struct Logging {
        /// The level of all log lines but those of services that have a `log_level` of their own.
        pub level: Level = Level::Info, "level": LevelFormat;
        /// The form of log lines: for people (`text`), or one JSON object a line (`json`).
        pub format: LogFormat = LogFormat::Text, "format": Words(&FORMATS);
    }
}

/// Levels, in MIQRO's words (`CRITICAL` is read as error).
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Everything.
    Trace,
    /// Details that help to find a fault.
    Debug,
    /// Events that an operator wants to see.
    Info,
    /// Something is not as it should be.
    Warning,
    /// Something failed.
    Error,
}

/// The form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people, with colours on a terminal.
    Text,
    /// One JSON object a line.
    Json,
}

const FORMATS: [(&str, LogFormat); 2] = [("text", LogFormat::Text), ("json", LogFormat::Json)];

/// The words of levels, those of Python's `logging` included. The first word of a level is the one that is shown.
const LEVELS: [(&str, Level); 8] = [
    ("TRACE", Level::Trace),
    ("DEBUG", Level::Debug),
    ("INFO", Level::Info),
    ("WARNING", Level::Warning),
    ("WARN", Level::Warning),
    ("ERROR", Level::Error),
    ("CRITICAL", Level::Error),
    ("FATAL", Level::Error),
];

/// A level, in capitals or not.
pub(super) struct LevelFormat;

/// A word that is not a level.
#[derive(Debug, thiserror::Error)]
#[error("expected one of TRACE, DEBUG, INFO, WARNING, ERROR, CRITICAL, found {0:?}")]
struct UnknownLevel(String);

impl LevelFormat {
    /// Reads a level; `None` after an error.
    pub(super) fn level(&self, value: &ConfigValue<'_>) -> Option<Level> {
        value.parse(|text| {
            let word = text.to_ascii_uppercase();
            let found = LEVELS.iter().find(|(known, _)| *known == word);
            found
                .map(|(_, level)| *level)
                .ok_or_else(|| UnknownLevel(text.to_owned()))
        })
    }
}

impl Format<Level> for LevelFormat {
    fn read(&self, value: ConfigValue<'_>, field: &mut Level) {
        if let Some(level) = self.level(&value) {
            *field = level;
        }
    }

    fn render(&self, value: &Level) -> serde_json::Value {
        Words(&LEVELS).render(value)
    }

    fn accepted_values(&self) -> String {
        Words(&LEVELS).accepted_values()
    }
}

/// Reads both keys, of which only one may set the level.
pub(super) fn read_logging(root: &mut Section<'_>) -> Logging {
    let mut logging = Logging::default();
    let former = root.take("log_level");
    let mut section = root.take_section("log");

    if let (Some(former), Some(level)) = (&former, section.peek("level")) {
        level.error(format!(
            "is the same as log_level in line {}; write only one of them",
            former.line
        ));
    }

    logging.read(&mut section);
    section.finish();
    if let Some(former) = former {
        LevelFormat.read(former, &mut logging.level);
    }
    logging
}

/// MIQRO's key for the level.
pub(super) fn former_key() -> Key {
    Key::new(
        "log_level",
        "MIQRO's name for `log.level`. Only one of the two may be written.",
        LevelFormat.accepted_values(),
    )
    .example("INFO")
}
