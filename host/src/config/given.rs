//! Pure: one value of the file, read as the type that is wanted. In: a `Node` with its path. Out: the typed value, or a
//! problem that says what would be accepted. Owns nothing.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::place::Place;
use super::problem::Report;
use super::quotes;
use super::scalar::{self, Scalar};
use super::section::{Section, kind};
use super::units;
use super::yaml::{Node, Value};

/// A value that is present in the file.
#[derive(Clone)]
pub(super) struct Given<'a> {
    /// The value.
    pub node: &'a Node,
    /// Its key with everything above it.
    pub path: String,
    /// The line of its key, from 1.
    pub line: usize,
    /// Where findings go.
    pub report: &'a Report,
}

impl<'a> Given<'a> {
    /// As a section; an empty value is an empty section.
    pub fn section(self) -> Section<'a> {
        self.refuse_tag();
        Section::new(self.node, self.path, self.line, self.report)
    }

    /// As a list, each item with its place.
    pub fn list(self, wanted: &str) -> Vec<Given<'a>> {
        self.refuse_tag();
        let Value::List(items) = &self.node.value else {
            self.wrong(&format!("a list is wanted: {wanted}"));
            return Vec::new();
        };
        let item = |(index, node): (usize, &'a Node)| Given {
            node,
            path: format!("{}[{index}]", self.path),
            line: node.line,
            report: self.report,
        };
        items.iter().enumerate().map(item).collect()
    }

    /// As text; numbers and the like are taken as they are written.
    pub fn text(&self) -> Option<&'a str> {
        self.refuse_tag();
        if self.is_in_typographic_quotes() {
            return None;
        }
        match &self.node.value {
            Value::Scalar {
                scalar: Scalar::Null,
                ..
            }
            | Value::List(_)
            | Value::Map(_) => {
                self.wrong("text is wanted");
                None
            }
            Value::Scalar { text, .. } => Some(text),
        }
    }

    /// As what `read` makes of the text; its error completes `"<text>" …`.
    pub fn read<T, E: Display>(&self, read: impl FnOnce(&str) -> Result<T, E>) -> Option<T> {
        read(self.text()?)
            .map_err(|error| self.problem(error.to_string()))
            .ok()
    }

    /// As the text of the file that it names.
    pub fn file(&self, place: &Place) -> Option<String> {
        let path = place.path(self.text()?);
        place
            .file_text(&path)
            .map_err(|error| self.report.awaiting(self.line, &self.path, error, path))
            .ok()
    }

    /// As one of `words`.
    pub fn word<T: Clone>(&self, words: &[(&str, T)]) -> Option<T> {
        let text = self.text()?;
        let found = words
            .iter()
            .find(|(word, _)| *word == text)
            .map(|(_, value)| value.clone());
        if found.is_none() {
            let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            self.wrong(&format!("accepted: {}", words.join(", ")));
        }
        found
    }

    /// As true or false, in quotes or not.
    pub fn flag(&self) -> Option<bool> {
        self.refuse_tag();
        match self.meant() {
            Some(Scalar::Bool(value)) => Some(value),
            _ if self.is_in_typographic_quotes() => None,
            _ => {
                self.wrong("true or false is wanted");
                None
            }
        }
    }

    /// As a whole number in `range`, in quotes or not.
    pub fn number<T>(&self, range: RangeInclusive<T>) -> Option<T>
    where
        T: TryFrom<i128> + PartialOrd + Display,
    {
        self.refuse_tag();
        let number = self
            .int()
            .and_then(|value| T::try_from(value).ok())
            .filter(|value| range.contains(value));
        if number.is_none() && !self.is_in_typographic_quotes() {
            self.wrong(&format!(
                "a whole number from {} to {} is wanted",
                range.start(),
                range.end()
            ));
        }
        number
    }

    /// As a span of time in `range`.
    pub fn duration(&self, range: RangeInclusive<Duration>) -> Option<Duration> {
        let text = self.text()?;
        let Some(span) = units::duration(text) else {
            self.problem(format!(
                "{text:?} is not a duration; write for example 500ms, 5s, 1h30m"
            ));
            return None;
        };
        if !range.contains(&span) {
            let (from, to) = (
                units::show_duration(*range.start()),
                units::show_duration(*range.end()),
            );
            self.problem(format!("{text} is out of range: from {from} to {to}"));
            return None;
        }
        Some(span)
    }

    /// As a span of time of whole seconds from zero to `most` seconds; with `bare`, a number without unit is seconds.
    pub fn seconds(&self, most: u32, bare: bool) -> Option<Duration> {
        let range = Duration::ZERO..=Duration::from_secs(most.into()).min(units::LONGEST);
        if bare && self.int().is_some() {
            return self
                .number(0..=most)
                .map(|seconds| Duration::from_secs(seconds.into()));
        }
        let span = self.duration(range)?;
        if span.subsec_nanos() != 0 {
            self.problem("MQTT counts whole seconds here; write for example 60s");
            return None;
        }
        Some(span)
    }

    /// As a size in bytes in `range`.
    pub fn size<T>(&self, range: RangeInclusive<T>) -> Option<T>
    where
        T: TryFrom<u64> + TryInto<u64> + PartialOrd + Copy,
    {
        let text = self.text()?;
        let Some(bytes) = units::size(text) else {
            self.problem(format!(
                "{text:?} is not a size; write for example 64KiB, 16MiB, 1000B"
            ));
            return None;
        };
        let size = T::try_from(bytes)
            .ok()
            .filter(|value| range.contains(value));
        if size.is_none() {
            let show = |bound: &T| {
                (*bound)
                    .try_into()
                    .map_or_else(|_| "the largest".to_owned(), units::show_size)
            };
            self.problem(format!(
                "{text} is out of range: from {} to {}",
                show(range.start()),
                show(range.end())
            ));
        }
        size
    }

    /// Where it stands, in words.
    pub fn place(&self) -> String {
        format!("{} in line {}", self.path, self.line)
    }

    /// Notes a problem with this value.
    pub fn problem(&self, message: impl Into<String>) {
        self.report.problem(self.line, &self.path, message);
    }

    /// Notes something that is accepted but may surprise.
    pub fn warning(&self, message: impl Into<String>) {
        self.report.warning(self.line, &self.path, message);
    }

    /// The value as a whole number, if it is one, in quotes or not.
    pub fn int(&self) -> Option<i128> {
        match self.meant() {
            Some(Scalar::Int(value)) => Some(value),
            _ => None,
        }
    }

    /// What a word means where no text is wanted: quotes around it make no difference. Programs that write YAML or JSON often put
    /// everything in quotes.
    fn meant(&self) -> Option<Scalar> {
        match &self.node.value {
            Value::Scalar {
                text, plain: false, ..
            } => Some(scalar::resolve(text)),
            Value::Scalar { scalar, .. } => Some(scalar.clone()),
            Value::List(_) | Value::Map(_) => None,
        }
    }

    /// Whether the value stands in quotes that are none to YAML, after saying so.
    fn is_in_typographic_quotes(&self) -> bool {
        let Value::Scalar {
            text, plain: true, ..
        } = &self.node.value
        else {
            return false;
        };
        let Some(quote) = quotes::around(text) else {
            return false;
        };
        // the value is not shown: it may be a secret
        self.problem(format!(
            "has {} at its beginning or end, which is part of the value here; leave it out, or write \" or '",
            quotes::named(quote)
        ));
        true
    }

    fn wrong(&self, wanted: &str) {
        self.problem(format!("is {}; {wanted}", kind(&self.node.value)));
    }

    fn refuse_tag(&self) {
        if let Some(tag) = &self.node.tag {
            self.problem(format!("the tag {tag} is not accepted; leave it out"));
        }
    }
}
