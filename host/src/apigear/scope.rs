//! Checks of names and types while a module is read: everything that WIT could not carry is an error at its line.

use std::collections::HashMap;

use super::module::{BaseType, Struct};
use super::names;
use crate::config::ConfigValue;

/// Names that must differ in WIT.
#[derive(Default)]
pub(super) struct Scope {
    /// The users of the names, by their spelling in WIT.
    names: HashMap<String, String>,
}

impl Scope {
    /// A scope in which `user` has the name `wit` already.
    pub(super) fn with(wit: &str, user: &str) -> Self {
        Self {
            names: HashMap::from([(wit.to_owned(), user.to_owned())]),
        }
    }

    /// Adds `name`. An error at `value` tells when another name has the same spelling in WIT.
    pub(super) fn add(&mut self, name: &str, value: &ConfigValue<'_>) {
        self.add_wit(names::kebab(name), name, value);
    }

    /// Adds `name`, whose spelling in WIT is `wit`.
    pub(super) fn add_wit(&mut self, wit: String, name: &str, value: &ConfigValue<'_>) {
        if let Some(user) = self.names.get(&wit) {
            value.error(format!("becomes {wit} in WIT, as does {user}; rename one"));
            return;
        }
        let user = format!("{name} in line {}", value.line);
        self.names.insert(wit, user);
    }
}

/// Finds a structure that is a part of itself.
pub(super) fn find_recursive(structs: &[Struct]) -> Option<&Struct> {
    structs.iter().find(|structure| {
        let mut open = vec![*structure];
        let mut seen: Vec<&str> = Vec::new();
        while let Some(next) = open.pop() {
            for part in parts(next).filter_map(|name| structs.iter().find(|s| s.name == *name)) {
                if part.name == structure.name {
                    return true;
                }
                if !seen.contains(&part.name.as_str()) {
                    seen.push(&part.name);
                    open.push(part);
                }
            }
        }

        false
    })
}

/// The named types of the fields.
fn parts(structure: &Struct) -> impl Iterator<Item = &String> {
    structure
        .fields
        .iter()
        .filter_map(|field| match &field.ty.base {
            BaseType::Named(name) => Some(name),
            BaseType::Primitive(_) => None,
        })
}
