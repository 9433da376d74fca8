//! The value that stands for an error in the error type of an imported function, where it has room for one.
//!
//! A function that returns no `result`, or one whose error type has no room, cannot return an error; then the guest call fails.

use super::answer::{CallError, Code};
use super::json::{self, Limits};
use super::mapping::ErrorType;
use super::types::{Name, Type};
use super::value::Value;

/// The case for errors that have no case of their own.
const OTHER: &str = "other";

/// The value for `error`; `None`: the type has no room for it.
///
/// An error of the operation itself is of this type already. Any other one is its text in a `string`, or the case of a `variant` or
/// `enum` with the name of its code, or `other`.
pub fn error_value(ty: &ErrorType, error: &CallError, limits: Limits) -> Option<Option<Value>> {
    let Some(ty) = &ty.0 else {
        return Some(None);
    };
    if error.code == Code::Error
        && let Ok(value) = json::decode(ty, &error.payload, limits)
    {
        return Some(Some(value));
    }

    let value = match ty {
        Type::String => Value::String(error.text.clone()),
        Type::Variant(variant) => {
            let names = variant.cases.iter().map(|case| &case.name);
            let case = case(names, error.code)?;
            let value = match variant.cases[case].ty {
                None => None,
                Some(Type::String) => Some(Box::new(Value::String(error.text.clone()))),
                Some(_) => return None,
            };
            Value::Variant(case, value)
        }
        Type::Enum(ty) => Value::Enum(case(ty.cases.iter().map(|case| &case.name), error.code)?),
        _ => return None,
    };

    Some(Some(value))
}

fn case<'a>(names: impl Iterator<Item = &'a Name> + Clone, code: Code) -> Option<usize> {
    let find = |wanted: &str| names.clone().position(|name| name.wit == wanted);
    find(code.name()).or_else(|| find(OTHER))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::typed::types::{Case, Enum, EnumCase, Variant};

    const LIMITS: Limits = Limits::new(1000);

    fn value(ty: Type, code: Code) -> Option<Option<Value>> {
        error_value(&ErrorType(Some(ty)), &CallError::new(code, "why"), LIMITS)
    }

    fn text() -> Value {
        Value::String("why".to_owned())
    }

    #[test]
    fn text_case_or_nothing_stands_for_an_error() {
        assert_eq!(value(Type::String, Code::TimedOut), Some(Some(text())));
        assert_eq!(value(Type::S32, Code::TimedOut), None);
        let error = CallError::new(Code::Fault, "");
        assert_eq!(error_value(&ErrorType(None), &error, LIMITS), Some(None));

        let case = |name: &str, ty| Case {
            name: Name::new(name),
            ty,
        };
        let variant = Type::Variant(Arc::new(Variant {
            name: None,
            cases: vec![
                case("timed-out", None),
                case("unavailable", Some(Type::S32)),
                case("other", Some(Type::String)),
            ],
        }));

        let of = |code| value(variant.clone(), code);
        assert_eq!(of(Code::TimedOut), Some(Some(Value::Variant(0, None))));
        assert_eq!(of(Code::Unavailable), None);
        let other = Value::Variant(2, Some(Box::new(text())));
        assert_eq!(of(Code::Fault), Some(Some(other)));

        let cases = vec![EnumCase {
            name: Name::new("timed-out"),
            number: 0,
        }];
        let ty = Type::Enum(Arc::new(Enum { name: None, cases }));
        assert_eq!(
            value(ty.clone(), Code::TimedOut),
            Some(Some(Value::Enum(0)))
        );
        assert_eq!(value(ty, Code::Fault), None);
    }

    #[test]
    fn error_of_the_operation_keeps_its_value() {
        let mut error = CallError::new(Code::Error, "7");
        error.payload = "7".into();
        let value = error_value(&ErrorType(Some(Type::S32)), &error, LIMITS);
        assert_eq!(value, Some(Some(Value::Signed(7))));
    }
}
