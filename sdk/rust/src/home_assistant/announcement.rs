//! Discovery messages. In: devices and entities, and what was announced before. Out: messages that announce the ones and remove
//! the others. Owns nothing.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::bindings::config::Identity;
use crate::config;
use crate::error::{Error, Result};
use crate::home_assistant::{Device, Entity, Inner, schema};
use crate::messaging::message;
use crate::registry::Handle;

/// What was announced: for each topic, the kinds of its entities by their identifiers.
pub(super) type Announced = BTreeMap<String, BTreeMap<String, String>>;

/// One discovery message.
pub(super) struct Announcement {
    topic: String,
    payload: Map<String, Value>,
    components: BTreeMap<String, String>,
}

/// Publishes what is there now, and removes what is there no more.
pub(super) fn publish(now: &[Announcement], before: &Announced) -> Result {
    let gone = before.keys().filter(|topic| now.iter().all(|own| own.topic != **topic));
    gone.into_iter().try_for_each(|topic| retained(topic, ""))?;
    for own in now {
        if let Some(removal) = before.get(&own.topic).and_then(|before| own.removing(before)) {
            retained(&own.topic, &removal)?;
        }
        retained(&own.topic, &crate::json::to_text(&own.payload)?)?;
    }
    Ok(())
}

/// What to remember of what is announced.
pub(super) fn remember(now: &[Announcement]) -> Announced {
    now.iter().map(|own| (own.topic.clone(), own.components.clone())).collect()
}

fn retained(topic: &str, payload: &str) -> Result {
    message(topic).global().qos(1).retain().send(payload).map(drop)
}

impl Announcement {
    /// The message that takes vanished entities away from a device: they are there with nothing but their kind.
    fn removing(&self, before: &BTreeMap<String, String>) -> Option<String> {
        let gone: Vec<_> = before.iter().filter(|(id, _)| !self.components.contains_key(*id)).collect();
        let mut payload = self.payload.clone();
        let components = payload.get_mut("components")?.as_object_mut()?;
        for (id, platform) in &gone {
            components.insert((*id).clone(), json!({ "platform": platform }));
        }
        if gone.is_empty() { None } else { crate::json::to_text(&payload).ok() }
    }
}

impl Inner {
    /// The messages for everything that is announced now.
    pub(super) fn announcements(&self) -> Result<Vec<Announcement>> {
        let me = config::me();
        let mut taken = Vec::new();
        let devices = self.devices.iter().map(|device| self.device_message(&me, device, &mut taken));
        let devices: Vec<_> = devices.collect::<Result<_>>()?;
        let entities = self.entities.iter().map(|entity| self.entity_message(&me, entity, &mut taken));
        entities.collect::<Result<Vec<_>>>().map(|entities| devices.into_iter().chain(entities).collect())
    }

    /// All command topics, each once.
    pub(super) fn command_topics(&self) -> Vec<String> {
        let mut topics: Vec<String> =
            self.all().flat_map(|entity| entity.commands.iter().map(|(topic, _)| topic.clone())).collect();
        topics.sort();
        topics.dedup();
        topics
    }

    /// The handlers of a command topic.
    pub(super) fn commands(&self, topic: &str) -> Vec<Handle> {
        self.all().flat_map(|entity| entity.handlers(topic)).collect()
    }

    fn all(&self) -> impl Iterator<Item = &Entity> {
        self.devices.iter().flat_map(|device| &device.entities).chain(&self.entities)
    }

