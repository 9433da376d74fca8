//! Machine: the contract check. In: a compiled component. Out: where its exports are and its imports linked in advance, or
//! every fault at once, each with the WIT that it should be. Owns nothing; the WIT text itself is the source of signatures.

use std::fmt;

use wasmtime::component::types::{ComponentFunc, ComponentInstance, ComponentItem};
use wasmtime::component::{Component, ComponentExportIndex, InstancePre, Type};

use crate::guest::bindings::ServiceIndices;
use crate::guest::component::{Indices, OptionalExport};
use crate::guest::engine::LinkedEngine;
use crate::guest::linker::{VERSION, WASI_PACKAGES};
use crate::guest::store::Data;

/// The contract as guests read it.
const WIT: &str = include_str!("../../../wit/service.wit");

/// What a component must export.
const REQUIRED: [&str; 2] = ["handle", "tick"];

const QOS: &str = "enum{at-most-once, at-least-once, exactly-once}";
const PROPERTIES: &str = "record{response-topic: option<string>, correlation-data: option<list<u8>>, \
    content-type: option<string>, message-expiry: option<u32>, utf8: bool, \
    user-properties: list<tuple<string, string>>}";
const MESSAGING_ERROR: &str =
    "variant{invalid-topic(string), denied(string), invalid-property(string), limit(string)}";
const OUTCOME: &str = "variant{delivered, timed-out, refused(string)}";
const STATE_ERROR: &str = "variant{invalid-key(string), limit(string), unavailable(string)}";
const TIMERS_ERROR: &str = "variant{invalid(string), limit(string)}";

/// Types that the world `full-service` uses for its exports.
const USED_TYPES: [&str; 2] = ["delivery-token", "delivery-outcome"];

/// The interfaces and their functions.
const INTERFACES: [(&str, &[&str]); 5] = [
    (
        "messaging",
        &[
            "publish",
            "request",
            "subscribe",
            "unsubscribe",
            "current-message",
        ],
    ),
    ("timers", &["every", "after", "cancel", "remaining", "due"]),
    ("config", &["get", "me"]),
    ("state", &["get", "set", "delete", "keys"]),
    ("log", &["log"]),
];

/// Everything that a component misses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContractFaults(pub Vec<String>);

impl fmt::Display for ContractFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|fault| write!(f, "\n  - {fault}"))
    }
}

/// What a component that fulfils the contract is used by.
pub(super) struct Checked {
    pub(super) pre: InstancePre<Data>,
    pub(super) indices: Indices,
    pub(super) imports: Vec<String>,
}

/// Checks `component` against the contract and links it.
pub(super) fn check(
    linked: &LinkedEngine,
    component: &Component,
) -> Result<Checked, ContractFaults> {
    let mut faults = Vec::new();
    for required in REQUIRED {
        export(component, required, true, &mut faults);
    }
    let optional =
        OptionalExport::ALL.map(|optional| export(component, optional.name(), false, &mut faults));
    let imports = imports(linked, component, &mut faults);
    let pre = match linked.linker.instantiate_pre(component) {
        Ok(pre) => Some(pre),
        Err(error) => {
            // what this names has been said better above, if it was said
            if faults.is_empty() {
                faults.push(format!("{error:#}"));
            }
            None
        }
    };
    let required = pre.as_ref().map(ServiceIndices::new).transpose();
    let required = required.unwrap_or_else(|error| {
        if faults.is_empty() {
            faults.push(format!("{error:#}"));
        }
        None
    });
    match (pre, required) {
        (Some(pre), Some(required)) if faults.is_empty() => Ok(Checked {
            pre,
            indices: Indices { required, optional },
            imports,
        }),
        _ => Err(ContractFaults(faults)),
    }
}

fn export(
    component: &Component,
    name: &str,
    required: bool,
    faults: &mut Vec<String>,
) -> Option<ComponentExportIndex> {
    let wit = signature(None, name);
    match component.get_export(None, name) {
        None if required => faults.push(format!(
            "export {name:?} is missing; it must be `export {wit}`"
        )),
        None => {}
        Some((ComponentItem::ComponentFunc(function), index)) => {
            let found = shape(&function);
            if found == exported(name) {
                return Some(index);
            }
            faults.push(format!(
                "export {name:?} is `{found}`; it must be `export {wit}`"
            ));
        }
        Some(_) => faults.push(format!(
            "export {name:?} is not a function; it must be `export {wit}`"
        )),
    }
    None
}

