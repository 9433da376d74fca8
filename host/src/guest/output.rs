//! A guest's stdout and stderr: each line becomes a log line with the target `miqro::guest::stdout` or
//! `miqro::guest::stderr`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use tracing::{Span, info, warn};
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use crate::guest::log_quota::LogQuota;

/// A longer line is cut into pieces of this many bytes.
const LINE_BYTES: usize = 8 * 1024;

/// Bytes that a guest may write at once.
const WRITE_BYTES: usize = 64 * 1024;

/// Which of the two streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stream {
    /// Lines become `info`.
    Stdout,
    /// Lines become `warn`: a panic is explained here.
    Stderr,
}

/// One stream of one instance. All handles to it that the guest opens share the unfinished line, because guests open a
/// handle for each write. The lock is never contended: an instance runs in one place at a time.
#[derive(Clone)]
pub(super) struct Output(Arc<Mutex<Lines>>);

struct Lines {
    log_quota: Arc<LogQuota>,
    stream: Stream,
    /// Span of the service: the last line is written when the instance is dropped, wherever that is.
    span: Span,
    unfinished: Vec<u8>,
}

impl Output {
    pub(super) fn new(log_quota: Arc<LogQuota>, stream: Stream) -> Self {
        Self(Arc::new(Mutex::new(Lines {
            log_quota,
            stream,
            span: Span::current(),
            unfinished: Vec::new(),
        })))
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lines {
    fn write(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            for part in piece.chunks(LINE_BYTES) {
                self.append(part);
            }
        }
    }

    /// `part` has at most one line end, as its last byte.
    fn append(&mut self, part: &[u8]) {
        if self.unfinished.len() + part.len() > LINE_BYTES {
            self.finish();
        }
        self.unfinished.extend_from_slice(part);
        if self.unfinished.ends_with(b"\n") {
            self.finish();
        }
    }

    fn finish(&mut self) {
        let line = std::mem::take(&mut self.unfinished);
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end_matches(['\n', '\r']);
        if text.is_empty() || !self.log_quota.may_log() {
            return;
        }

        let span = &self.span;
        match self.stream {
            Stream::Stdout => info!(target: "miqro::guest::stdout", parent: span, "{text}"),
            Stream::Stderr => warn!(target: "miqro::guest::stderr", parent: span, "{text}"),
        }
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.finish();
    }
}

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Output {
    /// Not used: only `p2` is linked, which calls [`Self::p2_stream`].
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(tokio::io::empty())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {}
}

impl OutputStream for Output {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.lines().write(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use std::io::Write;

    use tracing::subscriber;
    use tracing_subscriber::fmt::MakeWriter;

    use super::*;
    use crate::config::{Limits, Service};
    use crate::service_ctx::ServiceCtx;
    use crate::span;
    use crate::topic::BaseTopic;

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Log {
        type Writer = Self;
        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    fn logged(stream: Stream, writes: &[&[u8]]) -> Vec<String> {
        logged_with(Limits::default(), stream, writes)
    }

    fn logged_with(limits: Limits, stream: Stream, writes: &[&[u8]]) -> Vec<String> {
        let service = Service {
            limits,
            ..Service::new("echo", BaseTopic::of_service("echo").unwrap())
        };
        let ctx = ServiceCtx::new(Arc::new(service));
        let log = Log::default();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .without_time()
            .with_writer(log.clone())
            .finish();
        subscriber::with_default(subscriber, || {
            let output = span::service("echo")
                .in_scope(|| Output::new(Arc::new(LogQuota::new(&ctx)), stream));
            for bytes in writes {
                // a handle of its own for each write, as Rust guests do it
                let mut handle = output.p2_stream();
                handle.write(Bytes::copy_from_slice(bytes)).unwrap();
            }
        });

        let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        text.lines().map(|line| line.trim().to_owned()).collect()
    }

    #[test]
    fn pieces_become_lines_and_the_last_needs_no_end() {
        assert_eq!(
            logged(
                Stream::Stdout,
                &[b"one ", b"line\nand", b" another\n\n", b"the last"]
            ),
            [
                "INFO service{name=echo}: miqro::guest::stdout: one line",
                "INFO service{name=echo}: miqro::guest::stdout: and another",
                "INFO service{name=echo}: miqro::guest::stdout: the last",
            ]
        );
    }

    #[test]
    fn stderr_is_a_warning_and_binary_is_escaped() {
        assert_eq!(
            logged(Stream::Stderr, &[b"a\xffb\r\n"]),
            ["WARN service{name=echo}: miqro::guest::stderr: a\u{fffd}b"]
        );
    }

    #[test]
    fn lines_beyond_a_limit_are_dropped() {
        let lines: &[&[u8]] = &[b"1\n", b"2\n", b"3\n"];
        let mut limits = Limits::default();
        limits.call.log_lines = 2;
        assert_eq!(logged_with(limits, Stream::Stdout, lines).len(), 2);
        let mut limits = Limits::default();
        limits.rates.log_lines = 1;
        assert_eq!(logged_with(limits, Stream::Stdout, lines).len(), 1);
    }

    #[test]
    fn endless_lines_are_cut() {
        let lines = logged(Stream::Stdout, &[&[b'x'; 3 * LINE_BYTES]]);
        assert_eq!(lines.len(), 3);
    }
}
