//! Interfaces that are fulfilled, and each difference by which they are not.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use super::differences;
use crate::typed::interface::{ComponentInterfaces, Function, Interface, InterfaceId};
use crate::typed::types::{Case, Enum, EnumCase, Field, Flags, Name, Record, Type, Variant};

fn interface(id: &str, functions: Vec<Function>) -> Interface {
    Interface {
        id: InterfaceId::parse(id).unwrap(),
        functions,
        unsupported: None,
    }
}

fn field(name: &str, ty: Type) -> Field {
    Field {
        name: Name::new(name),
        ty,
    }
}

fn record(fields: &[(&str, Type)]) -> Type {
    Type::Record(Arc::new(Record {
        name: None,
        fields: fields
            .iter()
            .map(|(name, ty)| field(name, ty.clone()))
            .collect(),
    }))
}

fn enumeration(cases: &[(&str, i64)]) -> Type {
    let case = |(name, number): &(&str, i64)| EnumCase {
        name: Name::new(*name),
        number: *number,
    };
    Type::Enum(Arc::new(Enum {
        name: None,
        cases: cases.iter().map(case).collect(),
    }))
}

fn option(ty: Type) -> Type {
    Type::Option(Arc::new(ty))
}

fn flags(names: &[&str]) -> Type {
    Type::Flags(Arc::new(Flags {
        name: None,
        names: names.iter().map(|name| Name::new(*name)).collect(),
    }))
}

fn variant(cases: &[(&str, Option<Type>)]) -> Type {
    let case = |(name, ty): &(&str, Option<Type>)| Case {
        name: Name::new(*name),
        ty: ty.clone(),
    };
    Type::Variant(Arc::new(Variant {
        name: None,
        cases: cases.iter().map(case).collect(),
    }))
}

fn function(name: &str, parameter: Option<Type>, result: Option<Type>) -> Function {
    Function {
        name: name.to_owned(),
        parameters: parameter.into_iter().map(|ty| field("a", ty)).collect(),
        result,
    }
}

fn exports(id: &str, functions: Vec<Function>) -> ComponentInterfaces {
    ComponentInterfaces {
        exports: vec![interface(id, functions)],
        imports: Vec::new(),
    }
}

/// The differences when the parameter of a function has another type.
fn parameter(old: Type, new: Type) -> Vec<String> {
    let with = |ty| exports("a:b/c@1.0.0", vec![function("f", Some(ty), None)]);
    differences(&with(old), &with(new))
}

/// The differences when its result has another type.
fn result(old: Type, new: Type) -> Vec<String> {
    let with = |ty| exports("a:b/c@1.0.0", vec![function("f", None, Some(ty))]);
    differences(&with(old), &with(new))
}

#[test]
fn versions_count_as_semantic_versions() {
    let cases = [
        ("a:b/c@1.0.0", "a:b/c@1.0.0", true),
        ("a:b/c@1.0.0", "a:b/c@1.2.3", true),
        ("a:b/c@1.2.0", "a:b/c@1.1.9", false),
        ("a:b/c@1.0.0", "a:b/c@2.0.0", false),
        ("a:b/c@0.1.0", "a:b/c@0.1.7", true),
        ("a:b/c@0.1.0", "a:b/c@0.2.0", false),
        ("a:b/c@0.0.1", "a:b/c@0.0.2", false),
        ("a:b/c@1.0.0-rc.1", "a:b/c@1.0.0-rc.1", true),
        ("a:b/c@1.0.0-rc.1", "a:b/c@1.0.0", false),
        ("a:b/c", "a:b/c", true),
        ("a:b/c", "a:b/c@1.0.0", false),
    ];

    for (old, new, is_fulfilled) in cases {
        let found = differences(&exports(old, vec![]), &exports(new, vec![]));
        if is_fulfilled {
            assert_eq!(found, [""; 0], "{old} {new}");
        } else {
            assert_eq!(found, [format!("exports {new} in place of {old}")]);
        }
    }

    assert_eq!(
        differences(
            &exports("a:b/c@1.0.0", vec![]),
            &ComponentInterfaces::default()
        ),
        ["no longer exports a:b/c@1.0.0"]
    );
}

