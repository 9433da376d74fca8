//! Values as JSON, in the form that ApiGear's peers write and read.
//!
//! | WIT | JSON |
//! | --- | --- |
//! | integers | number; 64 bits are kept exactly |
//! | `f32`, `f64` | number; NaN and the infinities are refused |
//! | `char`, `string` | text |
//! | `list<u8>` | text in base64 |
//! | other lists, `tuple` | array |
//! | `record` | object with the declared names; an `option` may be absent, members that are not declared are ignored |
//! | `variant` | `"case"`, or `{"case": value}` |
//! | `enum` | the number of the case; its name is accepted |
//! | `option` | `null`, or the value; within another option `{"some": value}` |
//! | `result` | `{"ok": value}` or `{"err": value}` |
//! | `flags` | array of the names that are set |
//!
//! Separators are followed by a space, as Python writes them.

use super::types::{Field, Type};
use super::value::Value;

mod read;
#[cfg(test)]
mod tests;
mod write;

/// Bounds of one payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of JSON.
    pub bytes: usize,
    /// Values in all: items, fields and so on. Bytes of a `list<u8>` do not count.
    pub values: usize,
}

impl Limits {
    /// Bounds for payloads of `bytes` bytes.
    pub const fn new(bytes: usize) -> Self {
        Self {
            bytes,
            values: 100_000,
        }
    }
}

/// A payload, or a value, that does not fit the type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// Not JSON; the reason has line and column.
    #[error("expected JSON, found something else: {0}")]
    Syntax(String),
    /// A value of another form.
    #[error("{path}expected {expected}, found {found}", path = place(.path))]
    Mismatch {
        /// The place of the value: `msg.content`, `values[3]`; empty for the payload itself.
        path: String,
        /// The expected form.
        expected: String,
        /// The form that was found, without more of its content than is needed.
        found: String,
    },
    /// More than a bound.
    #[error("expected at most {most} {unit}, found more")]
    TooLarge {
        /// The bound.
        most: usize,
        /// Its unit.
        unit: &'static str,
    },
}

fn place(path: &str) -> String {
    if path.is_empty() {
        String::new()
    } else {
        format!("{path}: ")
    }
}

impl JsonError {
    fn mismatch(path: &str, expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self::Mismatch {
            path: path.to_owned(),
            expected: expected.into(),
            found: found.into(),
        }
    }
}

/// Reads one value.
///
/// # Errors
/// When the text is not JSON, exceeds the limits, or does not fit the type; says where.
pub fn decode(ty: &Type, text: &[u8], limits: Limits) -> Result<Value, JsonError> {
    read::value(ty, text, limits)
}

/// Reads the arguments of a call or of a signal: an array. An empty text is an array without items.
///
/// # Errors
/// As [`decode`]; the place of a value begins with the name of its parameter.
pub fn decode_arguments(
    parameters: &[Field],
    text: &[u8],
    limits: Limits,
) -> Result<Vec<Value>, JsonError> {
    read::arguments(parameters, text, limits)
}

/// Writes one value.
///
/// # Errors
/// When it has no form in JSON, exceeds the limits, or is not of the type.
pub fn encode(ty: &Type, value: &Value, limits: Limits) -> Result<Vec<u8>, JsonError> {
    write::value(ty, value, limits)
}

/// Writes the arguments of a call or of a signal.
///
/// # Errors
/// As [`encode`].
pub fn encode_arguments(
    parameters: &[Field],
    values: &[Value],
    limits: Limits,
) -> Result<Vec<u8>, JsonError> {
    write::arguments(parameters, values, limits)
}
