//! Evaluates a condition for a message: whether it holds, or the reason why that is unknown.

use std::borrow::Cow;
use std::cmp::Ordering;

use serde_json::Value;

use crate::expression::{Comparison, Expression, Function, Scope, Variable, is_on};

/// A value while a condition is evaluated.
#[derive(Debug, Clone, PartialEq)]
enum Item<'s> {
    None,
    Bool(bool),
    Number(f64),
    Text(Cow<'s, str>),
    /// A list or a map.
    Nested(&'s Value),
}

type Evaluated<'s> = Result<Item<'s>, String>;

impl Expression {
    /// Whether the condition holds, in the way of Python: nothing, zero and empty values do not.
    pub fn holds(&self, scope: &Scope<'_>) -> Result<bool, String> {
        self.item(scope).map(|item| item.is_true())
    }

    fn item<'s>(&'s self, scope: &'s Scope<'_>) -> Evaluated<'s> {
        Ok(match self {
            Self::None => Item::None,
            Self::Bool(value) => Item::Bool(*value),
            Self::Number(value) => Item::Number(*value),
            Self::Text(text) => Item::Text(Cow::Borrowed(text)),
            Self::Variable(Variable::Value) => Item::Text(Cow::Borrowed(scope.value)),
            Self::Variable(Variable::Float) => Item::Number(scope.float),
            Self::Variable(Variable::Json) => Item::from(&scope.json),
            Self::Unary('-', inner) => Item::Number(-inner.item(scope)?.number()?),
            Self::Unary(_, inner) => Item::Bool(!inner.item(scope)?.is_true()),
            Self::Arithmetic(operator, left, right) => {
                arithmetic(*operator, left.item(scope)?, right.item(scope)?)?
            }
            Self::Comparison(first, others) => Item::Bool(chain(first, others, scope)?),
            Self::And(all) => return until(all, scope, false),
            Self::Or(all) => return until(all, scope, true),
            Self::Index(of, at) => {
                return index(of.item(scope)?, &at.item(scope)?)?
                    .ok_or_else(|| "there is no such key".to_owned());
            }
            Self::Call(function, arguments) => {
                let items: Vec<_> = arguments
                    .iter()
                    .map(|argument| argument.item(scope))
                    .collect::<Result<_, _>>()?;
                return call(*function, items);
            }
        })
    }
}

impl<'s> From<&'s Value> for Item<'s> {
    fn from(value: &'s Value) -> Self {
        match value {
            Value::Null => Self::None,
            Value::Bool(value) => Self::Bool(*value),
            Value::Number(number) => Self::Number(number.as_f64().unwrap_or(f64::NAN)),
            Value::String(text) => Self::Text(Cow::Borrowed(text)),
            nested => Self::Nested(nested),
        }
    }
}

impl Item<'_> {
    fn is_true(&self) -> bool {
        match self {
            Self::None => false,
            Self::Bool(value) => *value,
            Self::Number(value) => *value != 0.0,
            Self::Text(text) => !text.is_empty(),
            Self::Nested(value) => length(value) > 0,
        }
    }

    fn number(&self) -> Result<f64, String> {
        match self {
            Self::Number(value) => Ok(*value),
            Self::Bool(value) => Ok(f64::from(u8::from(*value))),
            other => Err(format!("expected a number, found {other:?}")),
        }
    }

    fn text(&self) -> Result<&str, String> {
        match self {
            Self::Text(text) => Ok(text),
            other => Err(format!("expected text, found {other:?}")),
        }
    }

    fn is_on(&self) -> bool {
        match self {
            Self::Text(text) => is_on(text),
            other => other.is_true(),
        }
    }

    fn equals(&self, other: &Self) -> bool {
        match (self.number(), other.number()) {
            (Ok(left), Ok(right)) => left == right,
            _ => self == other,
        }
    }
}

/// As Python: the first item that decides, or the last.
fn until<'s>(all: &'s [Expression], scope: &'s Scope<'_>, decides: bool) -> Evaluated<'s> {
    let mut last = Item::None;
    for expression in all {
        last = expression.item(scope)?;
        if last.is_true() == decides {
            break;
        }
    }

    Ok(last)
}

fn chain(
    first: &Expression,
    others: &[(Comparison, Expression)],
    scope: &Scope<'_>,
) -> Result<bool, String> {
    let mut left = first.item(scope)?;
    for (comparison, expression) in others {
        let right = expression.item(scope)?;
        if !compare(*comparison, &left, &right)? {
            return Ok(false);
        }
        left = right;
    }

    Ok(true)
}

