//! Devices of Zigbee2MQTT, read from `bridge/devices`: a list with the exposed values of each device. One device's JSON becomes
//! its values and its announcement.

use std::collections::BTreeMap;

use miqro_sdk::home_assistant::{Component, Device, Entity};
use miqro_sdk::warn;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A device with something to say.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Described {
    pub name: String,
    vendor: String,
    model: String,
    pub properties: BTreeMap<String, Property>,
}

/// One value of a device.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Property {
    #[serde(rename = "type")]
    kind: Kind,
    property: String,
    #[serde(default)]
    label: Option<String>,
    /// Bits: 1 published, 2 can be set, 4 can be asked for.
    #[serde(default)]
    access: u8,
    #[serde(default)]
    unit: Option<String>,
    #[serde(default)]
    value_on: Value,
    #[serde(default)]
    value_off: Value,
    #[serde(default)]
    value_min: Option<f64>,
    #[serde(default)]
    value_max: Option<f64>,
    #[serde(default)]
    values: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Binary,
    Numeric,
    Enum,
    Text,
}

const CAN_BE_SET: u8 = 2;

impl Described {
    /// Reads one device; `None` if it is not a device that publishes.
    pub fn read(device: &Value) -> Option<Self> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let definition = device
            .get("definition")
            .filter(|definition| !definition.is_null())?;
        let mut properties = BTreeMap::new();
        collect(definition.get("exposes")?, &mut properties);
        let name = device.get("friendly_name")?.as_str()?.to_owned();
        Some(Self {
            name,
            vendor: text(&definition["vendor"]),
            model: text(&definition["model"]),
            properties,
        })
    }

    /// Returns the announcement of the device to Home Assistant. Entities that Home Assistant would refuse are left out, without the others.
    pub fn announcement(&self, availability: bool) -> Device {
        let device = Device::new(&self.name)
            .manufacturer(&self.vendor)
            .model(&self.model);
        let device = if availability {
            device.availability(format!("{}/available", self.name))
        } else {
            device
        };
        self.properties
            .values()
            .map(|property| property.entity(&self.name))
            .fold(device, |device, entity| match entity.check() {
                Ok(()) => device.entity(entity),
                Err(error) => {
                    warn!("not announced: {error}"; device = self.name);
                    device
                }
            })
    }
}

/// Collects exposed values, which may be nested in features, as in a light that has a state and a brightness. Values of another
/// kind, such as a colour, are published as well, but not announced.
fn collect(exposes: &Value, properties: &mut BTreeMap<String, Property>) {
    for exposed in exposes.as_array().into_iter().flatten() {
        if let Some(features) = exposed
            .get("features")
            .filter(|_| exposed["type"] != "composite")
        {
            collect(features, properties);
        } else if let Ok(property) = Property::deserialize(exposed) {
            properties.insert(property.property.clone(), property);
        }
    }
}

impl Property {
    /// Returns the meaning of a payload for the device.
    pub fn value(&self, payload: &str) -> Value {
        match self.kind {
            Kind::Binary if payload == shown(&self.value_on) => self.value_on.clone(),
            Kind::Binary if payload == shown(&self.value_off) => self.value_off.clone(),
            Kind::Enum | Kind::Text => json!(payload),
            Kind::Binary | Kind::Numeric => guess(payload),
        }
    }

    fn entity(&self, device: &str) -> Entity {
        let name = self.label.as_deref().unwrap_or(&self.property);
        let settable = self.access & CAN_BE_SET != 0;
        let state = format!("{device}/{}", self.property);
        let entity = Entity::new(self.component(settable), name).topic("state_topic", &state);
        let entity = if settable {
            entity.topic("command_topic", &format!("set/{device}/{}", self.property))
        } else {
            entity
        };
        match (self.kind, &self.unit) {
            (Kind::Binary, _) => entity.payloads(&shown(&self.value_on), &shown(&self.value_off)),
            (Kind::Enum, _) if settable => entity.with("options", self.values.clone()),
            (Kind::Numeric, unit) => self.numeric(entity, unit.as_deref(), settable),
            _ => entity,
        }
    }

    fn numeric(&self, entity: Entity, unit: Option<&str>, settable: bool) -> Entity {
        let entity = unit.into_iter().fold(entity, Entity::unit);
        if settable {
            return entity.range(
                self.value_min.unwrap_or(0.0),
                self.value_max.unwrap_or(65_535.0),
            );
        }

        let class = match (self.property.as_str(), unit) {
            (
                "battery" | "humidity" | "temperature" | "pressure" | "power" | "voltage"
                | "current",
                Some(_),
            ) => Some(&self.property),
            _ => None,
        };

        let entity = entity.state_class("measurement");
        // a class stands only with its units
        let classed = class.map(|class| entity.clone().device_class(class));
        classed
            .filter(|classed| classed.check().is_ok())
            .unwrap_or(entity)
    }

    const fn component(&self, settable: bool) -> Component {
        match (self.kind, settable) {
            (Kind::Binary, true) => Component::Switch,
            (Kind::Binary, false) => Component::BinarySensor,
            (Kind::Numeric, true) => Component::Number,
            (Kind::Enum, true) => Component::Select,
            (Kind::Text, true) => Component::Text,
            (Kind::Numeric | Kind::Enum | Kind::Text, false) => Component::Sensor,
        }
    }
}

/// The payload as which a value is published.
fn shown(value: &Value) -> String {
    match value {
        Value::Bool(on) => u8::from(*on).to_string(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Guesses the meaning of a payload of an unknown value: JSON, or else a text.
pub fn guess(payload: &str) -> Value {
    serde_json::from_str(payload).unwrap_or_else(|_| json!(payload))
}
