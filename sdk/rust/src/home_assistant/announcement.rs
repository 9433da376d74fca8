//! Discovery messages: they announce devices and entities, and remove those that were announced before and are gone.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::bindings::config::Identity;
use crate::config;
use crate::error::{Error, Result};
use crate::home_assistant::device::append;
use crate::home_assistant::{ChildDevice, Component, Device, Entity, Inner, check};
use crate::messaging::message;
use crate::registry::Handle;

/// Announced entities: for each topic, the kinds of its entities by their identifiers.
pub(super) type AnnouncedEntities = BTreeMap<String, BTreeMap<String, String>>;

/// One discovery message.
pub(super) struct Announcement {
    topic: String,
    payload: Map<String, Value>,
    components: BTreeMap<String, String>,
}

/// Publishes what is there now, and removes what is there no more.
pub(super) fn publish(now: &[Announcement], before: &AnnouncedEntities) -> Result {
    let gone = before
        .keys()
        .filter(|topic| now.iter().all(|own| own.topic != **topic));
    gone.into_iter().try_for_each(|topic| retained(topic, ""))?;
    for own in now {
        if let Some(removal) = before
            .get(&own.topic)
            .and_then(|before| own.removing(before))
        {
            retained(&own.topic, &removal)?;
        }

        retained(&own.topic, &crate::json::to_exact_text(&own.payload)?)?;
    }

    Ok(())
}

/// Returns the part of the announcements to remember.
pub(super) fn remember(now: &[Announcement]) -> AnnouncedEntities {
    now.iter()
        .map(|own| (own.topic.clone(), own.components.clone()))
        .collect()
}

fn retained(topic: &str, payload: &str) -> Result {
    message(topic)
        .global()
        .qos(1)
        .retain()
        .send(payload)
        .map(drop)
}

impl Announcement {
    /// The message that takes vanished entities away from a device: they are there with nothing but their kind.
    fn removing(&self, before: &BTreeMap<String, String>) -> Option<String> {
        let gone: Vec<_> = before
            .iter()
            .filter(|(id, _)| !self.components.contains_key(*id))
            .collect();
        let mut payload = self.payload.clone();
        let components = payload.get_mut("components")?.as_object_mut()?;
        for (id, platform) in &gone {
            components.insert((*id).clone(), json!({ "platform": platform }));
        }
        if gone.is_empty() {
            None
        } else {
            crate::json::to_exact_text(&payload).ok()
        }
    }
}

impl Inner {
    /// The messages for everything that is announced now.
    pub(super) fn announcements(&self) -> Result<Vec<Announcement>> {
        let me = config::me();
        let mut origin = self.origin.clone();
        origin.insert(
            "name".to_owned(),
            json!(format!("MIQRO service {}", me.name)),
        );
        check::map("origin", "origin", &origin)?;
        let mut making = Making {
            me,
            origin,
            taken: Vec::new(),
            made: Vec::new(),
        };

        self.devices
            .iter()
            .try_for_each(|device| making.device(device, &self.availability))?;
        for entity in &self.entities {
            making.alone(entity, &making.me.name.clone(), None, &self.availability)?;
        }
        Ok(making.made)
    }

    /// All command topics, each once.
    pub(super) fn command_topics(&self) -> Vec<String> {
        let mut topics: Vec<String> = self
            .all()
            .flat_map(|entity| entity.commands.iter().map(|(topic, _)| topic.clone()))
            .collect();
        topics.sort();
        topics.dedup();
        topics
    }

    /// The handlers of a command topic.
    pub(super) fn commands(&self, topic: &str) -> Vec<Handle> {
        self.all()
            .flat_map(|entity| entity.handlers(topic))
            .collect()
    }

    fn all(&self) -> impl Iterator<Item = &Entity> {
        self.devices
            .iter()
            .flat_map(Device::all)
            .chain(&self.entities)
    }
}

/// The messages so far, and their common parts.
struct Making {
    me: Identity,
    origin: Map<String, Value>,
    /// The identifiers that are given away.
    taken: Vec<String>,
    made: Vec<Announcement>,
}

/// The components of a message, and their kinds, by identifier.
#[derive(Default)]
struct Components {
    all: Map<String, Value>,
    kinds: BTreeMap<String, String>,
}