/// The names of all imports, sorted; what is wrong with them goes to `faults`.
fn imports(linked: &LinkedEngine, component: &Component, faults: &mut Vec<String>) -> Vec<String> {
    let ty = component.component_type();
    let mut names = Vec::new();
    for (name, import) in ty.imports(&linked.engine) {
        names.push(name.to_owned());
        match (name.split_once('@').unwrap_or((name, "")), &import.ty) {
            ((interface, version), ComponentItem::ComponentInstance(instance)) => {
                match (
                    interface.strip_prefix("miqro:service/"),
                    interface.strip_prefix("wasi:"),
                ) {
                    (Some(interface), _) => {
                        own_interface(linked, interface, version, instance, faults)
                    }
                    (None, Some(interface)) => wasi_interface(name, interface, version, faults),
                    (None, None) => faults.push(unknown(name)),
                }
            }
            // what a world uses of an interface for its exports
            ((_, ""), ComponentItem::Type(_)) if USED_TYPES.contains(&name) => {
                names.pop();
            }
            _ => faults.push(unknown(name)),
        }
    }
    names.sort();
    names
}

fn unknown(name: &str) -> String {
    format!(
        "import {name:?} is not offered; a service may import interfaces of miqro:service@{VERSION} and wasi 0.2 only"
    )
}

fn wasi_interface(name: &str, interface: &str, version: &str, faults: &mut Vec<String>) {
    let package = interface.split('/').next().unwrap_or_default();
    if !WASI_PACKAGES.contains(&package) {
        faults.push(format!(
            "import {name:?} is not offered; of WASI there are {}",
            WASI_PACKAGES.join(", ")
        ));
    } else if !version.starts_with("0.2.") {
        faults.push(format!(
            "import {name:?}: this host offers version 0.2 of WASI"
        ));
    }
}

fn own_interface(
    linked: &LinkedEngine,
    interface: &str,
    version: &str,
    instance: &ComponentInstance,
    faults: &mut Vec<String>,
) {
    let name = format!("miqro:service/{interface}@{version}");
    let Some((_, functions)) = INTERFACES.iter().find(|(known, _)| *known == interface) else {
        let known = INTERFACES.map(|(known, _)| known).join(", ");
        return faults.push(format!(
            "import {name:?} is not offered; of miqro:service@{VERSION} there are {known}"
        ));
    };
    if version != VERSION {
        return faults.push(format!(
            "import {name:?}: this host offers version {VERSION}"
        ));
    }
    for (function, item) in instance.exports(&linked.engine) {
        let ComponentItem::ComponentFunc(found) = item.ty else {
            continue;
        };
        if !functions.contains(&function) {
            faults.push(format!(
                "import {name:?}: there is no {function:?}; there are {}",
                functions.join(", ")
            ));
            continue;
        }
        let (found, wit) = (shape(&found), signature(Some(interface), function));
        if found != expected(interface, function) {
            faults.push(format!(
                "import {name:?}: {function:?} is `{found}`; it must be `{wit}`"
            ));
        }
    }
}

/// The shape of an export.
fn exported(name: &str) -> String {
    let parameters = match name {
        "save" => return "func() -> list<u8>".to_owned(),
        "load" => "list<u8>",
        "handle" => "string, list<u8>",
        "connected" => "bool",
        "delivered" => &format!("u64, {OUTCOME}"),
        _ => "",
    };
    format!("func({parameters}) -> result<_, string>")
}

/// The shape of a function of an interface.
fn expected(interface: &str, function: &str) -> String {
    match interface {
        "messaging" => messaging(function),
        "timers" => timers(function),
        "state" => state(function),
        "config" if function == "get" => "func() -> string".to_owned(),
        "config" => "func() -> record{name: string, base-topic: string, discovery-prefix: string}"
            .to_owned(),
        _ => "func(enum{trace, debug, info, warn, error}, string, list<tuple<string, string>>)"
            .to_owned(),
    }
}

