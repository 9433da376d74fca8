//! A service with an entity of every kind of Home Assistant: its announcements, compared with Home Assistant's own schemas, and its
//! commands.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod facts;

use miqro_sdk::home_assistant::{ChildDevice, Device, Entity, HomeAssistant};
use miqro_sdk::prelude::*;
use miqro_sdk::test::{Sent, TestHost};
use serde_json::Value;

use crate::facts::facts;

/// A service with an entity of every kind.
struct Kinds {
    home: HomeAssistant,
}

#[service]
impl Kinds {
    #[new]
    fn new() -> Self {
        let socket = ChildDevice::new("Socket 1")
            .identifier("socket-1")
            .entity(Entity::switch("Socket", "socket/1").on_command("socket/1/set", Self::seen))
            .entity(Entity::time("Bedtime", "bedtime").on_command("bedtime/set", Self::seen));
        let device = Device::new("All")
            .model_id("M1")
            .serial_number("4711")
            .configuration_url("http://192.168.1.2:80/x");
        let device = kinds()
            .into_iter()
            .fold(device.child(socket), Device::entity);
        let home = HomeAssistant::new()
            .sw_version("1.2.3")
            .support_url("https://miqro.example/help");
        let tag = Entity::tag("Reader", "tag");
        Self {
            home: home
                .device(device)
                .entity(tag)
                .entity(Entity::scene("Night").on_command("night", Self::seen)),
        }
    }

    #[start]
    fn start(&mut self) -> Result {
        self.home.start()
    }

    #[connected]
    fn connected(&mut self) -> Result {
        self.home.announce()
    }

    fn seen(&mut self, command: &Message<'_>) -> Result {
        publish(&format!("seen/{}", command.topic()), command.payload())
    }
}

#[expect(
    clippy::too_many_lines,
    reason = "one scenario, read from top to bottom"
)]
fn kinds() -> Vec<Entity> {
    let seen = |entity: Entity| {
        let topic = format!("{}/set", entity.to_string().split(' ').next().unwrap());
        entity.on_command(&topic, Kinds::seen)
    };
    let humidifier = Entity::humidifier("Air", "air")
        .on_command_at(
            "target_humidity_command_topic",
            "air/wanted/set",
            Kinds::seen,
        )
        .on_command_at("mode_command_topic", "air/mode/set", Kinds::seen)
        .with("modes", ["auto", "sleep"].as_slice());

    vec![
        seen(
            Entity::alarm_control_panel("Alarm", "alarm")
                .with("supported_features", ["arm_home"].as_slice()),
        ),
        Entity::binary_sensor("Door", "door")
            .device_class("door")
            .category("diagnostic"),
        seen(Entity::button("Go").device_class("restart")),
        Entity::camera("Gate", "gate").with("image_encoding", "b64"),
        Entity::climate("Heater")
            .topic("temperature_state_topic", "heater")
            .on_command_at("temperature_command_topic", "heater/set", Kinds::seen)
            .on_command_at(
                "preset_mode_command_topic",
                "heater/preset/set",
                Kinds::seen,
            )
            .with("preset_modes", ["eco"].as_slice()),
        seen(
            Entity::cover("Blind", "blind")
                .device_class("blind")
                .topic("position_topic", "blind/position"),
        )
        .on_command_at("set_position_topic", "blind/position/set", Kinds::seen),
        seen(Entity::date("Day", "day")),
        seen(Entity::datetime("Moment", "moment").with("timezone", "Europe/Vienna")),
        Entity::device_tracker("Place", "place").with("source_type", "gps"),
        Entity::device_trigger("button_short_press", "button_1", "button/1")
            .with("payload", "press"),
        Entity::event("Bell", "bell", &["press"]).device_class("doorbell"),
        seen(Entity::fan("Fan", "fan")).on_command_at(
            "percentage_command_topic",
            "fan/speed/set",
            Kinds::seen,
        ),
        seen(humidifier),
        Entity::image("Picture", "picture").with("content_type", "image/png"),
        Entity::image_url("Elsewhere", "elsewhere"),
        Entity::lawn_mower("Mower", "mower").on_command_at(
            "dock_command_topic",
            "mower/dock",
            Kinds::seen,
        ),
        seen(Entity::light("Lamp", "lamp")).on_command_at(
            "brightness_command_topic",
            "lamp/brightness/set",
            Kinds::seen,
        ),
        seen(
            Entity::light_json("Strip", "strip")
                .with("supported_color_modes", ["rgb", "white"].as_slice()),
        ),
        seen(Entity::light_template("Odd", "on", "off")),
        seen(Entity::lock("Front", "front").with("payload_open", "OPEN")),
        seen(Entity::notify("Say").message_expiry_interval(60)),
        seen(
            Entity::number("Wanted", "wanted")
                .range(0.0, 0.123_45)
                .step(0.001_23),
        ),
        seen(Entity::scene("Party").visible_by_default(false)),
        seen(Entity::select("Level", "level", &["low", "high"])),
        Entity::sensor("Room", "room")
            .device_class("temperature")
            .unit("°C")
            .state_class("measurement"),
        seen(Entity::siren("Siren", "siren")),
        seen(Entity::siren_json("Loud", "loud").with("available_tones", ["ping"].as_slice())),
        seen(Entity::switch("Pump", "pump").group(&["pump_1", "pump_2"])),
        Entity::tag("Reader", "reader").template("{{ value_json.tag }}"),
        seen(Entity::text("Note", "note")),
        seen(Entity::time("Alarm at", "alarm_at")),
        seen(
            Entity::update("Firmware", "firmware")
                .device_class("firmware")
                .with("payload_install", "install"),
        ),
        seen(
            Entity::vacuum("Robot", "robot")
                .with("supported_features", ["start", "return_home"].as_slice()),
        ),
        seen(Entity::valve("Water", "water").device_class("water")),
        Entity::water_heater("Boiler").on_command_at(
            "mode_command_topic",
            "boiler/mode/set",
            Kinds::seen,
        ),
    ]
}

