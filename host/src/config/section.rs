//! A section of the file whose keys are taken one by one. At the end every key that nobody took is an error, with the accepted
//! keys and the one that was probably meant.

use super::context::LoadContext;
use super::suggest::nearest;
use super::value::ConfigValue;
use super::yaml::{Entry, Node, Value};

/// A section being read.
pub(crate) struct Section<'a> {
    path: String,
    line: usize,
    entries: Vec<&'a Entry>,
    accepted: Vec<&'static str>,
    context: &'a LoadContext,
}

impl<'a> Section<'a> {
    /// The whole file.
    pub(crate) fn root(node: &'a Node, context: &'a LoadContext) -> Self {
        ConfigValue {
            node,
            path: String::new(),
            line: 0,
            context,
        }
        .into_section()
    }

    /// The value of `key`; `None` when it is absent or empty.
    pub(crate) fn take(&mut self, key: &'static str) -> Option<ConfigValue<'a>> {
        self.take_present(key).filter(|value| !value.node.is_null())
    }

    /// The value of `key`, which may be empty; `None` when it is absent.
    pub(super) fn take_present(&mut self, key: &'static str) -> Option<ConfigValue<'a>> {
        self.accepted.push(key);
        #[cfg(test)]
        self.context.asked.borrow_mut().insert(self.path_of(key));

        let at = self.entries.iter().position(|entry| entry.key == key)?;
        let entry = self.entries.remove(at);
        Some(self.value_of(entry))
    }

    /// The value of `key`; its absence is an error.
    pub(crate) fn take_required(&mut self, key: &'static str) -> Option<ConfigValue<'a>> {
        let value = self.take(key);
        if value.is_none() {
            self.error(format!("has no {key}"));
        }
        value
    }

    /// The value of `key`, which stays to be taken; `None` when it is absent or empty.
    pub(crate) fn peek(&self, key: &str) -> Option<ConfigValue<'a>> {
        let entry = self.entries.iter().find(|entry| entry.key == key)?;
        Some(self.value_of(entry)).filter(|value| !value.node.is_null())
    }

    /// The section under `key`, empty when it is absent.
    pub(super) fn take_section(&mut self, key: &'static str) -> Section<'a> {
        match self.take(key) {
            Some(value) => value.into_section(),
            None => Section {
                path: self.path_of(key),
                line: self.line,
                entries: Vec::new(),
                accepted: Vec::new(),
                context: self.context,
            },
        }
    }

    /// Leaves out keys that begin with `prefix`.
    pub(super) fn ignore_prefix(&mut self, prefix: &str) {
        self.entries.retain(|entry| !entry.key.starts_with(prefix));
    }

    /// Reports every key that was not taken as an error.
    pub(crate) fn finish(mut self) {
        self.accepted.sort_unstable();
        let accepted = self.accepted.join(", ");

        for entry in &self.entries {
            let message = match nearest(&entry.key, self.accepted.iter().copied()) {
                Some(word) => format!("unknown key; did you mean {word}? Accepted: {accepted}"),
                None => format!("unknown key; accepted: {accepted}"),
            };
            self.value_of(entry).error(message);
        }
    }

    /// Everything that was not taken: the part of the section that is the service's own. A key that looks like a slip of an accepted one gives a
    /// warning.
    pub(super) fn into_rest(self) -> Vec<&'a Entry> {
        for entry in &self.entries {
            if let Some(word) = nearest(&entry.key, self.accepted.iter().copied()) {
                self.value_of(entry).warning(format!(
                    "goes to the service as it is; did you mean {word}, which is for the host?"
                ));
            }
        }

        self.entries
    }

    /// Warns of every key that was not taken.
    pub(super) fn ignore_rest(self, why: &str) {
        let accepted = self.accepted.join(", ");
        for entry in &self.entries {
            self.value_of(entry)
                .warning(format!("is ignored: {why}; accepted: {accepted}"));
        }
    }

    /// Every key with its value, for sections whose keys are names.
    pub(super) fn into_named(self) -> Vec<(&'a str, ConfigValue<'a>)> {
        self.entries
            .iter()
            .map(|entry| (entry.key.as_str(), self.value_of(entry)))
            .collect()
    }

    /// Whether nothing is left to take.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Notes an error in the section as a whole.
    pub(crate) fn error(&self, message: impl Into<String>) {
        self.context
            .diagnostics
            .error(self.line, &self.path, message);
    }

    /// The full path of `key` in this section.
    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }

    fn value_of(&self, entry: &'a Entry) -> ConfigValue<'a> {
        ConfigValue {
            node: &entry.node,
            path: self.path_of(&entry.key),
            line: entry.line,
            context: self.context,
        }
    }
}

impl<'a> ConfigValue<'a> {
    /// As a section; an empty value is an empty section, and so is a value of another type, after an error.
    pub(crate) fn into_section(self) -> Section<'a> {
        self.refuse_tag();

        let entries = match &self.node.value {
            Value::Map(entries) => entries.iter().collect(),
            _ if self.node.is_null() => Vec::new(),
            // the value is not shown: it may be a secret in the wrong place
            Value::Scalar { .. } => {
                self.error("expected a section, found a single value");
                Vec::new()
            }
            Value::List(_) => {
                self.error("expected a section, found a list");
                Vec::new()
            }
        };

        Section {
            path: self.path,
            line: self.line,
            entries,
            accepted: Vec::new(),
            context: self.context,
        }
    }
}
