//! Log lines for people: `time level module: message name=value`, with `[service]` in place of the module for lines of guests.

use std::fmt::{self, Write};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent};
use tracing_subscriber::registry::LookupSpan;

use crate::span;

use super::GUEST;
use super::json::guest_fields;
use super::scope::{SpanName, with_name};

/// The format for people.
pub(super) struct Text {
    /// Whether a line begins with the time.
    pub(super) time: bool,
}

impl<S> FormatEvent<S, SpanName> for Text
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, SpanName>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let metadata = event.metadata();
        let service = with_name(context.event_scope(), span::SERVICE, str::to_owned);
        let mut parts = Parts::default();
        event.record(&mut parts);

        let (dim, colour, end) = colours(&writer, metadata.level());
        if self.time {
            write!(writer, "{dim}")?;
            SystemTime.format_time(&mut writer)?;
            write!(writer, "{end} ")?;
        }
        write!(writer, "{colour}{:>5}{end} ", metadata.level())?;

        match service {
            Some(service) if metadata.target().starts_with(GUEST) => {
                let service = service.escape_debug();
                writeln!(
                    writer,
                    "{dim}[{end}{service}{dim}]{end} {}{}",
                    parts.message, parts.fields
                )
            }
            service => {
                let target = parts.log_target.as_deref().unwrap_or(metadata.target());
                let module = target.strip_prefix("miqro_host::").unwrap_or(target);
                write!(writer, "{dim}{module}:{end} {}", parts.message)?;
                if let Some(service) = service {
                    write_field(&mut writer, "service", &service)?;
                }
                writeln!(writer, "{}", parts.fields)
            }
        }
    }
}

/// Escape sequences for secondary text, for the level, and for the end of both; empty without colours.
fn colours(writer: &Writer<'_>, level: &Level) -> (&'static str, &'static str, &'static str) {
    if !writer.has_ansi_escapes() {
        return ("", "", "");
    }
    let level = match *level {
        Level::ERROR => "\x1b[31m",
        Level::WARN => "\x1b[33m",
        Level::INFO => "\x1b[32m",
        Level::DEBUG => "\x1b[34m",
        Level::TRACE => "\x1b[35m",
    };

    ("\x1b[2m", level, "\x1b[0m")
}

/// Parts of an event, as text.
#[derive(Default)]
struct Parts {
    message: String,
    /// ` name=value` for each field.
    fields: String,
    /// Origin of an event that was written with the crate `log`.
    log_target: Option<String>,
}

impl Parts {
    fn field(&mut self, name: &str, value: &str) {
        // writing to a string cannot fail
        let _ = write_field(&mut self.fields, name, value);
    }
}

/// Writes ` name=value`, with the value in quotes if it has spaces, quotes or control characters.
fn write_field(writer: &mut impl Write, name: &str, value: &str) -> fmt::Result {
    let is_plain = !value.is_empty()
        && value
            .chars()
            .all(|c| c.is_alphanumeric() || c.is_ascii_punctuation() && c != '"');

    if is_plain {
        write!(writer, " {name}={value}")
    } else {
        write!(writer, " {name}={value:?}")
    }
}

impl Visit for Parts {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => append(&mut self.message, value),
            "log.target" => self.log_target = Some(value.to_owned()),
            name if name.starts_with("log.") => {}
            name => self.field(name, value),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => append(&mut self.message, &format!("{value:?}")),
            "fields" => {
                for (name, value) in guest_fields(&format!("{value:?}")).unwrap_or_default() {
                    self.field(
                        &name.escape_debug().to_string(),
                        value.as_str().unwrap_or_default(),
                    );
                }
            }
            name if name.starts_with("log.") => {}
            name => self.field(name, &format!("{value:?}")),
        }
    }
}

/// Appends `text` so that it can neither forge a log line nor control the terminal: each further line is marked, and control
/// characters are escaped.
fn append(to: &mut String, text: &str) {
    for character in text.trim_end().chars() {
        match character {
            '\n' => to.push_str("\n    | "),
            '\t' => to.push(character),
            control if control.is_control() => to.extend(control.escape_debug()),
            other => to.push(other),
        }
    }
}
