//! Pure: what changes between two configurations. In: the one that runs and the one that shall. Out: `Difference`: a line for
//! each key, without secrets, and what there is to do. Owns nothing.

use std::collections::BTreeMap;

use serde_json::Value;

use super::render::{Secrets, document};
use super::{Broker, Config, Service};

/// Longest value that is shown whole.
const SHOWN: usize = 120;

/// What changes between two configurations.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Difference {
    /// One line for each key: `key: old -> new`. Secrets are not shown.
    pub lines: Vec<String>,
    /// Keys that cannot change while the host runs.
    pub restart: Vec<&'static str>,
    /// Whether the MQTT connection has to be made anew.
    pub connection: bool,
    /// Services that are there no longer, by name.
    pub removed: Vec<String>,
    /// Services that are new. One whose base topic changes is removed and added: nothing of it can stay.
    pub added: Vec<Service>,
    /// Services whose component or section changes in a way that concerns the guest.
    pub changed: Vec<Service>,
}

impl Config {
    /// What changes when `new` takes the place of this configuration.
    pub fn difference(&self, new: &Self) -> Difference {
        let mut difference = Difference {
            lines: lines(self, new),
            ..Difference::default()
        };
        difference.restart = restart(self, new);
        let (Broker::Embedded(_, before) | Broker::Remote(before)) = &self.broker;
        let (Broker::Embedded(_, after) | Broker::Remote(after)) = &new.broker;
        difference.connection = before != after;
        for service in &self.services {
            match new.services.iter().find(|other| other.name == service.name) {
                Some(other) if other.base == service.base => {
                    if concerns_guest(service, other) {
                        difference.changed.push(other.clone());
                    }
                    continue;
                }
                other => difference.added.extend(other.cloned()),
            }
            difference.removed.push(service.name.clone());
        }
        let is_new =
            |service: &&Service| !self.services.iter().any(|other| other.name == service.name);
        difference
            .added
            .extend(new.services.iter().filter(is_new).cloned());
        difference
    }
}

impl Difference {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The level of its log lines is the host's business alone.
fn concerns_guest(before: &Service, after: &Service) -> bool {
    *before
        != Service {
            log_level: before.log_level,
            ..after.clone()
        }
}

/// What is made once, at the start.
fn restart(before: &Config, after: &Config) -> Vec<&'static str> {
    let mut keys = Vec::new();
    match (&before.broker, &after.broker) {
        (Broker::Remote(_), Broker::Remote(_)) => {}
        (Broker::Embedded(before, _), Broker::Embedded(after, _)) => {
            let listen = |broker: &super::EmbeddedBroker| (broker.listen, broker.listen_is_default);
            keys.extend((listen(before) != listen(after)).then_some("broker.embedded.listen"));
            keys.extend((before.data_dir != after.data_dir).then_some("broker.embedded.data_dir"));
            keys.extend((before.users != after.users).then_some("broker.embedded.users"));
            keys.extend((before.limits != after.limits).then_some("broker.embedded.limits"));
        }
        _ => keys.push("broker (from the embedded one to one elsewhere, or back)"),
    }
    let (Broker::Embedded(_, old) | Broker::Remote(old)) = &before.broker;
    let (Broker::Embedded(_, new) | Broker::Remote(new)) = &after.broker;
    // requests under way are written in the protocol, and all outcomes that are awaited have one timeout
    keys.extend((old.protocol != new.protocol).then_some("broker.protocol"));
    keys.extend(
        (old.delivery_timeout != new.delivery_timeout).then_some("broker.delivery_timeout"),
    );
    keys.extend((before.cache_dir != after.cache_dir).then_some("cache_dir"));
    keys.extend((before.trust != after.trust).then_some("trust"));
    keys.extend((before.state_file != after.state_file).then_some("state_file"));
    keys.extend((before.online_interval != after.online_interval).then_some("online_interval"));
    keys.extend(
        (before.statistics_interval != after.statistics_interval).then_some("statistics_interval"),
    );
    keys.extend((before.watch_interval != after.watch_interval).then_some("watch_interval"));
    keys.extend(
        (before.ha_discovery_prefix != after.ha_discovery_prefix).then_some("ha_discovery_prefix"),
    );
    keys.extend(
        (before.presence_connections != after.presence_connections)
            .then_some("presence_connections"),
    );
    keys
}

/// A line for each key that differs.
fn lines(before: &Config, after: &Config) -> Vec<String> {
    let flat = |config, secrets| {
        let mut leaves = BTreeMap::new();
        flatten(
            &Value::Object(document(config, secrets)),
            String::new(),
            &mut leaves,
        );
        leaves
    };
    let (old, new) = (flat(before, Secrets::Plain), flat(after, Secrets::Plain));
    let (old_shown, new_shown) = (flat(before, Secrets::Hidden), flat(after, Secrets::Hidden));
    let mut keys: Vec<&String> = old
        .keys()
        .chain(new.keys())
        .filter(|key| old.get(*key) != new.get(*key))
        .collect();
    keys.sort_unstable();
    keys.dedup();
    keys.into_iter()
        .map(|key| line(key, old_shown.get(key), new_shown.get(key)))
        .collect()
}

fn line(key: &str, before: Option<&Value>, after: Option<&Value>) -> String {
    let hidden = "another secret (not shown)";
    match (before, after) {
        (Some(before), Some(after)) if before == after => format!("{key}: {hidden}"),
        (before, after) => format!("{key}: {} -> {}", shown(before), shown(after)),
    }
}

fn shown(value: Option<&Value>) -> String {
    let Some(value) = value else {
        return "nothing".to_owned();
    };
    let text = value.to_string();
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

fn flatten(value: &Value, path: String, leaves: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (key, value) in members {
                let path = if path.is_empty() {
                    key.clone()
                } else {
                    format!("{path}.{key}")
                };
                flatten(value, path, leaves);
            }
        }
        _ => drop(leaves.insert(path, value.clone())),
    }
}
