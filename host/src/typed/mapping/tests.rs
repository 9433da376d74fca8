//! Tests of mappings.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;
use crate::typed::interface::Function;
use crate::typed::types::{Enum, EnumCase, Record, ResultType};

fn field(name: &str, ty: Type) -> Field {
    Field {
        name: Name::new(name),
        ty,
    }
}

fn function(name: &str, parameters: Vec<Field>, result: Option<Type>) -> Function {
    Function {
        name: name.to_owned(),
        parameters,
        result,
    }
}

fn message() -> Type {
    Type::Record(Arc::new(Record {
        name: Some("message".to_owned()),
        fields: vec![field("content-text", Type::String)],
    }))
}

fn when() -> Type {
    let case = |(number, name)| EnumCase {
        name: Name::new(name),
        number,
    };
    Type::Enum(Arc::new(Enum {
        name: Some("when".to_owned()),
        cases: [(0, "now"), (1, "soon"), (2, "never")].map(case).to_vec(),
    }))
}

fn hello() -> Interface {
    Interface::of_test(
        "io:world/hello@1.0.0",
        vec![
            function("get-last", vec![], Some(message())),
            function("set-last", vec![field("last", message())], None),
            function("get-count", vec![], Some(Type::U32)),
            function(
                "say",
                vec![field("msg", message()), field("when", when())],
                Some(Type::S32),
            ),
            function("get-older", vec![field("age", Type::U32)], Some(message())),
        ],
    )
}

fn signals() -> Interface {
    let said = function("just-said", vec![field("msg", message())], None);
    Interface::of_test("io:world/hello-signals@1.0.0", vec![said])
}

#[test]
fn hello_has_the_topics_of_apigear() {
    let mapping = Mapping::new(&hello(), Some(&signals()), &Naming::default()).unwrap();

    let operations: Vec<&str> = mapping
        .operations
        .iter()
        .map(|o| o.topic.as_str())
        .collect();
    assert_eq!(
        operations,
        ["io.world/Hello/rpc/say", "io.world/Hello/rpc/getOlder"]
    );
    let properties: Vec<(&str, &str, bool)> = mapping
        .properties
        .iter()
        .map(|p| (p.topic.as_str(), p.set_topic.as_str(), p.setter.is_some()))
        .collect();
    assert_eq!(
        properties,
        [
            ("io.world/Hello/prop/last", "io.world/Hello/set/last", true),
            (
                "io.world/Hello/prop/count",
                "io.world/Hello/set/count",
                false
            ),
        ]
    );

    assert_eq!(
        mapping.signals[0].topic.as_str(),
        "io.world/Hello/sig/justSaid"
    );
    assert_eq!(mapping.calls().unwrap().as_str(), "io.world/Hello/rpc/+");
    assert_eq!(mapping.values().unwrap().as_str(), "io.world/Hello/prop/+");
}

#[test]
fn configuration_overrides_every_name() {
    let naming = Naming {
        module: Some("tb.names".to_owned()),
        interface: Some("Nam_Es".to_owned()),
        names: BTreeMap::from([
            ("say".to_owned(), "SAY_IT".to_owned()),
            ("content-text".to_owned(), "Content".to_owned()),
        ]),
        numbers: BTreeMap::from([("when".to_owned(), vec![1, 5, 9])]),
        operations: vec!["get-count".to_owned()],
    };

    let mapping = Mapping::new(&hello(), None, &naming).unwrap();

    let say = mapping
        .operations
        .iter()
        .find(|o| o.name.wit == "say")
        .unwrap();
    assert_eq!(say.topic.as_str(), "tb.names/Nam_Es/rpc/SAY_IT");
    let Type::Record(record) = &say.parameters[0].ty else {
        panic!("another type")
    };
    assert_eq!(record.fields[0].name.wire, "Content");
    let Type::Enum(when) = &say.parameters[1].ty else {
        panic!("another type")
    };
    let numbers: Vec<i64> = when.cases.iter().map(|case| case.number).collect();
    assert_eq!(numbers, [1, 5, 9]);
    assert!(mapping.operations.iter().any(|o| o.name.wit == "get-count"));
}

