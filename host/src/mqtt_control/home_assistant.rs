//! Discovery messages by which Home Assistant shows the host and its services as devices. Pure.
//!
//! Their entities read the retained states and send requests. An entity whose command is not listed is left out; the update entity then
//! only shows.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::topics::Topics;
use crate::topic::Topic;

/// Digits of a version that are shown.
const VERSION_DIGITS: usize = 12;

/// A service, as far as its device shows it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Service<'a> {
    /// The name.
    pub name: &'a str,
    /// The hash of its component.
    pub version: Option<&'a str>,
}

/// Discovery messages of one host.
#[derive(Debug)]
pub(super) struct Discovery {
    /// The topic below which Home Assistant looks for them.
    pub prefix: Topic,
    topics: Topics,
    commands: Vec<&'static str>,
}

impl Discovery {
    /// `commands`: those that may be asked for.
    pub(super) fn new(prefix: Topic, topics: Topics, commands: Vec<&'static str>) -> Self {
        Self {
            prefix,
            topics,
            commands,
        }
    }

    /// The devices of the host and its services, by topic.
    pub(super) fn devices<'a>(
        &self,
        host_version: &str,
        services: impl Iterator<Item = Service<'a>>,
    ) -> BTreeMap<Topic, Bytes> {
        let origin = json!({"name": "miqro-host", "sw_version": host_version});
        let host = topic(&self.prefix, &self.topics, None)
            .map(|topic| (topic, self.host(host_version, &origin)));
        let services = services.filter_map(|service| {
            let topic = topic(&self.prefix, &self.topics, Some(service.name))?;
            Some((topic, self.service(service, &origin)?))
        });

        let devices = host.into_iter().chain(services);
        devices
            .map(|(topic, device)| (topic, device.to_string().into()))
            .collect()
    }

    fn host(&self, version: &str, origin: &Value) -> Value {
        let id = device_id(&self.topics, None);
        let health = self.topics.health.as_str();
        let mut entities = Entities::new(id.clone(), &self.topics);
        entities.add_connection();

        entities.add_figures(
            health,
            &[
                (
                    "connections",
                    "Connections",
                    "{{ value_json.connections }}",
                    "total_increasing",
                ),
                (
                    "running",
                    "Running services",
                    "{{ value_json.services.running | default(0) }}",
                    "measurement",
                ),
                (
                    "failed",
                    "Failed services",
                    "{{ value_json.services.failed | default(0) }}",
                    "measurement",
                ),
                (
                    "failures",
                    "Failures",
                    "{{ value_json.failures }}",
                    "total_increasing",
                ),
                (
                    "dead_letters",
                    "Dead letters",
                    "{{ value_json.dead_letters }}",
                    "measurement",
                ),
            ],
        );

        if self.commands.contains(&"reload") {
            let button = json!({
                "command_topic": self.topics.request(Some("reload")),
                "payload_press": "{}",
                "entity_category": "config",
            });
            entities.add("reload", "button", "Reload configuration", button);
        }

        json!({
            "device": {
                "identifiers": [id],
                "name": format!("MIQRO host {}", self.topics.host_id()),
                "manufacturer": "MIQRO",
                "model": "MIQRO host",
                "sw_version": version,
            },
            "origin": origin,
            "components": entities.components,
        })
    }

    /// The device of a service; `None` when its name is too long for topics.
    fn service(&self, service: Service<'_>, origin: &Value) -> Option<Value> {
        let id = device_id(&self.topics, Some(service.name));
        let state = self.topics.service(service.name)?;
        let state = state.as_str();
        let mut entities = Entities::new(id.clone(), &self.topics);
        self.add_controls(service.name, state, &mut entities);
        self.add_update(service.name, state, &mut entities);
        add_status(state, &mut entities);

        entities.add_figures(
            state,
            &[
                (
                    "messages",
                    "Messages",
                    "{{ value_json.messages.calls }}",
                    "total_increasing",
                ),
                (
                    "failures",
                    "Failures",
                    "{{ value_json.messages.failures + value_json.timers.failures }}",
                    "total_increasing",
                ),
                (
                    "dead_letters",
                    "Dead letters",
                    "{{ value_json.dead_letters }}",
                    "measurement",
                ),
                (
                    "waiting",
                    "Waiting messages",
                    "{{ value_json.waiting + value_json.spooled }}",
                    "measurement",
                ),
            ],
        );

        let version = service.version.unwrap_or("none");
        Some(json!({
            "device": {
                "identifiers": [id],
                "name": service.name,
                "manufacturer": "MIQRO",
                "model": "MIQRO service",
                "sw_version": version.get(..VERSION_DIGITS).unwrap_or(version),
                "via_device": device_id(&self.topics, None),
            },
            "origin": origin,
            "components": entities.components,
        }))
    }

    /// The switch and the button of a service, as far as their commands are listed.
    fn add_controls(&self, name: &str, state: &str, entities: &mut Entities<'_>) {
        let is_listed = |command| self.commands.contains(&command);
        let request = |command| json!({"command": command, "service": name}).to_string();
        if is_listed("enable") && is_listed("disable") {
            let switch = json!({
                "state_topic": state,
                "value_template": "{{ 'ON' if value_json.enabled else 'OFF' }}",
                "state_on": "ON",
                "state_off": "OFF",
                "command_topic": self.topics.request(None),
                "payload_on": request("enable"),
                "payload_off": request("disable"),
            });

            entities.add("enabled", "switch", "Enabled", switch);
        }

        if is_listed("restart") {
            let button = json!({
                "command_topic": self.topics.request(Some("restart")),
                "payload_press": json!({"service": name}).to_string(),
                "device_class": "restart",
            });
            entities.add("restart", "button", "Restart", button);
        }
    }

    /// The running version of a service, and the one that waits. It can be installed if the command is listed.
    fn add_update(&self, name: &str, state: &str, entities: &mut Entities<'_>) {
        // with the prefix, Home Assistant does not take a hash for a number of which the larger one is newer
        let version =
            |of: &str| format!("sha256:{{{{ ({of}.version or 'none')[:{VERSION_DIGITS}] }}}}");
        let versions = json!({
            "installed_version": version("value_json"),
            "latest_version": version("(value_json.available or value_json)"),
        });
        let mut update = json!({
            "state_topic": state,
            "value_template": versions.to_string(),
            "entity_category": "diagnostic",
        });

        if self.commands.contains(&"update") {
            update["command_topic"] = self.topics.request(Some("update")).into();
            update["payload_install"] = json!({"service": name}).to_string().into();
            update["entity_category"] = "config".into();
        }
        entities.add("update", "update", "Update", update);
    }
}

