//! Values of options, as clap reads them.

use std::num::ParseFloatError;
use std::time::{Duration, TryFromFloatSecsError};

use crate::config::{Protocol, parse_duration, parse_size};
use crate::message::Qos;
use crate::text;
use crate::topic::{Filter, Topic, TopicError};

/// Errors of values; clap names the option.
#[derive(Debug, PartialEq, thiserror::Error)]
pub(super) enum ValueError {
    #[error("expected 5 or 3.1.1")]
    Protocol,
    #[error("expected 0, 1 or 2")]
    Qos,
    #[error("expected a number of seconds: {0}")]
    Number(#[from] ParseFloatError),
    #[error(transparent)]
    Seconds(#[from] TryFromFloatSecsError),
    #[error("expected a duration such as 90s or 10m")]
    Duration,
    #[error("expected a size such as 64MiB")]
    Size,
    #[error("expected NAME=VALUE")]
    Property,
    #[error("contains {0}, which MQTT forbids")]
    Character(String),
    #[error("expected letters, digits, and _ - . in between")]
    UnitName,
}

/// A version of the protocol.
pub(super) fn protocol(text: &str) -> Result<Protocol, ValueError> {
    match text {
        "5" | "5.0" => Ok(Protocol::V5),
        "3.1.1" | "311" => Ok(Protocol::V311),
        _ => Err(ValueError::Protocol),
    }
}

/// A quality of service.
pub(super) fn qos(text: &str) -> Result<Qos, ValueError> {
    let number: u8 = text.parse().map_err(|_| ValueError::Qos)?;

    Qos::try_from(number).map_err(|_| ValueError::Qos)
}

/// A number of seconds, with or without a fraction.
pub(super) fn seconds(text: &str) -> Result<Duration, ValueError> {
    Ok(Duration::try_from_secs_f64(text.parse()?)?)
}

/// A span of time such as `10m`.
pub(super) fn duration(text: &str) -> Result<Duration, ValueError> {
    parse_duration(text).ok_or(ValueError::Duration)
}

/// A size in bytes such as `64MiB`.
pub(super) fn size(text: &str) -> Result<u64, ValueError> {
    parse_size(text).ok_or(ValueError::Size)
}

/// A topic.
pub(super) fn topic(text: &str) -> Result<Topic, TopicError> {
    Topic::new(text.to_owned())
}

/// A topic filter.
pub(super) fn filter(text: &str) -> Result<Filter, TopicError> {
    Filter::new(text)
}

/// A user property, `NAME=VALUE`.
pub(super) fn user_property(text: &str) -> Result<(String, String), ValueError> {
    let (name, value) = text.split_once('=').ok_or(ValueError::Property)?;

    Ok((mqtt_text(name)?, mqtt_text(value)?))
}

/// Text without characters that MQTT forbids.
pub(super) fn mqtt_text(text: &str) -> Result<String, ValueError> {
    match text::find_forbidden(text) {
        Some(character) => Err(ValueError::Character(text::name(character))),
        None => Ok(text.to_owned()),
    }
}

/// A name without characters that have a meaning in systemd units.
pub(super) fn unit_name(text: &str) -> Result<String, ValueError> {
    let begins_well = text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');

    if begins_well && text.chars().all(is_allowed) {
        Ok(text.to_owned())
    } else {
        Err(ValueError::UnitName)
    }
}
