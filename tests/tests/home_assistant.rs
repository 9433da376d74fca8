//! The host in Home Assistant: discovery messages that its schemas accept, entities that read real states and send real requests.

mod real;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use miqro_tests::host::Setup;
use miqro_tests::{Client, Host, Message, Mosquitto, guests, place};
use serde_json::{Value, json};

/// A host with the client identifier `house` and the service `it`, announced to Home Assistant.
fn announced(broker: &Mosquitto, commands: &[&str]) -> Setup {
    let control = json!({"commands": commands, "interval": "1s", "home_assistant": true});
    Host::on(broker.port())
        .broker("client_id", json!("house"))
        .top("mqtt_control", control)
        .service("it", "relay", json!({"swap": {"automatic": false}}))
}

const COMMANDS: [&str; 5] = ["enable", "disable", "restart", "update", "reload"];

/// The devices of host and service.
async fn devices(client: &mut Client) -> Result<[Value; 2]> {
    client.subscribe("homeassistant/#", 1).await?;
    let host = client
        .expect("homeassistant/device/miqro_house/config")
        .await?;
    let service = client
        .expect("homeassistant/device/miqro_house_it/config")
        .await?;
    assert!(host.retain && service.retain);
    Ok([host.json()?, service.json()?])
}

async fn start(commands: &[&str]) -> Result<(Mosquitto, Host, Client, [Value; 2])> {
    let broker = Mosquitto::start().await?;
    let host = announced(&broker, commands).start().await?;
    let mut states = host.client().await?;
    // devices follow the states
    states.subscribe("homeassistant/#", 1).await?;
    states
        .expect("homeassistant/device/miqro_house_it/config")
        .await?;
    let mut client = host.client().await?;
    let devices = devices(&mut client).await?;
    Ok((broker, host, client, devices))
}

/// The keys that Home Assistant accepts, by section of the schema that the SDK has; `!` marks required ones.
pub(crate) fn schema() -> Result<BTreeMap<String, BTreeSet<String>>> {
    let file = place::project().join("sdk/rust/src/home_assistant/schema.txt");
    let mut sections: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut section = String::new();
    for line in std::fs::read_to_string(file)?.lines() {
        if let Some(name) = line
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            section = name.to_owned();
        } else if !section.is_empty() {
            let keys = line
                .split_whitespace()
                .filter_map(|word| word.split(':').next());
            let keys = keys.map(|key| key.trim_end_matches('?').to_owned());
            sections.entry(section.clone()).or_default().extend(keys);
        }
    }

    Ok(sections)
}

/// Fails unless all keys of `value` are in the sections, and the required ones of the sections in `value`.
pub(crate) fn assert_fits(
    value: &Value,
    names: &[&str],
    schema: &BTreeMap<String, BTreeSet<String>>,
) {
    let known: BTreeSet<&str> = names
        .iter()
        .filter_map(|name| schema.get(*name))
        .flatten()
        .map(String::as_str)
        .collect();

    let keys: BTreeSet<&str> = value
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, _)| key.as_str())
        .collect();

    for key in &keys {
        let is_known = known.contains(key) || known.contains(format!("{key}!").as_str());
        assert!(is_known, "{key} is not among {known:?}: {value:#}");
    }
    for required in known.iter().filter_map(|key| key.strip_suffix('!')) {
        assert!(keys.contains(required), "{required} is missing: {value:#}");
    }
}

/// The members of a state that a template reads, as JSON pointers.
fn read_by(template: &str) -> Vec<String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || "_.".contains(c);
    template
        .split("value_json.")
        .skip(1)
        .map(|rest| {
            let name: String = rest.chars().take_while(|c| is_name(*c)).collect();
            format!("/{}", name.replace('.', "/"))
        })
        .collect()
}

#[tokio::test]
async fn devices_have_only_keys_that_home_assistant_accepts() -> Result<()> {
    let (_broker, _host, _client, devices) = start(&COMMANDS).await?;
    let schema = schema()?;
    for device in &devices {
        assert_fits(&device["device"], &["device"], &schema);
        assert_fits(&device["origin"], &["origin"], &schema);
        let components = device["components"].as_object().context("no components")?;
        let mut ids = BTreeSet::new();
        for (key, component) in components {
            let platform = component["platform"].as_str().context("no platform")?;
            assert_fits(component, &["entity", platform], &schema);
            let id = component["unique_id"].as_str().context(key.clone())?;
            assert!(ids.insert(id), "{id} is there twice");
        }
    }

    assert_eq!(
        devices[1]["device"]["via_device"],
        devices[0]["device"]["identifiers"][0]
    );
    let expected = [
        "dead_letters",
        "enabled",
        "failures",
        "last_fault",
        "memory",
        "messages",
        "restart",
        "status",
        "update",
        "waiting",
    ];

    let components = devices[1]["components"]
        .as_object()
        .context("no components")?;
    let keys: BTreeSet<&str> = components.keys().map(String::as_str).collect();
    assert_eq!(keys, BTreeSet::from(expected));
    Ok(())
}