#[test]
fn more_is_no_difference() {
    let old = exports("a:b/c@1.0.0", vec![function("f", None, None)]);
    let mut new = exports(
        "a:b/c@1.1.0",
        vec![function("g", None, None), function("f", None, None)],
    );
    new.exports.push(interface("a:b/d@1.0.0", vec![]));
    assert_eq!(differences(&old, &new), [""; 0]);
}

#[test]
fn missing_functions_and_other_parameters_are_named() {
    let old = exports(
        "a:b/c@1.0.0",
        vec![
            function("f", None, None),
            function("g", Some(Type::Bool), None),
            function("h", None, Some(Type::Bool)),
        ],
    );

    let new = exports(
        "a:b/c@1.0.0",
        vec![function("g", None, None), function("h", None, None)],
    );
    assert_eq!(
        differences(&old, &new),
        [
            "a:b/c@1.0.0, f: is missing",
            "a:b/c@1.0.0, g: expected 1 parameters, found 0",
            "a:b/c@1.0.0, h, result: expected bool, found none",
        ]
    );
}

#[test]
fn parameters_may_become_wider_and_results_narrower() {
    let small = record(&[("x", Type::S32)]);
    let large = record(&[("x", Type::S32), ("y", option(Type::Bool))]);
    let pairs = [
        (Type::S32, Type::S64),
        (Type::U8, Type::S16),
        (Type::F32, Type::F64),
        (Type::Bool, option(Type::Bool)),
        (small, large),
        (enumeration(&[("a", 0)]), enumeration(&[("a", 0), ("b", 1)])),
        (flags(&["a"]), flags(&["a", "b"])),
        (
            variant(&[("a", None)]),
            variant(&[("a", None), ("b", Some(Type::Bool))]),
        ),
    ];

    for (narrow, wide) in pairs {
        assert_eq!(parameter(narrow.clone(), wide.clone()), [""; 0], "{wide:?}");
        assert_ne!(parameter(wide.clone(), narrow.clone()), [""; 0], "{wide:?}");
        assert_eq!(result(wide.clone(), narrow.clone()), [""; 0], "{wide:?}");
        if !matches!(wide, Type::Record(_)) {
            assert_ne!(result(narrow, wide.clone()), [""; 0], "{wide:?}");
        }
    }
}

#[test]
fn result_may_have_further_fields_and_parameter_needs_its_own() {
    let small = record(&[("x", Type::S32)]);
    let large = record(&[("x", Type::S32), ("y", Type::Bool)]);
    assert_eq!(result(small.clone(), large.clone()), [""; 0]);
    assert_eq!(
        result(large.clone(), small.clone()),
        ["a:b/c@1.0.0, f, result.y: is missing"]
    );
    assert_eq!(
        parameter(small.clone(), large.clone()),
        ["a:b/c@1.0.0, f, a.y: is new and not optional"]
    );
    assert_eq!(parameter(large, small), ["a:b/c@1.0.0, f, a.y: is missing"]);
}

#[test]
fn cases_with_another_number_are_named() {
    let (old, new) = (
        enumeration(&[("a", 0), ("b", 1)]),
        enumeration(&[("b", 0), ("a", 1)]),
    );
    assert_eq!(
        parameter(old, new),
        [
            "a:b/c@1.0.0, f, a, case a: is missing, or has another number",
            "a:b/c@1.0.0, f, a, case b: is missing, or has another number",
        ]
    );

    assert_eq!(
        result(variant(&[]), variant(&[("a", None)])),
        ["a:b/c@1.0.0, f, result, case a: is new, and others do not know it"]
    );
}

#[test]
fn signals_are_read_by_others() {
    let with = |ty: Type| ComponentInterfaces {
        exports: vec![interface("a:b/c@1.0.0", vec![])],
        imports: vec![interface(
            "a:b/c-signals@1.0.0",
            vec![function("s", Some(ty), None)],
        )],
    };

    assert_eq!(differences(&with(Type::S64), &with(Type::S32)), [""; 0]);
    assert_eq!(
        differences(&with(Type::S32), &with(Type::S64)),
        ["a:b/c-signals@1.0.0, s, a: expected s32, found s64"]
    );
    let silent = exports("a:b/c@1.0.0", vec![]);
    assert_eq!(
        differences(&with(Type::S32), &silent),
        ["no longer emits a:b/c-signals@1.0.0"]
    );
}
