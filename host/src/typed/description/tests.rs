//! Text, JSON, schemas and AsyncAPI documents of one interface.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use serde_json::json;

use super::{DescribedInterface, Description, Role, schema};
use crate::typed::interface::{Function, Interface, InterfaceId};
use crate::typed::mapping::Mapping;
use crate::typed::naming::Naming;
use crate::typed::types::{
    Case, Enum, EnumCase, Field, Flags, Name, Record, ResultType, Type, Variant,
};

fn field(name: &str, ty: Type) -> Field {
    Field {
        name: Name::new(name),
        ty,
    }
}

fn message() -> Type {
    Type::Record(Arc::new(Record {
        name: Some("message".to_owned()),
        fields: vec![field("content", Type::String)],
    }))
}

fn when() -> Type {
    let case = |(name, number)| EnumCase {
        name: Name::new(name),
        number,
    };
    Type::Enum(Arc::new(Enum {
        name: Some("when".to_owned()),
        cases: ["now", "soon"].into_iter().zip(0..).map(case).collect(),
    }))
}

fn function(name: &str, parameters: Vec<Field>, result: Option<Type>) -> Function {
    Function {
        name: name.to_owned(),
        parameters,
        result,
    }
}

fn hello(role: Role) -> Description {
    let refused = ResultType {
        ok: Some(Type::S32),
        err: Some(Type::String),
    };
    let interface = Interface {
        id: InterfaceId::parse("io:world/hello@1.0.0").unwrap(),
        functions: vec![
            function("get-last", vec![], Some(message())),
            function("set-last", vec![field("last", message())], None),
            function("get-count", vec![], Some(Type::U64)),
            function(
                "say",
                vec![field("msg", message()), field("when", when())],
                Some(Type::Result(Arc::new(refused))),
            ),
            function("reset", vec![], None),
        ],
        unsupported: None,
    };

    let signals = Interface {
        id: InterfaceId::parse("io:world/hello-signals@1.0.0").unwrap(),
        functions: vec![function("just-said", vec![field("msg", message())], None)],
        unsupported: None,
    };
    let mapping = Mapping::new(&interface, Some(&signals), &Naming::default()).unwrap();

    Description {
        name: "hello".to_owned(),
        broker: Some("127.0.0.1:1883".to_owned()),
        interfaces: vec![DescribedInterface { mapping, role }],
    }
}

#[test]
fn text_has_every_member_with_topics_and_forms() {
    assert_eq!(
        hello(Role::Serves).to_string(),
        r#"hello serves io:world/hello@1.0.0 as io.world/Hello
  operation say(msg: message, when: when) -> result<s32, string>
    call    io.world/Hello/rpc/say
            [{"content": string}, 0 (now) | 1 (soon)]
    answer  integer
    error   string
  operation reset()
    call    io.world/Hello/rpc/reset
            []
  property last: message
    value   io.world/Hello/prop/last (retained)
            {"content": string}
    set     io.world/Hello/set/last
  property count: u64
    value   io.world/Hello/prop/count (retained)
            integer
  signal just-said(msg: message)
    emit    io.world/Hello/sig/justSaid
            [{"content": string}]
"#
    );
}

#[test]
fn json_has_topics_and_schemas() {
    let description = hello(Role::Calls).to_json();
    let interface = &description["interfaces"][0];
    assert_eq!(interface["role"], "calls");
    assert_eq!(interface["prefix"], "io.world/Hello");
    assert_eq!(
        interface["operations"][0],
        json!({
            "name": "say",
            "wit": "say",
            "topic": "io.world/Hello/rpc/say",
            "parameters": [{ "name": "msg", "type": "message" }, { "name": "when", "type": "when" }],
            "arguments": {
                "type": "array",
                "items": [
                    {
                        "type": "object",
                        "properties": { "content": { "type": "string" } },
                        "required": ["content"],
                        "title": "msg",
                    },
                    {
                        "oneOf": [{ "const": 0, "title": "now" }, { "const": 1, "title": "soon" }],
                        "title": "when",
                    },
                ],
                "minItems": 2,
                "maxItems": 2,
            },
            "answer": { "type": "integer", "minimum": i32::MIN, "maximum": i32::MAX },
            "error": { "type": "string" },
        })
    );

    assert_eq!(interface["properties"][1]["set_topic"], json!(null));
    assert_eq!(
        interface["signals"][0]["topic"],
        "io.world/Hello/sig/justSaid"
    );
}

#[test]
fn role_decides_who_sends_in_an_asyncapi_document() {
    for (role, rpc, prop) in [
        (Role::Serves, "receive", "send"),
        (Role::Calls, "send", "receive"),
    ] {
        let document = hello(role).to_asyncapi();
        let action = |key: &str| {
            let key = format!("{}.io.world.Hello.{key}", role.word());
            document["operations"][key]["action"].clone()
        };
        assert_eq!(
            (action("rpc.say"), action("set.last")),
            (json!(rpc), json!(rpc))
        );
        assert_eq!(
            (action("prop.last"), action("sig.justSaid")),
            (json!(prop), json!(prop))
        );
        assert_eq!(action("set.count"), json!(null));
        assert_eq!(document["info"]["version"], "1.0.0");
        assert_eq!(
            document["channels"]["io.world.Hello.rpc.say.result"]["address"],
            json!(null)
        );
    }
}

fn byte() -> serde_json::Value {
    json!({ "type": "integer", "minimum": 0, "maximum": 255 })
}

/// The schema of an object with one member.
fn member(name: &str, value: serde_json::Value) -> serde_json::Value {
    json!({
        "type": "object",
        "properties": { name: value },
        "required": [name],
        "additionalProperties": false,
    })
}

#[test]
fn schemas_of_simple_types_and_lists() {
    let cases = [
        (Type::U8, byte()),
        (
            Type::U64,
            json!({ "type": "integer", "minimum": 0, "maximum": u64::MAX }),
        ),
        (
            Type::S64,
            json!({ "type": "integer", "minimum": i64::MIN, "maximum": i64::MAX }),
        ),
        (
            Type::Bytes,
            json!({ "type": "string", "contentEncoding": "base64" }),
        ),
        (
            Type::List(Arc::new(Type::U8)),
            json!({ "type": "array", "items": byte() }),
        ),
    ];

    for (ty, expected) in cases {
        assert_eq!(schema::of(&ty), expected, "{ty:?}");
    }
    assert_eq!(
        schema::of_arguments(&[]),
        json!({ "type": "array", "maxItems": 0 })
    );
}

#[test]
fn schemas_of_options_variants_and_flags() {
    let option = |ty| Type::Option(Arc::new(ty));
    let case = |name: &str, ty| Case {
        name: Name::new(name),
        ty,
    };
    let variant = Type::Variant(Arc::new(Variant {
        name: None,
        cases: vec![case("is-off", None), case("code", Some(Type::U8))],
    }));
    let flags = Type::Flags(Arc::new(Flags {
        name: None,
        names: vec![Name::new("too-hot")],
    }));

    let optional = json!({ "anyOf": [{ "type": "null" }, byte()] });
    let nested = json!({ "anyOf": [{ "type": "null" }, member("some", optional.clone())] });
    let cases = [
        (option(Type::U8), optional),
        (option(option(Type::U8)), nested),
        (
            variant,
            json!({ "oneOf": [{ "const": "isOff" }, member("code", byte())] }),
        ),
        (
            flags,
            json!({ "type": "array", "items": { "enum": ["tooHot"] }, "uniqueItems": true }),
        ),
    ];

    for (ty, expected) in cases {
        assert_eq!(schema::of(&ty), expected, "{ty:?}");
    }
}