fn host() -> TestHost<Kinds> {
    let section = json!({"json_float_precision": 1});
    TestHost::setup()
        .name("all")
        .config(section)
        .grant("homeassistant/#")
        .start()
        .unwrap()
}

fn payload(sent: &Sent) -> Value {
    serde_json::from_slice(&sent.payload).unwrap()
}

#[test]
fn an_entity_of_every_kind_is_announced_as_the_schemas_have_it() {
    let facts = facts();
    let mut host = host();
    let message = payload(&host.next_sent().unwrap());
    facts.conforms("message", &facts.message, &message);
    facts.conforms("device", &facts.device, &message["device"]);
    facts.conforms("origin", &facts.origin, &message["origin"]);
    message["availability"]
        .as_array()
        .unwrap()
        .iter()
        .for_each(|place| facts.conforms("", &facts.availability, place));
    let components = message["components"].as_object().unwrap();
    let mut found: Vec<String> = components
        .iter()
        .map(|(id, component)| facts.component(id, component))
        .collect();
    for child in message["child_devices"].as_array().unwrap() {
        facts.conforms("child device", &facts.child_device, child);
        child["components"]
            .as_object()
            .unwrap()
            .iter()
            .for_each(|(id, own)| drop(facts.component(id, own)));
    }

    while let Some(sent) = host.next_sent() {
        let mut message = payload(&sent);
        let kind = sent.topic.split('/').nth(1).unwrap();
        message["platform"] = json!(kind);
        if kind == "tag" {
            // Home Assistant leaves out the description of the service and its availability
            message
                .as_object_mut()
                .unwrap()
                .retain(|key, _| !["origin", "availability"].contains(&key.as_str()));
        }

        found.push(facts.component(&sent.topic, &message));
    }

    found.sort_unstable();
    found.dedup();
    assert_eq!(
        found,
        facts.components.keys().cloned().collect::<Vec<_>>(),
        "every kind, and each schema of a light"
    );
}

#[test]
fn announced_floats_are_exact() {
    let message = payload(&host().next_sent().unwrap());
    let number = &message["components"]["all_All__number_Wanted"];
    assert_eq!(
        (&number["max"], &number["step"]),
        (&json!(0.123_45), &json!(0.001_23))
    );
}

#[test]
fn announcements_describe_device_and_origin() {
    let message = payload(&host().next_sent().unwrap());
    assert_eq!(
        message["device"],
        json!({
            "name": "All", "model_id": "M1", "serial_number": "4711", "configuration_url": "http://192.168.1.2:80/x",
            "identifiers": ["all_All"],
        })
    );

    assert_eq!(
        message["origin"],
        json!({"name": "MIQRO service all", "sw_version": "1.2.3", "support_url": "https://miqro.example/help"})
    );
}

