//! The settings of `miqro.yml` for names and numbers that differ from the rule. A component has no documentation, so the host learns
//! them from there.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::module::{BaseType, Interface, Module, Operation, Type};
use super::names::{self, Spelling, kebab};
use super::to_wit::operation_name;
use crate::typed::naming;

impl Module {
    /// Items for the lists `serve` and `call` of a service, as YAML; `None` when the rule gives everything back.
    pub fn overrides(&self) -> Option<String> {
        let items: Vec<Value> = self
            .interfaces
            .iter()
            .filter_map(|interface| self.interface_overrides(interface))
            .collect();
        if items.is_empty() {
            return None;
        }
        serde_yaml::to_string(&items).ok()
    }

    fn interface_overrides(&self, interface: &Interface) -> Option<Value> {
        let package = names::package(&self.name);
        let name = kebab(&interface.name);
        let mut item = Map::new();
        if naming::module(&package) != self.name {
            item.insert("module".to_owned(), json!(self.name));
        }
        if Spelling::Pascal.of(&name) != interface.name {
            item.insert("name".to_owned(), json!(interface.name));
        }

        let used = self.used_types(interface);
        add(&mut item, "names", json!(self.spellings(interface, &used)));
        add(&mut item, "enums", json!(self.numbers(&used)));
        let operations: Vec<String> = interface
            .operations
            .iter()
            .map(|operation| (operation, operation_name(interface, operation)))
            .filter(|(operation, name)| names::is_like_property(operation, name))
            .map(|(_, name)| name)
            .collect();

        add(&mut item, "operations", json!(operations));
        if item.is_empty() {
            return None;
        }

        let id = format!("{package}/{name}@{}", self.version);
        item.shift_insert(0, "interface".to_owned(), json!(id));
        Some(Value::Object(item))
    }

    /// Members and fields that are not in lower camel case.
    fn spellings(&self, interface: &Interface, used: &BTreeSet<&str>) -> BTreeMap<String, String> {
        let properties = interface.properties.iter();
        let properties = properties.map(|property| &property.field.name);
        let signals = interface.signals.iter().map(|signal| &signal.name);
        let structs = self.structs.iter();
        let fields = structs
            .filter(|item| used.contains(item.name.as_str()))
            .flat_map(|item| item.fields.iter().map(|field| &field.name));
        let operations = interface.operations.iter();
        let operations =
            operations.map(|operation| (operation_name(interface, operation), &operation.name));

        properties
            .chain(signals)
            .chain(fields)
            .map(|name| (kebab(name), name))
            .chain(operations)
            .filter(|(wit, name)| Spelling::Camel.of(wit) != **name)
            .map(|(wit, name)| (wit, name.clone()))
            .collect()
    }

    /// Numbers of enumerations that do not count from zero.
    fn numbers(&self, used: &BTreeSet<&str>) -> BTreeMap<String, Vec<u32>> {
        let enums = self.enums.iter();
        enums
            .filter(|item| used.contains(item.name.as_str()))
            .map(|item| {
                let numbers = item.members.iter().map(|member| member.value);
                (kebab(&item.name), numbers.collect::<Vec<_>>())
            })
            .filter(|(_, numbers)| {
                (0..)
                    .zip(numbers)
                    .any(|(position, number)| position != *number)
            })
            .collect()
    }

    /// The structures and enumerations that an interface uses, with all of their parts.
    fn used_types<'a>(&'a self, interface: &'a Interface) -> BTreeSet<&'a str> {
        let properties = interface.properties.iter();
        let operations = interface.operations.iter().chain(&interface.signals);
        let mut open: Vec<&Type> = properties
            .map(|property| &property.field.ty)
            .chain(operations.flat_map(operation_types))
            .collect();

        let mut used = BTreeSet::new();
        while let Some(ty) = open.pop() {
            let BaseType::Named(name) = &ty.base else {
                continue;
            };
            if used.insert(name.as_str()) {
                let parts = self.structs.iter().filter(|item| item.name == *name);
                open.extend(parts.flat_map(|item| item.fields.iter().map(|field| &field.ty)));
            }
        }

        used
    }
}

fn operation_types(operation: &Operation) -> impl Iterator<Item = &Type> {
    let params = operation.params.iter().map(|param| &param.ty);
    params.chain(operation.result.as_ref())
}

/// Adds a value that has items.
fn add(item: &mut Map<String, Value>, key: &str, value: Value) {
    let is_empty = match &value {
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        _ => false,
    };
    if !is_empty {
        item.insert(key.to_owned(), value);
    }
}
