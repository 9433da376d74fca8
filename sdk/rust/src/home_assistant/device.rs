//! Devices: entities that belong together, and the description of the device.

use serde_json::{Map, Value};

use crate::home_assistant::Entity;

/// A device: several entities that belong together.
#[derive(Debug, Clone)]
pub struct Device {
    pub(super) name: String,
    pub(super) about: Map<String, Value>,
    pub(super) via: Option<String>,
    pub(super) entities: Vec<Entity>,
    pub(super) children: Vec<ChildDevice>,
    pub(super) availability: Vec<String>,
}

/// A part of a device that is shown as a device of its own, such as one socket of a strip. It takes Home Assistant 2026.11; an older
/// one refuses the device.
#[derive(Debug, Clone)]
pub struct ChildDevice {
    pub(super) name: String,
    pub(super) identifiers: Vec<String>,
    pub(super) entities: Vec<Entity>,
}

impl Device {
    /// A device called `name`.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            about: Map::new(),
            via: None,
            entities: Vec::new(),
            children: Vec::new(),
            availability: Vec::new(),
        }
    }

    /// Adds an entity.
    pub fn entity(mut self, entity: Entity) -> Self {
        self.entities.push(entity);
        self
    }

    /// Adds a part that is shown as a device of its own.
    pub fn child(mut self, child: ChildDevice) -> Self {
        self.children.push(child);
        self
    }

    /// The model.
    pub fn model(self, model: &str) -> Self {
        self.about("model", model)
    }

    /// The identifier of the model.
    pub fn model_id(self, id: &str) -> Self {
        self.about("model_id", id)
    }

    /// The manufacturer.
    pub fn manufacturer(self, manufacturer: &str) -> Self {
        self.about("manufacturer", manufacturer)
    }

    /// The serial number.
    pub fn serial_number(self, number: &str) -> Self {
        self.about("serial_number", number)
    }

    /// The version of its software.
    pub fn sw_version(self, version: &str) -> Self {
        self.about("sw_version", version)
    }

    /// The version of its hardware.
    pub fn hw_version(self, version: &str) -> Self {
        self.about("hw_version", version)
    }

    /// Sets its probable place.
    pub fn suggested_area(self, area: &str) -> Self {
        self.about("suggested_area", area)
    }

    /// The page on which it is configured; an address that begins with `http://`, `https://` or `homeassistant://`.
    pub fn configuration_url(self, url: &str) -> Self {
        self.about("configuration_url", url)
    }

    /// A further identifier, such as a serial number; one made of the names of service and device is always there.
    pub fn identifier(mut self, identifier: &str) -> Self {
        append(&mut self.about, "identifiers", identifier.into());
        self
    }

    /// A connection to the outside, as in `("mac", "02:5b:26:a8:dc:12")`.
    pub fn connection(mut self, kind: &str, identifier: &str) -> Self {
        append(
            &mut self.about,
            "connections",
            Value::from([kind, identifier].as_slice()),
        );
        self
    }

    /// The name of the device of this service through which it is reached.
    pub fn via_device(mut self, name: impl Into<String>) -> Self {
        self.via = Some(name.into());
        self
    }

    /// A further topic below the base topic that must be `1` for the device to be available.
    pub fn availability(mut self, topic: impl Into<String>) -> Self {
        self.availability.push(topic.into());
        self
    }

    fn about(mut self, key: &str, value: &str) -> Self {
        self.about.insert(key.to_owned(), value.into());
        self
    }

    /// The entities of the device and of its parts.
    pub(super) fn all(&self) -> impl Iterator<Item = &Entity> {
        self.entities
            .iter()
            .chain(self.children.iter().flat_map(|child| &child.entities))
    }
}

impl ChildDevice {
    /// A part called `name`.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            identifiers: Vec::new(),
            entities: Vec::new(),
        }
    }

    /// Adds an entity. Triggers and tags belong to the device itself.
    pub fn entity(mut self, entity: Entity) -> Self {
        self.entities.push(entity);
        self
    }

    /// A further identifier; one made of the names of service, device and part is always there.
    pub fn identifier(mut self, identifier: &str) -> Self {
        self.identifiers.push(identifier.to_owned());
        self
    }
}

pub(super) fn append(about: &mut Map<String, Value>, key: &str, value: Value) {
    match about.get_mut(key) {
        Some(Value::Array(list)) => list.push(value),
        _ => {
            about.insert(key.to_owned(), Value::Array(vec![value]));
        }
    }
}