#[test]
fn slips_in_overrides_are_reported() {
    let with = |naming: Naming| {
        Mapping::new(&hello(), None, &naming)
            .unwrap_err()
            .to_string()
    };
    let names = |key: &str, value: &str| BTreeMap::from([(key.to_owned(), value.to_owned())]);

    assert_eq!(
        with(Naming {
            names: names("sya", "x"),
            ..Naming::default()
        }),
        "io:world/hello@1.0.0: there is no member, field, case or flag sya"
    );

    assert_eq!(
        with(Naming {
            operations: vec!["get-lst".to_owned()],
            ..Naming::default()
        }),
        "io:world/hello@1.0.0: there is no function get-lst"
    );

    let numbers = BTreeMap::from([("when".to_owned(), vec![1, 1, 2])]);
    assert_eq!(
        with(Naming {
            numbers,
            ..Naming::default()
        }),
        "io:world/hello@1.0.0: expected 3 numbers that differ for the enumeration when, found [1, 1, 2]"
    );

    assert_eq!(
        with(Naming {
            names: names("say", "getOlder"),
            ..Naming::default()
        }),
        "io:world/hello@1.0.0: two members have the topic io.world/Hello/rpc/getOlder"
    );

    assert_eq!(
        with(Naming {
            names: names("say", "a/b"),
            ..Naming::default()
        }),
        "io:world/hello@1.0.0: expected one level of a topic for a member, found \"a/b\""
    );
}

#[test]
fn results_are_split_into_answer_and_error() {
    let result = |ok, err| Some(Type::Result(Arc::new(ResultType { ok, err })));
    let interface = Interface::of_test(
        "a:b/c",
        vec![
            function("one", vec![], result(Some(Type::S32), Some(Type::String))),
            function("two", vec![], result(None, None)),
            function("get-x", vec![], result(Some(Type::S32), Some(Type::String))),
            function(
                "set-x",
                vec![field("x", Type::S32)],
                result(None, Some(Type::String)),
            ),
            function("get-nothing", vec![], result(None, Some(Type::String))),
        ],
    );

    let mapping = Mapping::new(&interface, None, &Naming::default()).unwrap();

    let operations: Vec<_> = mapping
        .operations
        .iter()
        .map(|o| (o.name.wit.as_str(), o.answer.clone(), o.error.clone()))
        .collect();
    assert_eq!(
        operations,
        [
            ("one", Some(Type::S32), Some(ErrorType(Some(Type::String)))),
            ("two", None, Some(ErrorType(None))),
            ("get-nothing", None, Some(ErrorType(Some(Type::String)))),
        ]
    );

    let property = &mapping.properties[0];
    assert_eq!(property.ty, Type::S32);
    assert_eq!(property.error, Some(ErrorType(Some(Type::String))));
    assert!(
        property
            .setter
            .as_ref()
            .is_some_and(|setter| setter.error.is_some())
    );
}

#[test]
fn setter_of_another_type_is_an_operation() {
    let interface = Interface::of_test(
        "a:b/c",
        vec![
            function("get-x", vec![], Some(Type::S32)),
            function("set-x", vec![field("x", Type::String)], None),
        ],
    );

    let mapping = Mapping::new(&interface, None, &Naming::default()).unwrap();
    assert!(mapping.properties[0].setter.is_none());
    assert_eq!(mapping.operations[0].name.wire, "setX");
}

#[test]
fn signal_has_no_result() {
    let signals = Interface::of_test(
        "a:b/c-signals",
        vec![function("x", vec![], Some(Type::S32))],
    );
    let error = Mapping::new(
        &Interface::of_test("a:b/c", vec![]),
        Some(&signals),
        &Naming::default(),
    );
    assert_eq!(
        error.unwrap_err().to_string(),
        "a:b/c-signals: the signal x has a result; nobody answers a signal"
    );
}
