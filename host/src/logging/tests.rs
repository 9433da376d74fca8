//! Tests of `logging`: whole lines, and which of them are written.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::{Arc, Mutex};

use super::*;
use crate::config::Level;
use crate::span;

fn levels(host: Level, services: &[(&str, Level)]) -> Levels {
    let mut levels = Levels::all(host);
    services
        .iter()
        .for_each(|(name, level)| levels.set_service(name, Some(*level)));
    levels
}

/// Lines that `act` writes, without the time at the beginning of each.
fn written(
    levels: Levels,
    format: LogFormat,
    colours: bool,
    act: impl FnOnce(&LiveLevels),
) -> String {
    let buffer = Buffer::default();
    let writer = LogWriter::new(buffer.clone()).unwrap();
    let levels = LiveLevels::new(levels);
    let subscriber = subscriber(
        levels.clone(),
        Format::new(format, false),
        colours,
        writer.clone(),
    );

    tracing::subscriber::with_default(subscriber, || act(&levels));
    writer.flush_for_exit();
    String::from_utf8(buffer.0.lock().unwrap().clone()).unwrap()
}

#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl io::Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
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
        let _span = span::service("echo").entered();
        tracing::info!(target: "miqro::guest", fields = %r#"{"n":"1"}"#, "hello");
        tracing::warn!(target: "miqro::guest::stderr", "panicked");
    });
    assert_eq!(lines, [" INFO [echo] hello n=1", " WARN [echo] panicked"]);
}

#[test]
fn service_comes_from_the_innermost_span() {
    let lines = text(levels(Level::Info, &[]), || {
        let _outer = span::service("outer").entered();
        let _connection = span::session("miqro-1").entered();
        tracing::info!(target: "miqro_host::service", port = 1, "outside");
        let _inner = span::service("two words").entered();
        let _other = tracing::info_span!("service", name = "of another crate").entered();
        tracing::info!(target: "miqro_host::service", port = 1, "inside");
        let about = span::service("another");
        about.in_scope(|| tracing::info!(target: "miqro_host::service", "about another"));
    });

    assert_eq!(
        lines,
        [
            " INFO service: outside service=outer port=1",
            " INFO service: inside service=\"two words\" port=1",
            " INFO service: about another service=another"
        ]
    );
}

#[test]
fn spans_exist_at_every_level() {
    let lines = text(levels(Level::Error, &[("echo", Level::Error)]), || {
        let _span = span::service("echo").entered();
        tracing::error!(target: "miqro_host::service", "failed");
    });
    assert_eq!(lines, ["ERROR service: failed service=echo"]);
}

#[test]
fn a_guest_cannot_forge_lines_or_colour_the_terminal() {
    let log = |message: &str| {
        let lines = text(levels(Level::Info, &[]), || {
            let _span = span::service("echo").entered();
            tracing::info!(target: "miqro::guest", "{message}");
        });
        lines.join("|")
    };

    assert_eq!(log("a\u{1b}[31mb\u{7}"), " INFO [echo] a\\u{1b}[31mb\\u{7}");
    let forged = written(levels(Level::Info, &[]), LogFormat::Text, false, |_| {
        let _span = span::service("echo").entered();
        tracing::info!(target: "miqro::guest", "a\n2026-01-01T00:00:00Z ERROR session: b");
    });
    assert_eq!(
        forged.lines().nth(1),
        Some("    | 2026-01-01T00:00:00Z ERROR session: b")
    );
}

fn log_at_every_level() {
    tracing::error!(target: "miqro_host::app", "host error");
    tracing::info!(target: "miqro_host::app", "host info");
    tracing::debug!(target: "miqro_host::app", "host debug");
    tracing::info!(target: "wasmtime", "theirs info");
    tracing::debug!(target: "wasmtime", "theirs debug");
    tracing::trace!(target: "wasmtime", "theirs trace");
    tracing::error!(target: "wasmtime", "theirs error");
    for service in ["quiet", "loud", "other"] {
        let _span = span::service(service).entered();
        tracing::error!(target: "miqro::guest", "{service} error");
        tracing::info!(target: "miqro::guest::stdout", "{service} info");
        tracing::debug!(target: "miqro::guest", "{service} debug");
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

    text(levels, log_at_every_level)
        .iter()
        .map(last_words)
        .collect()
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
        log_at_every_level();
        live.set(levels(Level::Error, &[("loud", Level::Debug)]));
        span::service("loud").in_scope(|| tracing::debug!(target: "miqro::guest", "now"));
        span::service("quiet").in_scope(|| tracing::debug!(target: "miqro::guest", "never"));
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
        let _connection = span::session("miqro-1").entered();
        let _service = span::service("echo").entered();
        tracing::info!(target: "miqro::guest", fields = %fields, count = 3, "a \"quoted\"\nline");
    });

    let object: serde_json::Value = serde_json::from_str(text.trim_end()).unwrap();
    assert_eq!(
        (&object["service"], &object["connection"]),
        (&"echo".into(), &"miqro-1".into())
    );
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
