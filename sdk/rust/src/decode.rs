//! Conversion of payloads, and of levels of topics, to values.

use serde::de::DeserializeOwned;

use crate::error::DecodeError;

/// A value that a handler can take as its payload or as the match of a wildcard.
#[diagnostic::on_unimplemented(
    message = "neither a payload nor a captured level can become `{Self}`; JSON is `Json<T>`"
)]
pub trait Decode<'a>: Sized {
    /// Reads `bytes`.
    ///
    /// # Errors
    ///
    /// A [`DecodeError`] says what was expected.
    fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError>;
}

/// JSON, for any type that serde can read. In a handler, write the pattern: `Json(reading): Json<Reading>`. It can be
/// published as well: [`publish("x", Json(&reading))`](crate::publish).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Json<T>(pub T);

impl<'a> Decode<'a> for &'a [u8] {
    fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        Ok(bytes)
    }
}

impl Decode<'_> for Vec<u8> {
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        Ok(bytes.to_vec())
    }
}

impl<'a> Decode<'a> for &'a str {
    fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        std::str::from_utf8(bytes).map_err(|error| wrong("text", &error, bytes))
    }
}

impl Decode<'_> for String {
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        <&str>::decode(bytes).map(str::to_owned)
    }
}

/// `1`, `true`, `on` and `yes`, and `0`, `false`, `off` and `no`; in any case, with space around.
impl Decode<'_> for bool {
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let text = <&str>::decode(bytes)?.trim();
        let is = |words: [&str; 4]| words.iter().any(|word| word.eq_ignore_ascii_case(text));
        match (
            is(["1", "true", "on", "yes"]),
            is(["0", "false", "off", "no"]),
        ) {
            (true, _) => Ok(true),
            (_, true) => Ok(false),
            _ => Err(wrong(
                "a switch (1 or 0, on or off, true or false)",
                &"unknown word",
                bytes,
            )),
        }
    }
}

/// Anything or nothing: an empty payload is `None`.
impl<'a, T: Decode<'a>> Decode<'a> for Option<T> {
    fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        if bytes.is_empty() {
            Ok(None)
        } else {
            T::decode(bytes).map(Some)
        }
    }
}

impl<T: DeserializeOwned> Decode<'_> for Json<T> {
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        serde_json::from_slice(bytes)
            .map(Self)
            .map_err(|error| wrong("JSON of the expected form", &error, bytes))
    }
}

impl Decode<'_> for serde_json::Value {
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        Json::decode(bytes).map(|Json(value)| value)
    }
}

/// Numbers as text, with space around.
macro_rules! numbers {
    ($expected:literal, $accepted:expr; $($number:ty)*) => { $(
        impl Decode<'_> for $number {
            fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
                let number = <&str>::decode(bytes)?.trim().parse().map_err(|error| wrong($expected, &error, bytes))?;
                if $accepted(number) { Ok(number) } else { Err(wrong($expected, &"not finite", bytes)) }
            }
        }
    )* };
}

numbers!("a whole number", |_| true; i8 i16 i32 i64 i128 isize u8 u16 u32 u64 u128 usize);
// a float that is not finite cannot be published or kept, so a handler would fail at each attempt
numbers!("a number", |number: Self| number.is_finite(); f32 f64);

fn wrong(expected: &'static str, error: &dyn std::fmt::Display, bytes: &[u8]) -> DecodeError {
    // enough to recognise the message, not so much that a foreign payload fills the log
    let shown: String = String::from_utf8_lossy(bytes).chars().take(40).collect();
    DecodeError {
        expected,
        reason: format!("{error} in {shown:?}"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn payloads_become_what_the_handler_takes() {
        assert_eq!(f64::decode(b" 21.5\n"), Ok(21.5));
        assert_eq!(u8::decode(b"7"), Ok(7));
        assert_eq!(bool::decode(b"ON"), Ok(true));
        assert_eq!(Option::<u8>::decode(b""), Ok(None));
        assert_eq!(Json::<Vec<u8>>::decode(b"[1, 2]"), Ok(Json(vec![1, 2])));
    }

    #[test]
    fn unreadable_values_name_the_expected_type() {
        let error = u8::decode(b"warm").unwrap_err();
        assert_eq!(
            error.to_string(),
            "not a whole number: invalid digit found in string in \"warm\""
        );
        assert_eq!(
            f64::decode(b"nan").unwrap_err().to_string(),
            "not a number: not finite in \"nan\""
        );
        assert!(f32::decode(b"1e39").is_err() && f64::decode(b"-inf").is_err());
        assert!(<&str>::decode(b"\xff").is_err() && bool::decode(b"2").is_err());
    }
}