fn compare(comparison: Comparison, left: &Item<'_>, right: &Item<'_>) -> Result<bool, String> {
    Ok(match comparison {
        Comparison::Equal => left.equals(right),
        Comparison::Unequal => !left.equals(right),
        Comparison::In => contains(right, left)?,
        Comparison::NotIn => !contains(right, left)?,
        // nothing is less or greater than a value that is not a number
        Comparison::Less => order(left, right)? == Some(Ordering::Less),
        Comparison::Greater => order(left, right)? == Some(Ordering::Greater),
        Comparison::LessOrEqual => order(left, right)?.is_some_and(Ordering::is_le),
        Comparison::GreaterOrEqual => order(left, right)?.is_some_and(Ordering::is_ge),
    })
}

fn order(left: &Item<'_>, right: &Item<'_>) -> Result<Option<Ordering>, String> {
    match (left, right) {
        (Item::Text(left), Item::Text(right)) => Ok(Some(left.cmp(right))),
        _ => Ok(left.number()?.partial_cmp(&right.number()?)),
    }
}

fn contains(place: &Item<'_>, item: &Item<'_>) -> Result<bool, String> {
    match place {
        Item::Text(text) => Ok(text.contains(item.text()?)),
        Item::Nested(Value::Array(list)) => {
            Ok(list.iter().any(|value| Item::from(value).equals(item)))
        }
        Item::Nested(Value::Object(map)) => Ok(map.contains_key(item.text()?)),
        other => Err(format!("nothing is in {other:?}")),
    }
}

fn index<'s>(of: Item<'s>, at: &Item<'_>) -> Result<Option<Item<'s>>, String> {
    match (of, at) {
        (Item::Nested(Value::Object(map)), Item::Text(key)) => {
            Ok(map.get(key.as_ref()).map(Item::from))
        }
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        (Item::Nested(Value::Array(list)), Item::Number(at)) if *at >= 0.0 => {
            Ok(list.get(*at as usize).map(Item::from))
        }
        (of, at) => Err(format!("there is no {at:?} in {of:?}")),
    }
}

fn arithmetic<'s>(operator: char, left: Item<'s>, right: Item<'s>) -> Evaluated<'s> {
    let left = left.number()?;
    let right = right.number()?;
    if matches!(operator, '/' | '%') && right == 0.0 {
        return Err("a division by zero".to_owned());
    }
    Ok(Item::Number(match operator {
        '+' => left + right,
        '-' => left - right,
        '*' => left * right,
        '/' => left / right,
        // as Python: the sign is that of the divisor
        _ => left - right * (left / right).floor(),
    }))
}

fn call(function: Function, items: Vec<Item<'_>>) -> Evaluated<'_> {
    let mut items = items.into_iter();
    let of = items.next().ok_or("an argument is missing")?;
    let mut next = || items.next().unwrap_or(Item::None);
    Ok(match function {
        Function::IsOn => Item::Bool(of.is_on()),
        Function::IsOff => Item::Bool(!of.is_on()),
        Function::Float => match &of {
            Item::Text(text) => Item::Number(
                text.trim()
                    .parse()
                    .map_err(|_| format!("expected a number, found {text:?}"))?,
            ),
            other => Item::Number(other.number()?),
        },
        Function::Abs => Item::Number(of.number()?.abs()),
        #[allow(clippy::cast_precision_loss)]
        Function::Len => Item::Number(match &of {
            Item::Text(text) => text.chars().count(),
            Item::Nested(value) => length(value),
            other => return Err(format!("{other:?} has no length")),
        } as f64),
        Function::Get => {
            let key = next();
            let default = next();
            index(of, &key)?.unwrap_or(default)
        }
        Function::Lower => Item::Text(of.text()?.to_lowercase().into()),
        Function::Upper => Item::Text(of.text()?.to_uppercase().into()),
        Function::Strip => Item::Text(of.text()?.trim().to_owned().into()),
        Function::StartsWith => Item::Bool(of.text()?.starts_with(next().text()?)),
        Function::EndsWith => Item::Bool(of.text()?.ends_with(next().text()?)),
    })
}

fn length(value: &Value) -> usize {
    value.as_array().map_or_else(
        || value.as_object().map_or(0, serde_json::Map::len),
        Vec::len,
    )
}