fn messaging(function: &str) -> String {
    match function {
        "publish" => format!(
            "func(string, list<u8>, option<record{{qos: {QOS}, retain: bool, global: bool, \
             only-if-changed: option<variant{{always, within(u64)}}>, properties: option<{PROPERTIES}>}}>) \
             -> result<option<u64>, {MESSAGING_ERROR}>"
        ),
        "request" => format!(
            "func(string, list<u8>, option<record{{global: bool, deadline: u64, properties: option<{PROPERTIES}>}}>) \
             -> result<record{{payload: list<u8>, properties: option<{PROPERTIES}>}}, \
             variant{{refused({MESSAGING_ERROR}), unavailable(string), timed-out}}>"
        ),
        "subscribe" => {
            format!(
                "func(string, option<record{{qos: {QOS}, global: bool}}>) -> result<_, {MESSAGING_ERROR}>"
            )
        }
        "unsubscribe" => format!("func(string, bool) -> result<_, {MESSAGING_ERROR}>"),
        _ => format!(
            "func() -> option<record{{topic: string, relative: bool, qos: {QOS}, retain: bool, dup: bool, \
             attempt: u32, properties: option<{PROPERTIES}>}}>"
        ),
    }
}

fn timers(function: &str) -> String {
    match function {
        "every" => format!("func(string, u64, u64) -> result<_, {TIMERS_ERROR}>"),
        "after" => format!("func(string, u64) -> result<_, {TIMERS_ERROR}>"),
        "cancel" => "func(string)".to_owned(),
        "remaining" => "func(string) -> option<u64>".to_owned(),
        _ => "func() -> list<record{name: string, count: u64}>".to_owned(),
    }
}

fn state(function: &str) -> String {
    match function {
        "get" => format!("func(string) -> result<option<list<u8>>, {STATE_ERROR}>"),
        "set" => format!("func(string, list<u8>) -> result<_, {STATE_ERROR}>"),
        "delete" => format!("func(string) -> result<_, {STATE_ERROR}>"),
        _ => format!("func(string) -> result<list<string>, {STATE_ERROR}>"),
    }
}

/// The line of the WIT that declares the function `name` of an interface, or of the world.
fn signature(interface: Option<&str>, name: &str) -> &'static str {
    let begin = interface
        .and_then(|interface| WIT.find(&format!("\ninterface {interface} {{")))
        .unwrap_or_default();
    WIT[begin..]
        .lines()
        .map(|line| {
            line.trim()
                .trim_start_matches("export ")
                .trim_end_matches(';')
        })
        .find(|line| {
            line.strip_prefix(name)
                .is_some_and(|rest| rest.starts_with(": func("))
        })
        .unwrap_or_default()
}

/// A function's type in the notation of WIT, without the names of parameters and types.
fn shape(function: &ComponentFunc) -> String {
    let parameters = list(function.params().map(|(_, ty)| type_shape(&ty)));
    let result: String = function
        .results()
        .map(|ty| format!(" -> {}", type_shape(&ty)))
        .collect();
    let kind = if function.async_() {
        "async func"
    } else {
        "func"
    };
    format!("{kind}({parameters}){result}")
}

fn type_shape(ty: &Type) -> String {
    match ty {
        Type::List(list) => format!("list<{}>", type_shape(&list.ty())),
        Type::Record(record) => {
            format!(
                "record{{{}}}",
                list(record.fields().map(|field| format!(
                    "{}: {}",
                    field.name,
                    type_shape(&field.ty)
                )))
            )
        }
        Type::Tuple(tuple) => format!("tuple<{}>", list(tuple.types().map(|ty| type_shape(&ty)))),
        Type::Variant(variant) => format!(
            "variant{{{}}}",
            list(variant.cases().map(|case| match case.ty {
                Some(ty) => format!("{}({})", case.name, type_shape(&ty)),
                None => case.name.to_owned(),
            }))
        ),
        Type::Enum(cases) => format!("enum{{{}}}", list(cases.names().map(str::to_owned))),
        Type::Flags(flags) => format!("flags{{{}}}", list(flags.names().map(str::to_owned))),
        Type::Option(option) => format!("option<{}>", type_shape(&option.ty())),
        Type::Result(result) => result_shape(result.ok().as_ref(), result.err().as_ref()),
        // the primitive types are spelled as in WIT; anything newer cannot be in the contract and need only differ
        other => format!("{other:?}").to_lowercase(),
    }
}

fn result_shape(ok: Option<&Type>, err: Option<&Type>) -> String {
    match (ok.map(type_shape), err.map(type_shape)) {
        (None, None) => "result".to_owned(),
        (Some(ok), None) => format!("result<{ok}>"),
        (ok, Some(err)) => format!("result<{}, {err}>", ok.as_deref().unwrap_or("_")),
    }
}

fn list(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(", ")
}
