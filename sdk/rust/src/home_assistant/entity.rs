//! One entity. In: its kind, its name, its topics and options. Out: what the announcement says of it. Owns them, and the
//! handlers of its commands.

use std::fmt;
use std::rc::Rc;

use serde_json::{Map, Value, json};

use crate::message::Message;
use crate::registry::{self, Handle};
use crate::service::{IntoOutcome, Service};

/// A kind of entity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Component {
    BinarySensor,
    Button,
    Climate,
    DeviceTracker,
    Event,
    Number,
    Select,
    Sensor,
    Switch,
    Text,
}

impl Component {
    /// What Home Assistant calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::BinarySensor => "binary_sensor",
            Self::Button => "button",
            Self::Climate => "climate",
            Self::DeviceTracker => "device_tracker",
            Self::Event => "event",
            Self::Number => "number",
            Self::Select => "select",
            Self::Sensor => "sensor",
            Self::Switch => "switch",
            Self::Text => "text",
        }
    }
}

/// An entity. Topics are below the service's base topic.
#[derive(Clone)]
pub struct Entity {
    pub(super) component: Component,
    pub(super) name: String,
    pub(super) unique_id: Option<String>,
    pub(super) options: Map<String, Value>,
    /// Keys of topics, relative to the base topic.
    pub(super) topics: Vec<(String, String)>,
    pub(super) availability: Vec<String>,
    pub(super) commands: Vec<(String, Handle)>,
}

impl fmt::Debug for Entity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?} {:?} {:?}", self.component.name(), self.name, self.topics, self.options)
    }
}

impl Entity {
    /// An entity of any kind, with no topic yet.
    pub fn new(component: Component, name: impl Into<String>) -> Self {
        Self {
            component,
            name: name.into(),
            unique_id: None,
            options: Map::new(),
            topics: Vec::new(),
            availability: Vec::new(),
            commands: Vec::new(),
        }
    }

    /// A value that is measured.
    pub fn sensor(name: &str, state_topic: &str) -> Self {
        Self::new(Component::Sensor, name).topic("state_topic", state_topic)
    }

    /// Something that is or is not: `1` or `0`, as a `bool` is published.
    pub fn binary_sensor(name: &str, state_topic: &str) -> Self {
        Self::new(Component::BinarySensor, name).topic("state_topic", state_topic).payloads("1", "0")
    }

    /// Something to switch: `1` or `0`, as a `bool` is published; [`payloads`](Self::payloads) says otherwise.
    pub fn switch(name: &str, state_topic: &str) -> Self {
        Self::new(Component::Switch, name).topic("state_topic", state_topic).payloads("1", "0")
    }

    /// A text of up to 255 characters.
    pub fn text(name: &str, state_topic: &str) -> Self {
        Self::new(Component::Text, name).topic("state_topic", state_topic).with("min", 0).with("max", 255)
    }

    /// A number between 1 and 100; [`range`](Self::range) says otherwise.
    pub fn number(name: &str, state_topic: &str) -> Self {
        Self::new(Component::Number, name).topic("state_topic", state_topic).with("min", 1).with("max", 100)
    }

    /// One of several words.
    pub fn select(name: &str, state_topic: &str, options: &[&str]) -> Self {
        Self::new(Component::Select, name).topic("state_topic", state_topic).with("options", options)
    }

    /// Something to press; the command is `PRESS`.
    pub fn button(name: &str) -> Self {
        Self::new(Component::Button, name).with("payload_press", "PRESS")
    }

    /// Events of these types; a message is JSON with `event_type`.
    pub fn event(name: &str, state_topic: &str, types: &[&str]) -> Self {
        Self::new(Component::Event, name).topic("state_topic", state_topic).with("event_types", types)
    }

    /// Something that heats or cools; [`topic`](Self::topic) and [`on_command_at`](Self::on_command_at) give it its topics.
    pub fn climate(name: &str) -> Self {
        Self::new(Component::Climate, name)
    }

