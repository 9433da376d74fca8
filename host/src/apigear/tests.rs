//! Modules of ApiGear there and back, and every fault of one.

#![allow(clippy::unwrap_used)]

use std::collections::HashSet;
use std::path::Path;

use proptest::prelude::*;

use super::Module;
use super::module::{
    BaseType, Enum, Field, Interface, Member, Operation, Primitive, Property, Struct, Type,
};
use super::names::{Spelling, kebab};

/// The module of ApiGear's own example.
const HELLO: &str = include_str!("../../../guests/hello/hello.module.yaml");
const HELLO_WIT: &str = include_str!("../../../guests/hello/wit/hello.wit");

/// Names in every spelling that ApiGear allows.
const TESTBED: &str = "
schema: apigear.module/1.0
name: testbed1
version: '1.0'
description: A test bed.
interfaces:
  - name: Nam_Es
    description: |
      Two lines,
      { and braces.
    properties:
      - { name: Switch, type: bool, readonly: true }
      - { name: some_Property2, type: int32, array: true }
    operations:
      - name: SOME_FUNCTION
        params: [{ name: SOME_PARAM, type: Enum_With_Under_scores }]
        return: string
      - { name: getVersion, return: { type: string } }
      - { name: setSwitch, params: [{ name: 'on', type: bool }] }
      - { name: list, return: { type: void } }
    signals:
      - name: Some_Signal
        params: [{ name: record, type: Enum_With_Under_scores, array: true }]
enums:
  - name: Enum_With_Under_scores
    members:
      - { name: second_Value, value: 4 }
      - { name: FirstValue, value: 1 }
      - { name: third }
";

fn read(text: &str) -> Module {
    let (module, warnings) = Module::read(text, Path::new("m.yaml")).unwrap();
    assert_eq!(warnings, []);
    module
}

fn faults(text: &str) -> Vec<String> {
    let error = Module::read(text, Path::new("m.yaml")).unwrap_err();
    error.0.iter().map(ToString::to_string).collect()
}

fn there_and_back(module: &Module) -> Module {
    let wit = module.to_wit();
    match Module::from_wit(&wit, "m.wit") {
        Ok(module) => module,
        Err(error) => panic!("{error}\n{wit}"),
    }
}

#[test]
fn example_of_apigear_becomes_the_package_of_the_guests_and_back() {
    let module = read(HELLO);

    assert_eq!(module.to_wit(), HELLO_WIT);
    assert_eq!(there_and_back(&module), module);
    assert_eq!(read(&module.to_yaml()), module);
    assert_eq!(module.overrides(), None);
}

#[test]
fn names_become_words_with_hyphens() {
    let names = [
        ("say", "say"),
        ("justSaid", "just-said"),
        ("Nam_Es", "nam-es"),
        ("HTTPServer2Go", "http-server2-go"),
        ("prop_1", "prop1"),
        ("propINT", "prop-int"),
        ("a__b_", "a-b"),
    ];

    for (name, wit) in names {
        assert_eq!(kebab(name), wit);
    }
    assert_eq!(Spelling::Camel.of("just-said"), "justSaid");
    assert_eq!(Spelling::Pascal.of("just-said"), "JustSaid");
}

#[test]
fn names_that_the_rule_does_not_give_back_are_kept() {
    let module = read(TESTBED);
    assert_eq!(there_and_back(&module), module);
    assert_eq!(read(&module.to_yaml()), module);

    let wit = module.to_wit();
    for line in [
        "/// ApiGear: testbed1",
        "package apigear:testbed1@1.0.0;",
        "/// ApiGear: Nam_Es",
        "/// ApiGear: SOME_PARAM for some-param",
        "  /// ApiGear: getVersion()",
        "  do-set-switch: func(on: bool);",
        "  %list: func();",
        "    /// ApiGear: FirstValue = 1",
    ] {
        assert!(
            wit.lines().any(|found| found.ends_with(line)),
            "{line}\n{wit}"
        );
    }
}

#[test]
fn names_and_numbers_off_the_rule_become_settings() {
    assert_eq!(
        read(TESTBED).overrides().unwrap(),
        "- interface: apigear:testbed1/nam-es@1.0.0
  module: testbed1
  name: Nam_Es
  names:
    do-set-switch: setSwitch
    some-function: SOME_FUNCTION
    some-property2: some_Property2
    some-signal: Some_Signal
    switch: Switch
  enums:
    enum-with-under-scores:
    - 1
    - 4
    - 5
  operations:
  - get-version
"
    );
}

#[test]
fn types_with_the_name_of_a_function_get_another_one() {
    let module = read(
        "
schema: apigear.module/1.0
name: io.world
version: 1.0.0
interfaces:
  - name: A
    operations: [{ name: message, params: [{ name: m, type: Message }] }]
structs: [{ name: Message, fields: [{ name: text, type: string }] }]
",
    );
    assert!(module.to_wit().contains("message: func(m: message-type);"));
    assert_eq!(there_and_back(&module), module);
}

#[test]
fn every_fault_has_its_line_its_key_and_the_accepted_values() {
    let found = faults(
        "schema: apigear.module/2.0
name: io..world
version: one
interfaces:
  - name: Hello
    extends: { name: Other }
    propertis: []
    properties:
      - { name: last, type: Mesage }
      - { name: 1st, type: int }
    operations:
      - { name: last }
      - { name: say, params: [{ name: msg, type: any }] }
    signals:
      - { name: said, return: { type: int } }
structs:
  - name: Message
    fields: [{ name: inner, type: Message, array: true }]
  - name: Empty
enums:
  - name: When
    members: [{ name: Now, value: 1 }, { name: Soon, value: 1 }, { name: now }, { name: Far, value: 300 }]
",
    );
    let expected = [
        "m.yaml:1: schema: expected one of apigear.module/1.0, found \"apigear.module/2.0\"",
        "m.yaml:2: name: expected words of letters, digits and underscores with dots in between, such as io.world, found \"io..world\"",
        "m.yaml:3: version: expected two or three numbers with dots in between, such as 1.0 or 1.0.0, found \"one\"",
        "m.yaml:6: interfaces[0].extends: is not read; write the members of the other interface here",
        "m.yaml:7: interfaces[0].propertis: unknown key; did you mean properties? Accepted: description, extends, meta, name, operations, properties, signals",
        "m.yaml:9: interfaces[0].properties[0].type: expected one of bool, int, int32, int64, float, float32, float64, string, bytes, When, Message, Empty, found \"Mesage\"",
        "m.yaml:10: interfaces[0].properties[1].name: expected a letter, then letters, digits and underscores, found \"1st\"",
        "m.yaml:12: interfaces[0].operations[0].name: becomes last in WIT, as does last in line 9; rename one",
        "m.yaml:13: interfaces[0].operations[1].params[0].type: any has no type in WIT; write the type of the value",
        "m.yaml:15: interfaces[0].signals[0]: has a return type; a signal returns nothing",
        "m.yaml:19: structs[1]: has no fields; a record of WIT has at least one",
        "m.yaml:22: enums[0].members[1]: has the value 1 of Now; each member needs its own",
        "m.yaml:22: enums[0].members[2].name: becomes now in WIT, as does Now in line 22; rename one",
        "m.yaml:22: enums[0].members[3].value: expected a whole number from 0 to 255, found \"300\"",
        "m.yaml: the structure Message is a part of itself, which WIT does not allow",
    ];

    assert_eq!(found, expected);
}

#[test]
fn parts_without_a_place_in_wit_are_named_in_a_warning() {
    let text =
        "schema: apigear.module/1.0\nname: a.b\nversion: 1.0.0\nmeta: { cpp: { include: x } }\n";
    let (_, warnings) = Module::read(text, Path::new("m.yaml")).unwrap();
    assert_eq!(
        warnings.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["m.yaml:4: meta: is for ApiGear's templates and has no place in WIT; it is left out"]
    );
}

#[test]
fn types_without_a_word_in_apigear_are_named_with_their_places() {
    let wit = "package a:b@1.0.0;
interface x {
  variant choice { one(u8) }
  flags bits { low }
  f: func(a: u32, b: option<string>) -> list<list<s32>>;
  g: func(c: choice, d: tuple<bool, char>);
}
interface x-signals { h: func() -> bool; }
";
    let error = Module::from_wit(wit, "m.wit").unwrap_err().to_string();
    for expected in [
        "m.wit:3:",
        "a variant has no type in ApiGear",
        "m.wit:4:",
        "a flags has no type in ApiGear",
        "m.wit:5:",
        "u32 has no type in ApiGear; use s64",
        "a option has no type in ApiGear",
        "a list of lists",
        "m.wit:6:",
        "m.wit:8:",
        "a signal returns nothing",
    ] {
        assert!(error.contains(expected), "{expected}: {error}");
    }

    let error = Module::from_wit("package a:b;\ninterface x { f: func(; }", "m.wit").unwrap_err();
    assert!(error.to_string().contains("m.wit:2:"), "{error}");
}

fn name() -> impl Strategy<Value = String> {
    "[a-zA-Z][a-zA-Z0-9]{0,6}(_[a-zA-Z0-9]{1,4})?"
}

fn description() -> impl Strategy<Value = Option<String>> {
    proptest::option::of("[A-Za-z][a-z{}:;*/ ]{0,20}[a-z.]")
}

fn ty() -> impl Strategy<Value = Type> {
    let primitives = Primitive::ALL.map(|(primitive, ..)| BaseType::Primitive(primitive));
    let named = ["TheStruct", "TheEnum"].map(|name| BaseType::Named(name.to_owned()));
    let bases: Vec<BaseType> = primitives.into_iter().chain(named).collect();
    (proptest::sample::select(bases), any::<bool>()).prop_map(|(base, array)| Type { base, array })
}

fn field() -> impl Strategy<Value = Field> {
    (name(), description(), ty()).prop_map(|(name, description, ty)| Field {
        name,
        description,
        ty,
    })
}

/// Items whose names differ in WIT.
fn distinct<T>(mut items: Vec<T>, name: impl Fn(&T) -> &str) -> Vec<T> {
    let mut seen = HashSet::new();
    items.retain(|item| seen.insert(kebab(name(item))));
    items
}

fn operation() -> impl Strategy<Value = Operation> {
    let params = proptest::collection::vec(field(), 0..4);
    (name(), description(), params, proptest::option::of(ty())).prop_map(
        |(name, description, params, result)| Operation {
            name,
            description,
            params: distinct(params, |param| &param.name)
                .into_iter()
                .map(|param| Field {
                    description: None,
                    ..param
                })
                .collect(),
            result,
        },
    )
}

fn interface() -> impl Strategy<Value = Interface> {
    let properties = proptest::collection::vec((field(), any::<bool>()), 0..4);
    let operations = proptest::collection::vec(operation(), 0..4);
    let signals = proptest::collection::vec(operation(), 0..3);
    (description(), properties, operations, signals).prop_map(
        |(description, properties, operations, signals)| {
            let properties: Vec<Property> = properties
                .into_iter()
                .map(|(field, readonly)| Property { field, readonly })
                .collect();
            let properties = distinct(properties, |property| &property.field.name);
            let taken: Vec<String> = properties
                .iter()
                .map(|property| kebab(&property.field.name))
                .collect();
            let mut operations = distinct(operations, |operation| &operation.name);
            operations.retain(|operation| !taken.contains(&kebab(&operation.name)));
            let mut signals = distinct(signals, |signal| &signal.name);
            for signal in &mut signals {
                signal.result = None;
            }
            Interface {
                name: "TheInterface".to_owned(),
                description,
                properties,
                operations,
                signals,
            }
        },
    )
}

proptest! {
    #[test]
    fn any_module_comes_back_from_wit_and_from_yaml(
        name in name(),
        description in description(),
        interface in interface(),
        fields in proptest::collection::vec((name(), description()), 1..4),
        values in proptest::collection::btree_map(0_u32..256, (name(), description()), 1..5),
    ) {
        let fields = fields.into_iter().map(|(name, description)| Field {
            name,
            description,
            ty: Type { base: BaseType::Named("TheEnum".to_owned()), array: true },
        });
        let members = values.into_iter().map(|(value, (name, description))| Member { name, description, value });
        let module = Module {
            name,
            version: "1.2.3".to_owned(),
            description: description.clone(),
            interfaces: vec![interface],
            enums: vec![Enum {
                name: "TheEnum".to_owned(),
                description: description.clone(),
                members: distinct(members.collect(), |member| &member.name),
            }],
            structs: vec![Struct {
                name: "TheStruct".to_owned(),
                description,
                fields: distinct(fields.collect(), |field| &field.name),
            }],
        };

        prop_assert_eq!(&there_and_back(&module), &module);
        prop_assert_eq!(&read(&module.to_yaml()), &module);
    }
}
