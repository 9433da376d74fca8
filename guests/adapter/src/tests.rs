//! The adapter service with messages as Zigbee2MQTT sends them: flat topics, commands, announcements.

use miqro_sdk::prelude::*;
use miqro_sdk::test::TestHost;
use serde_json::Value;

use crate::Adapter;

fn adapter(section: Value) -> TestHost<Adapter> {
    let setup = TestHost::setup().name("adapter").config(section);
    setup
        .grant("zigbee2mqtt/#")
        .grant("homeassistant/#")
        .start()
        .unwrap()
}

fn devices() -> Value {
    let lamp = json!({"friendly_name": "kitchen/lamp", "definition": {"vendor": "IKEA", "model": "LED1", "exposes": [
        {"type": "light", "features": [
            {"type": "binary", "property": "state", "access": 7, "value_on": "ON", "value_off": "OFF"},
            {"type": "numeric", "property": "brightness", "access": 7, "value_min": 0, "value_max": 254},
            {"type": "composite", "property": "color", "features": []},
        ]},
        {"type": "enum", "property": "effect", "access": 2, "values": ["blink", "okay"]},
    ]}});

    let door = json!({"friendly_name": "door", "definition": {"vendor": "Aqara", "model": "MCCGQ11LM", "exposes": [
        {"type": "binary", "property": "contact", "label": "Contact", "access": 1, "value_on": false, "value_off": true},
        {"type": "numeric", "property": "battery", "unit": "%", "access": 1},
    ]}});
    json!([{"friendly_name": "Coordinator", "definition": null}, lamp, door, {"odd": 1}])
}

#[test]
fn values_become_topics() {
    let mut host = adapter(json!({}));
    host.send_global(
        "zigbee2mqtt/kitchen/lamp",
        json!({"state": "ON", "color": {"x": 0.123_456}, "update": null}),
    )
    .unwrap();
    assert!(host.expect_next("kitchen/lamp/state", "ON").retain);
    host.expect_next("kitchen/lamp/color/x", "0.1235");
    host.expect_next("kitchen/lamp/update", "");
    host.send_global("zigbee2mqtt/door", json!({"contact": false}))
        .unwrap();
    host.expect_next("door/contact", "0");
    host.expect_nothing();
}

#[test]
fn the_bridge_and_commands_of_others_are_left_alone() {
    let mut host = adapter(json!({}));
    for topic in [
        "bridge/logging",
        "bridge/info",
        "door/set",
        "door/get",
        "bridge",
    ] {
        host.send_global(&format!("zigbee2mqtt/{topic}"), "{\"a\": 1}")
            .unwrap();
    }

    host.expect_nothing();
}

#[test]
fn invalid_json_is_counted_and_does_not_stop_the_adapter() {
    let mut host = adapter(json!({}));
    host.send_global("zigbee2mqtt/door", "broken{").unwrap();
    host.expect_nothing();
    assert_eq!(counters().decode_errors, 1);
    host.send_global("zigbee2mqtt/door", "{\"contact\": true}")
        .unwrap();
    host.expect_next("door/contact", "1");
}

#[test]
fn commands_go_back_as_the_device_wants_them() {
    let mut host = adapter(json!({}));
    host.send_global("zigbee2mqtt/bridge/devices", devices())
        .unwrap();
    host.skip();
    host.send("set/kitchen/lamp/state", "ON").unwrap();
    let sent = host.expect_next("zigbee2mqtt/kitchen/lamp/set", "{\"state\": \"ON\"}");
    assert!(sent.global && sent.qos == 1 && !sent.retain);
    host.send("set/kitchen/lamp/brightness", "100").unwrap();
    host.expect_next("zigbee2mqtt/kitchen/lamp/set", "{\"brightness\": 100}");
    host.send("set/kitchen/lamp/effect", "1").unwrap();
    host.expect_next("zigbee2mqtt/kitchen/lamp/set", "{\"effect\": \"1\"}");
    host.send("set/other/x", "{\"y\": 1}").unwrap();
    host.expect_next("zigbee2mqtt/other/set", "{\"x\": {\"y\": 1}}");
    host.message("set/kitchen/lamp/state")
        .retained()
        .send("ON")
        .unwrap();
    host.expect_nothing();
}

