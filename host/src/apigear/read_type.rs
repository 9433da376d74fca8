//! Reads types: primitive ones, and those that the module declares.

use super::keys::{read_description, refuse};
use super::module::{BaseType, Primitive, Type};
use crate::config::{ConfigValue, Section, YamlNode, YamlValue};

/// A type that does not exist.
#[derive(Debug, thiserror::Error)]
enum TypeError {
    #[error("expected one of {accepted}, found {found:?}")]
    Unknown { accepted: String, found: String },
    #[error("any has no type in WIT; write the type of the value")]
    Any,
}

/// The names of the structures and enumerations of a module.
pub(super) struct DeclaredTypes(Vec<String>);

impl DeclaredTypes {
    /// Finds the names before anything else is read, because a type may be used above its declaration.
    pub(super) fn of(module: &YamlNode) -> Self {
        let lists = ["enums", "structs"].map(|key| entry(module, key));
        let declared = lists.into_iter().flatten().flat_map(items);
        let names = declared.filter_map(|item| match &entry(item, "name")?.value {
            YamlValue::Scalar { text, .. } => Some(text.clone()),
            YamlValue::List(_) | YamlValue::Map(_) => None,
        });
        Self(names.collect())
    }

    fn find(&self, name: &str) -> Result<BaseType, TypeError> {
        if let Some(primitive) = Primitive::of(name) {
            return Ok(BaseType::Primitive(primitive));
        }
        if self.0.iter().any(|declared| declared == name) {
            return Ok(BaseType::Named(name.to_owned()));
        }
        if name == "any" {
            return Err(TypeError::Any);
        }

        let primitives = Primitive::ALL.iter().flat_map(|(_, names, _)| *names);
        let accepted: Vec<&str> = primitives
            .copied()
            .chain(self.0.iter().map(String::as_str))
            .collect();
        Err(TypeError::Unknown {
            accepted: accepted.join(", "),
            found: name.to_owned(),
        })
    }
}

/// Reads `type` and `array`.
pub(super) fn read_type(section: &mut Section<'_>, types: &DeclaredTypes) -> Option<Type> {
    refuse(
        section,
        "import",
        "types of other modules are not read; copy their definitions into this module",
    );
    let array = section
        .take("array")
        .and_then(|array| array.flag())
        .unwrap_or(false);
    let base = section
        .take_required("type")?
        .parse(|name| types.find(name))?;
    Some(Type { base, array })
}

/// Reads a return type: a section as it is usual, or the name of the type alone. `None` for nothing, also as `void`.
pub(super) fn read_result(value: ConfigValue<'_>, types: &DeclaredTypes) -> Option<Type> {
    if let YamlValue::Scalar { text, .. } = &value.node.value {
        if text == "void" {
            return None;
        }
        let base = value.parse(|name| types.find(name))?;
        return Some(Type { base, array: false });
    }

    let mut section = value.into_section();
    read_description(&mut section);
    let ty = match section.peek("type").map(|ty| ty.text() == Some("void")) {
        Some(true) => {
            section.take("type");
            None
        }
        _ => read_type(&mut section, types),
    };

    section.finish();
    ty
}

fn entry<'a>(node: &'a YamlNode, key: &str) -> Option<&'a YamlNode> {
    let YamlValue::Map(entries) = &node.value else {
        return None;
    };
    let entry = entries.iter().find(|entry| entry.key == key)?;
    Some(&entry.node)
}

fn items(node: &YamlNode) -> &[YamlNode] {
    match &node.value {
        YamlValue::List(items) => items,
        YamlValue::Scalar { .. } | YamlValue::Map(_) => &[],
    }
}
