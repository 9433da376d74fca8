//! JSON schemas of types (draft 7, the dialect of AsyncAPI), and the same in short for people.

use serde_json::{Map, Value, json};

use crate::typed::types::{Enum, Field, Flags, ResultType, Type, Variant};

/// The schema of a value.
pub(super) fn of(ty: &Type) -> Value {
    match ty {
        Type::Bool => json!({ "type": "boolean" }),
        Type::S8 => signed(i8::MIN.into(), i8::MAX.into()),
        Type::S16 => signed(i16::MIN.into(), i16::MAX.into()),
        Type::S32 => signed(i32::MIN.into(), i32::MAX.into()),
        Type::S64 => signed(i64::MIN, i64::MAX),
        Type::U8 => unsigned(u8::MAX.into()),
        Type::U16 => unsigned(u16::MAX.into()),
        Type::U32 => unsigned(u32::MAX.into()),
        Type::U64 => unsigned(u64::MAX),
        Type::F32 => json!({ "type": "number", "format": "float" }),
        Type::F64 => json!({ "type": "number", "format": "double" }),
        Type::Char => json!({ "type": "string", "minLength": 1, "maxLength": 1 }),
        Type::String => json!({ "type": "string" }),
        Type::Bytes => json!({ "type": "string", "contentEncoding": "base64" }),
        Type::List(item) => json!({ "type": "array", "items": of(item) }),
        Type::Tuple(types) => array_of(types.iter().map(of).collect()),
        Type::Record(record) => with_title(object(&record.fields), record.name.as_deref()),
        Type::Variant(variant) => with_title(of_variant(variant), variant.name.as_deref()),
        Type::Enum(ty) => with_title(of_enum(ty), ty.name.as_deref()),
        Type::Option(inner) if inner.is_nullable() => {
            json!({ "anyOf": [{ "type": "null" }, member("some", of(inner))] })
        }
        Type::Option(inner) => json!({ "anyOf": [{ "type": "null" }, of(inner)] }),
        Type::Result(result) => of_result(result),
        Type::Flags(flags) => with_title(of_flags(flags), flags.name.as_deref()),
    }
}

/// The schema of the arguments of a call or of a signal.
pub(super) fn of_arguments(parameters: &[Field]) -> Value {
    let items = parameters
        .iter()
        .map(|parameter| with_title(of(&parameter.ty), Some(&parameter.name.wire)));
    array_of(items.collect())
}

fn signed(least: i64, most: i64) -> Value {
    json!({ "type": "integer", "minimum": least, "maximum": most })
}

fn unsigned(most: u64) -> Value {
    json!({ "type": "integer", "minimum": 0, "maximum": most })
}

/// An array with these items, and no others.
fn array_of(items: Vec<Value>) -> Value {
    let count = items.len();
    if items.is_empty() {
        // an empty list of schemas is not allowed
        return json!({ "type": "array", "maxItems": 0 });
    }
    json!({
        "type": "array",
        "items": items,
        "minItems": count,
        "maxItems": count,
    })
}

fn object(fields: &[Field]) -> Value {
    let properties: Map<String, Value> = fields
        .iter()
        .map(|field| (field.name.wire.clone(), of(&field.ty)))
        .collect();
    let required: Vec<&str> = fields
        .iter()
        .filter(|field| !field.ty.is_nullable())
        .map(|field| field.name.wire.as_str())
        .collect();
    json!({ "type": "object", "properties": properties, "required": required })
}

/// An object with one member.
fn member(name: &str, value: Value) -> Value {
    json!({
        "type": "object",
        "properties": { name: value },
        "required": [name],
        "additionalProperties": false,
    })
}

fn of_variant(variant: &Variant) -> Value {
    let cases: Vec<Value> = variant
        .cases
        .iter()
        .map(|case| match &case.ty {
            Some(ty) => member(&case.name.wire, of(ty)),
            None => json!({ "const": case.name.wire }),
        })
        .collect();

    json!({ "oneOf": cases })
}

fn of_enum(ty: &Enum) -> Value {
    let cases: Vec<Value> = ty
        .cases
        .iter()
        .map(|case| json!({ "const": case.number, "title": case.name.wire }))
        .collect();
    json!({ "oneOf": cases })
}

fn of_flags(flags: &Flags) -> Value {
    let names: Vec<&str> = flags.names.iter().map(|name| name.wire.as_str()).collect();
    json!({ "type": "array", "items": { "enum": names }, "uniqueItems": true })
}

fn of_result(result: &ResultType) -> Value {
    let side = |name, ty: &Option<Type>| {
        let value = ty.as_ref().map_or_else(|| json!({ "type": "null" }), of);
        member(name, value)
    };
    json!({ "oneOf": [side("ok", &result.ok), side("err", &result.err)] })
}

fn with_title(mut schema: Value, title: Option<&str>) -> Value {
    if let (Some(object), Some(title)) = (schema.as_object_mut(), title) {
        object.insert("title".to_owned(), title.into());
    }
    schema
}

/// The form of a value in short: `{"content": string}`.
pub(super) fn form(ty: &Type) -> String {
    match ty {
        Type::Bool => "boolean".to_owned(),
        Type::S8
        | Type::U8
        | Type::S16
        | Type::U16
        | Type::S32
        | Type::U32
        | Type::S64
        | Type::U64 => "integer".to_owned(),
        Type::F32 | Type::F64 => "number".to_owned(),
        Type::Char => "character".to_owned(),
        Type::String => "string".to_owned(),
        Type::Bytes => "base64".to_owned(),
        Type::List(item) => format!("[{}, …]", form(item)),
        Type::Tuple(types) => format!("[{}]", join(types.iter().map(form), ", ")),
        Type::Record(record) => {
            let fields = record
                .fields
                .iter()
                .map(|field| format!("{:?}: {}", field.name.wire, form(&field.ty)));
            format!("{{{}}}", join(fields, ", "))
        }
        Type::Variant(variant) => {
            let cases = variant.cases.iter().map(|case| match &case.ty {
                Some(ty) => format!("{{{:?}: {}}}", case.name.wire, form(ty)),
                None => format!("{:?}", case.name.wire),
            });
            join(cases, " | ")
        }
        Type::Enum(ty) => {
            let cases = ty.cases.iter();
            join(
                cases.map(|case| format!("{} ({})", case.number, case.name.wire)),
                " | ",
            )
        }
        Type::Option(inner) if inner.is_nullable() => {
            format!("null | {{\"some\": {}}}", form(inner))
        }
        Type::Option(inner) => format!("null | {}", form(inner)),
        Type::Result(result) => {
            let side = |ty: &Option<Type>| ty.as_ref().map_or_else(|| "null".to_owned(), form);
            format!(
                "{{\"ok\": {}}} | {{\"err\": {}}}",
                side(&result.ok),
                side(&result.err)
            )
        }
        Type::Flags(flags) => {
            let names = flags.names.iter().map(|name| format!("{:?}", name.wire));
            format!("[{}, …]", join(names, " | "))
        }
    }
}

/// The form of the arguments of a call or of a signal.
pub(super) fn form_of_arguments(parameters: &[Field]) -> String {
    let items = parameters.iter().map(|parameter| form(&parameter.ty));
    format!("[{}]", join(items, ", "))
}

fn join(items: impl Iterator<Item = String>, between: &str) -> String {
    items.collect::<Vec<_>>().join(between)
}
