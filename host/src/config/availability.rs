//! The list `availability` of a service: further topics that say whether it is online.

use serde_json::{Value, json};

use super::Availability;
use super::key::Key;
use super::section::Section;
use super::value::ConfigValue;
use super::yaml;
use crate::topic::{BaseTopic, Topic};

const EXAMPLE: &str =
    "[bridge/online, {topic: plant/echo, global: true, online: up, offline: down}]";

/// Reads the list; an item is a topic, or a section that says more.
pub(super) fn read_availability(value: ConfigValue<'_>, base: &BaseTopic) -> Vec<Availability> {
    let items = value.into_list(EXAMPLE);
    items
        .into_iter()
        .filter_map(|item| read_item(item, base))
        .collect()
}

fn read_item(item: ConfigValue<'_>, base: &BaseTopic) -> Option<Availability> {
    if matches!(item.node.value, yaml::Value::Map(_)) {
        return read_section(item.into_section(), base);
    }
    Some(Availability {
        topic: item.parse(|text| base.topic(text))?,
        online: "1".to_owned(),
        offline: "0".to_owned(),
    })
}

fn read_section(mut section: Section<'_>, base: &BaseTopic) -> Option<Availability> {
    let is_global = section
        .take("global")
        .map_or(Some(false), |value| value.flag());
    let online = read_payload(&mut section, "online", "1");
    let offline = read_payload(&mut section, "offline", "0");
    let topic = section.take_required("topic");
    section.finish();

    let topic = topic?.parse(|text| {
        if is_global == Some(true) {
            Topic::new(text.to_owned())
        } else {
            base.topic(text)
        }
    })?;

    Some(Availability {
        topic,
        online: online?,
        offline: offline?,
    })
}

fn read_payload(section: &mut Section<'_>, key: &'static str, default: &str) -> Option<String> {
    match section.take(key) {
        Some(value) => value.text().map(str::to_owned),
        None => Some(default.to_owned()),
    }
}

/// An item as the file would have it.
pub(super) fn render(item: &Availability) -> Value {
    json!({
        "topic": item.topic.as_str(),
        "global": true,
        "online": item.online,
        "offline": item.offline,
    })
}

/// The key for the reference.
pub(super) fn key() -> Key {
    Key::new(
        "availability",
        "Further topics that say whether the service is online, besides `online`: retained. Only the host publishes to them, not \
         the broker. An item is a topic below `data_topic`, or a section.",
        "list of topics and sections",
    )
    .example(EXAMPLE)
    .keys(vec![
        Key::new("topic", "The topic.", "topic").example("plant/echo"),
        Key::new(
            "global",
            "Whether `topic` is a full topic; without it, it is below `data_topic`.",
            "`true`, `false`",
        )
        .default("`false`")
        .example("true"),
        Key::new("online", "The payload while the service is online.", "text")
            .default("`1`")
            .example("up"),
        Key::new("offline", "The payload while it is not.", "text")
            .default("`0`")
            .example("down"),
    ])
}
