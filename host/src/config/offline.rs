//! Pure: the list `offline` of a service. In: the list and the service's base topic. Out: rules for the time without a
//! connection. Owns nothing.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::given::Given;
use super::section::Section;
use crate::offline::{OfflinePolicy, OfflineRule, Overflow};
use crate::topic::{BaseTopic, Filter};

/// What a queue holds where the rule does not say (as umqtt.robust2's `MSG_QUEUE_MAX`).
const QUEUE: usize = 5;

/// The words of `policy`.
const POLICIES: [(&str, &str); 3] = [
    ("drop", "drop"),
    ("keep-last", "keep-last"),
    ("queue", "queue"),
];

/// The words of `when_full`.
const OVERFLOW: [(&str, Overflow); 2] = [
    ("drop-oldest", Overflow::DropOldest),
    ("drop-newest", Overflow::DropNewest),
];

/// Reads the list; the first rule whose filter matches a topic is the one for it.
pub(super) fn rules(given: Given<'_>, base: &BaseTopic) -> Vec<Arc<OfflineRule>> {
    let items = given
        .list("[{filter: state/#, policy: keep-last}, {filter: '#', policy: queue, limit: 100}]");
    items
        .into_iter()
        .filter_map(|item| rule(item.section(), base))
        .map(Arc::new)
        .collect()
}

fn rule(mut section: Section<'_>, base: &BaseTopic) -> Option<OfflineRule> {
    let global = section
        .take("global")
        .map_or(Some(false), |given| given.flag());
    let filter = section.take("filter");
    let policy = section.take("policy");
    if filter.is_none() {
        section.problem("has no filter");
    }
    if policy.is_none() {
        section.problem("has no policy: drop, keep-last or queue");
    }
    let persist = section
        .take("persist")
        .map_or(Some(false), |given| given.flag());
    let policy = match policy.and_then(|given| given.word(&POLICIES)) {
        Some("queue") => queue(&mut section),
        Some("keep-last") => Some(OfflinePolicy::KeepLast),
        Some(_) => Some(OfflinePolicy::Drop),
        None => queue(&mut section).and(None),
    };
    section.finish();
    let read = |text: &str| {
        if global == Some(true) {
            Filter::new(text)
        } else {
            base.filter(text)
        }
    };
    Some(OfflineRule {
        filter: filter?.read(read)?,
        policy: policy?,
        persist: persist?,
    })
}

fn queue(section: &mut Section<'_>) -> Option<OfflinePolicy> {
    let limit = section
        .take("limit")
        .map_or(Some(QUEUE), |given| given.number(1..=1_000_000));
    let overflow = section
        .take("when_full")
        .map_or(Some(Overflow::DropOldest), |given| given.word(&OVERFLOW));
    let qos0 = section
        .take("qos0")
        .map_or(Some(true), |given| given.flag());
    let duplicates = section
        .take("duplicates")
        .map_or(Some(true), |given| given.flag());
    Some(OfflinePolicy::Queue {
        limit: limit?,
        overflow: overflow?,
        qos0: qos0?,
        duplicates: duplicates?,
    })
}

/// A rule as the file would have it.
pub(super) fn show(rule: &OfflineRule) -> Value {
    let mut section = Map::new();
    section.insert("filter".into(), rule.filter.as_str().into());
    section.insert("global".into(), true.into());
    section.insert("persist".into(), rule.persist.into());
    let (policy, more) = match rule.policy {
        OfflinePolicy::Drop => ("drop", json!({})),
        OfflinePolicy::KeepLast => ("keep-last", json!({})),
        OfflinePolicy::Queue {
            limit,
            overflow,
            qos0,
            duplicates,
        } => {
            let word = if overflow == Overflow::DropOldest {
                "drop-oldest"
            } else {
                "drop-newest"
            };
            (
                "queue",
                json!({"limit": limit, "when_full": word, "qos0": qos0, "duplicates": duplicates}),
            )
        }
    };
    section.insert("policy".into(), policy.into());
    if let Value::Object(more) = more {
        section.extend(more);
    }
    section.into()
}
