//! The guest `adapter` between a Zigbee2MQTT that the test plays and a Home Assistant whose
//! documented schema judges, on a real broker.

use anyhow::{Context, Result, ensure};
use miqro_tests::{Client, Host, Message, Mosquitto, guests, place};
use serde_json::{Value, json};

const LAMP: &str = "homeassistant/device/adapter_kitchen-lamp/config";
const DOOR: &str = "homeassistant/device/adapter_door/config";

fn section() -> Value {
    json!({ "device_availability": true, "grants": {
        "publish": ["zigbee2mqtt/#", "homeassistant/#"], "subscribe": ["zigbee2mqtt/#", "homeassistant/status"],
    }})
}

fn lamp() -> Value {
    json!({ "friendly_name": "kitchen/lamp", "definition": { "vendor": "IKEA", "model": "LED1", "exposes": [
        { "type": "light", "features": [
            { "type": "binary", "property": "state", "label": "State", "access": 7, "value_on": "ON", "value_off": "OFF" },
            { "type": "numeric", "property": "brightness", "access": 7, "value_min": 0, "value_max": 254 },
            { "type": "composite", "property": "color", "features": [] },
        ] },
        { "type": "enum", "property": "effect", "access": 2, "values": ["blink", "okay"] },
        { "type": "text", "property": "note", "access": 3 },
        { "type": "numeric", "property": "linkquality", "unit": "lqi", "access": 1 },
    ] } })
}

fn door() -> Value {
    json!({ "friendly_name": "door", "definition": { "vendor": "Aqara", "model": "MCCGQ11LM", "exposes": [
        { "type": "binary", "property": "contact", "label": "Contact", "access": 1, "value_on": false, "value_off": true },
        { "type": "numeric", "property": "battery", "unit": "%", "access": 1 },
    ] } })
}

/// A broker on which Zigbee2MQTT keeps `devices`, and a host with the adapter; the client has subscribed before both.
async fn start(devices: &[Value]) -> Result<(Mosquitto, Host, Client)> {
    let broker = Mosquitto::start().await?;
    let mut client = Client::connect(broker.port()).await?;
    client.subscribe("homeassistant/device/#", 1).await?;
    name(&mut client, devices).await?;
    let host = Host::on(broker.port())
        .service("adapter", "adapter", section())
        .start()
        .await?;
    Ok((broker, host, client))
}

/// Zigbee2MQTT publishes its list, as it does, retained.
async fn name(client: &mut Client, devices: &[Value]) -> Result<()> {
    let coordinator = json!({ "friendly_name": "Coordinator", "definition": null });
    let list: Vec<&Value> = std::iter::once(&coordinator).chain(devices).collect();
    client
        .send(Message::new("zigbee2mqtt/bridge/devices", serde_json::to_string(&list)?).retained())
        .await
}

/// Retained messages on `filter`, for a late client.
async fn kept(broker: &Mosquitto, filter: &str) -> Result<Vec<Message>> {
    let mut late = Client::connect(broker.port()).await?;
    late.subscribe(filter, 1).await?;
    // messages that are published meanwhile come too, without the flag
    Ok(late
        .pending()
        .await?
        .into_iter()
        .filter(|message| message.retain)
        .collect())
}

