//! The section `mqtt_control`: requests and states of the host as MQTT messages.

use std::time::Duration;

use super::format::set;
use super::key::Key;
use super::units::format_duration;
use super::value::ConfigValue;

/// The commands that can be listed. Streams, recordings and the bytes of uploads are not for MQTT.
pub const COMMANDS: [&str; 21] = [
    "services",
    "snapshot",
    "status",
    "section",
    "state",
    "history",
    "letters",
    "delete-letter",
    "update",
    "rollback",
    "replay",
    "restart",
    "enable",
    "disable",
    "log-level",
    "reload",
    "publish",
    "shadow",
    "start-shadow",
    "stop-shadow",
    "deploy",
];

/// Commands that run another component. They can be listed where components have to be signed.
const SIGNED_ONLY: [&str; 2] = ["start-shadow", "deploy"];

/// The default of `interval`.
const INTERVAL: Duration = Duration::from_secs(5);
/// The shortest and the longest `interval`.
const INTERVALS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(3600)];

const COMMANDS_EXAMPLE: &str = "[enable, disable, restart]";

/// Control over MQTT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MqttControl {
    /// The commands that clients of the broker may ask for.
    pub commands: Vec<&'static str>,
    /// How often states are compared with the published ones, at most.
    pub interval: Duration,
    /// Whether Home Assistant is told of the host and its services.
    pub home_assistant: bool,
}

impl Default for MqttControl {
    fn default() -> Self {
        Self {
            commands: Vec::new(),
            interval: INTERVAL,
            home_assistant: false,
        }
    }
}

/// A word that is not a command.
#[derive(Debug, thiserror::Error)]
#[error("expected one of {accepted}, found {0:?}", accepted = COMMANDS.join(", "))]
struct UnknownCommand(String);

/// Reads the section. `are_signed`: whether components have to be signed.
pub(super) fn read_mqtt_control(value: ConfigValue<'_>, are_signed: bool) -> MqttControl {
    let mut control = MqttControl::default();
    let mut section = value.into_section();

    if let Some(commands) = section.take("commands") {
        let items = commands.into_list(COMMANDS_EXAMPLE);
        for item in items {
            let Some(command) = item.parse(parse_command) else {
                continue;
            };
            if SIGNED_ONLY.contains(&command) && !are_signed {
                item.error(format!(
                    "{command} is for hosts on which only signed components run: write trust, or leave {command} out"
                ));
            }
            control.commands.push(command);
        }
    }
    if let Some(interval) = section.take("interval") {
        let [least, most] = INTERVALS;
        set(interval.duration(least..=most), &mut control.interval);
    }
    if let Some(flag) = section.take("home_assistant") {
        set(flag.flag(), &mut control.home_assistant);
    }

    section.finish();
    control
}

fn parse_command(text: &str) -> Result<&'static str, UnknownCommand> {
    let found = COMMANDS.into_iter().find(|command| *command == text);
    found.ok_or_else(|| UnknownCommand(text.to_owned()))
}

/// The section as the file would have it.
pub(super) fn render(control: &MqttControl) -> serde_json::Value {
    serde_json::json!({
        "commands": control.commands,
        "interval": format_duration(control.interval),
        "home_assistant": control.home_assistant,
    })
}

/// The key of the section for the reference.
pub(super) fn key() -> Key {
    let [least, most] = INTERVALS.map(format_duration);
    let keys = vec![
        Key::new(
            "commands",
            "The commands that clients of the broker may ask for. Everybody who may publish on `miqro/CLIENT_ID/request/#` may use them. \
             `deploy` and `start-shadow` need `trust`.",
            format!("list of commands: {}", COMMANDS.join(", ")),
        )
        .default("none")
        .example(COMMANDS_EXAMPLE),
        Key::new(
            "interval",
            "How often the retained states are compared with the snapshot; those that differ are published.",
            format!("duration, {least} to {most}"),
        )
        .default("`5s`")
        .example("5s"),
        Key::new(
            "home_assistant",
            "Whether Home Assistant is told of the host and its services, each as a device, by discovery messages below \
             `ha_discovery_prefix`.",
            "`true` or `false`",
        )
        .default("`false`")
        .example("true"),
    ];

    Key::new(
        "mqtt_control",
        "Requests and states of the host as MQTT messages; see [Control over MQTT](observability.md#control-over-mqtt). Without this \
         section there are none.",
        "section",
    )
    .keys(keys)
    .needs_restart(true)
}
