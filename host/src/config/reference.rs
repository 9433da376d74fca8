//! The keys of the configuration as the reference describes them.

#![allow(dead_code)] // until the reference is printed

use std::borrow::Cow;

use serde_json::Value;

use super::format::Format;
use crate::fault_kind::FaultKind;

/// One key.
#[derive(Debug, Clone)]
pub(super) struct Key {
    /// Its name within its section.
    pub name: &'static str,
    /// What it is for, as Markdown.
    pub meaning: Cow<'static, str>,
    /// Its type and the accepted values, as Markdown.
    pub accepted: Cow<'static, str>,
    /// The value where the file has none, as the file would have it; empty where there is none.
    pub default: String,
    /// A value as the file would have it.
    pub example: String,
    /// Whether a change needs a restart of the host.
    pub needs_restart: bool,
    /// The keys below this one: of a section, or of the sections of a list.
    pub keys: Vec<Key>,
}

impl Key {
    /// A key without a default.
    pub fn new(
        name: &'static str,
        meaning: &'static str,
        accepted: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            name,
            meaning: meaning.trim().into(),
            accepted: accepted.into(),
            default: String::new(),
            example: String::new(),
            needs_restart: false,
            keys: Vec::new(),
        }
    }

    /// A key of a table; the default serves as an example.
    pub fn of_format<T>(
        name: &'static str,
        meaning: &'static str,
        format: &impl Format<T>,
        default: &T,
    ) -> Self {
        let default = match format.render(default) {
            Value::String(text) => text,
            value => value.to_string(),
        };
        Self {
            example: default.clone(),
            default,
            keys: format.keys(),
            ..Self::new(name, meaning, format.accepted())
        }
    }

    /// The same with an example.
    pub fn example(self, example: &str) -> Self {
        Self {
            example: example.to_owned(),
            ..self
        }
    }

    /// The same, of which a change needs a restart of the host.
    pub fn needs_restart(self, needs_restart: bool) -> Self {
        Self {
            needs_restart,
            ..self
        }
    }

    /// The same for a limit that is exceeded by faults of this kind: the meaning also says what the host does about it.
    pub fn fault(self, fault: FaultKind) -> Self {
        let consequence = fault.consequence().trim_start_matches("; ");
        if consequence.is_empty() {
            return self;
        }
        Self {
            meaning: format!("{} Beyond it: {consequence}.", self.meaning).into(),
            ..self
        }
    }
}
