//! Standard output and standard error of the commands. Printing never panics.
//!
//! A reader that has gone away (`miqro-host check a.wasm | head -1`) is not an error: further output is dropped, and the exit code
//! stays the same.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use anyhow::Context;
use serde_json::Value;

/// How long the last line of the program may wait for a reader of standard error.
const EXIT_TIMEOUT: Duration = Duration::from_secs(1);

/// Writes `text` to standard output.
///
/// # Errors
/// When it cannot be written, for example to a full disk; not when its reader has gone away.
pub(super) fn print(text: impl Display) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    ignore_closed_pipe(write!(out, "{text}").and_then(|()| out.flush())).context("standard output")
}

/// Writes `text` and a line end to standard output.
///
/// # Errors
/// As [`print`].
pub(super) fn print_line(text: impl Display) -> anyhow::Result<()> {
    print(format_args!("{text}\n"))
}

/// Writes a line to standard error; does nothing when that fails.
pub(super) fn print_error(text: impl Display) {
    // there is no other place to report it
    let _ = writeln!(io::stderr(), "{text}");
}

/// Writes the last line of the program to standard error, without waiting for ever for a pipe that nobody reads.
pub fn print_last_error(text: String) {
    let (done, wait) = sync_channel(1);
    let written = std::thread::Builder::new().spawn(move || {
        print_error(text);
        // the caller may have given up
        let _ = done.send(());
    });
    if written.is_ok() {
        // whether it was written or the time is up, there is nothing more to do
        let _ = wait.recv_timeout(EXIT_TIMEOUT);
    }
}

/// Treats a reader that has gone away as success.
pub(super) fn ignore_closed_pipe(outcome: io::Result<()>) -> io::Result<()> {
    match outcome {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome,
    }
}

/// A line for each item of a list.
pub(super) fn lines(list: &Value, line: impl Fn(&Value) -> String) -> String {
    let items = list.as_array().into_iter().flatten();
    items.map(|item| line(item) + "\n").collect()
}
