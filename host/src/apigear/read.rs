//! Reads the YAML of a module. Every fault is reported with file, line and key.

use std::path::Path;

use super::keys::{module_name, read_description, read_items, read_name, read_version, refuse};
use super::module::{Field, Interface, Module, Operation, Property, Struct, Type};
use super::names;
use super::read_enum::read_enum;
use super::read_type::{DeclaredTypes, read_result, read_type};
use super::scope::{Scope, find_recursive};
use crate::config::{ConfigError, ConfigValue, Diagnostic, LoadContext, Section, parse_yaml};

/// The only version of the format.
const SCHEMA: &str = "apigear.module/1.0";

impl Module {
    /// Reads `text` as the content of `file`. The second value has warnings about parts that WIT does not carry.
    ///
    /// # Errors
    /// Everything that is wrong, each with file, line, key and accepted values.
    pub fn read(text: &str, file: &Path) -> Result<(Self, Vec<Diagnostic>), ConfigError> {
        let context = LoadContext::new(Some(file));
        let Some(node) = parse_yaml(text, &context.diagnostics) else {
            return Err(context.diagnostics.into_error());
        };

        let types = DeclaredTypes::of(&node);
        let module = read_module(Section::root(&node, &context), &types);
        let warnings = context.diagnostics.finish()?;
        Ok((module, warnings))
    }
}

fn read_module(mut section: Section<'_>, types: &DeclaredTypes) -> Module {
    if let Some(schema) = section.take_required("schema") {
        schema.word(&[(SCHEMA, ())]);
    }
    let name = section
        .take_required("name")
        .and_then(|name| name.parse(module_name));
    let version = section
        .take_required("version")
        .and_then(|version| version.parse(read_version));
    let description = read_description(&mut section);
    refuse(
        &mut section,
        "imports",
        "types of other modules are not read; copy their definitions into this module",
    );

    let mut scope = Scope::default();
    let enums = read_items(&mut section, "enums", |value| read_enum(value, &mut scope));
    let structs = read_items(&mut section, "structs", |value| {
        read_struct(value, types, &mut scope)
    });
    if let Some(structure) = find_recursive(&structs) {
        section.error(format!(
            "the structure {} is a part of itself, which WIT does not allow",
            structure.name
        ));
    }

    let mut scope = Scope::with(names::TYPES, "the interface of the types");
    let interfaces = read_items(&mut section, "interfaces", |value| {
        read_interface(value, types, &mut scope)
    });
    section.finish();

    Module {
        name: name.unwrap_or_default(),
        version: version.unwrap_or_default(),
        description,
        interfaces,
        enums,
        structs,
    }
}

fn read_interface(value: ConfigValue<'_>, types: &DeclaredTypes, scope: &mut Scope) -> Interface {
    let mut section = value.into_section();
    let name = read_name(&mut section, |name, value| {
        let wit = names::kebab(name);
        for suffix in names::SUFFIXES {
            scope.add_wit(format!("{wit}{suffix}"), name, value);
        }
    });

    let description = read_description(&mut section);
    refuse(
        &mut section,
        "extends",
        "is not read; write the members of the other interface here",
    );

    let mut members = Scope::default();
    let properties = read_items(&mut section, "properties", |value| {
        read_property(value, types, &mut members)
    });
    let operations = read_items(&mut section, "operations", |value| {
        read_operation(value, types, &mut members)
    });
    let mut members = Scope::default();
    let signals = read_items(&mut section, "signals", |value| {
        let place = value.clone();
        let signal = read_operation(value, types, &mut members);
        if signal.result.is_some() {
            place.error("has a return type; a signal returns nothing");
        }
        signal
    });

    section.finish();

    Interface {
        name,
        description,
        properties,
        operations,
        signals,
    }
}

fn read_property(value: ConfigValue<'_>, types: &DeclaredTypes, scope: &mut Scope) -> Property {
    let mut section = value.into_section();
    let readonly = section
        .take("readonly")
        .and_then(|readonly| readonly.flag())
        .unwrap_or(false);

    Property {
        field: read_field(section, types, scope),
        readonly,
    }
}

fn read_operation(value: ConfigValue<'_>, types: &DeclaredTypes, scope: &mut Scope) -> Operation {
    let mut section = value.into_section();
    let name = read_name(&mut section, |name, value| scope.add(name, value));
    let description = read_description(&mut section);
    let result = section
        .take("return")
        .and_then(|value| read_result(value, types));
    let mut parameters = Scope::default();
    let params = read_items(&mut section, "params", |value| {
        let mut section = value.into_section();
        // a parameter cannot be changed in any case
        section.take("readonly");
        read_field(section, types, &mut parameters)
    });

    section.finish();

    Operation {
        name,
        description,
        params,
        result,
    }
}

fn read_struct(value: ConfigValue<'_>, types: &DeclaredTypes, scope: &mut Scope) -> Struct {
    let mut section = value.into_section();
    let name = read_name(&mut section, |name, value| scope.add(name, value));
    let description = read_description(&mut section);
    let mut members = Scope::default();
    let fields = read_items(&mut section, "fields", |value| {
        let mut section = value.into_section();
        // the fields of a record can always be changed
        section.take("readonly");
        read_field(section, types, &mut members)
    });

    if fields.is_empty() {
        section.error("has no fields; a record of WIT has at least one");
    }
    section.finish();

    Struct {
        name,
        description,
        fields,
    }
}

/// Reads a name with a type, and ends the section.
fn read_field(mut section: Section<'_>, types: &DeclaredTypes, scope: &mut Scope) -> Field {
    let name = read_name(&mut section, |name, value| scope.add(name, value));
    let description = read_description(&mut section);
    let ty = read_type(&mut section, types);
    section.finish();

    Field {
        name,
        description,
        ty: ty.unwrap_or_else(Type::placeholder),
    }
}
