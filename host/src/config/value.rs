//! One value of the file, read as the type that is expected. A value of another type is an error with its line and key that says
//! what is accepted. Messages do not show values that may be secrets.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::context::LoadContext;
use super::quotes;
use super::scalar::{self, Scalar};
use super::units;
use super::yaml::{Node, Value};

/// A value that is present in the file.
#[derive(Clone)]
pub(crate) struct ConfigValue<'a> {
    /// The value.
    pub node: &'a Node,
    /// Its key with everything above it.
    pub path: String,
    /// The line of its key, from 1.
    pub line: usize,
    /// The surroundings.
    pub context: &'a LoadContext,
}

impl<'a> ConfigValue<'a> {
    /// As a list, each item with its path. `example` shows such a list.
    pub(crate) fn into_list(self, example: &str) -> Vec<ConfigValue<'a>> {
        self.refuse_tag();
        let Value::List(items) = &self.node.value else {
            self.report_unexpected(&format!("a list such as {example}"));
            return Vec::new();
        };

        let items = items.iter().enumerate();
        items
            .map(|(index, node)| ConfigValue {
                node,
                path: format!("{}[{index}]", self.path),
                line: node.line,
                context: self.context,
            })
            .collect()
    }

    /// Whether it is a list without items.
    pub(super) fn is_empty_list(&self) -> bool {
        matches!(&self.node.value, Value::List(items) if items.is_empty())
    }

    /// As text; numbers and the like are taken as they are written.
    pub(crate) fn text(&self) -> Option<&'a str> {
        self.refuse_tag();
        if self.has_typographic_quotes() {
            return None;
        }

        match &self.node.value {
            Value::Scalar {
                scalar: Scalar::Null,
                ..
            }
            | Value::List(_)
            | Value::Map(_) => {
                self.report_unexpected("text");
                None
            }
            Value::Scalar { text, .. } => Some(text),
        }
    }

    /// As text that `parse` accepts.
    pub(crate) fn parse<T, E: Display>(
        &self,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        match parse(self.text()?) {
            Ok(value) => Some(value),
            Err(error) => {
                self.error(error.to_string());
                None
            }
        }
    }

    /// As a path, absolute from the directory of the configuration on.
    pub(super) fn path(&self) -> Option<PathBuf> {
        Some(self.context.resolve_path(self.text()?))
    }

    /// As the text of the file that it names. A file that is missing may still come.
    pub(super) fn file_content(&self) -> Option<String> {
        let path = self.path()?;
        match self.context.read_file(&path) {
            Ok(content) => Some(content),
            Err(error) => {
                self.error_until_file(error.to_string(), path);
                None
            }
        }
    }

    /// As the environment variable that it names.
    pub(super) fn variable(&self) -> Option<String> {
        self.parse(|name| self.context.read_variable(name))
    }

    /// As one of `words`.
    pub(crate) fn word<T: Clone>(&self, words: &[(&str, T)]) -> Option<T> {
        let text = self.text()?;
        let found = words.iter().find(|(word, _)| *word == text);

        if found.is_none() {
            let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            self.report_unexpected(&format!("one of {}", words.join(", ")));
        }
        found.map(|(_, meaning)| meaning.clone())
    }

    /// As true or false, in quotes or not.
    pub(crate) fn flag(&self) -> Option<bool> {
        self.refuse_tag();
        match self.parse_unquoted() {
            Some(Scalar::Bool(value)) => Some(value),
            _ if self.has_typographic_quotes() => None,
            _ => {
                self.report_unexpected("true or false");
                None
            }
        }
    }

    /// As a whole number in `range`, in quotes or not.
    pub(crate) fn number<T>(&self, range: RangeInclusive<T>) -> Option<T>
    where
        T: TryFrom<i128> + PartialOrd + Display,
    {
        self.refuse_tag();
        let number = self
            .integer()
            .and_then(|value| T::try_from(value).ok())
            .filter(|value| range.contains(value));

        if number.is_none() && !self.has_typographic_quotes() {
            let from = range.start();
            let to = range.end();
            self.report_unexpected(&format!("a whole number from {from} to {to}"));
        }
        number
    }

    /// As a span of time in `range`.
    pub(super) fn duration(&self, range: RangeInclusive<Duration>) -> Option<Duration> {
        let Some(span) = units::parse_duration(self.text()?) else {
            self.report_unexpected("a duration such as 500ms, 5s or 1h30m");
            return None;
        };

        if !range.contains(&span) {
            self.report_unexpected(&format!(
                "a duration from {} to {}",
                units::format_duration(*range.start()),
                units::format_duration(*range.end())
            ));
            return None;
        }

        Some(span)
    }

    /// As a span of time of whole seconds from zero to `most` seconds. With `bare`, a number without a unit counts seconds.
    pub(super) fn seconds(&self, most: u32, bare: bool) -> Option<Duration> {
        if bare && self.integer().is_some() {
            let seconds = self.number(0..=most)?;
            return Some(Duration::from_secs(seconds.into()));
        }

        let most = Duration::from_secs(most.into()).min(units::LONGEST);
        let span = self.duration(Duration::ZERO..=most)?;
        if span.subsec_nanos() != 0 {
            self.report_unexpected("whole seconds, as MQTT counts them, such as 60s");
            return None;
        }
        Some(span)
    }

    /// As a size in bytes in `range`.
    pub(super) fn size<T>(&self, range: RangeInclusive<T>) -> Option<T>
    where
        T: TryFrom<u64> + TryInto<u64> + PartialOrd + Copy,
    {
        let Some(bytes) = units::parse_size(self.text()?) else {
            self.report_unexpected("a size such as 64KiB, 16MiB or 1000B");
            return None;
        };

        let size = T::try_from(bytes).ok().filter(|size| range.contains(size));
        if size.is_none() {
            let format = |bound: &T| units::format_size((*bound).try_into().unwrap_or(u64::MAX));
            let from = format(range.start());
            let to = format(range.end());
            self.report_unexpected(&format!("a size from {from} to {to}"));
        }

        size
    }

    /// The key and its line, in words.
    pub(super) fn location(&self) -> String {
        format!("{} in line {}", self.path, self.line)
    }

    /// Notes an error in this value.
    pub(crate) fn error(&self, message: impl Into<String>) {
        self.context
            .diagnostics
            .error(self.line, &self.path, message);
    }

    /// Notes an error in this value that goes away when `file` comes or becomes whole.
    pub(super) fn error_until_file(&self, message: impl Into<String>, file: PathBuf) {
        self.context
            .diagnostics
            .error_until_file(self.line, &self.path, message, file);
    }

    /// Notes something that is accepted but may surprise.
    pub(crate) fn warning(&self, message: impl Into<String>) {
        self.context
            .diagnostics
            .warning(self.line, &self.path, message);
    }

    /// The value as a whole number, if it is one, in quotes or not.
    pub(super) fn integer(&self) -> Option<i128> {
        match self.parse_unquoted() {
            Some(Scalar::Int(value)) => Some(value),
            _ => None,
        }
    }

    /// Reports a tag: no key of the host has one.
    pub(super) fn refuse_tag(&self) {
        if let Some(tag) = &self.node.tag {
            self.error(format!("the tag {tag} is not accepted; leave it out"));
        }
    }

    /// The meaning of a word where no text is expected. Quotes around it make no difference: programs that write YAML or JSON
    /// often put everything in quotes.
    fn parse_unquoted(&self) -> Option<Scalar> {
        match &self.node.value {
            Value::Scalar {
                text, plain: false, ..
            } => Some(scalar::resolve(text)),
            Value::Scalar { scalar, .. } => Some(scalar.clone()),
            Value::List(_) | Value::Map(_) => None,
        }
    }

    /// Whether the value stands in quotes that mean nothing in YAML, after reporting them.
    fn has_typographic_quotes(&self) -> bool {
        let Value::Scalar {
            text, plain: true, ..
        } = &self.node.value
        else {
            return false;
        };

        let Some(quote) = quotes::find_at_ends(text) else {
            return false;
        };

        // the value is not shown: it may be a secret
        self.error(format!(
            "has {} at its beginning or end, which is part of the value here; leave it out, or write \" or '",
            quotes::describe(quote)
        ));
        true
    }

    fn report_unexpected(&self, expected: &str) {
        let found = match &self.node.value {
            Value::Scalar {
                scalar: Scalar::Null,
                ..
            } => "nothing".to_owned(),
            Value::Scalar { text, .. } => format!("{text:?}"),
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a section".to_owned(),
        };

        self.error(format!("expected {expected}, found {found}"));
    }
}
