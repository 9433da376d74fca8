//! Format of log lines, which may change at run time.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent};
use tracing_subscriber::registry::LookupSpan;

use super::journal;
use super::json::{Json, members};
use super::lines::Lines;
use super::scope::SpanName;
use super::text::Text;
use crate::config::LogFormat;

/// Writes each event as text or as JSON. A clone shares the choice.
#[derive(Debug, Clone)]
pub(super) struct Format {
    json: Arc<AtomicBool>,
    journal: bool,
    pub(super) lines: Lines,
}

impl Format {
    /// `journal`: lines go to the systemd journal, which notes the time itself and wants a priority.
    pub(super) fn new(format: LogFormat, journal: bool) -> Self {
        Self {
            json: Arc::new(AtomicBool::new(format == LogFormat::Json)),
            journal,
            lines: Lines::default(),
        }
    }

    /// Changes the format.
    pub(super) fn set(&self, format: LogFormat) {
        self.json
            .store(format == LogFormat::Json, Ordering::Relaxed);
    }

    fn write_line<S>(
        &self,
        context: &FmtContext<'_, S, SpanName>,
        writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        if self.json.load(Ordering::Relaxed) {
            return Json.format_event(context, writer, event);
        }

        let text = Text {
            time: !self.journal,
        };
        text.format_event(context, writer, event)
    }
}

impl<S> FormatEvent<S, SpanName> for Format
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, SpanName>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        self.lines
            .add(*event.metadata().level(), members(context, event)?);
        if !self.journal {
            return self.write_line(context, writer, event);
        }

        let mut line = String::new();
        self.write_line(context, Writer::new(&mut line), event)?;

        writer.write_str(&journal::with_priority(&line, event.metadata().level()))
    }
}
