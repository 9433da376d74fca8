//! The real Home Assistant, which finds the host by its discovery messages, shows its states and operates it.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use miqro_tests::process::Process;
use miqro_tests::{Client, Deadline, Mosquitto, guests, place};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{COMMANDS, announced};

/// The first start installs the packages of its integrations.
const START: Duration = Duration::from_secs(600);

/// A running Home Assistant.
struct HomeAssistant {
    process: Process,
    _folder: TempDir,
}

impl HomeAssistant {
    /// Starts one with a new configuration.
    fn start(broker: &Mosquitto) -> Result<Self> {
        let sources = place::project().join("tests/home_assistant");
        let folder = TempDir::new()?;
        let configuration = std::fs::read_to_string(sources.join("configuration.yaml"))?;
        let configuration = configuration.replace("HTTP_PORT", &place::free_port()?.to_string());
        std::fs::write(folder.path().join("configuration.yaml"), configuration)?;

        let entries = std::fs::read_to_string(sources.join("core.config_entries"))?;
        let mut entries: Value = serde_json::from_str(&entries)?;
        entries["data"]["entries"][0]["data"]["port"] = json!(broker.port());
        let storage = folder.path().join(".storage");
        std::fs::create_dir(&storage)?;
        std::fs::write(storage.join("core.config_entries"), entries.to_string())?;

        let process = Process::start(
            Command::new(place::home_assistant()?)
                .arg(sources.join("start.py"))
                .arg("--config")
                .arg(folder.path()),
        )?;
        Ok(Self {
            process,
            _folder: folder,
        })
    }
}

/// Calls an action of Home Assistant for an entity.
async fn act(client: &mut Client, action: &str, entity: &str) -> Result<()> {
    let action = json!({"action": action, "entity": entity});
    client.publish("test/act", action.to_string()).await
}

/// Waits until an entity has this state.
async fn has_state(client: &mut Client, entity: &str, state: &str) -> Result<()> {
    let topic = format!("hass/{entity}/state");
    let deadline = Deadline::after(START);
    loop {
        let message = client.expect_by(deadline, &topic).await;
        let message = message.with_context(|| format!("{entity} is not {state}"))?;
        if message.text() == state {
            return Ok(());
        }
    }
}

/// The entities of Home Assistant.
async fn entities(client: &mut Client) -> Result<Vec<String>> {
    client.subscribe("test/listed", 1).await?;
    client.publish("test/list", "").await?;
    let listed = client.expect("test/listed").await?;
    Ok(serde_json::from_slice(&listed.payload)?)
}

/// The number of entities whose names begin so.
fn count(entities: &[String], device: &str) -> usize {
    let parts = entities.iter().filter_map(|entity| entity.split_once('.'));
    parts.filter(|(_, name)| name.starts_with(device)).count()
}

#[tokio::test]
#[ignore = "needs Home Assistant: make test-home-assistant"]
async fn real_home_assistant_shows_and_operates_the_host() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let mut host = announced(&broker, &COMMANDS).start().await?;
    let mut client = host.client().await?;
    client.subscribe("hass/#", 1).await?;
    let home_assistant = HomeAssistant::start(&broker)?;

    has_state(&mut client, "switch/it_enabled", "on").await?;
    for (action, state) in [("switch.turn_off", "off"), ("switch.turn_on", "on")] {
        act(&mut client, action, "switch.it_enabled").await?;
        has_state(&mut client, "switch/it_enabled", state).await?;
    }
    let reload = "button.miqro_host_house_reload_configuration";
    act(&mut client, "button.press", "button.it_restart").await?;
    act(&mut client, "button.press", reload).await?;
    for line in [
        "disable of \"it\" by an mqtt client: ",
        "enable of \"it\" by an mqtt client: ",
        "restart of \"it\" by an mqtt client: ",
        "reload by an mqtt client: ",
    ] {
        host.output().says(0, line).await?;
    }
    client.publish("service/it/in", "one").await?;
    has_state(&mut client, "sensor/it_messages", "1").await?;

    host.replace("it", &guests::marked(&guests::component("relay")?, 1))?;
    has_state(&mut client, "update/it_update", "on").await?;
    act(&mut client, "update.install", "update.it_update").await?;
    has_state(&mut client, "update/it_update", "off").await?;
    host.output()
        .says(0, "update of \"it\" by an mqtt client: ")
        .await?;

    // all entities of the messages are there, and those of a removed service are not
    let all = entities(&mut client).await?;
    assert_eq!(count(&all, "miqro_host_house_"), 7, "{all:?}");
    assert_eq!(count(&all, "it_"), 10, "{all:?}");
    let mut config = host.config();
    config["services"] = json!({"other": {"component": "it.wasm"}});
    host.reconfigured(&config).await?;
    has_state(&mut client, "sensor/other_status", "running").await?;
    while count(&entities(&mut client).await?, "it_") > 0 {}

    host.kill()?;
    let connection = "binary_sensor/miqro_host_house_connection";
    has_state(&mut client, connection, "off").await?;
    let output = home_assistant.process.output();
    assert_eq!(
        output.count("components.mqtt"),
        0,
        "{}",
        output.told("a warning")
    );
    Ok(())
}
