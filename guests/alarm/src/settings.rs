//! The service's section of `miqro.yml`, as miqro_alarm has it.

use std::collections::BTreeMap;

use miqro_sdk::Span;
use serde::{Deserialize, Deserializer};

#[derive(Deserialize)]
pub struct Settings {
    /// The sign of life of this service.
    #[serde(default)]
    pub probe: Option<Action>,
    #[serde(default, deserialize_with = "null_is_empty")]
    pub switch_outputs: BTreeMap<String, BTreeMap<String, Schedule>>,
    #[serde(default, deserialize_with = "null_is_empty")]
    pub text_outputs: BTreeMap<String, Text>,
    #[serde(default, deserialize_with = "null_is_empty")]
    pub groups: Vec<Group>,
    #[serde(default)]
    pub home_assistant: bool,
}

/// Something that is sent, once or again and again.
#[derive(Debug, Clone, Deserialize)]
pub struct Action {
    #[serde(default)]
    pub mqtt: Option<String>,
    #[serde(default)]
    pub message: Option<String>,
    #[serde(default)]
    pub http_post: Option<String>,
    #[serde(default)]
    pub repeat: Option<Span>,
}

/// Schedule of a switch for a kind of alarm.
#[derive(Debug, Clone, Deserialize)]
pub struct Schedule {
    #[serde(default)]
    pub prealarm: Option<Action>,
    #[serde(default)]
    pub alarm: Option<Action>,
    #[serde(default)]
    pub reset: Option<Action>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Text {
    pub mqtt: String,
    /// Whether less important messages go there too.
    #[serde(default)]
    pub info: bool,
}

#[derive(Deserialize)]
pub struct Group {
    pub name: String,
    pub label: String,
    /// The smaller, the more important; the order of the groups where it is not set.
    #[serde(default)]
    pub priority: Option<i64>,
    #[serde(default)]
    pub prealarm: Option<Span>,
    #[serde(default)]
    pub reset_delay: Option<Span>,
    #[serde(default)]
    pub default_enabled: bool,
    #[serde(default, deserialize_with = "null_is_empty")]
    pub inputs: Vec<Input>,
    #[serde(default, deserialize_with = "null_is_empty")]
    pub inhibitors: Vec<Input>,
    #[serde(default, deserialize_with = "null_is_empty")]
    pub liveness: Vec<Input>,
    #[serde(default, deserialize_with = "null_is_empty")]
    pub outputs: Outputs,
}

#[derive(Debug, Clone, Default, Deserialize)]
pub struct Outputs {
    #[serde(default, deserialize_with = "null_is_empty")]
    pub prealarm: Vec<Output>,
    #[serde(default, deserialize_with = "null_is_empty")]
    pub alarm: Vec<Output>,
}

/// A text output by its name, or switch outputs with the schedule that they run.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Output {
    Text(String),
    Switch(BTreeMap<String, String>),
}

/// A topic with a condition (`mqtt`, `when`), or several inputs in one (`mode`, `inputs`).
#[derive(Deserialize)]
pub struct Input {
    pub label: String,
    #[serde(default)]
    pub mqtt: Option<String>,
    #[serde(default)]
    pub when: Option<String>,
    #[serde(default)]
    pub format: Option<String>,
    #[serde(default)]
    pub debounce: Option<Span>,
    /// Missing: the default of its role; null: never.
    #[serde(default, deserialize_with = "present")]
    pub silence_timeout: Option<Option<Span>>,
    /// How long a liveness input may say something else before it counts.
    #[serde(default)]
    pub invalid_response_timeout: Option<Span>,
    #[serde(default)]
    pub mode: Option<Mode>,
    #[serde(default)]
    pub inputs: Vec<Input>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    And,
    Or,
}

fn null_is_empty<'de, T: Deserialize<'de> + Default, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

#[allow(clippy::option_option)]
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<Span>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}