/// The sensors of a service besides its counters.
fn add_status(state: &str, entities: &mut Entities<'_>) {
    let status = json!({
        "state_topic": state,
        "value_template": "{{ value_json.status }}",
        "device_class": "enum",
        "options": ["starting", "running", "waiting", "failed", "stopped"],
    });

    entities.add("status", "sensor", "Status", status);

    let memory = json!({
        "state_topic": state,
        "value_template": "{{ value_json.memory }}",
        "device_class": "data_size",
        "unit_of_measurement": "B",
        "state_class": "measurement",
        "entity_category": "diagnostic",
    });

    entities.add("memory", "sensor", "Memory", memory);

    // a state has 255 characters at most
    let fault = json!({
        "state_topic": state,
        "value_template": "{{ (value_json.last_fault.reason if value_json.last_fault else 'none')[:255] }}",
        "entity_category": "diagnostic",
    });
    entities.add("last_fault", "sensor", "Last fault", fault);
}

/// The entities of one device.
struct Entities<'a> {
    device: String,
    online: &'a str,
    components: Map<String, Value>,
}

impl<'a> Entities<'a> {
    fn new(device: String, topics: &'a Topics) -> Self {
        Self {
            device,
            online: topics.online.as_str(),
            components: Map::new(),
        }
    }

    /// Adds an entity that is available while the host is connected.
    fn add(&mut self, key: &str, platform: &str, name: &str, mut entity: Value) {
        entity["platform"] = platform.into();
        entity["name"] = name.into();
        entity["unique_id"] = format!("{}_{key}", self.device).into();
        entity["availability_topic"] = self.online.into();
        entity["payload_available"] = "1".into();
        entity["payload_not_available"] = "0".into();
        self.components.insert(key.to_owned(), entity);
    }

    /// Adds sensors for figures of a state, each with its key, name, template and state class.
    fn add_figures(&mut self, state: &str, figures: &[(&str, &str, &str, &str)]) {
        for (key, name, template, class) in figures {
            let sensor =
                json!({"value_template": template, "state_class": class, "state_topic": state});
            self.add(key, "sensor", name, sensor);
        }
    }

    /// Adds the connection of the host, which is known also while there is none.
    fn add_connection(&mut self) {
        let connection = json!({
            "platform": "binary_sensor",
            "name": "Connection",
            "unique_id": format!("{}_connection", self.device),
            "state_topic": self.online,
            "payload_on": "1",
            "payload_off": "0",
            "device_class": "connectivity",
            "entity_category": "diagnostic",
        });

        self.components.insert("connection".to_owned(), connection);
    }
}

