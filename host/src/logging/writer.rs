//! Surface: carries log lines to stderr without ever making the one who logs wait. In: finished lines. Out: bytes on a stream,
//! in order. Owns a bounded queue and the thread that empties it: when nobody reads the stream (a pipe into a stopped program, a
//! terminal held with Ctrl-S) the queue fills up, further lines are dropped and counted, and a line says how many once it moves
//! again. A message is more important than the line about it.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, TryRecvError, channel, sync_channel};
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

/// Lines that may wait.
const LINES: usize = 4096;

/// How long the end of the program may wait for the last lines.
const LAST_LINES: Duration = Duration::from_secs(1);

/// The end of the queue that lines go into. A clone is another way into the same queue.
#[derive(Debug, Clone)]
pub(super) struct Pipe {
    queue: SyncSender<Job>,
    lost: Arc<AtomicU64>,
}

enum Job {
    Line(Vec<u8>),
    /// From here on another stream.
    Stream(Box<dyn Write + Send>),
    /// Answer when everything before this is written.
    Flush(Sender<()>),
}

impl Pipe {
    /// Starts the thread that writes to `stream`.
    pub(super) fn new(stream: impl Write + Send + 'static) -> io::Result<Self> {
        let (queue, jobs) = sync_channel(LINES);
        let lost = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&lost);
        std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || write(Box::new(stream), &jobs, &counter))?;
        Ok(Self { queue, lost })
    }

    /// Waits until everything before this is written, but not for a stream that nobody reads.
    pub(super) fn finish(&self) {
        let (done, wait) = channel();
        if self.queue.try_send(Job::Flush(done)).is_ok() {
            // Whether all was written or the time is up, there is nothing more to do.
            let _ = wait.recv_timeout(LAST_LINES);
        }
    }

    /// Writes to `stream` what comes from now on. `false`: too much is waiting.
    pub(super) fn redirect(&self, stream: impl Write + Send + 'static) -> bool {
        self.queue.try_send(Job::Stream(Box::new(stream))).is_ok()
    }

    /// Lines dropped so far.
    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

impl<'a> MakeWriter<'a> for Pipe {
    type Writer = &'a Pipe;

    fn make_writer(&'a self) -> &'a Pipe {
        self
    }
}

/// Each write is one line: `tracing_subscriber` formats into a buffer of its own first.
impl Write for &Pipe {
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

/// The thread: writes what has come, and flushes when nothing more is waiting. Faults of the stream have no place to go to.
fn write(mut stream: Box<dyn Write + Send>, jobs: &Receiver<Job>, lost: &AtomicU64) {
    let mut told = 0;
    while let Ok(mut job) = jobs.recv() {
        loop {
            match job {
                Job::Line(line) => drop(stream.write_all(&line)),
                Job::Stream(other) => {
                    drop(stream.flush());
                    stream = other;
                }
                Job::Flush(done) => {
                    drop(stream.flush());
                    let _ = done.send(());
                }
            }
            tell(&mut stream, lost, &mut told);
            match jobs.try_recv() {
                Ok(next) => job = next,
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
            }
        }
        drop(stream.flush());
    }
}

fn tell(stream: &mut impl Write, lost: &AtomicU64, told: &mut u64) {
    let now = lost.load(Ordering::Relaxed);
    if now > *told {
        drop(writeln!(
            stream,
            "{} log lines were dropped here because nobody read them",
            now - *told
        ));
        *told = now;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use std::sync::mpsc::sync_channel;

    use super::*;

    /// A stream of which each write waits until the test takes it.
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
    fn who_logs_never_waits_and_what_is_dropped_is_told() {
        let (stream, reader) = sync_channel(0);
        let pipe = Pipe::new(Slow(stream)).unwrap();
        for number in 0..LINES + 100 {
            (&pipe).write_all(format!("{number}\n").as_bytes()).unwrap();
        }
        // One line may have been taken from the queue meanwhile.
        let lost = pipe.lost();
        assert!((99..=100).contains(&lost), "{lost}");
        assert_eq!(reader.recv().unwrap(), b"0\n");
        let mut told = String::new();
        while !told.ends_with("nobody read them\n") {
            told.push_str(&String::from_utf8(reader.recv().unwrap()).unwrap());
        }
        assert!(
            told.contains(&format!("{lost} log lines were dropped")),
            "{told}"
        );
    }

    #[test]
    fn the_last_lines_are_written_before_the_end() {
        let (stream, reader) = sync_channel(LINES);
        let pipe = Pipe::new(Slow(stream)).unwrap();
        for number in 0..100 {
            (&pipe).write_all(format!("{number}\n").as_bytes()).unwrap();
        }
        pipe.finish();
        assert_eq!(reader.try_iter().count(), 100);
    }
}
