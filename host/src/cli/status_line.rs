//! A line of the terminal that moves while a command takes long.

use std::io::{IsTerminal, Write, stderr};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Time that a command may take before the line is shown.
const NOTABLE: Duration = Duration::from_secs(1);

/// Time between two pictures.
const PICTURE: Duration = Duration::from_millis(200);

/// The moving part of the line.
const PICTURES: [&str; 4] = ["|", "/", "-", "\\"];

/// Removes what the line has.
const CLEAR: &str = "\r\x1b[K";

/// A line on standard error, which is removed when this is dropped.
pub(super) struct StatusLine {
    /// Dropped to end the thread.
    end: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl StatusLine {
    /// Shows `text` again and again, if standard error is a terminal and this lives long enough.
    pub(super) fn show(text: impl Fn() -> String + Send + 'static) -> Self {
        let (end, ended) = sync_channel(1);
        let draw = move || draw(&ended, &text);
        // without a thread the command is as good
        let thread = stderr()
            .is_terminal()
            .then(|| std::thread::Builder::new().spawn(draw).ok());
        Self {
            end: Some(end),
            thread: thread.flatten(),
        }
    }
}

impl Drop for StatusLine {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            // it has not panicked, and nothing would follow from it
            let _ = thread.join();
        }
    }
}

fn draw(ended: &Receiver<()>, text: &dyn Fn() -> String) {
    let start = Instant::now();
    let passes = |span| ended.recv_timeout(span) == Err(RecvTimeoutError::Timeout);
    if !passes(NOTABLE) {
        return;
    }

    // a terminal that has gone is no fault of the command
    let write = |line: &str| {
        let mut error = stderr().lock();
        let _ = write!(error, "{line}").and_then(|()| error.flush());
    };
    for picture in PICTURES.iter().cycle() {
        let seconds = start.elapsed().as_secs();
        write(&format!("{CLEAR}{picture} {}, {seconds} s", text()));
        if !passes(PICTURE) {
            break;
        }
    }
    write(CLEAR);
}
