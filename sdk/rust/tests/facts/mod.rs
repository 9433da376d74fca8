//! The rules of Home Assistant's own schemas, as `fixtures/home_assistant.py` has written them down: keys, types and verdicts.

#![allow(dead_code)] // each test uses a part of it

use std::collections::BTreeMap;

use miqro_sdk::prelude::*;
use serde::Deserialize;
use serde_json::{Map, Value};

/// The values that Home Assistant's schemas accept.
#[derive(Deserialize)]
pub(crate) struct Facts {
    pub message: Section,
    pub device: Section,
    pub child_device: Section,
    pub origin: Section,
    pub availability: Section,
    pub components: BTreeMap<String, Section>,
    pub types: BTreeMap<String, String>,
    pub samples: BTreeMap<String, Samples>,
    pub classes: BTreeMap<String, Class>,
    pub cases: Vec<Case>,
}

#[derive(Deserialize)]
pub(crate) struct Section {
    pub required: Vec<String>,
    pub allowed: Vec<String>,
    #[serde(default)]
    pub types: BTreeMap<String, String>,
}

#[derive(Deserialize)]
pub(crate) struct Samples {
    pub taken: Vec<Value>,
    pub refused: Vec<Value>,
}

#[derive(Deserialize)]
pub(crate) struct Class {
    pub state_classes: Vec<String>,
    pub units: Option<Vec<String>>,
    pub number: bool,
}

#[derive(Deserialize, Debug)]
pub(crate) struct Case {
    pub kind: String,
    pub options: Map<String, Value>,
    pub taken: bool,
    /// The reason why the SDK refuses an accepted value.
    pub but: Option<String>,
}

pub(crate) fn facts() -> Facts {
    serde_json::from_str(include_str!("../fixtures/home_assistant.json")).unwrap()
}

impl Facts {
    /// The type of a key of a kind, without the `?` that lets it be null.
    pub(crate) fn accepts(&self, kind: &str, key: &str) -> (&str, bool) {
        let accepts = self.components[kind]
            .types
            .get(key)
            .unwrap_or_else(|| &self.types[key]);
        accepts
            .strip_suffix('?')
            .map_or((accepts, false), |accepts| (accepts, true))
    }

    #[track_caller]
    pub(crate) fn conforms(&self, what: &str, section: &Section, value: &Value) {
        let value = value.as_object().unwrap();
        for key in &section.required {
            assert!(value.contains_key(key), "{what} misses {key}: {value:?}");
        }
        for key in value.keys() {
            assert!(
                section.allowed.contains(key),
                "{what} cannot have {key}: {value:?}"
            );
        }
    }

    /// Whether a component has the keys of its kind, with values of their types.
    #[track_caller]
    pub(crate) fn component(&self, id: &str, value: &Value) -> String {
        let platform = value["platform"].as_str().unwrap();
        let kind = match (platform, value["schema"].as_str()) {
            ("light", schema) => format!("light/{}", schema.unwrap_or("basic")),
            _ => platform.to_owned(),
        };
        // in the message of a device, the device is that of all
        let mut whole = value.clone();
        if self.components[&kind]
            .required
            .contains(&"device".to_owned())
        {
            whole["device"] = json!({});
        }

        self.conforms(id, &self.components[&kind], &whole);
        for (key, value) in value
            .as_object()
            .unwrap()
            .iter()
            .filter(|(key, _)| *key != "platform")
        {
            let (accepts, nullable) = self.accepts(&kind, key);
            assert!(
                fits(accepts, value) || (nullable && value.is_null()),
                "{kind} {key} ({accepts}): {value}"
            );
        }

        kind
    }
}

/// Whether a value is of a type of the fixture.
fn fits(accepts: &str, value: &Value) -> bool {
    let texts = |value: &Value| {
        value
            .as_array()
            .is_some_and(|items| items.iter().all(Value::is_string))
    };
    match accepts {
        "text" | "template" => value.is_string() || value.is_number(),
        "string" | "icon" | "url" | "ha_url" => value.is_string(),
        "topic" | "filter" => value
            .as_str()
            .is_some_and(|topic| !topic.is_empty() && !topic.contains(['+', '#'])),
        "bool" => value.is_boolean(),
        "list" | "list of text" => texts(value),
        "list of map" => value
            .as_array()
            .is_some_and(|items| items.iter().all(Value::is_object)),
        "map" => value.is_object(),
        "integer" => value.is_i64(),
        _ if accepts.starts_with("whole") => value.is_i64(),
        _ if accepts.starts_with("number") => value.is_number(),
        _ => match accepts.strip_prefix("list of ") {
            Some(words) => {
                texts(value)
                    && value
                        .as_array()
                        .unwrap()
                        .iter()
                        .all(|item| fits(words, item))
            }
            None => {
                // a word may be a number, as in the quality of service
                let shown = value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_owned);
                accepts.split('|').any(|word| shown == word)
            }
        },
    }
}
