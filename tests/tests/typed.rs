//! Typed services: interfaces of components, served and called over MQTT in ApiGear's format.

use anyhow::{Context, Result};
use bytes::Bytes;

use miqro_tests::{Client, Host, Message, Mosquitto, Properties};
use serde_json::{Value, json};

mod calling;
mod deadlines;
mod peers;
mod serving;
mod versions;

/// The topic above the members of the interface that the tests serve.
const MACHINE: &str = "test.typed/Machine";

/// A service that serves the interface.
fn machine() -> Value {
    json!({ "limits": { "attempts": 1, "backoff": { "min": "1ms", "max": "10ms" } } })
}

/// A service that calls the interface on behalf of the test.
fn caller() -> Value {
    json!({ "call": [{ "interface": "test:typed/machine", "deadline": "5s" }],
            "limits": { "attempts": 1, "backoff": { "min": "1ms", "max": "10ms" } } })
}

/// A broker, a host that serves the interface, and a client that gets the answers.
async fn served() -> Result<(Mosquitto, Host, Client)> {
    let broker = Mosquitto::start().await?;
    let host = Host::on(broker.port())
        .service("machine", "contract-typed-service", machine())
        .start()
        .await?;
    let mut client = Client::connect(broker.port()).await?;
    client.subscribe("answer/#", 1).await?;
    Ok((broker, host, client))
}

/// A call of an operation with a response topic and correlation data.
fn invoke(operation: &str, arguments: &str, answer: &str, correlation: &[u8]) -> Message {
    Message::new(format!("{MACHINE}/rpc/{operation}"), arguments.to_owned()).with(Properties {
        response_topic: Some(answer.to_owned()),
        correlation_data: Some(Bytes::copy_from_slice(correlation)),
        ..Properties::default()
    })
}

/// Calls an operation and returns its answer.
async fn call(client: &mut Client, operation: &str, arguments: &str) -> Result<Message> {
    client
        .send(invoke(operation, arguments, "answer/x", b"7"))
        .await?;
    client
        .expect("answer/x")
        .await
        .with_context(|| format!("no answer to {operation}"))
}

/// The code and the text of an error.
fn error(answer: &Message) -> (&str, &str) {
    let find = |wanted: &str| {
        let pairs = &answer.properties.user_properties;
        let pair = pairs.iter().find(|(name, _)| name == wanted);
        pair.map_or("", |(_, value)| value.as_str())
    };
    (find("code"), find("message"))
}