/// The topic of a device; `None` when it is too long.
pub(super) fn topic(prefix: &Topic, topics: &Topics, service: Option<&str>) -> Option<Topic> {
    let id = device_id(topics, service);
    Topic::new(format!("{}/device/{id}/config", prefix.as_str())).ok()
}

/// The identifier of a device: of a service, or of the host.
fn device_id(topics: &Topics, service: Option<&str>) -> String {
    let host = object_id(topics.host_id());
    match service {
        Some(service) => format!("miqro_{host}_{}", object_id(service)),
        None => format!("miqro_{host}"),
    }
}

/// A name with the characters that Home Assistant accepts in a topic. A digest keeps changed names apart.
fn object_id(name: &str) -> String {
    let is_accepted = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if name.chars().all(is_accepted) {
        return name.to_owned();
    }

    let kept: String = name
        .chars()
        .map(|c| if is_accepted(c) { c } else { '_' })
        .collect();
    let digest = hex::encode(Sha256::digest(name));
    format!("{kept}_{}", &digest[..8])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    fn devices(commands: &[&'static str], name: &str) -> Vec<(String, Value)> {
        let prefix = Topic::new("ha").unwrap();
        let topics = Topics::new("house").unwrap();
        let discovery = Discovery::new(prefix, topics, commands.to_vec());
        let service = Service {
            name,
            version: Some("0123456789abcdef"),
        };
        let devices = discovery.devices("1.2.3", [service].into_iter());
        devices
            .into_iter()
            .map(|(topic, device)| {
                let device = serde_json::from_slice(&device).unwrap();
                (topic.as_str().to_owned(), device)
            })
            .collect()
    }

    #[test]
    fn service_is_a_device_behind_the_host() {
        let devices = devices(&["enable", "disable", "restart", "reload"], "echo");
        let topics: Vec<&str> = devices.iter().map(|(topic, _)| topic.as_str()).collect();
        assert_eq!(
            topics,
            [
                "ha/device/miqro_house/config",
                "ha/device/miqro_house_echo/config"
            ]
        );

        let (host, service) = (&devices[0].1, &devices[1].1);
        assert_eq!(
            host["device"]["identifiers"][0],
            service["device"]["via_device"]
        );
        assert_eq!(service["device"]["sw_version"], "0123456789ab");
        let switch = &service["components"]["enabled"];
        assert_eq!(switch["command_topic"], "miqro/house/request");
        assert_eq!(
            switch["payload_off"],
            r#"{"command":"disable","service":"echo"}"#
        );
        let restart = &service["components"]["restart"];
        assert_eq!(restart["command_topic"], "miqro/house/request/restart");
        assert_eq!(host["components"]["reload"]["platform"], "button");
        let connection = &host["components"]["connection"];
        assert_eq!(connection["availability_topic"], Value::Null);
    }

    #[test]
    fn entities_of_commands_that_are_not_listed_are_left_out() {
        let devices = devices(&["enable"], "echo");
        let components = &devices[1].1["components"];
        assert_eq!(components["enabled"], Value::Null);
        assert_eq!(components["restart"], Value::Null);
        assert_eq!(components["messages"]["platform"], "sensor");
        assert_eq!(devices[0].1["components"]["reload"], Value::Null);
    }

    #[test]
    fn updates_are_shown_and_installed_if_the_command_is_listed() {
        let update = |commands: &[&'static str]| {
            devices(commands, "echo")[1].1["components"]["update"].clone()
        };
        let shown = update(&[]);
        assert_eq!(
            shown["value_template"],
            r#"{"installed_version":"sha256:{{ (value_json.version or 'none')[:12] }}","latest_version":"sha256:{{ ((value_json.available or value_json).version or 'none')[:12] }}"}"#
        );
        assert_eq!(shown["command_topic"], Value::Null);
        let installed = update(&["update"]);
        assert_eq!(installed["command_topic"], "miqro/house/request/update");
        assert_eq!(installed["payload_install"], r#"{"service":"echo"}"#);
    }

    proptest! {
        #[test]
        fn different_names_have_different_topics(one in ".{1,8}", other in ".{1,8}") {
            let topics = Topics::new("house").unwrap();
            let ids = [&one, &other].map(|name| device_id(&topics, Some(name)));
            prop_assert_eq!(ids[0] == ids[1], one == other);
            prop_assert!(ids[0].chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c)));
        }
    }
}
