//! Retained messages: an instance that replaces another, and a service that comes to a subscription
//! which the host has already, get the retained messages, though the broker sends them once.

use anyhow::Result;
use miqro_tests::host::Setup;
use miqro_tests::{Client, Host, Message, Mosquitto, Version};
use serde_json::{Value, json};

/// The next message of the guest `contract-message-info`: the topic, and whether it was retained.
async fn told(client: &mut Client) -> Result<(String, bool)> {
    let info: Value = client.expect("service/told/info").await?.json()?;
    let topic = info["handle_topic"].as_str().unwrap_or_default().to_owned();
    Ok((topic, info["retain"] == true))
}

fn retained(topic: &str) -> Message {
    Message::new(format!("service/told/in/{topic}"), "1").retained()
}

async fn replaced_guests_get_them(setup: Setup, version: Version) -> Result<()> {
    let host = setup
        .version(version)
        .service("told", "contract-message-info", json!({}))
        .start()
        .await?;
    let mut client = host.client().await?;
    client.subscribe("service/told/info", 1).await?;
    client.send(retained("kept")).await?;
    assert_eq!(told(&mut client).await?, ("in/kept".to_owned(), false));
    // one that is not kept, and one that is taken away again
    client.publish("service/told/in/once", "1").await?;
    assert_eq!(told(&mut client).await?, ("in/once".to_owned(), false));
    client.send(retained("gone")).await?;
    assert_eq!(told(&mut client).await?, ("in/gone".to_owned(), false));
    client
        .send(Message::new("service/told/in/gone", "").retained())
        .await?;
    assert_eq!(told(&mut client).await?, ("in/gone".to_owned(), false));
    client.send(retained("kept")).await?;
    assert_eq!(told(&mut client).await?, ("in/kept".to_owned(), false));
    let mut newer = miqro_tests::guests::component("contract-message-info")?;
    // a custom section without a name: other bytes, the same guest
    newer.extend([0, 1, 0]);
    host.replace("told", &newer)?;
    assert_eq!(told(&mut client).await?, ("in/kept".to_owned(), true));
    client.publish("service/told/in/end", "").await?;
    assert_eq!(told(&mut client).await?, ("in/end".to_owned(), false));
    Ok(())
}

#[tokio::test]
async fn a_new_version_gets_them_with_mosquitto() -> Result<()> {
    let broker = Mosquitto::start().await?;
    replaced_guests_get_them(Host::on(broker.port()), Version::V5).await
}

#[tokio::test]
async fn a_new_version_gets_them_with_the_embedded_broker() -> Result<()> {
    replaced_guests_get_them(Host::embedded()?, Version::V5).await
}

#[tokio::test]
async fn a_new_version_gets_them_with_mqtt_3_1_1() -> Result<()> {
    let broker = Mosquitto::start().await?;
    replaced_guests_get_them(Host::on(broker.port()), Version::V311).await
}

/// Also where the broker cannot be asked.
#[tokio::test]
async fn a_new_version_gets_those_from_before_the_subscription_without_the_broker() -> Result<()> {
    let mut broker = Mosquitto::start().await?;
    let mut client = Client::connect(broker.port()).await?;
    client.send(retained("kept")).await?;
    client.subscribe("service/told/info", 1).await?;
    let host = Host::on(broker.port())
        .service("told", "contract-message-info", json!({}))
        .start()
        .await?;
    assert_eq!(told(&mut client).await?, ("in/kept".to_owned(), true));
    broker.kill()?;
    host.output().says(0, "reconnecting").await?;
    let mut newer = miqro_tests::guests::component("contract-message-info")?;
    newer.extend([0, 1, 0]);
    let line = host.output().lines().len();
    host.replace("told", &newer)?;
    host.output().says(line, "takes over").await?;
    // the host publishes as soon as it is connected again, and the client has to be there before
    host.process().signal("STOP")?;
    broker.restart().await?;
    let mut client = Client::connect(broker.port()).await?;
    client.subscribe("service/told/info", 1).await?;
    host.process().signal("CONT")?;
    assert_eq!(told(&mut client).await?, ("in/kept".to_owned(), true));
    Ok(())
}

/// A service that is added, to a filter that another one has.
#[tokio::test]
async fn a_service_that_is_added_gets_them() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let listens = json!({ "subscriptions": [{ "filter": "home/#", "global": true }] });
    let host = Host::on(broker.port())
        .service("relay", "relay", listens.clone())
        .service("told", "contract-message-info", json!({}))
        .start()
        .await?;
    let mut client = host.client().await?;
    client.subscribe("service/+/out", 1).await?;
    client
        .send(Message::new("home/door", "open").retained())
        .await?;
    assert_eq!(client.expect("service/relay/out").await?.text(), "open");
    let mut config = host.config();
    config["services"]["second"] =
        json!({ "component": "relay.wasm", "subscriptions": listens["subscriptions"] });
    host.reconfigured(&config).await?;
    assert_eq!(client.expect("service/second/out").await?.text(), "open");
    assert_eq!(client.pending().await?, []);
    Ok(())
}
