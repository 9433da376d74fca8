//! Pure: a cursor over one section of the file. In: a `Node` that should be a section. Out: its keys one by one, and at
//! the end a problem for each key that nobody took. Owns the list of keys that are accepted.

use super::given::Given;
use super::near::nearest;
use super::problem::Report;
use super::scalar::Scalar;
use super::yaml::{Entry, Node, Value};

/// A section being read.
pub(super) struct Section<'a> {
    path: String,
    line: usize,
    entries: Vec<&'a Entry>,
    accepted: Vec<&'static str>,
    report: &'a Report,
}

impl<'a> Section<'a> {
    /// The section that `node` is: empty when nothing is written, and after a problem.
    pub fn new(node: &'a Node, path: String, line: usize, report: &'a Report) -> Self {
        let entries = match &node.value {
            Value::Map(entries) => entries.iter().collect(),
            _ if node.is_null() => Vec::new(),
            other => {
                // the value is not shown: it may be a secret in the wrong place
                let found = if matches!(other, Value::List(_)) {
                    "a list"
                } else {
                    "a single value"
                };
                report.problem(line, &path, format!("is {found} where a section is wanted"));
                Vec::new()
            }
        };
        Self {
            path,
            line,
            entries,
            accepted: Vec::new(),
            report,
        }
    }

    /// The value of `key`; `None` when it is absent or empty.
    pub fn take(&mut self, key: &'static str) -> Option<Given<'a>> {
        self.take_present(key).filter(|given| !given.node.is_null())
    }

    /// The value of `key`, which may be empty; `None` when it is absent.
    pub fn take_present(&mut self, key: &'static str) -> Option<Given<'a>> {
        self.accepted.push(key);
        let at = self.entries.iter().position(|entry| entry.key == key)?;
        let entry = self.entries.remove(at);
        Some(self.given(entry))
    }

    /// The section under `key`, empty when it is absent.
    pub fn section(&mut self, key: &'static str) -> Section<'a> {
        match self.take(key) {
            Some(given) => given.section(),
            None => {
                let (path, line) = (self.path_of(key), self.line);
                Section {
                    path,
                    line,
                    entries: Vec::new(),
                    accepted: Vec::new(),
                    report: self.report,
                }
            }
        }
    }

    /// Leaves out keys that begin with `prefix`.
    pub fn ignore(&mut self, prefix: &str) {
        self.entries.retain(|entry| !entry.key.starts_with(prefix));
    }

    /// Reports every key that was not taken.
    pub fn finish(self) {
        for entry in &self.entries {
            let mut accepted = self.accepted.clone();
            accepted.sort_unstable();
            let meant = nearest(&entry.key, accepted.iter().copied());
            let hint = meant.map_or(String::new(), |word| format!("; did you mean {word}?"));
            let message = format!("is not known here{hint} Accepted: {}", accepted.join(", "));
            let message = if meant.is_some() {
                message
            } else {
                message.replacen(" Accepted", "; accepted", 1)
            };
            self.report
                .problem(entry.line, &self.path_of(&entry.key), message);
        }
    }

    /// Everything that was not taken: the free part of the section. A key that looks like a slip of an accepted one
    /// gives a warning.
    pub fn rest(self) -> Vec<&'a Entry> {
        for entry in &self.entries {
            if let Some(word) = nearest(&entry.key, self.accepted.iter().copied()) {
                let message = format!(
                    "goes to the service as it is; did you mean {word}, which is for the host?"
                );
                self.report
                    .warning(entry.line, &self.path_of(&entry.key), message);
            }
        }
        self.entries
    }

    /// Warns of every key that was not taken.
    pub fn ignore_rest(self, why: &str) {
        for entry in &self.entries {
            let message = format!("is ignored: {why}; accepted: {}", self.accepted.join(", "));
            self.report
                .warning(entry.line, &self.path_of(&entry.key), message);
        }
    }

    /// Every key with its value, for sections whose keys are names.
    pub fn named(self) -> Vec<(&'a str, Given<'a>)> {
        self.entries
            .iter()
            .map(|entry| (entry.key.as_str(), self.given(entry)))
            .collect()
    }

    /// Whether nothing is left to take.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Notes a problem with the section as a whole.
    pub fn problem(&self, message: impl Into<String>) {
        self.report.problem(self.line, &self.path, message);
    }

    /// The full path of `key` in this section.
    pub fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }

    fn given(&self, entry: &'a Entry) -> Given<'a> {
        Given {
            node: &entry.node,
            path: self.path_of(&entry.key),
            line: entry.line,
            report: self.report,
        }
    }
}

/// What a value is, in words.
pub(super) fn kind(value: &Value) -> String {
    match value {
        Value::Scalar {
            scalar: Scalar::Null,
            ..
        } => "empty".to_owned(),
        Value::Scalar { text, .. } => format!("{text:?}"),
        Value::List(_) => "a list".to_owned(),
        Value::Map(_) => "a section".to_owned(),
    }
}