#[test]
fn devices_are_announced_and_removed_with_the_bridges_list() {
    let mut host = adapter(json!({"device_availability": true}));
    host.expect_nothing();
    host.send_global("zigbee2mqtt/bridge/devices", devices())
        .unwrap();
    let door: Value = serde_json::from_slice(&host.next_sent().unwrap().payload).unwrap();
    let lamp = host.next_sent().unwrap();
    assert_eq!(
        lamp.topic,
        "homeassistant/device/adapter_kitchen-lamp/config"
    );
    let lamp: Value = serde_json::from_slice(&lamp.payload).unwrap();
    let kinds: Vec<&str> = lamp["components"]
        .as_object()
        .unwrap()
        .values()
        .map(|entity| entity["platform"].as_str().unwrap())
        .collect();

    assert_eq!(kinds, ["number", "select", "switch"]);
    assert_eq!(
        lamp["availability"][1]["topic"],
        "service/adapter/kitchen/lamp/available"
    );
    let contact = &door["components"]["adapter_door__binary_sensor_Contact"];
    assert_eq!(
        (&contact["payload_on"], &contact["payload_off"]),
        (&json!("0"), &json!("1"))
    );
    host.send_global("zigbee2mqtt/bridge/devices", "[]")
        .unwrap();
    host.expect_next("homeassistant/device/adapter_door/config", "");
    host.expect_next("homeassistant/device/adapter_kitchen-lamp/config", "");
}

#[test]
fn devices_are_known_after_a_restart_without_the_bridge() {
    let mut host = adapter(json!({}));
    host.send_global("zigbee2mqtt/bridge/devices", devices())
        .unwrap();
    host.skip();
    let mut host = host.restart().unwrap();
    let topics: Vec<String> = std::iter::from_fn(|| host.next_sent())
        .map(|sent| sent.topic)
        .collect();
    assert_eq!(
        topics,
        [
            "homeassistant/device/adapter_door/config",
            "homeassistant/device/adapter_kitchen-lamp/config"
        ]
    );

    host.send("set/kitchen/lamp/effect", "1").unwrap();
    host.expect_next("zigbee2mqtt/kitchen/lamp/set", "{\"effect\": \"1\"}");
}

#[test]
fn availability_is_one_or_nothing() {
    let mut host = adapter(json!({}));
    host.send_global("zigbee2mqtt/door/availability", "online")
        .unwrap();
    host.expect_next("door/available", "1");
    host.send_global("zigbee2mqtt/door/availability", "{\"state\": \"offline\"}")
        .unwrap();
    host.expect_next("door/available", "0");
}

#[test]
fn entities_that_home_assistant_refuses_do_not_affect_others() {
    let mut host = adapter(json!({}));
    let odd = json!([{"friendly_name": "odd", "definition": {"vendor": "v", "model": "m", "exposes": [
        {"type": "numeric", "property": "temperature", "unit": "%", "access": 1},
        {"type": "numeric", "property": "limit", "access": 3, "value_min": 5, "value_max": 1},
        {"type": "binary", "property": "lamp", "access": 3, "value_on": "ON", "value_off": "ON"},
        {"type": "numeric", "property": "power", "unit": "W", "access": 1},
    ]}}]);

    host.send_global("zigbee2mqtt/bridge/devices", odd).unwrap();
    let device: Value = serde_json::from_slice(&host.next_sent().unwrap().payload).unwrap();
    let entities = device["components"].as_object().unwrap();
    assert_eq!(entities.len(), 2, "{device}");
    assert_eq!(
        entities["adapter_odd__sensor_temperature"].get("device_class"),
        None
    );
    assert_eq!(
        entities["adapter_odd__sensor_power"]["device_class"],
        json!("power")
    );
    let warnings: Vec<String> = host
        .log()
        .into_iter()
        .map(|line| line.message.clone())
        .collect();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(
        warnings[0]
            .ends_with("number \"limit\": max: expected a number from 5 on, which is min, found 1")
            || warnings[1].ends_with(
                "number \"limit\": max: expected a number from 5 on, which is min, found 1"
            ),
        "{warnings:?}"
    );
}
