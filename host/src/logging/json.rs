//! Surface: how a log line looks to programs. In: an event. Out: one JSON object: `timestamp`, `level`, `target`, `message`, and
//! every field as a member; what a guest gives as fields is the object `fields`. Owns nothing.

use std::fmt;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// The format for programs.
pub(super) struct Json;

impl<S, N> FormatEvent<S, N> for Json
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
        let mut time = String::new();
        SystemTime.format_time(&mut Writer::new(&mut time))?;
        let mut members = Members(Map::new());
        members.add("timestamp", time);
        members.add("level", event.metadata().level().as_str());
        members.add("target", event.metadata().target());
        event.record(&mut members);
        writeln!(writer, "{}", Value::Object(members.0))
    }
}

/// The fields of a guest as `guest::api::log` hands them on; `None` for what it did not write.
pub(super) fn guest_fields(text: &str) -> Option<Map<String, Value>> {
    serde_json::from_str(text).ok()
}

struct Members(Map<String, Value>);

impl Members {
    fn add(&mut self, name: &str, value: impl Into<Value>) {
        match name {
            // where an event comes from that was written with the crate `log`
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
