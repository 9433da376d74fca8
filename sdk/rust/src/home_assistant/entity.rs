//! One entity: its kind, name, topics and options, and the handlers of its commands.

use std::fmt;
use std::rc::Rc;

use serde_json::{Map, Value, json};

use crate::error::Result;
use crate::home_assistant::{Component, check};
use crate::message::Message;
use crate::registry::{self, Handle};
use crate::service::{IntoOutcome, Service};

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

/// Its kind and its name.
impl fmt::Display for Entity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.component.name(), self.name)
    }
}

impl fmt::Debug for Entity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} {:?} {:?}", self.topics, self.options)
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

    /// Handles what Home Assistant sends to `command_topic`. A payload that cannot be read is logged and counted.
    pub fn on_command<S, R>(
        self,
        topic: &str,
        handle: impl Fn(&mut S, &Message<'_>) -> R + 'static,
    ) -> Self
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
        let handle = registry::erase(move |service: &mut S, message| {
            handle(service, message).into_outcome()
        });
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

    /// Sets any other key. Keys that Home Assistant does not know and values that it does not accept are refused when the entity is
    /// announced ([`check`](Self::check)).
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

    /// Sets the category `config` or `diagnostic`, for an entity that is not the purpose of the device. A sensor and a binary sensor can be
    /// `diagnostic` only.
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

    /// The unique identifiers of the entities of this kind that it stands for (since Home Assistant 2026.11).
    pub fn group(self, unique_ids: &[&str]) -> Self {
        self.with("group", unique_ids)
    }

    /// How many seconds a broker keeps commands that nobody has taken yet (since Home Assistant 2026.11, MQTT 5).
    pub fn message_expiry_interval(self, seconds: u32) -> Self {
        self.with("message_expiry_interval", seconds)
    }

    /// Whether it is shown where the user has not said otherwise (since Home Assistant 2026.11).
    pub fn visible_by_default(self, visible: bool) -> Self {
        self.with("visible_by_default", visible)
    }

    /// The smallest and the greatest number.
    pub fn range(self, min: f64, max: f64) -> Self {
        self.with("min", number(min)).with("max", number(max))
    }

    /// The step between numbers.
    pub fn step(self, step: f64) -> Self {
        self.with("step", number(step))
    }

    /// Whether Home Assistant would take the entity. [`announce`](super::HomeAssistant::announce) checks it too; this is for a
    /// service that describes what others have, and would rather leave one thing out than announce nothing.
    ///
    /// # Errors
    ///
    /// Names the entity, the key, the value and the accepted values.
    ///
    /// ```
    /// use miqro_sdk::home_assistant::Entity;
    /// let pressure = Entity::sensor("Pressure", "pressure").device_class("pressure");
    /// assert!(pressure.clone().unit("bar").check().is_ok());
    /// assert!(pressure.unit("°C").check().unwrap_err().to_string().contains("unit_of_measurement: expected one of Pa, atm, bar"));
    /// ```
    pub fn check(&self) -> Result {
        let topics = self
            .topics
            .iter()
            .map(|(key, topic)| (key.clone(), json!(topic)));
        check::entity(
            &self.to_string(),
            self.section(),
            &topics.chain(self.options.clone()).collect(),
        )
    }

    /// The section of the schema that describes it.
    pub(super) fn section(&self) -> &'static str {
        match (
            self.component,
            self.options.get("schema").and_then(Value::as_str),
        ) {
            (Component::Light, Some("json")) => "light/json",
            (Component::Light, Some("template")) => "light/template",
            (Component::Light, _) => "light/basic",
            (component, _) => component.name(),
        }
    }

    pub(super) fn handlers(&self, topic: &str) -> impl Iterator<Item = Handle> {
        self.commands
            .iter()
            .filter(move |(own, _)| own == topic)
            .map(|(_, handle)| Rc::clone(handle))
    }
}

/// Whole numbers without a point, as people write them. JSON has no number for one that is not finite: its name is refused.
#[allow(clippy::cast_possible_truncation)]
fn number(value: f64) -> Value {
    if !value.is_finite() {
        return json!(value.to_string());
    }
    if value.fract() == 0.0 && value.abs() < 1e15 {
        json!(value as i64)
    } else {
        json!(value)
    }
}
