//! Log lines for programs: one JSON object each.
//!
//! Its members are `timestamp`, `level`, `target`, `service` and `connection` where they are known, `message`, and each field of
//! the event. Fields that a guest gives are the object `fields`.

use std::fmt;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent};
use tracing_subscriber::registry::LookupSpan;

use crate::span;

use super::scope::{SpanName, with_name};

/// The format for programs.
pub(super) struct Json;

/// The members of a line.
///
/// # Errors
/// When the time cannot be formatted.
pub(super) fn members<S>(
    context: &FmtContext<'_, S, SpanName>,
    event: &Event<'_>,
) -> Result<Map<String, Value>, fmt::Error>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let mut time = String::new();
    SystemTime.format_time(&mut Writer::new(&mut time))?;

    let mut members = Members(Map::new());
    members.add("timestamp", time);
    members.add("level", event.metadata().level().as_str());
    members.add("target", event.metadata().target());
    for (kind, member) in [(span::SERVICE, "service"), (span::SESSION, "connection")] {
        with_name(context.event_scope(), kind, |name| {
            members.add(member, name)
        });
    }
    event.record(&mut members);

    Ok(members.0)
}

impl<S> FormatEvent<S, SpanName> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, SpanName>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let members = members(context, event)?;
        writeln!(writer, "{}", Value::Object(members))
    }
}

/// Parses the fields of a guest as `guest::api::log` writes them; `None` for anything else.
pub(super) fn guest_fields(text: &str) -> Option<Map<String, Value>> {
    serde_json::from_str(text).ok()
}

struct Members(Map<String, Value>);

impl Members {
    fn add(&mut self, name: &str, value: impl Into<Value>) {
        match name {
            // origin of an event that was written with the crate `log`
            "log.target" => self.0.insert("target".to_owned(), value.into()),
            name if name.starts_with("log.") => None,
            name => self.0.insert(name.to_owned(), value.into()),
        };
    }
}

impl Visit for Members {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field.name(), value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field.name(), value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field.name(), value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field.name(), value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field.name(), value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}");
        match guest_fields(&text).filter(|_| field.name() == "fields") {
            Some(fields) => self.add("fields", fields),
            None => self.add(field.name(), text),
        }
    }
}
