//! Tests of JSON: round trips of any value, the forms of ApiGear, and refusals.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::subsequence;

use super::*;
use crate::typed::types::{
    Case, Enum, EnumCase, Field, Flags, Name, Record, ResultType, Type, Variant,
};

const LIMITS: Limits = Limits::new(1 << 20);

fn names(count: usize) -> Vec<Name> {
    (0..count)
        .map(|index| Name::new(format!("name-{index}")))
        .collect()
}

fn fields(types: Vec<Type>) -> Vec<Field> {
    let names = names(types.len());
    let pairs = names.into_iter().zip(types);
    pairs.map(|(name, ty)| Field { name, ty }).collect()
}

fn record(types: Vec<Type>) -> Type {
    Type::Record(Arc::new(Record {
        name: None,
        fields: fields(types),
    }))
}

fn variant(types: Vec<Option<Type>>) -> Type {
    let names = names(types.len());
    let pairs = names.into_iter().zip(types);
    Type::Variant(Arc::new(Variant {
        name: None,
        cases: pairs.map(|(name, ty)| Case { name, ty }).collect(),
    }))
}

fn enumeration(numbers: &[i64]) -> Type {
    let names = names(numbers.len());
    let pairs = names.into_iter().zip(numbers);
    Type::Enum(Arc::new(Enum {
        name: None,
        cases: pairs
            .map(|(name, number)| EnumCase {
                name,
                number: *number,
            })
            .collect(),
    }))
}

fn flags(count: usize) -> Type {
    Type::Flags(Arc::new(Flags {
        name: None,
        names: names(count),
    }))
}

fn option(inner: Type) -> Type {
    Type::Option(Arc::new(inner))
}

fn any_type() -> impl Strategy<Value = Type> {
    let simple = prop_oneof![
        Just(Type::Bool),
        Just(Type::S8),
        Just(Type::U8),
        Just(Type::S16),
        Just(Type::U16),
        Just(Type::S32),
        Just(Type::U32),
        Just(Type::S64),
        Just(Type::U64),
        Just(Type::F32),
        Just(Type::F64),
        Just(Type::Char),
        Just(Type::String),
        Just(Type::Bytes),
        (1..5usize).prop_map(flags),
        (1..5i64).prop_map(|count| enumeration(&(0..count).map(|n| n * 3 - 2).collect::<Vec<_>>())),
    ];

    simple.prop_recursive(4, 24, 4, |inner| {
        let maybe = proptest::option::of(inner.clone());
        prop_oneof![
            inner.clone().prop_map(|item| Type::List(Arc::new(item))),
            vec(inner.clone(), 1..4).prop_map(|types| Type::Tuple(types.into())),
            vec(inner.clone(), 1..4).prop_map(record),
            vec(maybe.clone(), 1..4).prop_map(variant),
            inner.prop_map(option),
            (maybe.clone(), maybe)
                .prop_map(|(ok, err)| Type::Result(Arc::new(ResultType { ok, err }))),
        ]
    })
}

fn value_of(ty: &Type) -> BoxedStrategy<Value> {
    let signed = |range: std::ops::RangeInclusive<i64>| range.prop_map(Value::Signed).boxed();
    let unsigned = |most: u64| (0..=most).prop_map(Value::Unsigned).boxed();
    let boxed = |ty: &Option<Type>| match ty {
        Some(ty) => value_of(ty).prop_map(|value| Some(Box::new(value))).boxed(),
        None => Just(None).boxed(),
    };

    match ty {
        Type::Bool => any::<bool>().prop_map(Value::Bool).boxed(),
        Type::S8 => signed(i8::MIN.into()..=i8::MAX.into()),
        Type::S16 => signed(i16::MIN.into()..=i16::MAX.into()),
        Type::S32 => signed(i32::MIN.into()..=i32::MAX.into()),
        Type::S64 => signed(i64::MIN..=i64::MAX),
        Type::U8 => unsigned(u8::MAX.into()),
        Type::U16 => unsigned(u16::MAX.into()),
        Type::U32 => unsigned(u32::MAX.into()),
        Type::U64 => unsigned(u64::MAX),
        Type::F32 => {
            use proptest::num::f32::{NEGATIVE, NORMAL, POSITIVE, SUBNORMAL, ZERO};
            let finite = POSITIVE | NEGATIVE | NORMAL | SUBNORMAL | ZERO;
            finite.prop_map(|value| Value::Float(value.into())).boxed()
        }
        Type::F64 => {
            use proptest::num::f64::{NEGATIVE, NORMAL, POSITIVE, SUBNORMAL, ZERO};
            let finite = POSITIVE | NEGATIVE | NORMAL | SUBNORMAL | ZERO;
            finite.prop_map(Value::Float).boxed()
        }
        Type::Char => any::<char>().prop_map(Value::Char).boxed(),
        Type::String => any::<String>().prop_map(Value::String).boxed(),
        Type::Bytes => vec(any::<u8>(), 0..40).prop_map(Value::Bytes).boxed(),
        Type::List(item) => vec(value_of(item), 0..4).prop_map(Value::List).boxed(),
        Type::Tuple(types) => tuple(types.iter()),
        Type::Record(record) => tuple(record.fields.iter().map(|field| &field.ty)),
        Type::Variant(variant) => {
            let cases = variant.cases.iter().enumerate();
            let cases = cases.map(|(position, case)| {
                let value = boxed(&case.ty);
                value
                    .prop_map(move |value| Value::Variant(position, value))
                    .boxed()
            });

            proptest::strategy::Union::new(cases).boxed()
        }
        Type::Enum(ty) => (0..ty.cases.len()).prop_map(Value::Enum).boxed(),
        Type::Option(inner) => proptest::option::of(value_of(inner).prop_map(Box::new))
            .prop_map(Value::Option)
            .boxed(),
        Type::Result(ty) => {
            let ok = boxed(&ty.ok).prop_map(|value| Value::Result(Ok(value)));
            let err = boxed(&ty.err).prop_map(|value| Value::Result(Err(value)));
            prop_oneof![ok, err].boxed()
        }
        Type::Flags(flags) => {
            let all: Vec<usize> = (0..flags.names.len()).collect();
            let count = all.len();
            subsequence(all, 0..=count).prop_map(Value::Flags).boxed()
        }
    }
}

