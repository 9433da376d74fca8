//! Announcements to Home Assistant, compared with its documented schema.

#![allow(missing_docs, clippy::unwrap_used)]

use miqro_sdk::home_assistant::{Device, Entity, HomeAssistant};
use miqro_sdk::prelude::*;
use miqro_sdk::test::{Sent, TestHost};
use serde_json::{Map, Value};

const SCHEMA: &str = include_str!("fixtures/home_assistant.json");
const DEVICE_TOPIC: &str = "homeassistant/device/echo_Dev-One/config";

struct Echo {
    home: HomeAssistant,
}

#[service]
impl Echo {
    #[new]
    fn new() -> Result<Self> {
        let version: Option<String> = config::get("version")?;
        let device = if version.is_some() { small() } else { large() };
        let lonely = Entity::binary_sensor("Lonely", "lonely").availability("bus/online");
        let home = HomeAssistant::new().device(device);
        Ok(Self {
            home: if version.is_some() {
                home
            } else {
                home.entity(lonely)
            },
        })
    }

    #[start]
    fn start(&mut self) -> Result {
        self.home.start()
    }

    #[connected]
    fn connected(&mut self) -> Result {
        self.home.announce()
    }

    fn number(&mut self, command: &Message<'_>) -> Result {
        publish("number", command.decode::<f64>()?)
    }

    fn pump(&mut self, command: &Message<'_>) -> Result {
        publish("pump", command.decode::<bool>()?)
    }

    fn pressed(&mut self, _: &Message<'_>) -> Result {
        publish("pressed", ())
    }
}

fn small() -> Device {
    Device::new("Dev One").entity(Entity::sensor("Room", "room"))
}

fn large() -> Device {
    Device::new("Dev One")
        .manufacturer("MIQRO")
        .model("One")
        .sw_version("1")
        .hw_version("2")
        .suggested_area("Kitchen")
        .identifier("serial-1")
        .connection("mac", "02:5b:26:a8:dc:12")
        .via_device("Hub")
        .availability("cp_plus_available")
        .entity(
            Entity::sensor("Room", "room")
                .unit("°C")
                .device_class("temperature")
                .state_class("measurement"),
        )
        .entity(Entity::sensor("Mode", "mode").options(&["eco", "boost"]))
        .entity(Entity::binary_sensor("Door", "door"))
        .entity(Entity::switch("Pump", "pump").on_command("pump/set", Echo::pump))
        .entity(
            Entity::number("Hello Number", "num/state")
                .range(1.0, 100.0)
                .step(0.5)
                .on_command("num/cmd", Echo::number),
        )
        .entity(Entity::text("Note", "note").topic("command_topic", "note/set"))
        .entity(
            Entity::select("Level", "level", &["low", "high"]).topic("command_topic", "level/set"),
        )
        .entity(Entity::button("Reset").on_command("reset", Echo::pressed))
        .entity(Entity::button("Reset again").on_command("reset", Echo::pressed))
        .entity(Entity::event("Bell", "bell", &["press"]))
        .entity(Entity::device_tracker("Place", "place"))
        .entity(
            Entity::climate("Heater")
                .topic("temperature_state_topic", "heater/wanted")
                .on_command_at(
                    "temperature_command_topic",
                    "heater/wanted/set",
                    Echo::number,
                )
                .with("modes", ["off", "heat"].as_slice())
                .with("precision", 0.5),
        )
}

fn host() -> TestHost<Echo> {
    TestHost::setup()
        .name("echo")
        .grant("homeassistant/#")
        .start()
        .unwrap()
}

fn json(sent: &Sent) -> Value {
    serde_json::from_slice(&sent.payload).unwrap()
}

#[track_caller]
fn conforms(what: &str, schema: &Value, value: &Map<String, Value>) {
    let words = |key: &str| -> Vec<String> { serde_json::from_value(schema[key].clone()).unwrap() };
    let required = words("required");
    let allowed = words("allowed");
    required
        .iter()
        .for_each(|key| assert!(value.contains_key(key), "{what} misses {key}"));
    value
        .keys()
        .for_each(|key| assert!(allowed.contains(key), "{what} cannot have {key}"));
}

#[test]
fn a_device_message_conforms_to_the_documented_schema() {
    let mut host = host();
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let sent = host.next_sent().unwrap();
    assert_eq!(
        (sent.topic.as_str(), sent.qos, sent.retain, sent.global),
        (DEVICE_TOPIC, 1, true, true)
    );
    let message = json(&sent);
    conforms("message", &schema["message"], message.as_object().unwrap());
    conforms(
        "device",
        &schema["device"],
        message["device"].as_object().unwrap(),
    );
    conforms(
        "origin",
        &schema["origin"],
        message["origin"].as_object().unwrap(),
    );
    for place in message["availability"].as_array().unwrap() {
        conforms(
            "availability",
            &schema["availability"],
            place.as_object().unwrap(),
        );
    }

    let components = message["components"].as_object().unwrap();
    assert_eq!(components.len(), 12);
    for (id, component) in components {
        assert_eq!(component["unique_id"], json!(id));
        let platform = component["platform"].as_str().unwrap();
        conforms(
            id,
            &schema["components"][platform],
            component.as_object().unwrap(),
        );
    }
}

#[test]
fn an_entity_is_announced_as_miqro_does() {
    let mut host = host();
    let message = json(&host.next_sent().unwrap());
    assert_eq!(message["origin"], json!({"name": "MIQRO service echo"}));
    assert_eq!(
        message["device"]["identifiers"],
        json!(["serial-1", "echo_Dev-One"])
    );
    assert_eq!(message["device"]["via_device"], json!("echo_Hub"));
    assert_eq!(
        message["components"]["echo_Dev-One__number_Hello-Number"],
        json!({
            "platform": "number", "name": "Hello Number", "unique_id": "echo_Dev-One__number_Hello-Number",
            "default_entity_id": "number.Hello-Number", "state_topic": "service/echo/num/state",
            "command_topic": "service/echo/num/cmd", "min": 1, "max": 100, "step": 0.5,
        })
    );
}

