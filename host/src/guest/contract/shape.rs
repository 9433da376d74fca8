//! The shape of a function: its type in the notation of WIT, without the names of parameters and of types.
//!
//! A component names its types as it likes and need not name them at all, so two functions have the same type when they
//! have the same shape. Shapes of the WIT and of compiled components are spelled by the same functions.

use std::borrow::Cow;

use wasmtime::component::Type;
use wasmtime::component::types::ComponentFunc;
use wit_parser::{Function, Resolve, TypeDefKind};

/// The shape of a function that a component exports or imports.
pub(super) fn compiled(function: &ComponentFunc) -> String {
    func(
        function.async_(),
        function.params().map(|(_, ty)| compiled_type(&ty)),
        function.results().next().map(|ty| compiled_type(&ty)),
    )
}

/// The shape of a function that the WIT declares.
pub(super) fn declared(resolve: &Resolve, function: &Function) -> String {
    func(
        function.kind.is_async(),
        function
            .params
            .iter()
            .map(|parameter| declared_type(resolve, &parameter.ty)),
        function
            .result
            .as_ref()
            .map(|ty| declared_type(resolve, ty)),
    )
}

fn compiled_type(ty: &Type) -> String {
    match ty {
        Type::List(list) => one("list", compiled_type(&list.ty())),
        Type::Option(option) => one("option", compiled_type(&option.ty())),
        Type::Tuple(tuple) => one("tuple", join(tuple.types().map(|ty| compiled_type(&ty)))),
        Type::Record(ty) => record(
            ty.fields()
                .map(|field| (field.name, compiled_type(&field.ty))),
        ),
        Type::Variant(ty) => variant(
            ty.cases()
                .map(|case| (case.name, case.ty.as_ref().map(compiled_type))),
        ),
        Type::Enum(ty) => names("enum", ty.names()),
        Type::Flags(ty) => names("flags", ty.names()),
        Type::Result(ty) => result(
            ty.ok().as_ref().map(compiled_type),
            ty.err().as_ref().map(compiled_type),
        ),
        Type::Own(_) => "own".to_owned(),
        Type::Borrow(_) => "borrow".to_owned(),
        // primitive types are spelled as in WIT; newer kinds are not in the contract and only have to differ
        other => format!("{other:?}").to_lowercase(),
    }
}

fn declared_type(resolve: &Resolve, ty: &wit_parser::Type) -> String {
    let wit_parser::Type::Id(id) = ty else {
        return format!("{ty:?}").to_lowercase();
    };

    match &resolve.types[*id].kind {
        TypeDefKind::Type(alias) => declared_type(resolve, alias),
        TypeDefKind::List(item) => one("list", declared_type(resolve, item)),
        TypeDefKind::Option(item) => one("option", declared_type(resolve, item)),
        TypeDefKind::Tuple(ty) => one(
            "tuple",
            join(ty.types.iter().map(|ty| declared_type(resolve, ty))),
        ),
        TypeDefKind::Record(ty) => record(
            ty.fields
                .iter()
                .map(|field| (&*field.name, declared_type(resolve, &field.ty))),
        ),
        TypeDefKind::Variant(ty) => variant(ty.cases.iter().map(|case| {
            let payload = case.ty.as_ref().map(|ty| declared_type(resolve, ty));
            (&*case.name, payload)
        })),
        TypeDefKind::Enum(ty) => names("enum", ty.cases.iter().map(|case| &*case.name)),
        TypeDefKind::Flags(ty) => names("flags", ty.flags.iter().map(|flag| &*flag.name)),
        TypeDefKind::Result(ty) => result(
            ty.ok.as_ref().map(|ty| declared_type(resolve, ty)),
            ty.err.as_ref().map(|ty| declared_type(resolve, ty)),
        ),
        other => other.as_str().to_owned(),
    }
}

fn func(
    is_async: bool,
    parameters: impl Iterator<Item = String>,
    result: Option<String>,
) -> String {
    let kind = if is_async { "async func" } else { "func" };
    let result = result.map_or_else(String::new, |result| format!(" -> {result}"));
    format!("{kind}({}){result}", join(parameters))
}

fn one(kind: &str, inner: String) -> String {
    format!("{kind}<{inner}>")
}

fn record<'a>(fields: impl Iterator<Item = (&'a str, String)>) -> String {
    let fields = fields.map(|(name, ty)| format!("{name}: {ty}"));
    format!("record{{{}}}", join(fields))
}

fn variant<'a>(cases: impl Iterator<Item = (&'a str, Option<String>)>) -> String {
    let cases = cases.map(|(name, ty)| match ty {
        Some(ty) => Cow::Owned(format!("{name}({ty})")),
        None => Cow::Borrowed(name),
    });
    format!("variant{{{}}}", join(cases))
}

fn names<'a>(kind: &str, names: impl Iterator<Item = &'a str>) -> String {
    format!("{kind}{{{}}}", join(names))
}

fn result(ok: Option<String>, err: Option<String>) -> String {
    match (ok, err) {
        (None, None) => "result".to_owned(),
        (Some(ok), None) => format!("result<{ok}>"),
        (ok, Some(err)) => format!("result<{}, {err}>", ok.as_deref().unwrap_or("_")),
    }
}

fn join<S: AsRef<str>>(items: impl Iterator<Item = S>) -> String {
    let mut joined = String::new();
    for item in items {
        if !joined.is_empty() {
            joined.push_str(", ");
        }
        joined.push_str(item.as_ref());
    }

    joined
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::super::wit::Contract;

    #[test]
    fn declared_shapes_resolve_every_named_type() {
        let contract = Contract::parse().unwrap();
        let shape = |interface: &str, function: &str| {
            let found = contract.interfaces().iter();
            let interface = found.clone().find(|found| found.name == interface).unwrap();
            let functions = &interface.functions;
            let found = functions.iter().find(|found| found.name == function);
            found.unwrap().shape.clone()
        };

        assert_eq!(
            shape("timers", "every"),
            "func(string, u64, u64) -> result<_, variant{invalid(string), limit(string)}>"
        );
        assert_eq!(
            shape("timers", "due"),
            "func() -> list<record{name: string, count: u64}>"
        );
        assert_eq!(
            shape("log", "log"),
            "func(enum{trace, debug, info, warn, error}, string, list<tuple<string, string>>)"
        );
        assert_eq!(
            contract.export("delivered").unwrap().shape,
            "func(u64, variant{delivered, timed-out, refused(string)}) -> result<_, string>"
        );
        assert_eq!(contract.export("save").unwrap().shape, "func() -> list<u8>");
    }

    #[test]
    fn every_function_has_its_declaration() {
        let contract = Contract::parse().unwrap();
        for interface in contract.interfaces() {
            for function in &interface.functions {
                assert!(
                    function.declaration.contains(": func("),
                    "{}",
                    function.name
                );
            }
        }

        assert!(contract.uses_type("delivery-token") && contract.uses_type("delivery-outcome"));
    }
}
