//! One key of the configuration, as the reference describes it.

use std::borrow::Cow;

use serde_json::Value;

use crate::fault_kind::FaultKind;

/// One key.
#[derive(Debug, Clone)]
pub(super) struct Key {
    /// Its name within its section.
    pub name: &'static str,
    /// Its meaning, as Markdown.
    pub meaning: Cow<'static, str>,
    /// Its type and the accepted values, as Markdown.
    pub accepted: Cow<'static, str>,
    /// The value where the file has none, as Markdown; empty where there is none.
    pub default: Cow<'static, str>,
    /// A value as the file would have it; empty for a section.
    pub example: Cow<'static, str>,
    /// Whether a change needs a restart of the host.
    pub needs_restart: bool,
    /// The keys below this one: of a section, or of the sections of a list.
    pub keys: Vec<Key>,
}

impl Key {
    /// A key without a default.
    pub(super) fn new(
        name: &'static str,
        meaning: &'static str,
        accepted: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            name,
            meaning: meaning.trim().into(),
            accepted: accepted.into(),
            default: "".into(),
            example: "".into(),
            needs_restart: false,
            keys: Vec::new(),
        }
    }

    /// Adds the default of a key of a table, which also serves as an example, and the keys of a section. `default` is left out where
    /// the keys of the section have defaults of their own.
    pub(super) fn with_table_default(self, default: &Value, keys: Vec<Self>) -> Self {
        if keys.iter().any(|key| !key.default.is_empty()) {
            return self.keys(keys);
        }

        let default = to_flow_yaml(default);
        Self {
            default: format!("`{default}`").into(),
            example: default.into(),
            keys,
            ..self
        }
    }

    /// Adds the default, as Markdown.
    pub(super) fn default(self, default: &'static str) -> Self {
        Self {
            default: default.into(),
            ..self
        }
    }

    /// Adds an example, as the file would have it.
    pub(super) fn example(self, example: &'static str) -> Self {
        Self {
            example: example.into(),
            ..self
        }
    }

    /// Adds the keys of its section, or of the sections of its list.
    pub(super) fn keys(self, keys: Vec<Self>) -> Self {
        Self { keys, ..self }
    }

    /// Sets whether a change needs a restart of the host.
    pub(super) fn needs_restart(self, needs_restart: bool) -> Self {
        Self {
            needs_restart,
            ..self
        }
    }

    /// Adds the consequence of exceeding the limit to the meaning.
    pub(super) fn fault(self, fault: FaultKind) -> Self {
        let consequence = fault.consequence().trim_start_matches("; ");
        // `when_full` decides what happens to messages beyond the mailbox
        let depends = matches!(fault, FaultKind::Mailbox | FaultKind::MailboxBytes);
        if consequence.is_empty() || depends {
            return self;
        }
        Self {
            meaning: format!("{} Beyond it: {consequence}.", self.meaning).into(),
            ..self
        }
    }

    /// Whether it is a list, whose items may be sections.
    pub(super) fn is_list(&self) -> bool {
        self.accepted.starts_with("list")
    }
}

/// A word, or a section of words, in one line.
fn to_flow_yaml(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Object(members) => {
            let members = members.iter();
            let members: Vec<String> = members
                .map(|(key, value)| format!("{key}: {}", to_flow_yaml(value)))
                .collect();
            format!("{{{}}}", members.join(", "))
        }
        value => value.to_string(),
    }
}
