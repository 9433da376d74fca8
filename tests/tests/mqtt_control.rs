//! Control over MQTT.

mod asyncapi;
mod requests;
mod states;

use anyhow::{Context, Result};
use miqro_tests::host::Setup;
use miqro_tests::{Client, Host, Message, Mosquitto, Properties};
use serde_json::{Value, json};

/// The host's topics.
const HOST: &str = "miqro/house";

/// A host with the client identifier `house`, the service `it`, and these commands.
fn controlled(setup: Setup, commands: &[&str]) -> Setup {
    setup
        .broker("client_id", json!("house"))
        .top(
            "mqtt_control",
            json!({"commands": commands, "interval": "1s"}),
        )
        .service("it", "relay", json!({}))
}

async fn start(commands: &[&str]) -> Result<(Mosquitto, Host, Client)> {
    let broker = Mosquitto::start().await?;
    let host = controlled(Host::on(broker.port()), commands)
        .start()
        .await?;
    ready(&host).await?;
    let client = host.client().await?;
    Ok((broker, host, client))
}

/// Waits until the host has subscribed to requests: it publishes its states afterwards.
async fn ready(host: &Host) -> Result<()> {
    let mut client = host.client().await?;
    client.subscribe(&format!("{HOST}/info"), 1).await?;
    client
        .expect(&format!("{HOST}/info"))
        .await
        .with_context(|| host.output().told("no info"))?;
    Ok(())
}

fn request(command: &str, payload: &Value) -> Message {
    Message::new(format!("{HOST}/request/{command}"), payload.to_string())
}

fn answered_on(topic: &str, correlation: &'static str) -> Properties {
    Properties {
        response_topic: Some(topic.to_owned()),
        correlation_data: Some(correlation.into()),
        ..Properties::default()
    }
}

/// Sends a request with a response topic, and returns the answer.
async fn ask(client: &mut Client, command: &str, payload: impl Into<Vec<u8>>) -> Result<Value> {
    client.subscribe("test/answer", 1).await?;
    let message = Message::new(format!("{HOST}/request/{command}"), payload.into());
    client
        .send(message.with(answered_on("test/answer", "7")))
        .await?;
    let answer = client.expect("test/answer").await?;
    assert_eq!(
        answer.properties.correlation_data.as_deref(),
        Some(&b"7"[..])
    );
    answer.json()
}
