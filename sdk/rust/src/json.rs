//! JSON as Python's `json.dumps` writes it, with floats rounded to the precision of the service's section, which is read once.

use std::cell::Cell;
use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{CharEscape, Formatter, Serializer};

use crate::config;
use crate::error;
use crate::finite::{self, Finite};

/// Decimals of floats if the section has no `json_float_precision`: those of MIQRO (its documentation says 5).
pub const DEFAULT_PRECISION: usize = 4;

/// No double has more decimals than this.
const MAX_PRECISION: usize = 1_074;

thread_local! {
    static PRECISION: Cell<Option<usize>> = const { Cell::new(None) };
}

/// Writes `value` as JSON with `", "` and `": "` between members, non-ASCII characters as `\u....`, floats rounded to the
/// service's precision and written as Python does.
///
/// # Errors
///
/// When the value cannot be JSON: a map whose keys are not text, or a float that is infinite or not a number; the error names the
/// key.
///
/// ```
/// let text = miqro_sdk::json::to_text(&serde_json::json!({"x": 1.234567891, "y": [1, 2.0]})).unwrap();
/// assert_eq!(text, r#"{"x": 1.2346, "y": [1, 2.0]}"#);
/// ```
pub fn to_text<T: Serialize + ?Sized>(value: &T) -> Result<String, serde_json::Error> {
    write(value, precision())
}

/// As [`to_text`], with floats as they are.
pub(crate) fn to_exact_text<T: Serialize + ?Sized>(value: &T) -> Result<String, serde_json::Error> {
    write(value, MAX_PRECISION)
}

fn write<T: Serialize + ?Sized>(value: &T, precision: usize) -> Result<String, serde_json::Error> {
    let mut bytes = Vec::with_capacity(64);
    Finite(value).serialize(&mut Serializer::with_formatter(
        &mut bytes,
        Python { precision },
    ))?;
    String::from_utf8(bytes).map_err(serde::ser::Error::custom)
}

/// A float as Python's `str(round(value, precision))`, with the service's precision.
///
/// # Errors
///
/// When it is infinite or not a number.
///
/// ```
/// assert_eq!(miqro_sdk::json::float_text(21.53).unwrap(), "21.53");
/// let error = miqro_sdk::json::float_text(f64::NAN).unwrap_err();
/// assert_eq!(error.to_string(), "expected a finite number, found NaN");
/// ```
pub fn float_text(value: f64) -> error::Result<String> {
    finite::finite(value).map(|value| python_float(value, precision()))
}

/// Forgets the precision, because the section may be another one.
pub(crate) fn reset() {
    PRECISION.set(None);
}

fn precision() -> usize {
    PRECISION.get().unwrap_or_else(|| {
        // a section that cannot be read is reported where the service reads it
        let wanted: Option<usize> = config::get("json_float_precision").ok().flatten();
        let precision = wanted.unwrap_or(DEFAULT_PRECISION).min(MAX_PRECISION);
        PRECISION.set(Some(precision));
        precision
    })
}

fn python_float(value: f64, precision: usize) -> String {
    match format!("{value:.precision$}").parse() {
        Ok(rounded) => python_repr(rounded),
        Err(_) => python_repr(value),
    }
}

/// The shortest text that reads back as `value`, with an exponent where Python has one: below 1e-4 and from 1e16.
fn python_repr(value: f64) -> String {
    let size = value.abs();
    if size == 0.0 || (1e-4..1e16).contains(&size) {
        let text = format!("{value:?}");
        let decimals = text
            .split_once('.')
            .map_or(0, |(_, decimals)| decimals.len());
        return even(format!("{value:.decimals$}"), text, value);
    }

    let text = format!("{value:e}");
    let Some((digits, exponent)) = text.split_once('e') else {
        return text;
    };
    let decimals = digits
        .split_once('.')
        .map_or(0, |(_, decimals)| decimals.len());
    let (sign, exponent) = exponent
        .strip_prefix('-')
        .map_or(('+', exponent), |number| ('-', number));
    let text = format!("{digits}e{sign}{exponent:0>2}");
    let rounded = format!("{value:.decimals$e}");
    let rounded = rounded.split_once('e').map_or(digits, |(digits, _)| digits);
    even(format!("{rounded}e{sign}{exponent:0>2}"), text, value)
}

