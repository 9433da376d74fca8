//! The description as an AsyncAPI document (version 3.0.0, with MQTT bindings).
//!
//! A component that serves an interface receives calls and requests to set properties, and sends values and signals; a component that
//! calls it does the opposite.

use serde_json::{Map, Value, json};

use super::schema;
use super::{DescribedInterface, Description, Role};
use crate::typed::mapping::{Operation, Property, Signal};

/// The version of the MQTT bindings.
const BINDING: &str = "0.2.0";

impl Description {
    /// The AsyncAPI document.
    pub fn to_asyncapi(&self) -> Value {
        let mut document = Document::default();
        for interface in &self.interfaces {
            document.add_interface(interface);
        }

        let mut root = json!({
            "asyncapi": "3.0.0",
            "info": { "title": self.name, "version": self.version() },
            "defaultContentType": "application/json",
        });
        if let Some(broker) = &self.broker {
            root["servers"] = json!({ "broker": { "host": broker, "protocol": "mqtt5" } });
        }
        root["channels"] = document.channels.into();
        root["operations"] = document.operations.into();
        root
    }

    /// The version of the first interface that has one.
    fn version(&self) -> &str {
        let versions = self.interfaces.iter();
        versions
            .filter_map(|interface| interface.mapping.id.version.as_deref())
            .next()
            .unwrap_or("0.0.0")
    }
}

/// Channels and operations of a document.
#[derive(Default)]
struct Document {
    channels: Map<String, Value>,
    operations: Map<String, Value>,
}

impl Document {
    fn add_interface(&mut self, interface: &DescribedInterface) {
        let mapping = &interface.mapping;
        let prefix = mapping.prefix.as_str().replace('/', ".");
        for operation in &mapping.operations {
            self.add_operation(&prefix, operation, interface.role);
        }
        for property in &mapping.properties {
            self.add_property(&prefix, property, interface.role);
        }
        for signal in &mapping.signals {
            self.add_signal(&prefix, signal, interface.role);
        }
    }

    fn add_operation(&mut self, prefix: &str, operation: &Operation, role: Role) {
        let key = format!("{prefix}.rpc.{}", operation.name.wire);
        let answer_key = format!("{key}.result");
        let properties = json!({
            "mqtt": {
                "responseTopic": { "type": "string" },
                "correlationData": { "type": "string" },
                "bindingVersion": BINDING,
            },
        });

        let call = json!({
            "payload": schema::of_arguments(&operation.parameters),
            "bindings": properties,
        });
        let answer = operation.answer.as_ref();
        let answer = answer.map_or_else(|| json!({ "type": "null" }), schema::of);
        self.add_channel(&key, operation.topic.as_str().into(), ("call", call));
        // the caller chooses the topic of the answer
        self.add_channel(
            &answer_key,
            Value::Null,
            ("answer", json!({ "payload": answer })),
        );

        let mut entry = entry(&key, role == Role::Calls);
        entry["reply"] = json!({
            "address": { "location": "$message.header#/responseTopic" },
            "channel": { "$ref": format!("#/channels/{answer_key}") },
        });
        self.add_entry(&key, role, entry);
    }

    fn add_property(&mut self, prefix: &str, property: &Property, role: Role) {
        let value = json!({ "payload": schema::of(&property.ty) });
        let name = &property.name.wire;

        let key = format!("{prefix}.prop.{name}");
        let topic = property.topic.as_str().into();
        self.add_channel(&key, topic, ("value", value.clone()));
        let mut published = entry(&key, role == Role::Serves);
        published["bindings"] = json!({ "mqtt": { "retain": true, "bindingVersion": BINDING } });
        self.add_entry(&key, role, published);

        if property.setter.is_some() {
            let key = format!("{prefix}.set.{name}");
            let topic = property.set_topic.as_str().into();
            self.add_channel(&key, topic, ("value", value));
            self.add_entry(&key, role, entry(&key, role == Role::Calls));
        }
    }

    fn add_signal(&mut self, prefix: &str, signal: &Signal, role: Role) {
        let key = format!("{prefix}.sig.{}", signal.name.wire);
        let message = json!({ "payload": schema::of_arguments(&signal.parameters) });
        self.add_channel(&key, signal.topic.as_str().into(), ("signal", message));
        self.add_entry(&key, role, entry(&key, role == Role::Serves));
    }

    /// Adds an operation of the document. A component may serve and call the same interface.
    fn add_entry(&mut self, key: &str, role: Role, entry: Value) {
        self.operations
            .insert(format!("{}.{key}", role.word()), entry);
    }

    /// Adds a channel with one message.
    fn add_channel(&mut self, key: &str, address: Value, (name, message): (&str, Value)) {
        let channel = json!({ "address": address, "messages": { name: message } });
        self.channels.insert(key.to_owned(), channel);
    }
}

/// An operation of a document on the channel `key`.
fn entry(key: &str, sends: bool) -> Value {
    let action = if sends { "send" } else { "receive" };
    json!({ "action": action, "channel": { "$ref": format!("#/channels/{key}") } })
}
