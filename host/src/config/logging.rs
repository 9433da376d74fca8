//! Pure: `log` and MIQRO's `log_level`. In: the top of the file. Out: `Logging`, `Level`. Owns nothing.

use super::format::set;
use super::given::Given;
use super::section::Section;
use super::{Level, LogFormat, Logging};

/// The words of `log.format`.
pub(super) const FORMATS: [(&str, LogFormat); 2] =
    [("text", LogFormat::Text), ("json", LogFormat::Json)];

/// Reads both keys, of which only one may set the level.
pub(super) fn logging(root: &mut Section<'_>) -> Logging {
    let mut logging = Logging::default();
    let miqro = root.take("log_level");
    let mut section = root.section("log");
    let ours = section.take("level");
    set(
        section
            .take("format")
            .and_then(|given| given.word(&FORMATS)),
        &mut logging.format,
    );
    section.finish();
    if let (Some(miqro), Some(ours)) = (&miqro, &ours) {
        ours.problem(format!(
            "is the same as log_level in line {}; write only one of them",
            miqro.line
        ));
    }
    set(
        miqro.or(ours).and_then(|given| level(&given)),
        &mut logging.level,
    );
    logging
}

/// A level in the words of Python's `logging`, in capitals or not.
pub(super) fn level(given: &Given<'_>) -> Option<Level> {
    given.read(|text| match text.to_ascii_uppercase().as_str() {
        "TRACE" => Ok(Level::Trace),
        "DEBUG" => Ok(Level::Debug),
        "INFO" => Ok(Level::Info),
        "WARNING" | "WARN" => Ok(Level::Warning),
        "ERROR" | "CRITICAL" | "FATAL" => Ok(Level::Error),
        _ => Err(format!(
            "{text:?} is no level; accepted: TRACE, DEBUG, INFO, WARNING, ERROR, CRITICAL"
        )),
    })
}

/// The word of `level` that is read back as the same.
pub(super) fn show_level(level: Level) -> &'static str {
    match level {
        Level::Trace => "TRACE",
        Level::Debug => "DEBUG",
        Level::Info => "INFO",
        Level::Warning => "WARNING",
        Level::Error => "ERROR",
    }
}
