//! Pure: the list `availability` of a service. In: the list and the service's base topic. Out: further topics that say whether
//! the service is online. Owns nothing.

use serde_json::{Value, json};

use super::Availability;
use super::given::Given;
use super::section::Section;
use super::yaml;
use crate::topic::{BaseTopic, Topic};

/// Reads the list; an item is a topic, or a section that says more.
pub(super) fn availability(given: Given<'_>, base: &BaseTopic) -> Vec<Availability> {
    let items =
        given.list("[bridge/online, {topic: plant/echo, global: true, online: up, offline: down}]");
    items
        .into_iter()
        .filter_map(|item| one(item, base))
        .collect()
}

fn one(given: Given<'_>, base: &BaseTopic) -> Option<Availability> {
    if !matches!(given.node.value, yaml::Value::Map(_)) {
        let topic = given.read(|text| base.topic(text))?;
        return Some(Availability {
            topic,
            online: "1".to_owned(),
            offline: "0".to_owned(),
        });
    }
    section(given.section(), base)
}

fn section(mut section: Section<'_>, base: &BaseTopic) -> Option<Availability> {
    let global = section
        .take("global")
        .map_or(Some(false), |given| given.flag());
    let mut payload = |key, default: &str| {
        section.take(key).map_or(Some(default.to_owned()), |given| {
            given.text().map(str::to_owned)
        })
    };
    let (online, offline) = (payload("online", "1"), payload("offline", "0"));
    let topic = section.take("topic");
    if topic.is_none() {
        section.problem("has no topic");
    }
    section.finish();
    let read = |text: &str| {
        if global == Some(true) {
            Topic::new(text.to_owned())
        } else {
            base.topic(text)
        }
    };
    Some(Availability {
        topic: topic?.read(read)?,
        online: online?,
        offline: offline?,
    })
}

/// An item as the file would have it.
pub(super) fn show(one: &Availability) -> Value {
    json!({"topic": one.topic.as_str(), "global": true, "online": one.online, "offline": one.offline})
}
