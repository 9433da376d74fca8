//! The list `subscriptions` of a service.

use super::key::Key;
use super::value::ConfigValue;
use super::yaml::Value;
use crate::message::{Qos, Subscription};
use crate::topic::{BaseTopic, Filter};

/// Reads the list, of at most `most` filters that differ.
pub(super) fn read_subscriptions(
    value: ConfigValue<'_>,
    base: &BaseTopic,
    most: usize,
) -> Vec<Subscription> {
    let mut subscriptions: Vec<Subscription> = Vec::new();
    let mut locations: Vec<String> = Vec::new();

    for item in value
        .clone()
        .into_list("[echo, {filter: home/#, qos: 1, global: true}]")
    {
        let Some(new) = read_subscription(item.clone(), base) else {
            continue;
        };
        let same = |other: &Subscription| other.filter == new.filter;
        if let Some(first) = subscriptions.iter().position(same) {
            item.error(format!(
                "{} is subscribed to already by {}",
                new.filter, locations[first]
            ));
        } else {
            subscriptions.push(new);
            locations.push(item.location());
        }
    }

    if subscriptions.len() > most {
        value.error(format!(
            "{} subscriptions are more than limits.subscriptions, {most}",
            subscriptions.len()
        ));
    }

    subscriptions
}

/// Reads a filter below the base topic, or a section that says more about it. The default QoS is that of the guest's `subscribe`.
fn read_subscription(value: ConfigValue<'_>, base: &BaseTopic) -> Option<Subscription> {
    if !matches!(value.node.value, Value::Map(_)) {
        return Some(Subscription {
            filter: value.parse(|text| base.filter(text))?,
            qos: Qos::AtLeastOnce,
        });
    }

    let mut section = value.into_section();
    let qos = section
        .take("qos")
        .map_or(Some(1), |value| value.number(0..=2u8));
    let is_global = section
        .take("global")
        .map_or(Some(false), |value| value.flag());
    let filter = section.take_required("filter");
    section.finish();

    let filter = filter?.parse(|text| {
        if is_global == Some(true) {
            Filter::new(text)
        } else {
            base.filter(text)
        }
    })?;

    Some(Subscription {
        filter,
        qos: qos?.try_into().ok()?,
    })
}

/// The key for the reference.
pub(super) fn key() -> Key {
    Key::new(
        "subscriptions",
        "Subscriptions besides those that the service makes itself. An item is a filter below `data_topic`, or a section.",
        "list of topic filters and sections",
    )
    .example("[echo, {filter: home/+/temperature, qos: 0, global: true}]")
    .keys(vec![
        Key::new("filter", "The filter.", "topic filter").example("home/+/temperature"),
        Key::new("qos", "The highest QoS.", "number, 0 to 2")
            .default("`1`")
            .example("0"),
        Key::new(
            "global",
            "Whether `filter` is a full filter; without it, it is below `data_topic`.",
            "`true`, `false`",
        )
        .default("`false`")
        .example("true"),
    ])
}
