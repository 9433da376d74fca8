//! Reads the names that [`crate::span`] gives to spans.

use std::fmt;

use tracing::Subscriber;
use tracing::field::{Field, Visit};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FormatFields, FormattedFields};
use tracing_subscriber::registry::{LookupSpan, Scope};

/// Keeps the field `name` of a span as text, and nothing else.
#[derive(Debug)]
pub(super) struct SpanName;

impl<'w> FormatFields<'w> for SpanName {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut visitor = NameVisitor {
            writer,
            result: Ok(()),
        };
        fields.record(&mut visitor);

        visitor.result
    }
}

struct NameVisitor<'w> {
    writer: Writer<'w>,
    result: fmt::Result,
}

impl Visit for NameVisitor<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "name" {
            self.result = write!(self.writer, "{value:?}");
        }
    }
}

/// Calls `read` with the name of the innermost of our spans that is called `kind`, if there is one around the event.
pub(super) fn with_name<S, T>(
    scope: Option<Scope<'_, S>>,
    kind: &str,
    read: impl FnOnce(&str) -> T,
) -> Option<T>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let span = scope?.find(|span| {
        span.name() == kind && span.metadata().target().starts_with("miqro_host::span")
    })?;
    let extensions = span.extensions();
    let name = extensions.get::<FormattedFields<SpanName>>()?;

    Some(read(&name.fields))
}
