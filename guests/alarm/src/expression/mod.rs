//! Conditions over a message, as in `is_on(value)` or `value_json['contact'] == False and value_float < 2`. A condition is
//! parsed once and evaluated for each message.
//!
//! They look like Python's, but only these functions can be called: `is_on`, `is_off`, `float`, `abs`, `len`, and the
//! methods `get`, `lower`, `upper`, `strip`, `startswith` and `endswith`. There are no loops, so each ends.

mod evaluate;
mod parse;
#[cfg(test)]
mod tests;

use serde_json::Value;

/// A condition.
#[derive(Debug, Clone, PartialEq)]
pub enum Expression {
    None,
    Bool(bool),
    Number(f64),
    Text(String),
    Variable(Variable),
    /// `not` and `-`.
    Unary(char, Box<Self>),
    Arithmetic(char, Box<Self>, Box<Self>),
    /// As in `2 < value_float <= 5`.
    Comparison(Box<Self>, Vec<(Comparison, Self)>),
    And(Vec<Self>),
    Or(Vec<Self>),
    Index(Box<Self>, Box<Self>),
    /// A function, or a method whose first argument is what it belongs to.
    Call(Function, Vec<Self>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variable {
    Value,
    Float,
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
    NotIn,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Function {
    IsOn,
    IsOff,
    Float,
    Abs,
    Len,
    Get,
    Lower,
    Upper,
    Strip,
    StartsWith,
    EndsWith,
}

/// The values that a condition can use.
pub struct Scope<'m> {
    value: &'m str,
    float: f64,
    json: Value,
}

impl<'m> Scope<'m> {
    /// A message: no number is `NaN`, and no JSON an empty map.
    pub fn new(value: &'m str) -> Self {
        let json =
            serde_json::from_str(value).unwrap_or_else(|_| Value::Object(serde_json::Map::new()));
        Self {
            value,
            float: value.trim().parse().unwrap_or(f64::NAN),
            json,
        }
    }
}

/// Whether a word means on: `1`, `yes`, `on`, `true`, in any case.
pub fn is_on(word: &str) -> bool {
    ["1", "yes", "on", "true"]
        .iter()
        .any(|on| on.eq_ignore_ascii_case(word.trim()))
}
