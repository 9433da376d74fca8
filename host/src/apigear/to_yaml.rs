//! Writes a module as YAML.

use serde_json::{Map, Value, json};

use super::module::{BaseType, Field, Interface, Module, Operation, Type};

impl Module {
    /// The YAML of the module.
    pub fn to_yaml(&self) -> String {
        let mut module = Map::new();
        module.insert("schema".to_owned(), "apigear.module/1.0".into());
        module.insert("name".to_owned(), self.name.as_str().into());
        module.insert("version".to_owned(), self.version.as_str().into());
        describe(&mut module, self.description.as_deref());
        add_list(&mut module, "interfaces", &self.interfaces, interface);
        add_list(&mut module, "enums", &self.enums, |item| {
            let mut map = item_map(&item.name, item.description.as_deref());
            add_list(&mut map, "members", &item.members, |member| {
                let mut map = item_map(&member.name, member.description.as_deref());
                map.insert("value".to_owned(), member.value.into());
                map
            });
            map
        });

        add_list(&mut module, "structs", &self.structs, |item| {
            let mut map = item_map(&item.name, item.description.as_deref());
            add_list(&mut map, "fields", &item.fields, field);
            map
        });

        serde_yaml::to_string(&module).unwrap_or_else(|error| format!("# {error}\n"))
    }
}

fn interface(interface: &Interface) -> Map<String, Value> {
    let mut map = item_map(&interface.name, interface.description.as_deref());
    add_list(&mut map, "properties", &interface.properties, |property| {
        let mut map = field(&property.field);
        if property.readonly {
            map.insert("readonly".to_owned(), true.into());
        }
        map
    });

    add_list(&mut map, "operations", &interface.operations, operation);
    add_list(&mut map, "signals", &interface.signals, operation);
    map
}

fn operation(operation: &Operation) -> Map<String, Value> {
    let mut map = item_map(&operation.name, operation.description.as_deref());
    add_list(&mut map, "params", &operation.params, field);
    if let Some(result) = &operation.result {
        map.insert("return".to_owned(), Value::Object(type_map(result)));
    }
    map
}

fn field(field: &Field) -> Map<String, Value> {
    let mut map = item_map(&field.name, field.description.as_deref());
    map.extend(type_map(&field.ty));
    map
}

fn type_map(ty: &Type) -> Map<String, Value> {
    let name = match &ty.base {
        BaseType::Primitive(primitive) => primitive.name(),
        BaseType::Named(name) => name,
    };
    let mut map = Map::from_iter([("type".to_owned(), json!(name))]);
    if ty.array {
        map.insert("array".to_owned(), true.into());
    }
    map
}

fn item_map(name: &str, description: Option<&str>) -> Map<String, Value> {
    let mut map = Map::from_iter([("name".to_owned(), json!(name))]);
    describe(&mut map, description);
    map
}

fn describe(map: &mut Map<String, Value>, description: Option<&str>) {
    if let Some(description) = description {
        map.insert("description".to_owned(), description.into());
    }
}

/// Adds the list `key`, unless it is empty.
fn add_list<T>(
    map: &mut Map<String, Value>,
    key: &str,
    items: &[T],
    item: impl Fn(&T) -> Map<String, Value>,
) {
    if !items.is_empty() {
        let list = items.iter().map(|one| Value::Object(item(one)));
        map.insert(key.to_owned(), list.collect());
    }
}