#[test]
fn availability_follows_the_service_and_further_topics() {
    let mut host = host();
    let device = json(&host.next_sent().unwrap());
    let place = |topic: &str| json!({"topic": format!("service/echo/{topic}"), "payload_available": "1", "payload_not_available": "0"});
    assert_eq!(
        device["availability"],
        json!([place("online"), place("cp_plus_available")])
    );
    assert_eq!(device["availability_mode"], json!("all"));
    let sent = host.next_sent().unwrap();
    assert_eq!(
        sent.topic,
        "homeassistant/binary_sensor/echo__binary_sensor_Lonely/config"
    );
    assert_eq!(
        json(&sent)["availability"],
        json!([place("online"), place("bus/online")])
    );
    host.expect_nothing();
}

#[test]
fn entities_are_announced_again_when_home_assistant_starts() {
    let mut host = host();
    host.skip();
    host.send_global("homeassistant/status", "offline").unwrap();
    host.message("homeassistant/status")
        .global()
        .retained()
        .send("online")
        .unwrap();
    host.expect_nothing();
    host.send_global("homeassistant/status", "online").unwrap();
    assert_eq!(host.next_sent().unwrap().topic, DEVICE_TOPIC);
    host.connect(true).unwrap();
    assert_eq!(
        host.sent()
            .iter()
            .filter(|sent| sent.topic == DEVICE_TOPIC)
            .count(),
        3
    );
}

#[test]
fn a_command_runs_its_handler_once() {
    let mut host = host();
    host.connect(true).unwrap();
    host.send_global("homeassistant/status", "online").unwrap();
    host.skip();
    host.send("pump/set", "on").unwrap();
    host.expect_next("pump", "1");
    host.send("num/cmd", "21.5").unwrap();
    host.expect_next("number", "21.5");
    host.send("reset", "PRESS").unwrap();
    host.expect_next("pressed", ""); // two buttons share the topic: one for each
    host.expect_next("pressed", "");
    host.send("pump/set", "warm").unwrap();
    host.expect_nothing();
    assert_eq!(counters().decode_errors, 1);
}

#[test]
fn entities_dropped_by_a_version_are_removed() {
    let host = host();
    let before = host.state::<Value>("home_assistant").unwrap();
    let mut host = TestHost::<Echo>::setup()
        .name("echo")
        .grant("homeassistant/#")
        .config(json!({"version": "next"}))
        .state("home_assistant", &before)
        .unwrap()
        .start()
        .unwrap();

    let removed = host.expect_next(
        "homeassistant/binary_sensor/echo__binary_sensor_Lonely/config",
        "",
    );
    assert!(removed.retain);
    let removal = json(&host.next_sent().unwrap());
    assert_eq!(
        removal["components"]["echo_Dev-One__binary_sensor_Door"],
        json!({"platform": "binary_sensor"})
    );
    let message = json(&host.next_sent().unwrap());
    assert_eq!(
        message["components"]
            .as_object()
            .unwrap()
            .keys()
            .collect::<Vec<_>>(),
        ["echo_Dev-One__sensor_Room"]
    );

    host.expect_nothing();
    host.connect(true).unwrap();
    assert_eq!(
        json(&host.next_sent().unwrap()),
        message,
        "a vanished entity is removed once"
    );
    host.expect_nothing();
}

#[test]
fn names_that_differ_in_umlauts_only_do_not_collide() {
    let home = HomeAssistant::new().device(
        Device::new("x")
            .entity(Entity::sensor("Tür", "a"))
            .entity(Entity::sensor("Tor", "b"))
            .entity(Entity::sensor("Tær", "c")),
    );

    miqro_sdk::test::grant("homeassistant/#");
    home.announce().unwrap();
    let kept: std::collections::BTreeMap<String, std::collections::BTreeMap<String, String>> =
        state::get("home_assistant").unwrap().unwrap();
    let ids: Vec<&String> = kept
        .values()
        .flat_map(|components| components.keys())
        .collect();
    assert_eq!(
        ids,
        [
            "test_x__sensor_T-r",
            "test_x__sensor_T-r-2",
            "test_x__sensor_Tor"
        ]
    );
}

#[test]
fn keys_that_home_assistant_does_not_know_are_refused() {
    miqro_sdk::test::grant("homeassistant/#");
    let wrong =
        HomeAssistant::new().entity(Entity::sensor("Room", "room").with("display_name", "x"));
    let error = wrong.announce().unwrap_err().to_string();
    assert!(
        error.starts_with(
            "home assistant: sensor \"Room\" cannot have display_name (\"x\"), only device_class, "
        ),
        "{error}"
    );

    let lacking = HomeAssistant::new().entity(Entity::switch("Pump", "pump"));
    let error = lacking.announce().unwrap_err().to_string();
    assert!(
        error.starts_with("home assistant: switch \"Pump\" needs command_topic: a topic"),
        "{error}"
    );
}

#[test]
fn the_prefix_is_the_hosts() {
    let mut host = TestHost::<Echo>::setup()
        .name("echo")
        .discovery_prefix("ha")
        .grant("ha/#")
        .start()
        .unwrap();

    assert_eq!(
        host.next_sent().unwrap().topic,
        "ha/device/echo_Dev-One/config"
    );
    assert!(host.subscriptions().contains(&"ha/status".to_owned()));
}