impl Making {
    /// Adds one message for a device with its entities. Entities of recent kinds have their own, because an older Home Assistant
    /// would refuse the whole device for them.
    fn device(&mut self, device: &Device, availability: &[String]) -> Result {
        let (id, about) = self.about(device)?;
        let further = [availability, &device.availability].concat();
        let (recent, entities): (Vec<_>, Vec<_>) = device
            .entities
            .iter()
            .partition(|entity| entity.component.is_recent());
        let mut components = Components::default();
        for entity in entities {
            self.component(entity, &id, &further, &mut components)?;
        }
        let mut children = Vec::new();
        let mut kinds = std::mem::take(&mut components.kinds);
        for child in &device.children {
            let mut part = Components::default();
            let part_of = self.child(child, &id, &about, &children)?;
            for entity in &child.entities {
                self.component(entity, &part_of[0], &further, &mut part)?;
            }
            children.push(
                json!({ "identifiers": part_of, "name": child.name, "components": part.all }),
            );
            kinds.append(&mut part.kinds);
        }

        let mut payload = self.payload(Map::new(), Some(&about), further.iter());
        payload.insert("components".to_owned(), Value::Object(components.all));
        if !children.is_empty() {
            payload.insert("child_devices".to_owned(), Value::Array(children));
        }
        let topic = format!("{}/device/{id}/config", self.me.discovery_prefix);
        self.made.push(Announcement {
            topic,
            payload,
            components: kinds,
        });
        recent
            .into_iter()
            .try_for_each(|entity| self.alone(entity, &id, Some(&about), &further))
    }

    /// Returns the identifier of a device, and its description.
    fn about(&mut self, device: &Device) -> Result<(String, Map<String, Value>)> {
        let name = &self.me.name;
        let via = device
            .via
            .as_ref()
            .map(|via| format!("{name}_{}", clean(via)));
        let id = unused(format!("{name}_{}", clean(&device.name)), &mut self.taken);
        let mut about = Map::new();
        about.insert("name".to_owned(), json!(device.name));
        about.extend(device.about.clone());
        append(&mut about, "identifiers", json!(id));
        about.extend(via.map(|via| ("via_device".to_owned(), json!(via))));
        check::map(&format!("device {:?}", device.name), "device", &about)?;
        Ok((id, about))
    }

    /// The identifiers of a part, that made of its name first; all of them are its own.
    fn child(
        &mut self,
        child: &ChildDevice,
        device: &str,
        about: &Map<String, Value>,
        siblings: &[Value],
    ) -> Result<Vec<String>> {
        let refuse = |why: String| {
            Err(Error::new(format!(
                "home assistant: child device {:?}: {why}",
                child.name
            )))
        };

        if let Some(entity) = child
            .entities
            .iter()
            .find(|entity| !entity.component.is_entity())
        {
            return refuse(format!(
                "expected an entity, found {entity}, which only the device itself can have"
            ));
        }

        let mut own = vec![unused(
            format!("{device}_{}", clean(&child.name)),
            &mut self.taken,
        )];
        for identifier in &child.identifiers {
            let holders = siblings
                .iter()
                .map(|sibling| &sibling["identifiers"])
                .chain(about.get("identifiers"));
            let elsewhere = holders
                .filter_map(Value::as_array)
                .flatten()
                .any(|taken| taken == identifier);
            if elsewhere || own.contains(identifier) {
                return refuse(format!(
                    "identifiers: expected one that nothing else has, found {identifier:?}"
                ));
            }
            own.push(identifier.clone());
        }

        Ok(own)
    }

    /// Adds an entity to the message of a device.
    fn component(
        &mut self,
        entity: &Entity,
        owner: &str,
        further: &[String],
        components: &mut Components,
    ) -> Result {
        let (id, mut options) = self.describe(entity, owner)?;
        if let Some(key) = ["device", "origin"]
            .into_iter()
            .find(|key| options.contains_key(*key))
        {
            return Err(Error::new(format!(
                "home assistant: {entity}: {key}: expected none, because a device has the entity"
            )));
        }

        if !entity.availability.is_empty() {
            options.extend(availability(
                &self.me,
                further.iter().chain(&entity.availability),
            ));
        }

        components
            .kinds
            .insert(id.clone(), entity.component.name().to_owned());
        components.all.insert(id, Value::Object(options));
        Ok(())
    }

