//! Reports of the groups: a retained topic for each fact, `info` for each group and for all, and devices for Home Assistant.
//! The host leaves out unchanged messages.

use miqro_sdk::home_assistant::{Device, Entity};
use miqro_sdk::prelude::*;
use serde_json::{Map, Value};

use crate::Alarm;
use crate::group::{Group, Phase};
use crate::input::Trust;

impl Alarm {
    /// Publishes what has changed.
    pub fn report(&self) -> Result {
        let mut all = Map::new();
        for (id, group) in self.groups.iter().enumerate() {
            let facts = self.facts(id, group);
            message(&group.name)
                .qos(1)
                .retain()
                .only_if_changed()
                .send_keys(&facts)?;
            message(&format!("{}/info", group.name))
                .only_if_changed_within(Duration::from_secs(30))
                .send(&facts)?;
            all.insert(group.name.clone(), facts);
        }

        message("info")
            .only_if_changed_within(Duration::from_secs(60))
            .send(Value::Object(all))
            .map(drop)
    }

    fn facts(&self, id: usize, group: &Group) -> Value {
        let online = |inputs: &[usize]| {
            inputs
                .iter()
                .all(|input| self.trust(*input) == Trust::Online)
        };
        let inhibited = self.is_inhibited(id);
        let display = match (group.memory.phase, group.memory.enabled, inhibited) {
            (Phase::Off, false, _) => "disabled",
            (Phase::Off, true, true) => "inhibited",
            (Phase::Off, true, false) => "enabled",
            (phase, ..) => phase.name(),
        };

        let active = self.active_inputs(id).join(", ");
        json!({
            "all_inputs_online": online(&group.inputs) && online(&group.inhibitors) && online(&group.liveness),
            "enabled": {"state": group.memory.enabled},
            "inhibited": {"state": group.memory.inhibited},
            "any_inhibitor_active": inhibited,
            "state": group.memory.phase.name(),
            "display_state": display,
            "live": online(&group.liveness),
            "input": self.of_inputs(&group.inputs),
            "inhibitor": self.of_inputs(&group.inhibitors),
            "liveness": self.of_inputs(&group.liveness),
            "label": group.label,
            "active_inputs_text": if active.is_empty() { "none" } else { &active },
        })
    }

    fn of_inputs(&self, inputs: &[usize]) -> Value {
        let each = inputs.iter().map(|input| {
            let known = self.trust(*input) != Trust::Unknown;
            let value = json!({"state": self.trust(*input).name(), "value": known.then(|| self.is_on(*input))});
            // a label is one level of a topic
            (self.inputs[*input].label.replace('/', "_"), value)
        });

        Value::Object(each.collect())
    }
}

/// A group as Home Assistant is told of it.
pub fn device(group: &Group) -> Device {
    let topic = |name: &str| format!("{}/{name}", group.name);
    let switch = |name: &str| {
        Entity::switch(name, &topic(&format!("{name}/state")))
            .topic("command_topic", &topic(&format!("{name}/command")))
    };
    let button = |name: &str, command: &str| {
        Entity::button(name)
            .topic("command_topic", &topic(command))
            .with("payload_press", "1")
    };
    let states = ["disabled", "enabled", "inhibited", "prealarm", "alarm"];
    Device::new(format!("Alarm {}", group.label))
        .entity(switch("enabled"))
        .entity(switch("inhibited"))
        .entity(button("reset", "reset/command"))
        .entity(
            button("on/off/reset", "auto/command").topic("json_attributes_topic", &topic("info")),
        )
        .entity(Entity::sensor("state", &topic("state")).options(&["off", "prealarm", "alarm"]))
        .entity(Entity::sensor("display state", &topic("display_state")).options(&states))
        .entity(
            Entity::binary_sensor("all inputs online", &topic("all_inputs_online"))
                .category("diagnostic"),
        )
        .entity(Entity::binary_sensor("live", &topic("live")).category("diagnostic"))
        .entity(Entity::sensor(
            "active inputs",
            &topic("active_inputs_text"),
        ))
}
