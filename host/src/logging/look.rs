//! Surface: how lines look, which may change at run time. In: an event. Out: a line of `line` or of `json`, for the journal with
//! its priority. Owns the choice.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::journal;
use super::json::Json;
use super::line::Text;
use crate::config::LogFormat;

/// The format in force. A clone is the same one.
#[derive(Debug, Clone)]
pub(super) struct Look {
    json: Arc<AtomicBool>,
    journal: bool,
}

impl Look {
    /// Lines in `format`; `journal`: for the systemd journal.
    pub(super) fn new(format: LogFormat, journal: bool) -> Self {
        Self {
            json: Arc::new(AtomicBool::new(format == LogFormat::Json)),
            journal,
        }
    }

    /// From now on lines have this format.
    pub(super) fn set(&self, format: LogFormat) {
        self.json
            .store(format == LogFormat::Json, Ordering::Relaxed);
    }
}

impl<S, N> FormatEvent<S, N> for Look
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let json = self.json.load(Ordering::Relaxed);
        let text = Text {
            time: !self.journal,
        };
        match (json, self.journal) {
            (true, false) => return Json.format_event(context, writer, event),
            (false, false) => return text.format_event(context, writer, event),
            _ => {}
        }
        let mut line = String::new();
        match json {
            true => Json.format_event(context, Writer::new(&mut line), event)?,
            false => text.format_event(context, Writer::new(&mut line), event)?,
        }
        writer.write_str(&journal::prioritised(&line, event.metadata().level()))
    }
}
