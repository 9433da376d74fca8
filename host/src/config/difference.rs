//! The difference between the configuration that runs and a new one: a line for each key, without secrets, and the actions that follow.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::Value;

use super::reference;
use super::render::{Secrets, document};
use super::{Broker, Config, Service};

/// The longest value that is shown completely.
const SHOWN: usize = 120;

/// The difference between two configurations.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Difference {
    /// One line for each key: `key: old -> new`. Secrets are not shown.
    pub lines: Vec<String>,
    /// Keys that cannot change while the host runs.
    pub restart: Vec<String>,
    /// Whether the MQTT connection has to be made again.
    pub connection: bool,
    /// Services that are no longer there, by name.
    pub removed: Vec<String>,
    /// Services that are new. A service whose base topic changes is removed and added: nothing of it can stay.
    pub added: Vec<Service>,
    /// Services whose component or section changes in a way that concerns the guest.
    pub changed: Vec<Service>,
}

impl Config {
    /// The changes from this configuration to `new`.
    pub fn difference(&self, new: &Self) -> Difference {
        let changes = changes(self, new);
        let mut difference = Difference {
            lines: changes.iter().map(ToString::to_string).collect(),
            restart: keys_that_need_restart(self, new, &changes),
            connection: self.broker.connection() != new.broker.connection(),
            ..Difference::default()
        };

        for service in &self.services {
            match find_service(new, &service.name) {
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

        let is_new = |service: &&Service| find_service(self, &service.name).is_none();
        difference
            .added
            .extend(new.services.iter().filter(is_new).cloned());
        difference
    }
}

fn find_service<'a>(config: &'a Config, name: &str) -> Option<&'a Service> {
    config.services.iter().find(|service| service.name == name)
}

impl Difference {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Whether the change concerns the guest. The level of its log lines is the host's business alone.
fn concerns_guest(before: &Service, after: &Service) -> bool {
    *before
        != Service {
            log_level: before.log_level,
            ..after.clone()
        }
}

/// The changed keys that are read once, when the host starts. A section of such keys counts as one.
fn keys_that_need_restart(before: &Config, after: &Config, changes: &[Change]) -> Vec<String> {
    let mut keys = Vec::new();
    let is_other_kind = matches!(before.broker, Broker::Embedded(..))
        != matches!(after.broker, Broker::Embedded(..));
    if is_other_kind {
        keys.push("broker (from the embedded one to one elsewhere, or back)".to_owned());
    }

    for key in reference::keys_that_need_restart() {
        let is_covered = is_other_kind && key.starts_with("broker.embedded.");
        let is_changed = changes
            .iter()
            .any(|change| reference::is_within(&change.key, &key));
        if is_changed && !is_covered {
            keys.push(key);
        }
    }

    keys
}

/// A key with both values, as they are shown.
struct Change {
    key: String,
    before: Option<Value>,
    after: Option<Value>,
}

/// The keys that differ, in alphabetical order.
fn changes(before: &Config, after: &Config) -> Vec<Change> {
    let old = leaves(before, Secrets::Plain);
    let new = leaves(after, Secrets::Plain);
    let old_shown = leaves(before, Secrets::Hidden);
    let new_shown = leaves(after, Secrets::Hidden);

    let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    keys.into_iter()
        .filter(|key| old.get(*key) != new.get(*key))
        .map(|key| Change {
            key: key.clone(),
            before: old_shown.get(key).cloned(),
            after: new_shown.get(key).cloned(),
        })
        .collect()
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.before.is_some() && self.before == self.after {
            return write!(f, "{}: another secret (not shown)", self.key);
        }
        let before = shorten(self.before.as_ref());
        let after = shorten(self.after.as_ref());
        write!(f, "{}: {before} -> {after}", self.key)
    }
}

fn shorten(value: Option<&Value>) -> String {
    let Some(value) = value else {
        return "nothing".to_owned();
    };
    let text = value.to_string();
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

/// Every key of the configuration with its value.
fn leaves(config: &Config, secrets: Secrets) -> BTreeMap<String, Value> {
    let mut leaves = BTreeMap::new();
    let document = Value::Object(document(config, secrets));
    collect_leaves(document, String::new(), &mut leaves);
    leaves
}

fn collect_leaves(value: Value, path: String, leaves: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (key, value) in members {
                let path = if path.is_empty() {
                    key
                } else {
                    format!("{path}.{key}")
                };
                collect_leaves(value, path, leaves);
            }
        }
        value => {
            leaves.insert(path, value);
        }
    }
}
