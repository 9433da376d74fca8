//! The description as JSON.

use serde_json::{Map, Value, json};

use super::schema;
use super::{DescribedInterface, Description};
use crate::typed::mapping::{ErrorType, Operation, Property, Signal};
use crate::typed::types::Field;

impl Description {
    /// Interfaces, topics and schemas.
    pub fn to_json(&self) -> Value {
        let interfaces: Vec<Value> = self.interfaces.iter().map(interface).collect();
        json!({ "name": self.name, "broker": self.broker, "interfaces": interfaces })
    }
}

fn interface(interface: &DescribedInterface) -> Value {
    let mapping = &interface.mapping;
    json!({
        "interface": mapping.id.to_string(),
        "role": interface.role.word(),
        "prefix": mapping.prefix.as_str(),
        "operations": mapping.operations.iter().map(operation).collect::<Vec<_>>(),
        "properties": mapping.properties.iter().map(property).collect::<Vec<_>>(),
        "signals": mapping.signals.iter().map(signal).collect::<Vec<_>>(),
    })
}

fn operation(operation: &Operation) -> Value {
    let error = match &operation.error {
        Some(ErrorType(Some(ty))) => schema::of(ty),
        Some(ErrorType(None)) => json!({ "type": "null" }),
        None => Value::Null,
    };
    json!({
        "name": operation.name.wire,
        "wit": operation.name.wit,
        "topic": operation.topic.as_str(),
        "parameters": parameters(&operation.parameters),
        "arguments": schema::of_arguments(&operation.parameters),
        "answer": operation.answer.as_ref().map(schema::of),
        "error": error,
    })
}

fn property(property: &Property) -> Value {
    let set_topic = property
        .setter
        .as_ref()
        .map(|_| property.set_topic.as_str());
    json!({
        "name": property.name.wire,
        "wit": property.name.wit,
        "topic": property.topic.as_str(),
        "set_topic": set_topic,
        "type": property.ty.wit(),
        "value": schema::of(&property.ty),
    })
}

fn signal(signal: &Signal) -> Value {
    json!({
        "name": signal.name.wire,
        "wit": signal.name.wit,
        "topic": signal.topic.as_str(),
        "parameters": parameters(&signal.parameters),
        "arguments": schema::of_arguments(&signal.parameters),
    })
}

fn parameters(parameters: &[Field]) -> Value {
    let list = parameters.iter().map(|parameter| {
        Map::from_iter([
            ("name".to_owned(), json!(parameter.name.wire)),
            ("type".to_owned(), json!(parameter.ty.wit())),
        ])
    });

    list.map(Value::Object).collect()
}