    fn device_message(&self, me: &Identity, device: &Device, taken: &mut Vec<String>) -> Result<Announcement> {
        let id = unused(format!("{}_{}", me.name, clean(&device.name)), taken);
        let mut about = Map::new();
        about.insert("name".to_owned(), json!(device.name));
        about.extend(device.about.clone());
        super::append(&mut about, "identifiers", json!(id));
        if let Some(via) = &device.via {
            about.insert("via_device".to_owned(), json!(format!("{}_{}", me.name, clean(via))));
        }
        let mut payload = Map::new();
        payload.insert("device".to_owned(), Value::Object(about));
        payload.insert("origin".to_owned(), origin(me));
        availability(me, &mut payload, self.availability.iter().chain(&device.availability));
        let (mut components, mut kinds) = (Map::new(), BTreeMap::new());
        for entity in &device.entities {
            let (entity_id, mut options) = describe(me, entity, &id, taken)?;
            if !entity.availability.is_empty() {
                let topics = self.availability.iter().chain(&device.availability).chain(&entity.availability);
                availability(me, &mut options, topics);
            }
            kinds.insert(entity_id.clone(), entity.component.name().to_owned());
            components.insert(entity_id, Value::Object(options));
        }
        payload.insert("components".to_owned(), Value::Object(components));
        Ok(Announcement { topic: format!("{}/device/{id}/config", me.discovery_prefix), payload, components: kinds })
    }

    fn entity_message(&self, me: &Identity, entity: &Entity, taken: &mut Vec<String>) -> Result<Announcement> {
        let (id, mut payload) = describe(me, entity, &clean(&me.name), taken)?;
        payload.remove("platform");
        payload.insert("origin".to_owned(), origin(me));
        availability(me, &mut payload, self.availability.iter().chain(&entity.availability));
        let topic = format!("{}/{}/{id}/config", me.discovery_prefix, entity.component.name());
        Ok(Announcement { topic, payload, components: BTreeMap::new() })
    }
}

/// The identifier of an entity, and what is said of it.
fn describe(
    me: &Identity,
    entity: &Entity,
    owner: &str,
    taken: &mut Vec<String>,
) -> Result<(String, Map<String, Value>)> {
    let kind = entity.component.name();
    let made = || format!("{owner}__{kind}_{}", clean(&entity.name));
    let id = unused(entity.unique_id.clone().unwrap_or_else(made), taken);
    let mut options = Map::new();
    options.insert("platform".to_owned(), json!(kind));
    options.insert("name".to_owned(), json!(entity.name));
    options.insert("unique_id".to_owned(), json!(id));
    options.insert("default_entity_id".to_owned(), json!(format!("{kind}.{}", clean(&entity.name))));
    let topics = entity.topics.iter();
    options.extend(topics.map(|(key, topic)| (key.clone(), json!(format!("{}{topic}", me.base_topic)))));
    options.extend(entity.options.clone());
    check(entity, &options)?;
    Ok((id, options))
}

/// Home Assistant drops a whole device for one key that it does not know, with a line in its log only.
fn check(entity: &Entity, options: &Map<String, Value>) -> Result {
    let (kind, name) = (entity.component.name(), &entity.name);
    if let Some(key) = options.keys().find(|key| !schema::allows(entity.component, key)) {
        return Err(Error::new(format!("home assistant: {kind} {name:?} cannot have {key}")));
    }
    match schema::required(entity.component).iter().find(|key| !options.contains_key(**key)) {
        Some(key) => Err(Error::new(format!("home assistant: {kind} {name:?} needs {key}"))),
        None => Ok(()),
    }
}

fn availability<'t>(me: &Identity, payload: &mut Map<String, Value>, further: impl Iterator<Item = &'t String>) {
    let topics = std::iter::once("online").chain(further.map(String::as_str));
    let list: Vec<Value> = topics
        .map(|topic| json!({"topic": format!("{}{topic}", me.base_topic), "payload_available": "1", "payload_not_available": "0"}))
        .collect();
    if list.len() > 1 {
        payload.insert("availability_mode".to_owned(), json!("all"));
    }
    payload.insert("availability".to_owned(), Value::Array(list));
}

fn origin(me: &Identity) -> Value {
    json!({ "name": format!("MIQRO service {}", me.name) })
}

/// What discovery topics may contain: other characters become `-`, and none stands at an end.
fn clean(name: &str) -> String {
    let replaced = name.replace(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-'), "-");
    let trimmed = replaced.trim_matches('-');
    if trimmed.is_empty() { "unnamed".to_owned() } else { trimmed.to_owned() }
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