fn tuple<'a>(types: impl Iterator<Item = &'a Type>) -> BoxedStrategy<Value> {
    let values: Vec<_> = types.map(value_of).collect();
    values.prop_map(Value::Tuple).boxed()
}

fn typed_value() -> impl Strategy<Value = (Type, Value)> {
    any_type().prop_flat_map(|ty| {
        let value = value_of(&ty);
        (Just(ty), value)
    })
}

proptest! {
    #[test]
    fn every_value_survives_the_way_through_json((ty, value) in typed_value()) {
        let text = encode(&ty, &value, LIMITS).unwrap();
        let read = decode(&ty, &text, LIMITS);
        prop_assert_eq!(read.unwrap(), value, "{}: {}", ty.wit(), String::from_utf8_lossy(&text));
    }

    #[test]
    fn any_text_is_read_or_refused(ty in any_type(), text in vec(any::<u8>(), 0..60)) {
        let _ = decode(&ty, &text, LIMITS);
    }

    #[test]
    fn json_of_another_type_is_read_or_refused(ty in any_type(), (other, value) in typed_value()) {
        let text = encode(&other, &value, LIMITS).unwrap();
        if let Ok(read) = decode(&ty, &text, LIMITS) {
            prop_assert!(encode(&ty, &read, LIMITS).is_ok());
        }
    }
}

fn written(ty: &Type, value: Value) -> String {
    String::from_utf8(encode(ty, &value, LIMITS).unwrap()).unwrap()
}

fn refused(ty: &Type, text: &str) -> String {
    decode(ty, text.as_bytes(), LIMITS).unwrap_err().to_string()
}