/// Chooses the even one of two shortest texts that are equally near, as Python does, and as rounding to as many decimals does.
fn even(rounded: String, shortest: String, value: f64) -> String {
    if rounded.parse() == Ok(value) {
        rounded
    } else {
        shortest
    }
}

struct Python {
    precision: usize,
}

impl Formatter for Python {
    fn write_f64<W: Write + ?Sized>(&mut self, writer: &mut W, value: f64) -> io::Result<()> {
        writer.write_all(python_float(value, self.precision).as_bytes())
    }

    fn write_f32<W: Write + ?Sized>(&mut self, writer: &mut W, value: f32) -> io::Result<()> {
        self.write_f64(writer, widened(value))
    }

    fn begin_array_value<W: Write + ?Sized>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        if first {
            Ok(())
        } else {
            writer.write_all(b", ")
        }
    }

    fn begin_object_key<W: Write + ?Sized>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        if first {
            Ok(())
        } else {
            writer.write_all(b", ")
        }
    }

    fn begin_object_value<W: Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }

    fn write_string_fragment<W: Write + ?Sized>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        for character in fragment.chars() {
            match character {
                ' '..='~' => writer.write_all(&[character as u8])?,
                other => other
                    .encode_utf16(&mut [0; 2])
                    .iter()
                    .try_for_each(|unit| write!(writer, "\\u{unit:04x}"))?,
            }
        }

        Ok(())
    }

    fn write_char_escape<W: Write + ?Sized>(
        &mut self,
        writer: &mut W,
        escape: CharEscape,
    ) -> io::Result<()> {
        let short: &[u8] = match escape {
            CharEscape::Quote => b"\\\"",
            CharEscape::ReverseSolidus => b"\\\\",
            CharEscape::Solidus => b"/",
            CharEscape::Backspace => b"\\b",
            CharEscape::FormFeed => b"\\f",
            CharEscape::LineFeed => b"\\n",
            CharEscape::CarriageReturn => b"\\r",
            CharEscape::Tab => b"\\t",
            CharEscape::AsciiControl(byte) => return write!(writer, "\\u{byte:04x}"),
        };

        writer.write_all(short)
    }
}

/// The double that is written with the same digits: 0.1 and not 0.10000000149.
pub(crate) fn widened(value: f32) -> f64 {
    value
        .to_string()
        .parse()
        .unwrap_or_else(|_| f64::from(value))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn floats_are_written_as_python_does() {
        let cases = [
            (1.234_567_891, "1.2346"),
            (2.675, "2.675"),
            (0.000_04, "0.0"),
            (0.000_12, "0.0001"),
            (1e16, "1e+16"),
            (123_456_789_012_345.6, "123456789012345.6"),
            (1.5e300, "1.5e+300"),
            (-0.0, "-0.0"),
            (3.0, "3.0"),
            (-91_299_245_034_836.12, "-91299245034836.12"),
        ];

        for (value, text) in cases {
            assert_eq!(python_float(value, 4), text);
        }
        assert_eq!(python_float(0.000_012_34, 8), "1.234e-05");
        // python: round(0.125, 2) is 0.12 and round(2.675, 2) is 2.67
        assert_eq!(
            (python_float(0.125, 2), python_float(2.675, 2)),
            ("0.12".to_owned(), "2.67".to_owned())
        );
    }

    #[test]
    fn json_is_written_as_python_does() {
        let value = json!({"z": [1, 2.0, {"a": null}], "a": "ü\u{7f}\"\n😀", "e": {}, "f": []});
        let python = r#"{"z": [1, 2.0, {"a": null}], "a": "\u00fc\u007f\"\n\ud83d\ude00", "e": {}, "f": []}"#;
        assert_eq!(to_text(&value).unwrap(), python);
        assert_eq!(to_text(&[0.1_f32]).unwrap(), "[0.1]");
        let error = to_text(&std::collections::BTreeMap::from([(
            "room",
            [0.1_f32, f32::NAN],
        )]))
        .unwrap_err();
        assert_eq!(
            error.to_string(),
            "room: expected a finite number, found NaN"
        );
    }
}