    /// Something whose place is known; the attributes are JSON with `latitude` and `longitude`.
    pub fn device_tracker(name: &str, attributes_topic: &str) -> Self {
        Self::new(Component::DeviceTracker, name).topic("json_attributes_topic", attributes_topic)
    }

    /// Handles what Home Assistant sends to `command_topic`. A payload that cannot be read is logged and counted.
    pub fn on_command<S, R>(self, topic: &str, handle: impl Fn(&mut S, &Message<'_>) -> R + 'static) -> Self
    where
        S: Service,
        R: IntoOutcome,
    {
        self.on_command_at("command_topic", topic, handle)
    }

    /// As [`on_command`](Self::on_command), for another key, such as `temperature_command_topic` of climate.
    pub fn on_command_at<S, R>(
        self,
        key: &str,
        topic: &str,
        handle: impl Fn(&mut S, &Message<'_>) -> R + 'static,
    ) -> Self
    where
        S: Service,
        R: IntoOutcome,
    {
        let handle = registry::erase(move |service: &mut S, message| handle(service, message).into_outcome());
        let mut with_topic = self.topic(key, topic);
        with_topic.commands.push((topic.to_owned(), handle));
        with_topic
    }

    /// Names a topic below the base topic, as in `("mode_state_topic", "mode")`. A command topic named so is handled by an
    /// annotated method.
    pub fn topic(mut self, key: &str, topic: &str) -> Self {
        self.topics.retain(|(own, _)| own != key);
        self.topics.push((key.to_owned(), topic.to_owned()));
        self
    }

    /// Any other key; what the kind does not have is refused when it is announced.
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.options.insert(key.to_owned(), value.into());
        self
    }

    /// The identifier, where it is not to be made of the names; it must never change.
    pub fn unique_id(mut self, id: &str) -> Self {
        self.unique_id = Some(id.to_owned());
        self
    }

    /// A further topic below the base topic that must be `1` for this entity to be available.
    pub fn availability(mut self, topic: &str) -> Self {
        self.availability.push(topic.to_owned());
        self
    }

    /// The class, which decides how Home Assistant shows it.
    pub fn device_class(self, class: &str) -> Self {
        self.with("device_class", class)
    }

    /// The unit of measurement.
    pub fn unit(self, unit: &str) -> Self {
        self.with("unit_of_measurement", unit)
    }

    /// How a sensor's value is to be understood over time: `measurement`, `total` or `total_increasing`.
    pub fn state_class(self, class: &str) -> Self {
        self.with("state_class", class)
    }

    /// The icon, as in `mdi:pump`.
    pub fn icon(self, icon: &str) -> Self {
        self.with("icon", icon)
    }

    /// `config` or `diagnostic`, for what is not what the device is for.
    pub fn category(self, category: &str) -> Self {
        self.with("entity_category", category)
    }

    /// The template by which Home Assistant reads the value.
    pub fn template(self, template: &str) -> Self {
        self.with("value_template", template)
    }

    /// The words that a sensor may show; its class is `enum` then.
    pub fn options(self, options: &[&str]) -> Self {
        self.with("options", options).device_class("enum")
    }

    /// The payloads for on and off.
    pub fn payloads(self, on: &str, off: &str) -> Self {
        self.with("payload_on", on).with("payload_off", off)
    }

    /// The smallest and the greatest number.
    pub fn range(self, min: f64, max: f64) -> Self {
        self.with("min", number(min)).with("max", number(max))
    }

    /// The step between numbers.
    pub fn step(self, step: f64) -> Self {
        self.with("step", number(step))
    }

    pub(super) fn handlers(&self, topic: &str) -> impl Iterator<Item = Handle> {
        self.commands.iter().filter(move |(own, _)| own == topic).map(|(_, handle)| Rc::clone(handle))
    }
}

/// Whole numbers without a point, as people write them.
#[allow(clippy::cast_possible_truncation)]
fn number(value: f64) -> Value {
    if value.fract() == 0.0 && value.abs() < 1e15 { json!(value as i64) } else { json!(value) }
}