    /// A message of its own for an entity: one that no device has, or one of a recent kind.
    fn alone(
        &mut self,
        entity: &Entity,
        owner: &str,
        about: Option<&Map<String, Value>>,
        further: &[String],
    ) -> Result {
        let (id, mut options) = self.describe(entity, &clean(owner))?;
        if id != clean(&id) {
            let expected =
                "expected letters, digits, _ and - for an entity that has a message of its own";
            return Err(Error::new(format!(
                "home assistant: {entity}: unique_id: {expected}, found {id:?}"
            )));
        }

        if about.is_none()
            && entity.component == Component::DeviceTrigger
            && !options.contains_key("device")
        {
            return Err(Error::new(format!(
                "home assistant: {entity} needs device: Device::entity adds it to one"
            )));
        }

        options.remove("platform");
        let further = further.iter().chain(&entity.availability);
        let payload = self.payload(options, about, further);
        let topic = format!(
            "{}/{}/{id}/config",
            self.me.discovery_prefix,
            entity.component.name()
        );
        self.made.push(Announcement {
            topic,
            payload,
            components: BTreeMap::new(),
        });
        Ok(())
    }

    /// Returns the keys that every message has, and `options`, which have precedence.
    fn payload<'t>(
        &self,
        options: Map<String, Value>,
        about: Option<&Map<String, Value>>,
        further: impl Iterator<Item = &'t String>,
    ) -> Map<String, Value> {
        let mut payload = Map::new();
        payload.extend(about.map(|about| ("device".to_owned(), Value::Object(about.clone()))));
        payload.insert("origin".to_owned(), Value::Object(self.origin.clone()));
        payload.extend(availability(&self.me, further));
        payload.extend(options);
        payload
    }

    /// Returns the identifier of an entity, and its description.
    fn describe(&mut self, entity: &Entity, owner: &str) -> Result<(String, Map<String, Value>)> {
        let kind = entity.component.name();
        let made = || format!("{owner}__{kind}_{}", clean(&entity.name));
        let id = unused(
            entity.unique_id.clone().unwrap_or_else(made),
            &mut self.taken,
        );
        let mut options = Map::new();
        options.insert("platform".to_owned(), json!(kind));
        if entity.component.is_entity() {
            options.insert("name".to_owned(), json!(entity.name));
            options.insert("unique_id".to_owned(), json!(id));
            options.insert(
                "default_entity_id".to_owned(),
                json!(format!("{kind}.{}", clean(&entity.name))),
            );
        }

        let topics = entity.topics.iter();
        options
            .extend(topics.map(|(key, topic)| {
                (key.clone(), json!(format!("{}{topic}", self.me.base_topic)))
            }));
        options.extend(entity.options.clone());
        check::entity(&entity.to_string(), entity.section(), &options)?;
        if !entity.availability.is_empty()
            && (options.contains_key("availability") || !entity.component.is_entity())
        {
            let expected =
                "either a list of its own or further topics, and neither for a trigger or a tag";
            return Err(Error::new(format!(
                "home assistant: {entity}: availability: expected {expected}"
            )));
        }

        Ok((id, options))
    }
}

/// The topics that must all be `1`: the service's `online`, and further ones.
fn availability<'t>(
    me: &Identity,
    further: impl Iterator<Item = &'t String>,
) -> Map<String, Value> {
    let topics = std::iter::once("online").chain(further.map(String::as_str));
    let list: Vec<Value> = topics
        .map(|topic| json!({"topic": format!("{}{topic}", me.base_topic), "payload_available": "1", "payload_not_available": "0"}))
        .collect();
    let mut availability = Map::new();
    if list.len() > 1 {
        availability.insert("availability_mode".to_owned(), json!("all"));
    }
    availability.insert("availability".to_owned(), Value::Array(list));
    availability
}

/// Cleans a name for discovery topics: characters that they cannot contain become `-`, and none remains at an end.
fn clean(name: &str) -> String {
    let replaced = name.replace(
        |c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-'),
        "-",
    );
    let trimmed = replaced.trim_matches('-');
    if trimmed.is_empty() {
        "unnamed".to_owned()
    } else {
        trimmed.to_owned()
    }
}

/// `id`, or the first of `id-2`, `id-3`, .. that nothing has: names that differ in umlauts only would collide.
fn unused(id: String, taken: &mut Vec<String>) -> String {
    let mut free = id.clone();
    for number in 2.. {
        if !taken.contains(&free) {
            break;
        }
        free = format!("{id}-{number}");
    }

    taken.push(free.clone());
    free
}
