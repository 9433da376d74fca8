//! Spans of time in text, as in `1h30m`, or in maps, as in `{seconds: 20}`.

use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error as _};

/// A span of time in a service's section: `500ms`, `10s`, `1h30m`, `7d`, a number of seconds, or the arguments of
/// Python's `timedelta`, as MIQRO uses them: `{minutes: 1, seconds: 30}`.
///
/// ```
/// use miqro_sdk::Span;
/// use std::time::Duration;
/// let span: Span = serde_json::from_str(r#"{"minutes": 1, "seconds": 30}"#).unwrap();
/// assert_eq!(span.0, Duration::from_secs(90));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Span(pub Duration);

/// Returns the milliseconds of a text as in `1h30m`; `None` if it is not a span. It is `const`, so that an invalid period is an error of
/// the compiler.
///
/// ```
/// assert_eq!(miqro_sdk::span::parse("1h30m"), Some(5_400_000));
/// assert_eq!(miqro_sdk::span::parse("10"), None);
/// ```
pub const fn parse(text: &str) -> Option<u64> {
    let bytes = text.as_bytes();
    let mut at = 0;
    let mut total = 0_u64;
    if bytes.is_empty() {
        return None;
    }
    while at < bytes.len() {
        let begin = at;
        let mut number = 0_u64;
        while at < bytes.len() && bytes[at].is_ascii_digit() {
            let Some(tens) = number.checked_mul(10) else {
                return None;
            };
            let Some(sum) = tens.checked_add((bytes[at] - b'0') as u64) else {
                return None;
            };
            number = sum;
            at += 1;
        }

        if at == begin || at == bytes.len() {
            return None;
        }
        let milli = bytes[at] == b'm' && at + 1 < bytes.len() && bytes[at + 1] == b's';
        let unit = match bytes[at] {
            b'm' if milli => 1,
            b's' => 1_000,
            b'm' => 60_000,
            b'h' => 3_600_000,
            b'd' => 86_400_000,
            _ => return None,
        };

        at += if milli { 2 } else { 1 };
        let Some(span) = number.checked_mul(unit) else {
            return None;
        };
        let Some(sum) = total.checked_add(span) else {
            return None;
        };
        total = sum;
    }

    Some(total)
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        let span = match &value {
            serde_json::Value::String(text) => parse(text).map(Duration::from_millis),
            serde_json::Value::Number(seconds) => seconds
                .as_f64()
                .and_then(|s| Duration::try_from_secs_f64(s).ok()),
            serde_json::Value::Object(parts) => {
                let seconds: Option<f64> = parts
                    .iter()
                    .map(|(unit, count)| Some(seconds(unit)? * count.as_f64()?))
                    .sum();
                seconds.and_then(|s| Duration::try_from_secs_f64(s).ok())
            }
            _ => None,
        };

        span.map(Self).ok_or_else(|| {
            D::Error::custom(format!(
                "expected a span of time such as 10s, 1h30m or {{seconds: 10}}, found {value}"
            ))
        })
    }
}

/// Seconds of a unit of Python's `timedelta`.
fn seconds(unit: &str) -> Option<f64> {
    Some(match unit {
        "microseconds" => 1e-6,
        "milliseconds" => 1e-3,
        "seconds" => 1.0,
        "minutes" => 60.0,
        "hours" => 3_600.0,
        "days" => 86_400.0,
        "weeks" => 604_800.0,
        _ => return None,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_as_they_are_written_in_the_configuration() {
        for (text, milliseconds) in [
            ("500ms", 500),
            ("10s", 10_000),
            ("2m", 120_000),
            ("7d", 604_800_000),
        ] {
            assert_eq!(parse(text), Some(milliseconds));
        }

        for text in ["", "10", "s", "1.5s", "10 s", "99999999999999999999s"] {
            assert_eq!(parse(text), None, "{text}");
        }
        let read = |text| serde_json::from_str::<Span>(text).map(|span| span.0);
        assert_eq!(read("\"1m\"").unwrap(), Duration::from_secs(60));
        assert_eq!(read("0.5").unwrap(), Duration::from_millis(500));
        assert!(read("{\"second\": 1}").is_err() && read("-1").is_err());
    }
}
