//! The lines that a program prints, and waiting for one.

use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use tokio::sync::watch;

use crate::Deadline;

/// The lines that a program has printed so far, standard output and standard error together.
#[derive(Debug, Clone)]
pub struct Output {
    lines: Arc<Mutex<Vec<String>>>,
    /// How many there are; its sender is gone when the program has closed its streams.
    count: watch::Receiver<usize>,
}

impl Output {
    /// Reads `streams` in threads of their own.
    pub fn read(streams: Vec<Box<dyn Read + Send>>) -> Self {
        let (sender, count) = watch::channel(0);
        let lines = Arc::default();
        let sender = Arc::new(sender);
        for stream in streams {
            let lines = Arc::clone(&lines);
            let sender = Arc::clone(&sender);
            std::thread::spawn(move || collect(stream, &lines, &sender));
        }
        Self { lines, count }
    }

    /// All lines so far.
    pub fn lines(&self) -> Vec<String> {
        self.lines
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Waits for the first line, printed already or yet to come, that `wanted` accepts.
    ///
    /// # Errors
    /// When the deadline or the end of the program comes first; the error has `what` and the last lines.
    pub async fn wait_for(&self, what: &str, wanted: impl Fn(&str) -> bool) -> Result<String> {
        self.wait_from(0, what, wanted).await
    }

    /// As [`Output::wait_for`], but lines before `start` do not count.
    ///
    /// # Errors
    /// As [`Output::wait_for`].
    pub async fn wait_from(
        &self,
        start: usize,
        what: &str,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<String> {
        self.wait_by(Deadline::new(), start, what, wanted).await
    }

    async fn wait_by(
        &self,
        deadline: Deadline,
        start: usize,
        what: &str,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<String> {
        let mut count = self.count.clone();
        let mut seen = start;
        let line = async {
            loop {
                let lines = self.lines();
                if let Some(line) = lines.iter().skip(seen).find(|line| wanted(line)) {
                    return Some(line.clone());
                }
                seen = lines.len();
                // fails only when all that was printed has been looked at
                if count.changed().await.is_err() {
                    return None;
                }
            }
        };

        let found = deadline.wait(format!("the line: {what}"), line).await;
        found
            .and_then(|line| line.context("the program ended"))
            .with_context(|| self.told(what))
    }

    /// Waits for a line after the first `start` ones that has `text` in it.
    ///
    /// # Errors
    /// As [`Output::wait_for`].
    pub async fn says(&self, start: usize, text: &str) -> Result<String> {
        self.says_by(Deadline::new(), start, text).await
    }

    /// As [`Output::says`], with a deadline of the test.
    ///
    /// # Errors
    /// As [`Output::wait_for`].
    pub async fn says_by(&self, deadline: Deadline, start: usize, text: &str) -> Result<String> {
        self.wait_by(deadline, start, text, |line| line.contains(text))
            .await
    }

    /// How many lines have `text` in them so far.
    pub fn count(&self, text: &str) -> usize {
        self.lines()
            .iter()
            .filter(|line| line.contains(text))
            .count()
    }

    /// Waits until the program has closed its standard streams, which it does when it ends.
    pub async fn closed(&self) {
        let mut count = self.count.clone();
        while count.changed().await.is_ok() {}
    }

    /// An error text: `what` and the last lines.
    pub fn told(&self, what: &str) -> String {
        let lines = self.lines();
        let last = &lines[lines.len().saturating_sub(40)..];
        format!("{what}; the program's last lines:\n{}", last.join("\n"))
    }
}

fn collect(stream: Box<dyn Read + Send>, lines: &Mutex<Vec<String>>, count: &watch::Sender<usize>) {
    for line in BufReader::new(stream).split(b'\n') {
        let Ok(line) = line else { return };
        let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.push(String::from_utf8_lossy(&line).into_owned());
        count.send_replace(lines.len());
    }
}
