//! The formats of values. A format reads, renders and describes one type of value, so that the three cannot disagree.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use serde_json::Value;

use super::key::Key;
use super::units::{LONGEST, MOST_BYTES, format_duration, format_size};
use super::value::ConfigValue;

/// How a value of type `T` is written in the file.
pub(super) trait Format<T> {
    /// Reads `value` into `field`, which keeps its value after a problem.
    fn read(&self, value: ConfigValue<'_>, field: &mut T);

    /// The value as the file would have it.
    fn render(&self, value: &T) -> Value;

    /// The type and the accepted values, in words.
    fn accepted_values(&self) -> String;

    /// The keys below this one, if the value is a section.
    fn keys(&self) -> Vec<Key> {
        Vec::new()
    }
}

/// Describes the key of a row in a table.
pub(super) fn table_key<T>(
    name: &'static str,
    meaning: &'static str,
    format: &impl Format<T>,
    default: &T,
) -> Key {
    Key::new(name, meaning, format.accepted_values())
        .with_table_default(&format.render(default), format.keys())
}

/// A whole number within a range.
pub(super) struct Number<T>(pub RangeInclusive<T>);

/// A number of bytes within a range.
pub(super) struct Size<T>(pub RangeInclusive<T>);

/// A span of time within a range.
pub(super) struct Span(pub RangeInclusive<Duration>);

/// `true` or `false`.
pub(super) struct Flag;

/// One of a few words.
pub(super) struct Words<T: 'static>(pub &'static [(&'static str, T)]);

impl<T> Format<T> for Number<T>
where
    T: TryFrom<i128> + PartialOrd + Display + Clone + Into<Value>,
{
    fn read(&self, value: ConfigValue<'_>, field: &mut T) {
        set(value.number(self.0.clone()), field);
    }

    fn render(&self, value: &T) -> Value {
        value.clone().into()
    }

    fn accepted_values(&self) -> String {
        format!("number, {} to {}", self.0.start(), self.0.end())
    }
}

impl<T> Format<T> for Size<T>
where
    T: TryFrom<u64> + TryInto<u64> + PartialOrd + Copy,
{
    fn read(&self, value: ConfigValue<'_>, field: &mut T) {
        set(value.size(self.0.clone()), field);
    }

    fn render(&self, value: &T) -> Value {
        format_size((*value).try_into().unwrap_or(u64::MAX)).into()
    }

    fn accepted_values(&self) -> String {
        let bytes = |bound: &T| (*bound).try_into().unwrap_or(u64::MAX);
        let least = bytes(self.0.start());
        let most = bytes(self.0.end());

        if usize::try_from(most).is_ok_and(|most| most >= MOST_BYTES) {
            format!("size, {} or more", format_size(least))
        } else {
            format!("size, {} to {}", format_size(least), format_size(most))
        }
    }
}

impl Format<Duration> for Span {
    fn read(&self, value: ConfigValue<'_>, field: &mut Duration) {
        set(value.duration(self.0.clone()), field);
    }

    fn render(&self, value: &Duration) -> Value {
        format_duration(*value).into()
    }

    fn accepted_values(&self) -> String {
        let least = format_duration(*self.0.start());
        let most = format_duration(*self.0.end());
        format!("duration, {least} to {most}")
    }
}

impl Format<bool> for Flag {
    fn read(&self, value: ConfigValue<'_>, field: &mut bool) {
        set(value.flag(), field);
    }

    fn render(&self, value: &bool) -> Value {
        (*value).into()
    }

    fn accepted_values(&self) -> String {
        "`true`, `false`".to_owned()
    }
}

impl<T: Clone + PartialEq> Format<T> for Words<T> {
    fn read(&self, value: ConfigValue<'_>, field: &mut T) {
        set(value.word(self.0), field);
    }

    fn render(&self, value: &T) -> Value {
        self.0
            .iter()
            .find(|(_, meaning)| meaning == value)
            .map_or(Value::Null, |(word, _)| (*word).into())
    }

    fn accepted_values(&self) -> String {
        let words: Vec<String> = self.0.iter().map(|(word, _)| format!("`{word}`")).collect();
        words.join(", ")
    }
}

/// Waits between attempts: the first one, doubled up to the longest one, with jitter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WaitRange {
    /// The first wait.
    pub min: Duration,
    /// The longest wait.
    pub max: Duration,
}

/// A section `{min, max}` of waits.
pub(super) struct Waits;

impl Waits {
    const EACH: Span = Span(Duration::from_millis(1)..=LONGEST);
}

impl Format<WaitRange> for Waits {
    /// A bound that is not written keeps its value, but never lies on the wrong side of the other one.
    fn read(&self, value: ConfigValue<'_>, field: &mut WaitRange) {
        let mut section = value.into_section();
        let range = Self::EACH.0;
        let min = section
            .take("min")
            .and_then(|value| value.duration(range.clone()));
        let max = section.take("max").and_then(|value| value.duration(range));

        match (min, max) {
            (Some(min), Some(max)) if min > max => section.error("min is larger than max"),
            (Some(min), Some(max)) => *field = WaitRange { min, max },
            (Some(min), None) => {
                let max = field.max.max(min);
                *field = WaitRange { min, max };
            }
            (None, Some(max)) => {
                let min = field.min.min(max);
                *field = WaitRange { min, max };
            }
            (None, None) => {}
        }

        section.finish();
    }

    fn render(&self, value: &WaitRange) -> Value {
        serde_json::json!({"min": format_duration(value.min), "max": format_duration(value.max)})
    }

    fn accepted_values(&self) -> String {
        "section".to_owned()
    }

    fn keys(&self) -> Vec<Key> {
        vec![
            Key::new("min", "The first wait.", Self::EACH.accepted_values()).example("200ms"),
            Key::new("max", "The longest wait.", Self::EACH.accepted_values()).example("1m"),
        ]
    }
}

/// Puts `value` into `field` if there is one.
pub(super) fn set<T>(value: Option<T>, field: &mut T) {
    if let Some(value) = value {
        *field = value;
    }
}
