//! Surface: standard output and standard error of the commands. In: text. Out: that text, or an error that says why not; never a
//! panic. Owns nothing.
//!
//! A reader that has gone away (`miqro-host check a.wasm | head -1`) wants no more: what it does not read is dropped without a word,
//! and the exit code says what it would have said anyway.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};
use std::sync::mpsc::channel;
use std::time::Duration;

use anyhow::Context;

/// How long the last words of the program may wait for a reader of standard error.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Writes `text` to standard output.
///
/// # Errors
/// When it cannot be written, for example to a full disk; not when its reader has gone away.
pub(super) fn print(text: impl Display) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    unless_unread(write!(out, "{text}").and_then(|()| out.flush())).context("standard output")
}

/// Writes `text` and a line end to standard output.
///
/// # Errors
/// As [`print`].
pub(super) fn print_line(text: impl Display) -> anyhow::Result<()> {
    print(format_args!("{text}\n"))
}

/// Writes a line to standard error, where it can be written.
pub(super) fn complain(text: impl Display) {
    // there is no other place to say so
    let _ = writeln!(io::stderr(), "{text}");
}

/// Writes the last line of the program to standard error: a pipe that nobody reads does not keep it from ending.
pub fn last_words(text: String) {
    let (done, wait) = channel();
    let written = std::thread::Builder::new().spawn(move || {
        complain(text);
        // nobody waits any more: the time is up
        let _ = done.send(());
    });
    if written.is_ok() {
        // whether it was written or the time is up, there is nothing more to do
        let _ = wait.recv_timeout(LAST_WORDS);
    }
}

/// A reader that has gone away is no error.
pub(super) fn unless_unread(outcome: io::Result<()>) -> io::Result<()> {
    match outcome {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome,
    }
}
