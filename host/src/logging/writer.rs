//! The thread that writes log lines, so that a task that logs never waits for the stream.
//!
//! Lines wait in a bounded queue. When nobody reads the stream (a pipe into a stopped program, a terminal held with Ctrl-S), the
//! queue fills up; further lines are dropped and counted, and a line says how many as soon as the stream moves again. Handling
//! messages matters more than logging it.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

/// Number of lines that may wait.
const QUEUE_LINES: usize = 4096;

/// Columns of the text below the last line; few terminals are narrower.
const STATUS_COLUMNS: usize = 79;

/// Goes to the beginning of the line and erases it (ECMA-48, EL with parameter 2).
const ERASE_LINE: &[u8] = b"\r\x1b[2K";

/// How long the end of the program may wait for the last lines.
const EXIT_TIMEOUT: Duration = Duration::from_secs(1);

/// Sending end of the queue. A clone sends to the same queue.
#[derive(Debug, Clone)]
pub(super) struct LogWriter {
    queue: SyncSender<Job>,
    lost: Arc<AtomicU64>,
}

enum Job {
    Line(Vec<u8>),
    /// Show this text below the last line, or nothing.
    Status(Option<String>),
    /// Further lines go to this stream.
    Redirect(Box<dyn Write + Send>),
    /// Reply when everything before this is written.
    Flush(SyncSender<()>),
}

impl LogWriter {
    /// Starts the thread that writes to `stream`.
    pub(super) fn new(stream: impl Write + Send + 'static) -> io::Result<Self> {
        let (queue, jobs) = sync_channel(QUEUE_LINES);
        let lost = Arc::new(AtomicU64::new(0));
        let thread = WriterThread {
            stream: Box::new(stream),
            lost: Arc::clone(&lost),
            reported: 0,
            status: None,
            is_status_shown: false,
        };

        std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || thread.run(&jobs))?;

        Ok(Self { queue, lost })
    }

    /// Waits until everything before this is written, but at most a second: the stream may have no reader.
    pub(super) fn flush_for_exit(&self) {
        let (done, wait) = sync_channel(1);
        if self.queue.try_send(Job::Flush(done)).is_ok() {
            // whether it was written or the time is up, there is nothing more to do
            let _ = wait.recv_timeout(EXIT_TIMEOUT);
        }
    }

    /// Shows `text` below the last line. Left out when the queue is full.
    pub(super) fn show_status(&self, text: Option<String>) {
        // lines matter more
        let _ = self.queue.try_send(Job::Status(text));
    }

    /// Sends further lines to `stream`; `false` if the queue is full.
    pub(super) fn redirect(&self, stream: impl Write + Send + 'static) -> bool {
        self.queue.try_send(Job::Redirect(Box::new(stream))).is_ok()
    }

    /// Number of lines dropped so far.
    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

impl<'a> MakeWriter<'a> for LogWriter {
    type Writer = &'a LogWriter;

    fn make_writer(&'a self) -> &'a LogWriter {
        self
    }
}

/// Each write is one line: `tracing_subscriber` formats into a buffer of its own first.
impl Write for &LogWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.queue.try_send(Job::Line(line.to_owned())).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }

        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Receiving end. Errors of the stream are ignored: there is no other place to report them.
struct WriterThread {
    stream: Box<dyn Write + Send>,
    lost: Arc<AtomicU64>,
    /// Number of lost lines that were reported.
    reported: u64,
    /// Text below the last line, and whether it is there now.
    status: Option<String>,
    is_status_shown: bool,
}

impl WriterThread {
    /// Writes lines until all senders are gone; flushes when the queue is empty.
    fn run(mut self, jobs: &Receiver<Job>) {
        while let Ok(mut job) = jobs.recv() {
            loop {
                self.handle(job);
                self.report_lost();

                match jobs.try_recv() {
                    Ok(next) => job = next,
                    Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
                }
            }

            self.show_status();
            let _ = self.stream.flush();
        }
    }

    fn handle(&mut self, job: Job) {
        match job {
            Job::Line(line) => {
                self.hide_status();
                let _ = self.stream.write_all(&line);
            }
            Job::Status(text) => {
                self.hide_status();
                self.status = text;
            }
            Job::Redirect(stream) => {
                let _ = self.stream.flush();
                self.stream = stream;
            }
            Job::Flush(done) => {
                let _ = self.stream.flush();
                let _ = done.send(());
            }
        }
    }

    fn show_status(&mut self) {
        if let Some(text) = self.status.as_ref().filter(|_| !self.is_status_shown) {
            // a line that wraps could not be erased
            let text: String = text.chars().take(STATUS_COLUMNS).collect();
            let _ = write!(self.stream, "{text}");
            self.is_status_shown = true;
        }
    }

    fn hide_status(&mut self) {
        if std::mem::take(&mut self.is_status_shown) {
            let _ = self.stream.write_all(ERASE_LINE);
        }
    }

    fn report_lost(&mut self) {
        let lost = self.lost.load(Ordering::Relaxed);
        let count = lost - self.reported;
        if count > 0 {
            self.hide_status();
            let _ = writeln!(
                self.stream,
                "{count} log lines were dropped here because nobody read them"
            );
            self.reported = lost;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use std::sync::mpsc::sync_channel;

    use super::*;

    /// A stream whose writes wait until the test receives them.
    struct Slow(SyncSender<Vec<u8>>);

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.send(bytes.to_owned()).map_err(io::Error::other)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn full_queue_drops_lines_and_reports_their_number() {
        let (stream, reader) = sync_channel(0);
        let writer = LogWriter::new(Slow(stream)).unwrap();
        for number in 0..QUEUE_LINES + 100 {
            (&writer)
                .write_all(format!("{number}\n").as_bytes())
                .unwrap();
        }
        // the thread may have taken one line from the queue
        let lost = writer.lost();
        assert!((99..=100).contains(&lost), "{lost}");
        assert_eq!(reader.recv().unwrap(), b"0\n");
        let mut report = String::new();
        while !report.ends_with("nobody read them\n") {
            report.push_str(&String::from_utf8(reader.recv().unwrap()).unwrap());
        }
        assert!(
            report.contains(&format!("{lost} log lines were dropped")),
            "{report}"
        );
    }

    #[test]
    fn status_stays_below_the_lines() {
        let (stream, reader) = sync_channel(QUEUE_LINES);
        let writer = LogWriter::new(Slow(stream)).unwrap();
        let next = || String::from_utf8(reader.recv().unwrap()).unwrap();
        let erase = String::from_utf8(ERASE_LINE.to_vec()).unwrap();

        writer.show_status(Some("busy".to_owned()));
        assert_eq!(next(), "busy");
        (&writer).write_all(b"a line\n").unwrap();
        assert_eq!(
            [next(), next(), next()],
            [erase.as_str(), "a line\n", "busy"]
        );
        writer.show_status(None);
        assert_eq!(next(), erase);
        (&writer).write_all(b"another\n").unwrap();
        assert_eq!(next(), "another\n");
    }

    #[test]
    fn last_lines_are_written_before_exit() {
        let (stream, reader) = sync_channel(QUEUE_LINES);
        let writer = LogWriter::new(Slow(stream)).unwrap();
        for number in 0..100 {
            (&writer)
                .write_all(format!("{number}\n").as_bytes())
                .unwrap();
        }
        writer.flush_for_exit();
        assert_eq!(reader.try_iter().count(), 100);
    }
}
