//! Surface: how a log line looks to people. In: an event. Out: `time level module: message name=value`, with `[service]` in place
//! of the module for what a guest says. Owns nothing.

use std::fmt::{self, Write};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::GUEST;
use super::json::guest_fields;

/// The format for people.
pub(super) struct Text {
    /// Whether a line begins with the time.
    pub(super) time: bool,
}

impl<S, N> FormatEvent<S, N> for Text
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let guest = event.metadata().target().starts_with(GUEST);
        let mut parts = Parts {
            guest,
            ..Parts::default()
        };
        event.record(&mut parts);
        let (dim, colour, end) = colours(&writer, event.metadata().level());
        if self.time {
            write!(writer, "{dim}")?;
            SystemTime.format_time(&mut writer)?;
            write!(writer, "{end} ")?;
        }
        write!(writer, "{colour}{:>5}{end} ", event.metadata().level())?;
        let target = parts
            .log_target
            .as_deref()
            .unwrap_or(event.metadata().target());
        match parts.service {
            Some(service) if parts.guest => write!(writer, "{dim}[{end}{service}{dim}]{end} ")?,
            _ => write!(
                writer,
                "{dim}{}:{end} ",
                target.strip_prefix("miqro_host::").unwrap_or(target)
            )?,
        }
        writeln!(writer, "{}{}", parts.message, parts.fields)
    }
}

/// Escape sequences for what is beside the point, for the level, and for the end of both; empty where there are no colours.
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

/// The fields of an event, written out.
#[derive(Default)]
struct Parts {
    message: String,
    /// ` name=value` for each other field.
    fields: String,
    /// Whether a guest says it; then `service` is not among the fields.
    guest: bool,
    service: Option<String>,
    /// Where an event comes from that was written with the crate `log`.
    log_target: Option<String>,
}

impl Parts {
    fn field(&mut self, name: &str, value: &str) {
        let plain = !value.is_empty()
            && value
                .chars()
                .all(|c| c.is_alphanumeric() || c.is_ascii_punctuation() && c != '"');
        // Writing to a string cannot fail.
        let _ = if plain {
            write!(self.fields, " {name}={value}")
        } else {
            write!(self.fields, " {name}={value:?}")
        };
    }
}

impl Visit for Parts {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => append(&mut self.message, value),
            "service" if self.guest => self.service = Some(value.escape_debug().to_string()),
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

/// Appends `text` so that it can neither pass for lines of its own nor command the terminal: each further line is marked, and
/// control characters are shown.
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