#[test]
fn a_part_of_a_device_is_a_child_device() {
    let mut host = host();
    let children = payload(&host.next_sent().unwrap())["child_devices"].clone();
    assert_eq!(
        children[0]["identifiers"],
        json!(["all_All_Socket-1", "socket-1"])
    );
    assert_eq!(children[0]["name"], json!("Socket 1"));
    let ids: Vec<&String> = children[0]["components"]
        .as_object()
        .unwrap()
        .keys()
        .collect();
    assert_eq!(
        ids,
        [
            "all_All_Socket-1__switch_Socket",
            "all_All_Socket-1__time_Bedtime"
        ]
    );

    host.skip();
    host.send("socket/1/set", "1").unwrap();
    host.expect_next("seen/socket/1/set", "1");
}

/// Home Assistant before 2026.5 refuses the whole message of a device for a kind that it does not know.
#[test]
fn new_kinds_do_not_hide_the_device_from_old_versions() {
    let mut host = host();
    let device = payload(&host.next_sent().unwrap());
    let recent = ["date", "datetime", "time"];
    let platform = |component: &Value| component["platform"].as_str().unwrap().to_owned();
    assert!(
        device["components"]
            .as_object()
            .unwrap()
            .values()
            .all(|own| !recent.contains(&platform(own).as_str()))
    );

    let day = host.next_sent().unwrap();
    assert_eq!(day.topic, "homeassistant/date/all_All__date_Day/config");
    assert_eq!(payload(&day)["device"], device["device"]);
    assert_eq!(payload(&day)["availability"], device["availability"]);
    host.skip();
    host.send("date/set", "2026-11-27").unwrap();
    host.expect_next("seen/date/set", "2026-11-27");
}

#[test]
fn commands_of_every_kind_reach_their_handler() {
    let mut host = host();
    host.skip();
    let topics: Vec<String> = host
        .subscriptions()
        .iter()
        .filter_map(|topic| topic.strip_prefix("service/all/"))
        .map(str::to_owned)
        .collect();

    assert!(topics.len() > 25, "{topics:?}");
    for topic in topics {
        host.send(&topic, "x").unwrap();
        let sent = host
            .next_sent()
            .unwrap_or_else(|| panic!("{topic} is not handled"));
        assert_eq!(sent.topic, format!("seen/{topic}"));
        host.skip(); // two lights and two sirens share their topics
    }
}

#[test]
fn entities_without_a_device_are_refused() {
    miqro_sdk::test::grant("homeassistant/#");
    let trigger = || Entity::device_trigger("a", "b", "c");
    let device = || Device::new("D");
    let child = || ChildDevice::new("C");
    let alone = |entity: Entity| HomeAssistant::new().entity(entity);
    let of = |device: Device| HomeAssistant::new().device(device);
    let cases = [
        (alone(trigger()), r#"device_automation "a b" needs device"#),
        (
            of(device().child(child().entity(trigger()))),
            r#"child device "C": expected an entity, found device_automation "a b""#,
        ),
        (
            of(device().identifier("x").child(child().identifier("x"))),
            r#"child device "C": identifiers: expected one that nothing"#,
        ),
        (
            of(device()
                .child(child().identifier("x"))
                .child(child().identifier("x"))),
            r#"child device "C": identifiers: expected"#,
        ),
        (
            of(device().configuration_url("me")),
            r#"device "D": configuration_url: expected an address with a host that begins"#,
        ),
        (
            HomeAssistant::new().support_url("me"),
            "origin: support_url: expected an address with a host that begins with one of",
        ),
        (
            alone(Entity::sensor("S", "s").unique_id("a b")),
            r#"sensor "S": unique_id: expected letters, digits, _ and -"#,
        ),
        (
            of(device().entity(Entity::tag("T", "t").availability("a"))),
            r#"tag "T": availability: expected"#,
        ),
        (
            of(device().entity(Entity::sensor("S", "s").with("device", json!({})))),
            r#"sensor "S": device: expected none"#,
        ),
    ];

    for (home, error) in cases {
        let found = home.announce().unwrap_err().to_string();
        assert!(
            found.starts_with(&format!("home assistant: {error}")),
            "{found}"
        );
    }
}
