//! Payloads and values as a scenario writes them: text, numbers and `true` as they stand, `{json: ..}` and `{hex: ..}`.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;

/// Bytes of a payload that are shown.
const SHOWN: usize = 200;

/// The content of a payload or of a value.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "Value")]
pub(super) enum Content {
    /// These bytes.
    Bytes(Bytes),
    /// JSON, in any notation.
    Json(Value),
}

/// Content that a scenario cannot have.
#[derive(Debug, thiserror::Error)]
pub(super) enum ContentError {
    #[error("expected text, a number, {{json: ..}} or {{hex: ..}}, found {0}")]
    Unexpected(Value),
    #[error("hex: expected pairs of hexadecimal digits, found {0:?}")]
    Hex(String),
}

impl TryFrom<Value> for Content {
    type Error = ContentError;

    fn try_from(value: Value) -> Result<Self, ContentError> {
        match value {
            Value::Null => Ok(Self::Bytes(Bytes::new())),
            Value::String(text) => Ok(Self::Bytes(text.into())),
            Value::Bool(_) | Value::Number(_) => Ok(Self::Bytes(value.to_string().into())),
            Value::Object(members) if members.len() == 1 && members.contains_key("json") => {
                Ok(Self::Json(members["json"].clone()))
            }
            Value::Object(members) if members.len() == 1 && members.contains_key("hex") => {
                let text = members["hex"].as_str().unwrap_or("?");
                let bytes = from_hex(text).ok_or_else(|| ContentError::Hex(text.to_owned()))?;
                Ok(Self::Bytes(bytes.into()))
            }
            other => Err(ContentError::Unexpected(other)),
        }
    }
}

impl Content {
    /// The bytes to send.
    pub(super) fn to_bytes(&self) -> Bytes {
        match self {
            Self::Bytes(bytes) => bytes.clone(),
            Self::Json(value) => value.to_string().into(),
        }
    }

    /// Whether `bytes` are this content.
    pub(super) fn matches(&self, bytes: &[u8]) -> bool {
        match self {
            Self::Bytes(expected) => *expected == bytes,
            Self::Json(expected) => {
                serde_json::from_slice::<Value>(bytes).is_ok_and(|found| equal(expected, &found))
            }
        }
    }

    /// The content as a line of a difference.
    pub(super) fn show(&self) -> String {
        match self {
            Self::Bytes(bytes) => show(bytes),
            Self::Json(value) => value.to_string(),
        }
    }
}

/// Whether two JSON values are equal; numbers by their value, so that 1 is 1.0.
fn equal(expected: &Value, found: &Value) -> bool {
    match (expected, found) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            let mut members = a.iter();
            a.len() == b.len() && members.all(|(key, a)| b.get(key).is_some_and(|b| equal(a, b)))
        }
        (a, b) => a == b,
    }
}

/// Bytes as a line of a difference: quoted text, or hexadecimal digits.
pub(super) fn show(bytes: &[u8]) -> String {
    let text = std::str::from_utf8(bytes);
    let mut shown = match text {
        Ok(text) => format!("{text:?}"),
        Err(_) => {
            let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("hex {digits}")
        }
    };

    if let Some((end, _)) = shown.char_indices().nth(SHOWN) {
        shown.truncate(end);
        shown.push_str(&format!("... ({} bytes)", bytes.len()));
    }
    shown
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u32> = text
        .chars()
        .filter(|c| !c.is_whitespace())
        .map(|c| c.to_digit(16))
        .collect::<Option<_>>()?;
    let pairs = digits.chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return None;
    }
    pairs
        .map(|pair| u8::try_from(pair[0] * 16 + pair[1]).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn content(yaml: &str) -> Content {
        serde_yaml::from_str(yaml).unwrap()
    }

    #[test]
    fn scalars_are_text_and_sections_say_more() {
        assert_eq!(content("hello").to_bytes(), "hello");
        assert_eq!(content("42").to_bytes(), "42");
        assert_eq!(content("true").to_bytes(), "true");
        assert_eq!(content("''").to_bytes(), "");
        assert_eq!(content("{hex: 00 fF}").to_bytes(), [0_u8, 255].as_slice());
        assert_eq!(
            content("{json: {a: [1, x]}}").to_bytes(),
            r#"{"a":[1,"x"]}"#
        );

        let wrong = |yaml: &str| {
            serde_yaml::from_str::<Content>(yaml)
                .unwrap_err()
                .to_string()
        };
        assert!(wrong("{hex: 0}").contains("pairs of hexadecimal digits"));
        assert!(wrong("{jsn: 0}").contains("expected text, a number"));
        assert!(wrong("[1]").contains("found [1]"));
    }

    #[test]
    fn json_is_compared_by_value() {
        let expected = content("{json: {a: 1, b: [2.5]}}");
        assert!(expected.matches(br#"{ "b": [2.50], "a": 1.0 }"#));
        assert!(!expected.matches(br#"{"a": 1}"#) && !expected.matches(b"a"));
    }

    #[test]
    fn bytes_are_shown_as_text_or_hexadecimal() {
        assert_eq!(show(b"a\n"), r#""a\n""#);
        assert_eq!(show(&[0xff, 0]), "hex ff00");
        assert!(show(&[b'x'; 1000]).ends_with("... (1000 bytes)"));
    }
}