#[test]
fn payloads_are_those_of_apigear() {
    let message = record(vec![Type::String]);
    let value = Value::Tuple(vec![Value::String("New message".to_owned())]);
    assert_eq!(
        written(&message, value.clone()),
        r#"{"name0": "New message"}"#
    );

    let parameters = fields(vec![message, enumeration(&[0, 1, 2])]);
    let arguments = [value, Value::Enum(0)];
    let text = encode_arguments(&parameters, &arguments, LIMITS).unwrap();
    assert_eq!(text, br#"[{"name0": "New message"}, 0]"#);
    assert_eq!(
        decode_arguments(&parameters, &text, LIMITS).unwrap(),
        arguments
    );

    assert_eq!(written(&Type::F64, Value::Float(1.5)), "1.5");
    assert_eq!(written(&Type::F32, Value::Float(f64::from(0.1f32))), "0.1");
    assert_eq!(written(&Type::Bool, Value::Bool(true)), "true");
    assert_eq!(
        written(&Type::U64, Value::Unsigned(u64::MAX)),
        "18446744073709551615"
    );
    assert_eq!(
        written(&Type::Bytes, Value::Bytes(b"hello".to_vec())),
        r#""aGVsbG8=""#
    );
    assert_eq!(encode_arguments(&[], &[], LIMITS).unwrap(), b"[]");
    assert_eq!(decode_arguments(&[], b"", LIMITS).unwrap(), []);
}

#[test]
fn options_variants_results_and_flags_have_their_forms() {
    let twice = option(option(Type::S32));
    let some = |value| Value::Option(Some(Box::new(value)));
    assert_eq!(written(&twice, Value::Option(None)), "null");
    assert_eq!(
        written(&twice, some(Value::Option(None))),
        r#"{"some": null}"#
    );
    assert_eq!(
        written(&twice, some(some(Value::Signed(3)))),
        r#"{"some": 3}"#
    );

    let variant = variant(vec![None, Some(Type::S32)]);
    assert_eq!(written(&variant, Value::Variant(0, None)), r#""name0""#);
    let one = Value::Variant(1, Some(Box::new(Value::Signed(3))));
    assert_eq!(written(&variant, one), r#"{"name1": 3}"#);

    let result = Type::Result(Arc::new(ResultType {
        ok: None,
        err: Some(Type::String),
    }));
    assert_eq!(written(&result, Value::Result(Ok(None))), r#"{"ok": null}"#);
    let error = Value::String("no".to_owned());
    assert_eq!(
        written(&result, Value::Result(Err(Some(Box::new(error))))),
        r#"{"err": "no"}"#
    );

    assert_eq!(
        written(&flags(3), Value::Flags(vec![0, 2])),
        r#"["name0", "name2"]"#
    );
}

#[test]
fn peers_may_write_names_of_cases_and_integers_as_floats() {
    let ty = enumeration(&[1, 5]);
    for text in ["5", "5.0", r#""name1""#, r#""name-1""#] {
        assert_eq!(
            decode(&ty, text.as_bytes(), LIMITS).unwrap(),
            Value::Enum(1),
            "{text}"
        );
    }

    let ty = record(vec![Type::U8, option(Type::U8)]);
    let text = br#"{"more": {}, "name-0": 1.0}"#;
    let read = decode(&ty, text, LIMITS).unwrap();
    assert_eq!(
        read,
        Value::Tuple(vec![Value::Unsigned(1), Value::Option(None)])
    );
}

#[test]
fn errors_name_the_place_the_expected_and_the_found() {
    let list = Type::List(Arc::new(record(vec![Type::U8])));
    assert_eq!(
        refused(&list, r#"[{"name0": 1}, {"name0": 256}]"#),
        "[1].name0: expected a whole number from 0 to 255, found 256"
    );
    assert_eq!(
        refused(&list, "[{}]"),
        r#"[0]: expected a member "name0", found none"#
    );
    assert_eq!(
        refused(&list, "{"),
        "expected JSON, found something else: EOF while parsing an object at line 1 column 1"
    );
    assert_eq!(
        refused(&Type::S64, "9223372036854775808"),
        "expected a whole number from -9223372036854775808 to 9223372036854775807, found 9223372036854775808"
    );
    assert_eq!(
        refused(&Type::F32, "1e39"),
        "expected a number of 32 bits, found 1e+39"
    );
    assert_eq!(
        refused(&enumeration(&[0, 1]), "2"),
        "expected one of 0 (name0), 1 (name1), found 2"
    );
    assert_eq!(
        refused(&Type::Bytes, r#""%""#),
        r#"expected text in base64, found "%""#
    );

    let parameters = fields(vec![Type::U8]);
    let refused = |text: &str| {
        decode_arguments(&parameters, text.as_bytes(), LIMITS)
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        refused("[]"),
        "expected an array of 1 arguments, found an array of 0 items"
    );
    assert_eq!(refused("7"), "expected an array of 1 arguments, found 7");
    assert_eq!(
        refused("[true]"),
        "name0: expected a whole number from 0 to 255, found true"
    );
}

#[test]
fn numbers_that_are_not_finite_are_refused() {
    for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        for ty in [Type::F32, Type::F64] {
            let list = Type::List(Arc::new(ty));
            let error = encode(&list, &Value::List(vec![Value::Float(number)]), LIMITS);
            assert_eq!(
                error.unwrap_err().to_string(),
                format!("[0]: expected a finite number, found {number}")
            );
        }
    }

    assert!(decode(&Type::F64, b"NaN", LIMITS).is_err());
    assert!(decode(&Type::F64, b"1e999", LIMITS).is_err());
}

#[test]
fn payloads_beyond_the_limits_are_refused() {
    let limits = Limits {
        bytes: 20,
        values: 4,
    };
    let list = Type::List(Arc::new(Type::U8));
    let values = |count| Value::List(vec![Value::Unsigned(1); count]);
    assert!(encode(&list, &values(3), limits).is_ok());
    assert!(decode(&list, b"[1, 1, 1]", limits).is_ok());

    let too_many = "expected at most 4 values, found more";
    assert_eq!(
        encode(&list, &values(4), limits).unwrap_err().to_string(),
        too_many
    );
    assert_eq!(
        decode(&list, b"[1,1,1,1]", limits).unwrap_err().to_string(),
        too_many
    );

    let too_long = "expected at most 20 bytes, found more";
    let text = Value::String("x".repeat(30));
    assert_eq!(
        encode(&Type::String, &text, limits)
            .unwrap_err()
            .to_string(),
        too_long
    );

    let json = format!("{:>21}", 1);
    assert_eq!(
        decode(&Type::U8, json.as_bytes(), limits)
            .unwrap_err()
            .to_string(),
        too_long
    );
}

#[test]
fn deeply_nested_json_is_refused() {
    let text = "[".repeat(100_000);
    assert!(decode(&Type::String, text.as_bytes(), LIMITS).is_err());
}
