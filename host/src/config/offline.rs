//! The list `offline` of a service: rules for messages that are published while there is no connection.

use std::sync::Arc;

use serde_json::{Value, json};

use super::key::Key;
use super::section::Section;
use super::value::ConfigValue;
use crate::offline::{OfflinePolicy, OfflineRule, Overflow};
use crate::topic::{BaseTopic, Filter};

/// The length of a queue where the rule does not say it (as umqtt.robust2's `MSG_QUEUE_MAX`).
const QUEUE: usize = 5;

/// A policy without its parameters.
#[derive(Debug, Clone, Copy)]
enum Policy {
    Drop,
    KeepLast,
    Queue,
}

/// The words of `policy`.
const POLICIES: [(&str, Policy); 3] = [
    ("drop", Policy::Drop),
    ("keep-last", Policy::KeepLast),
    ("queue", Policy::Queue),
];

/// The words of `when_full`.
const OVERFLOW: [(&str, Overflow); 2] = [
    ("drop-oldest", Overflow::DropOldest),
    ("drop-newest", Overflow::DropNewest),
];

const EXAMPLE: &str =
    "[{filter: state/#, policy: keep-last}, {filter: '#', policy: queue, limit: 100}]";

/// Reads the list; the first rule whose filter matches a topic is the one for it.
pub(super) fn read_rules(value: ConfigValue<'_>, base: &BaseTopic) -> Vec<Arc<OfflineRule>> {
    let items = value.into_list(EXAMPLE);
    items
        .into_iter()
        .filter_map(|item| read_rule(item.into_section(), base))
        .map(Arc::new)
        .collect()
}

fn read_rule(mut section: Section<'_>, base: &BaseTopic) -> Option<OfflineRule> {
    let is_global = read_flag(&mut section, "global", false);
    let filter = section.take_required("filter");
    let policy = section.take_required("policy");
    let persist = read_flag(&mut section, "persist", false);

    // without a policy the keys of a queue are accepted, so that only one error is reported
    let policy = match policy.and_then(|value| value.word(&POLICIES)) {
        Some(Policy::Drop) => Some(OfflinePolicy::Drop),
        Some(Policy::KeepLast) => Some(OfflinePolicy::KeepLast),
        Some(Policy::Queue) => read_queue(&mut section),
        None => {
            read_queue(&mut section);
            None
        }
    };

    section.finish();

    let filter = filter?.parse(|text| {
        if is_global == Some(true) {
            Filter::new(text)
        } else {
            base.filter(text)
        }
    })?;

    Some(OfflineRule {
        filter,
        policy: policy?,
        persist: persist?,
    })
}

fn read_queue(section: &mut Section<'_>) -> Option<OfflinePolicy> {
    let limit = section
        .take("limit")
        .map_or(Some(QUEUE), |value| value.number(1..=1_000_000));
    let overflow = section
        .take("when_full")
        .map_or(Some(Overflow::DropOldest), |value| value.word(&OVERFLOW));
    let qos0 = read_flag(section, "qos0", true);
    let duplicates = read_flag(section, "duplicates", true);

    Some(OfflinePolicy::Queue {
        limit: limit?,
        overflow: overflow?,
        qos0: qos0?,
        duplicates: duplicates?,
    })
}

fn read_flag(section: &mut Section<'_>, key: &'static str, default: bool) -> Option<bool> {
    section
        .take(key)
        .map_or(Some(default), |value| value.flag())
}

/// A rule as the file would have it.
pub(super) fn render(rule: &OfflineRule) -> Value {
    let mut section = json!({
        "filter": rule.filter.as_str(),
        "global": true,
        "persist": rule.persist,
    });

    match rule.policy {
        OfflinePolicy::Drop => section["policy"] = "drop".into(),
        OfflinePolicy::KeepLast => section["policy"] = "keep-last".into(),
        OfflinePolicy::Queue {
            limit,
            overflow,
            qos0,
            duplicates,
        } => {
            section["policy"] = "queue".into();
            section["limit"] = limit.into();
            section["when_full"] = match overflow {
                Overflow::DropOldest => "drop-oldest".into(),
                Overflow::DropNewest => "drop-newest".into(),
            };
            section["qos0"] = qos0.into();
            section["duplicates"] = duplicates.into();
        }
    }

    section
}

/// The key for the reference.
pub(super) fn key() -> Key {
    Key::new(
        "offline",
        "Rules for messages that the service publishes while there is no connection. The first rule whose filter matches the topic \
         holds. A message without a rule waits as long as `broker.outbox` has room.",
        "list of sections",
    )
    .example(EXAMPLE)
    .keys([rule_keys(), queue_keys()].concat())
}

fn rule_keys() -> Vec<Key> {
    vec![
        Key::new("filter", "The filter of the topics.", "topic filter").example("state/#"),
        Key::new(
            "global",
            "Whether `filter` is a full filter; without it, it is below `data_topic`.",
            "`true`, `false`",
        )
        .default("`false`")
        .example("true"),
        Key::new(
            "policy",
            "A message is dropped (`drop`), waits in place of an earlier one of the same topic (`keep-last`), or waits behind the \
             others of the rule (`queue`).",
            "`drop`, `keep-last`, `queue`",
        )
        .example("keep-last"),
        Key::new(
            "persist",
            "Whether messages that wait survive a restart of the host.",
            "`true`, `false`",
        )
        .default("`false`")
        .example("true"),
    ]
}

fn queue_keys() -> Vec<Key> {
    vec![
        Key::new(
            "limit",
            "For `queue`: how many messages of the rule may wait.",
            "number, 1 to 1000000",
        )
        .default("`5`")
        .example("100"),
        Key::new(
            "when_full",
            "For `queue`: the message that is dropped when more would wait.",
            "`drop-oldest`, `drop-newest`",
        )
        .default("`drop-oldest`")
        .example("drop-newest"),
        Key::new(
            "qos0",
            "For `queue`: whether messages of QoS 0 wait at all.",
            "`true`, `false`",
        )
        .default("`true`")
        .example("false"),
        Key::new(
            "duplicates",
            "For `queue`: whether a message waits that equals one that waits already (topic, payload, QoS and retain).",
            "`true`, `false`",
        )
        .default("`true`")
        .example("false"),
    ]
}
