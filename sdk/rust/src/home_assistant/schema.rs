//! The keys that Home Assistant knows for each kind of entity, from the "configuration variables" of its documentation
//! (`https://www.home-assistant.io/integrations/<component>.mqtt/`). In: a kind. Out: the keys it may have and must have. Owns
//! nothing.

use crate::home_assistant::Component;

/// Keys that every kind has.
const COMMON: &[&str] = &[
    "availability",
    "availability_mode",
    "availability_template",
    "availability_topic",
    "default_entity_id",
    "device",
    "enabled_by_default",
    "encoding",
    "entity_category",
    "entity_picture",
    "icon",
    "json_attributes_template",
    "json_attributes_topic",
    "name",
    "origin",
    "payload_available",
    "payload_not_available",
    "platform",
    "qos",
    "unique_id",
];

/// The keys of climate that come as `<x>_command_template`, `<x>_command_topic`, `<x>_state_template` and `<x>_state_topic`.
const CLIMATE: &[&str] = &[
    "fan_mode",
    "mode",
    "swing_horizontal_mode",
    "swing_mode",
    "target_humidity",
    "temperature",
    "temperature_high",
    "temperature_low",
];

/// Whether an entity of this kind may have `key`.
pub fn allows(component: Component, key: &str) -> bool {
    let climate = component == Component::Climate && CLIMATE.iter().any(|name| is_part(key, name));
    climate || COMMON.contains(&key) || own(component).contains(&key)
}

/// The keys that an entity of this kind must have, beside its name.
pub fn required(component: Component) -> &'static [&'static str] {
    match component {
        Component::BinarySensor | Component::Sensor => &["state_topic"],
        Component::Button | Component::Number | Component::Switch | Component::Text => &["command_topic"],
        Component::Climate | Component::DeviceTracker => &[],
        Component::Event => &["state_topic", "event_types"],
        Component::Select => &["command_topic", "options"],
    }
}

fn is_part(key: &str, name: &str) -> bool {
    key.strip_prefix(name)
        .is_some_and(|rest| ["_command_template", "_command_topic", "_state_template", "_state_topic"].contains(&rest))
}

fn own(component: Component) -> &'static [&'static str] {
    match component {
        Component::BinarySensor => &[
            "device_class",
            "expire_after",
            "force_update",
            "off_delay",
            "payload_off",
            "payload_on",
            "state_topic",
            "value_template",
        ],
        Component::Button => &["command_template", "command_topic", "device_class", "payload_press", "retain"],
        Component::Climate => &[
            "action_template",
            "action_topic",
            "current_humidity_template",
            "current_humidity_topic",
            "current_temperature_template",
            "current_temperature_topic",
            "fan_modes",
            "initial",
            "max_humidity",
            "max_temp",
            "min_humidity",
            "min_temp",
            "modes",
            "optimistic",
            "payload_off",
            "payload_on",
            "power_command_template",
            "power_command_topic",
            "precision",
            "preset_mode_command_template",
            "preset_mode_command_topic",
            "preset_mode_state_topic",
            "preset_mode_value_template",
            "preset_modes",
            "retain",
            "swing_horizontal_modes",
            "swing_modes",
            "temp_step",
            "temperature_unit",
            "value_template",
        ],
        Component::DeviceTracker => {
            &["payload_home", "payload_not_home", "payload_reset", "source_type", "state_topic", "value_template"]
        }
        Component::Event => &["device_class", "event_types", "state_topic", "value_template"],
        Component::Number => &[
            "command_template",
            "command_topic",
            "device_class",
            "max",
            "min",
            "mode",
            "optimistic",
            "payload_reset",
            "retain",
            "state_topic",
            "step",
            "unit_of_measurement",
            "value_template",
        ],
        Component::Select => {
            &["command_template", "command_topic", "optimistic", "options", "retain", "state_topic", "value_template"]
        }
        Component::Sensor => &[
            "device_class",
            "expire_after",
            "force_update",
            "last_reset_value_template",
            "options",
            "state_class",
            "state_topic",
            "suggested_display_precision",
            "unit_of_measurement",
            "value_template",
        ],
        Component::Switch => &[
            "command_template",
            "command_topic",
            "device_class",
            "optimistic",
            "payload_off",
            "payload_on",
            "retain",
            "state_off",
            "state_on",
            "state_topic",
            "value_template",
        ],
        Component::Text => &[
            "command_template",
            "command_topic",
            "max",
            "min",
            "mode",
            "optimistic",
            "pattern",
            "retain",
            "state_topic",
            "value_template",
        ],
    }
}