#[tokio::test]
async fn a_devices_json_becomes_topics_that_stay() -> Result<()> {
    let (broker, _host, mut client) = start(&[lamp(), door()]).await?;
    client.subscribe("service/adapter/#", 1).await?;
    client
        .publish("zigbee2mqtt/door", r#"{"contact": false, "battery": 97}"#)
        .await?;
    assert_eq!(
        client.expect("service/adapter/door/contact").await?.text(),
        "0"
    );
    assert_eq!(
        client.expect("service/adapter/door/battery").await?.text(),
        "97"
    );
    let values = r#"{"state": "ON", "brightness": 120, "color": {"x": 0.123456, "y": 0.5}, "update": {"state": "idle"}}"#;
    client.publish("zigbee2mqtt/kitchen/lamp", values).await?;
    for (topic, value) in [
        ("state", "ON"),
        ("brightness", "120"),
        ("color/x", "0.1235"),
        ("update/state", "idle"),
    ] {
        assert_eq!(
            client
                .expect(&format!("service/adapter/kitchen/lamp/{topic}"))
                .await?
                .text(),
            value
        );
    }

    client
        .publish("zigbee2mqtt/door/availability", r#"{"state": "online"}"#)
        .await?;
    assert_eq!(
        client
            .expect("service/adapter/door/available")
            .await?
            .text(),
        "1"
    );

    let kept = kept(&broker, "service/adapter/door/#").await?;
    assert_eq!(kept.len(), 3, "{kept:?}");
    assert!(kept.iter().all(|message| message.retain), "{kept:?}");
    Ok(())
}

#[tokio::test]
async fn a_message_that_is_no_json_does_not_hurt() -> Result<()> {
    let (_broker, host, mut client) = start(&[door()]).await?;
    client.subscribe("service/adapter/door/#", 1).await?;
    client.publish("zigbee2mqtt/door", "broken{").await?;
    host.output().says(0, "WARN").await?;
    client
        .publish("zigbee2mqtt/door", r#"{"contact": true}"#)
        .await?;
    assert_eq!(
        client.expect("service/adapter/door/contact").await?.text(),
        "1"
    );
    Ok(())
}

#[tokio::test]
async fn commands_go_back_as_the_device_wants_them() -> Result<()> {
    let (_broker, _host, mut client) = start(&[lamp(), door()]).await?;
    // the list of devices says of which kind each value is
    client.expect(LAMP).await?;
    client.subscribe("zigbee2mqtt/+/+/set", 1).await?;
    for (key, value, wanted) in [
        ("state", "OFF", json!({ "state": "OFF" })),
        ("brightness", "100", json!({ "brightness": 100 })),
        ("effect", "okay", json!({ "effect": "okay" })),
        ("note", "12", json!({ "note": "12" })),
        ("color", r#"{"x": 0.3}"#, json!({ "color": { "x": 0.3 } })),
    ] {
        client
            .publish(&format!("service/adapter/set/kitchen/lamp/{key}"), value)
            .await?;
        let command = client.expect("zigbee2mqtt/kitchen/lamp/set").await?;
        assert_eq!(
            (command.json()?, command.qos, command.retain),
            (wanted, 1, false),
            "{key}"
        );
    }

    Ok(())
}

/// A command that the broker has kept is an old one.
#[tokio::test]
async fn a_retained_command_is_not_repeated_after_a_restart() -> Result<()> {
    let (_broker, mut host, mut client) = start(&[lamp()]).await?;
    client.expect(LAMP).await?;
    client.subscribe("zigbee2mqtt/kitchen/lamp/set", 1).await?;
    client
        .send(Message::new("service/adapter/set/kitchen/lamp/state", "ON").retained())
        .await?;
    client.expect("zigbee2mqtt/kitchen/lamp/set").await?;
    host.stop().await?;
    host.restart()?;
    host.output().says(0, "not a command").await?;
    client
        .publish("service/adapter/set/kitchen/lamp/brightness", "7")
        .await?;
    assert_eq!(
        client
            .expect("zigbee2mqtt/kitchen/lamp/set")
            .await?
            .json()?,
        json!({ "brightness": 7 })
    );

    Ok(())
}

#[tokio::test]
async fn devices_are_announced_when_connected_and_again_when_home_assistant_starts() -> Result<()> {
    let (mut broker, host, mut client) = start(&[lamp(), door()]).await?;
    let first = [client.expect(DOOR).await?, client.expect(LAMP).await?];
    assert!(first.iter().all(|message| message.qos == 1), "{first:?}");
    let kept = kept(&broker, "homeassistant/device/#").await?;
    ensure!(
        kept.len() == 2 && kept.iter().all(|message| message.retain),
        "{kept:?}"
    );
    // anything else that Home Assistant says on this topic is none of its births
    client.publish("homeassistant/status", "offline").await?;
    client.publish("homeassistant/status", "online").await?;
    for known in &first {
        assert_eq!(client.next().await?, *known);
    }
    assert_eq!(client.pending().await?, []);
    // a broker that has lost everything is told again, without Zigbee2MQTT having to say it again
    broker.kill()?;
    host.output().says(0, " lost: ").await?;
    broker.restart().await?;
    let mut client = Client::connect(broker.port()).await?;
    client.subscribe("homeassistant/device/#", 1).await?;
    for known in &first {
        assert_eq!(client.expect(&known.topic).await?.payload, known.payload);
    }
    Ok(())
}

#[tokio::test]
async fn a_device_that_vanishes_is_removed() -> Result<()> {
    let (broker, mut host, mut client) = start(&[lamp(), door()]).await?;
    client.expect(DOOR).await?;
    client.expect(LAMP).await?;
    name(&mut client, &[lamp()]).await?;
    // it is announced twice where the list comes before the guest hears of the connection
    let mut removed = client.expect(DOOR).await?;
    while !removed.payload.is_empty() {
        removed = client.expect(DOOR).await?;
    }
    assert_eq!(removed.qos, 1);
    client.expect(LAMP).await?;
    assert_eq!(kept(&broker, "homeassistant/device/#").await?.len(), 1);
    // and one that vanishes while the host is not there
    host.kill()?;
    name(&mut client, &[door()]).await?;
    host.restart()?;
    while !client.expect(LAMP).await?.payload.is_empty() {}
    client.expect(DOOR).await?;
    let kept = kept(&broker, "homeassistant/device/#").await?;
    assert_eq!(
        kept.iter()
            .map(|message| message.topic.as_str())
            .collect::<Vec<_>>(),
        [DOOR]
    );

    Ok(())
}

/// A new version of the guest, or a new host on a broker where Zigbee2MQTT's list is not, knows the devices all the same.
#[tokio::test]
async fn device_state_survives_guest_and_host() -> Result<()> {
    let (_broker, mut host, mut client) = start(&[lamp()]).await?;
    client.expect(LAMP).await?;
    client.subscribe("zigbee2mqtt/kitchen/lamp/set", 1).await?;
    let known = host.output().lines().len();
    host.replace(
        "adapter",
        &guests::marked(&guests::component("adapter")?, 1),
    )?;
    host.output().says(known, "takes over").await?;
    // a text that looks like a number stays a text only where the kind of the value is known
    client
        .publish("service/adapter/set/kitchen/lamp/note", "12")
        .await?;
    assert_eq!(
        client
            .expect("zigbee2mqtt/kitchen/lamp/set")
            .await?
            .json()?,
        json!({ "note": "12" })
    );

    client
        .send(Message::new("zigbee2mqtt/bridge/devices", "").retained())
        .await?;
    host.kill()?;
    host.restart()?;
    client.expect(LAMP).await?;
    client
        .publish("service/adapter/set/kitchen/lamp/note", "13")
        .await?;
    assert_eq!(
        client
            .expect("zigbee2mqtt/kitchen/lamp/set")
            .await?
            .json()?,
        json!({ "note": "13" })
    );

    Ok(())
}

/// The keys that stand in `value` are those that the documentation has, and none that it wants is missing.
fn conforms(what: &str, documented: &Value, value: &Value) -> Result<()> {
    let words =
        |key: &str| -> Result<Vec<String>> { Ok(serde_json::from_value(documented[key].clone())?) };
    let value = value
        .as_object()
        .with_context(|| format!("{what} is not an object"))?;
    let required = words("required")?;
    let allowed = words("allowed")?;
    for key in required {
        ensure!(value.contains_key(&key), "{what} misses {key}");
    }
    for key in value.keys() {
        ensure!(allowed.contains(key), "{what} cannot have {key}");
    }
    Ok(())
}

#[tokio::test]
async fn retained_devices_conform_to_the_documented_schema() -> Result<()> {
    let (broker, _host, mut client) = start(&[lamp(), door()]).await?;
    client.expect(LAMP).await?;
    let file = place::project().join("sdk/rust/tests/fixtures/home_assistant.json");
    let documented: Value = serde_json::from_str(&std::fs::read_to_string(file)?)?;
    for (topic, kinds) in [
        (
            LAMP,
            ["number", "select", "sensor", "switch", "text"].as_slice(),
        ),
        (DOOR, &["binary_sensor", "sensor"]),
    ] {
        let kept = kept(&broker, topic).await?;
        let device = kept.first().context("nothing is kept")?.json()?;
        conforms("the message", &documented["message"], &device)?;
        conforms("device", &documented["device"], &device["device"])?;
        conforms("origin", &documented["origin"], &device["origin"])?;
        let availability = device["availability"]
            .as_array()
            .context("no availability")?;
        assert_eq!(availability.len(), 2, "the service's and the device's");
        for place in availability {
            conforms("availability", &documented["availability"], place)?;
        }
        let mut found = Vec::new();
        for (id, entity) in device["components"].as_object().context("no components")? {
            assert_eq!(entity["unique_id"], json!(id));
            let platform = entity["platform"].as_str().context("no platform")?;
            conforms(id, &documented["components"][platform], entity)?;
            found.push(platform);
        }

        found.sort_unstable();
        assert_eq!(found, kinds, "{device}");
    }

    Ok(())
}

/// Every announced topic works: each one named to Home Assistant has a value, and takes a command.
#[tokio::test]
async fn home_assistant_can_use_what_was_announced() -> Result<()> {
    let (broker, _host, mut client) = start(&[lamp()]).await?;
    let device = client.expect(LAMP).await?.json()?;
    let switch = &device["components"]["adapter_kitchen-lamp__switch_State"];
    let text = |key: &str| {
        switch[key]
            .as_str()
            .with_context(|| format!("no {key}: {device}"))
    };
    client.subscribe(text("state_topic")?, 1).await?;
    client.subscribe("zigbee2mqtt/kitchen/lamp/set", 1).await?;
    client
        .publish("zigbee2mqtt/kitchen/lamp", r#"{"state": "ON"}"#)
        .await?;
    assert_eq!(
        client.expect(text("state_topic")?).await?.text(),
        text("payload_on")?
    );
    client
        .publish(text("command_topic")?, text("payload_off")?.to_owned())
        .await?;
    assert_eq!(
        client
            .expect("zigbee2mqtt/kitchen/lamp/set")
            .await?
            .json()?,
        json!({ "state": "OFF" })
    );

    client
        .publish("zigbee2mqtt/kitchen/lamp/availability", "offline")
        .await?;
    let mut shown = client;
    for place in device["availability"]
        .as_array()
        .context("no availability")?
    {
        let topic = place["topic"].as_str().context("no topic")?;
        let wanted = if topic.ends_with("/online") {
            "payload_available"
        } else {
            "payload_not_available"
        };
        shown.subscribe(topic, 1).await?;
        assert_eq!(
            shown.expect(topic).await?.text(),
            place[wanted].as_str().unwrap_or_default(),
            "{topic}"
        );
    }

    drop(broker);
    Ok(())
}
