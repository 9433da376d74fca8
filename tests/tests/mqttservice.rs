//! Configuration files of mqttservice, run as they are, and its defects with them.

use anyhow::Result;
use miqro_tests::process::{Process, run_to_end};
use miqro_tests::{Client, Mosquitto, guests, host};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The guest `contract-config` as the service of the file `lab.conf`.
struct Lab {
    broker: Mosquitto,
    folder: TempDir,
}

impl Lab {
    async fn new() -> Result<Self> {
        let broker = Mosquitto::start().await?;
        let folder = TempDir::new()?;
        std::fs::write(
            folder.path().join("svc.wasm"),
            guests::component("contract-config")?,
        )?;
        Ok(Self { broker, folder })
    }

    fn configure(&self, base: &str, colour: &str) -> Result<()> {
        let mqtt = json!({ "broker": "127.0.0.1", "port": self.broker.port(), "basetopic": base });
        let text = serde_json::to_string_pretty(&json!({ "mqtt": mqtt, "colour": colour }))?;
        Ok(std::fs::write(self.folder.path().join("lab.conf"), text)?)
    }

    fn start(&self) -> Result<Process> {
        let arguments = ["run", "svc.wasm", "--config", "lab.conf"];
        let mut command = host::command_in(self.folder.path())?;
        Process::start(command.args(arguments))
    }
}

/// The section that a service shows, below its base topic.
async fn section(client: &mut Client, base: &str) -> Result<Value> {
    client.publish(&format!("{base}get"), "").await?;
    client.expect(&format!("{base}config")).await?.json()
}

#[tokio::test]
async fn a_mqttservice_file_runs_and_survives_sighup() -> Result<()> {
    let lab = Lab::new().await?;
    lab.configure("labor/eins", "red")?;
    let host = lab.start()?;
    host.output().says(0, "connected to").await?;
    let mut client = Client::connect(lab.broker.port()).await?;
    client.subscribe("labor/#", 1).await?;
    client.expect("labor/eins/config_at_start").await?;
    assert_eq!(
        host.output().count("ERROR") + host.output().count("WARN"),
        0,
        "{}",
        host.output().told("anonymous")
    );

    // the password is not for the service, and neither is the rest of `mqtt`
    assert_eq!(
        section(&mut client, "labor/eins/").await?,
        json!({ "colour": "red" })
    );
    lab.configure("labor/eins", "blue")?;
    host.signal("HUP")?;
    host.output().says(0, "is in force").await?;
    host.output()
        .says(0, "runs with its new configuration")
        .await?;
    // retained: the message of the new instance at its start
    let mut client = Client::connect(lab.broker.port()).await?;
    client.subscribe("labor/#", 1).await?;
    while client.expect("labor/eins/config_at_start").await?.json()?["colour"] != "blue" {}
    assert_eq!(
        section(&mut client, "labor/eins/").await?,
        json!({ "colour": "blue" })
    );
    // another base topic: the service moves
    let line = host.output().lines().len();
    lab.configure("labor/zwei/", "blue")?;
    host.output().says(line, "is in force").await?;
    client.expect("labor/zwei/config_at_start").await?;
    assert_eq!(
        section(&mut client, "labor/zwei/").await?,
        json!({ "colour": "blue" })
    );
    Ok(())
}

#[tokio::test]
async fn without_a_base_topic_the_topics_are_full_ones() -> Result<()> {
    let lab = Lab::new().await?;
    lab.configure("", "red")?;
    let host = lab.start()?;
    host.output().says(0, "connected to").await?;
    let mut client = Client::connect(lab.broker.port()).await?;
    client.subscribe("#", 1).await?;
    client.expect("config_at_start").await?;
    assert_eq!(section(&mut client, "").await?, json!({ "colour": "red" }));
    let mut client = Client::connect(lab.broker.port()).await?;
    client.subscribe("service/svc/online", 1).await?;
    assert_eq!(client.expect("service/svc/online").await?.text(), "1");
    Ok(())
}

#[tokio::test]
async fn a_first_file_that_is_wrong_ends_the_start_instead_of_idling() -> Result<()> {
    let lab = Lab::new().await?;
    std::fs::write(
        lab.folder.path().join("lab.conf"),
        "{\"mqtt\": {\n\"port\": 0}}",
    )?;
    let arguments = ["run", "svc.wasm", "--config", "lab.conf"];
    let said = run_to_end(
        host::command()?
            .current_dir(lab.folder.path())
            .args(arguments),
    )
    .await?;
    assert_eq!(said.code, Some(1));
    for part in [
        "lab.conf:1: mqtt: has no broker",
        "lab.conf:2: mqtt.port: expected a whole number from 1 to 65535",
    ] {
        assert!(said.err.contains(part), "{part}\n{}", said.err);
    }

    Ok(())
}

#[tokio::test]
async fn a_broker_that_is_away_at_the_start_is_waited_for() -> Result<()> {
    let mut lab = Lab::new().await?;
    lab.configure("labor", "red")?;
    let port = lab.broker.port();
    lab.broker = Mosquitto::start().await?;
    let host = lab.start()?;
    host.output().says(0, "trying again until it works").await?;
    let _broker = Mosquitto::on(port, &miqro_tests::mosquitto::Setup::default()).await?;
    host.output().says(0, "connected to").await?;
    Ok(())
}

#[tokio::test]
async fn a_stop_while_the_broker_is_away_is_bounded() -> Result<()> {
    let mut lab = Lab::new().await?;
    lab.configure("labor", "red")?;
    lab.broker = Mosquitto::start().await?;
    let mut host = lab.start()?;
    host.output().says(0, "trying again until it works").await?;
    host.signal("HUP")?;
    host.output()
        .says(0, "the configuration has not changed")
        .await?;
    host.signal("TERM")?;
    assert!(host.ended().await?.success());
    Ok(())
}