#[tokio::test]
async fn templates_read_members_that_the_states_have() -> Result<()> {
    let (_broker, _host, mut client, devices) = start(&COMMANDS).await?;
    let mut read = 0;
    for device in &devices {
        let components = device["components"].as_object().context("no components")?;
        for (name, component) in components {
            let (Some(topic), Some(template)) = (
                component["state_topic"].as_str(),
                component["value_template"].as_str(),
            ) else {
                continue;
            };

            client.subscribe(topic, 1).await?;
            let state = client.expect(topic).await?.json()?;
            for pointer in read_by(template) {
                // a service without a fault has no reason, and no service has failed
                let is_optional = ["/last_fault/reason", "/services/failed"].contains(&&*pointer);
                let is_there = state.pointer(&pointer).is_some() || is_optional;
                assert!(is_there, "{name}: no {pointer} in {state:#}");
                read += 1;
            }
        }
    }

    assert!(read >= 16, "{read}");
    Ok(())
}

#[tokio::test]
async fn switch_and_buttons_send_requests_that_are_carried_out() -> Result<()> {
    let (_broker, host, mut client, [house, it]) = start(&COMMANDS).await?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let switch = &it["components"]["enabled"];
    client.subscribe(&text(&switch["state_topic"]), 1).await?;
    for (payload, enabled) in [("payload_off", false), ("payload_on", true)] {
        let topic = text(&switch["command_topic"]);
        client
            .send(Message::new(topic, text(&switch[payload])).qos(0))
            .await?;
        loop {
            let state = client.expect(&text(&switch["state_topic"])).await?;
            if state.json()?["enabled"] == enabled {
                break;
            }
        }
    }

    for button in [&it["components"]["restart"], &house["components"]["reload"]] {
        let topic = text(&button["command_topic"]);
        client
            .send(Message::new(topic, text(&button["payload_press"])).qos(0))
            .await?;
    }

    host.output()
        .says(0, "restart of \"it\" by an mqtt client: version")
        .await?;
    host.output().says(0, "reload by an mqtt client: ").await?;
    Ok(())
}

#[tokio::test]
async fn version_that_waits_is_shown_and_installed() -> Result<()> {
    let (_broker, host, mut client, [_, it]) = start(&COMMANDS).await?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let update = &it["components"]["update"];
    let topic = text(&update["state_topic"]);
    client.subscribe(&topic, 1).await?;
    let before = client.expect(&topic).await?.json()?;
    assert_eq!(before["available"], Value::Null);

    let next = guests::marked(&guests::component("relay")?, 1);
    host.replace_and_wait("it", &next, "waits for `miqro-host update it`")
        .await?;
    let mut state = before.clone();
    while state["available"].is_null() {
        state = client.expect(&topic).await?.json()?;
    }
    assert_eq!(state["version"], before["version"]);
    let next = state["available"]["version"].take();

    let install = Message::new(
        text(&update["command_topic"]),
        text(&update["payload_install"]),
    );
    client.send(install.qos(0)).await?;
    host.output()
        .says(0, "update of \"it\" by an mqtt client: version")
        .await?;
    while state["version"] != next || !state["available"].is_null() {
        state = client.expect(&topic).await?.json()?;
    }
    Ok(())
}

#[tokio::test]
async fn devices_of_removed_services_are_removed() -> Result<()> {
    let (broker, mut host, mut client, _) = start(&["enable"]).await?;
    let mut config = host.config();
    config["services"] = json!({"other": {"component": "it.wasm"}});
    host.reconfigured(&config).await?;
    let removed = client.expect("homeassistant/device/miqro_house_it/config");
    assert!(removed.await?.payload.is_empty());
    let other = "homeassistant/device/miqro_house_other/config";
    client.expect(other).await?;

    // without the key, those of the run before are removed
    config["mqtt_control"]["home_assistant"] = json!(false);
    host.stop().await?;
    host.configure(&config)?;
    host.restart()?;
    assert!(client.expect(other).await?.payload.is_empty());
    let mut late = Client::connect(broker.port()).await?;
    late.subscribe("homeassistant/#", 1).await?;
    assert_eq!(late.pending().await?, []);
    Ok(())
}
