//! `messaging.current-message`.

use anyhow::Result;
use miqro_tests::{Client, Host, Message, Mosquitto, Properties, Version};
use serde_json::{Value, json};

use super::stage::{Stage, own};

cases! {
    "messaging.current-message": the_facts, a_global_message, a_retained_message, properties, the_attempt,
        none_outside_of_handle;
}

async fn teller(section: Value) -> Result<Stage> {
    Stage::new("contract-message-info", section).await
}

async fn the_facts() -> Result<()> {
    for version in [Version::V5, Version::V311] {
        let mut stage = Stage::version("contract-message-info", json!({}), version).await?;
        for qos in 0..=2 {
            stage
                .client
                .send(Message::new(own("in/a/b"), "x").qos(qos))
                .await?;
            let expected = json!({
                "handle_topic": "in/a/b", "topic": "service/probe/in/a/b", "relative": true, "qos": qos, "retain": false,
                "dup": false, "attempt": 1, "properties": null,
            });
            assert_eq!(stage.expect("info").await?.json()?, expected, "{version:?}");
        }
    }

    Ok(())
}

async fn a_global_message() -> Result<()> {
    let mut stage =
        teller(json!({ "global": "home/#", "grants": { "subscribe": ["home/#"] } })).await?;
    stage.client.publish("home/lamp", "x").await?;
    let info = stage.expect("info").await?.json()?;
    let told = [&info["handle_topic"], &info["topic"], &info["relative"]];
    assert_eq!(
        told,
        [&json!("home/lamp"), &json!("home/lamp"), &json!(false)]
    );
    Ok(())
}

async fn a_retained_message() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let mut client = Client::connect(broker.port()).await?;
    client
        .send(Message::new(own("in/kept"), "x").retained())
        .await?;
    client.subscribe(&own("info"), 1).await?;
    let _host = Host::on(broker.port())
        .service("probe", "contract-message-info", json!({}))
        .start()
        .await?;
    let info = client.expect(&own("info")).await?.json()?;
    assert_eq!(
        (&info["handle_topic"], &info["retain"]),
        (&json!("in/kept"), &json!(true))
    );
    Ok(())
}

async fn properties() -> Result<()> {
    let mut stage = teller(json!({})).await?;
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let properties = Properties {
        response_topic: Some("elsewhere".into()),
        correlation_data: Some("c-1".into()),
        content_type: Some("text/plain".into()),
        message_expiry: None,
        utf8: true,
        user_properties: vec![pair("b", "1"), pair("a", "2"), pair("b", "3")],
    };

    stage
        .client
        .send(Message::new(own("in/a"), "x").with(properties))
        .await?;
    let expected = json!({
        "response_topic": "elsewhere", "correlation_data": "c-1", "content_type": "text/plain",
        "message_expiry": null, "utf8": true,
        "user_properties": [
            { "name": "b", "value": "1" }, { "name": "a", "value": "2" }, { "name": "b", "value": "3" },
        ],
    });

    assert_eq!(stage.expect("info").await?.json()?["properties"], expected);
    Ok(())
}

async fn the_attempt() -> Result<()> {
    let limits = json!({ "limits": { "attempts": 5, "backoff": { "min": "1ms", "max": "5ms" } } });
    let mut stage = teller(limits).await?;
    stage.tell("in/a", "fail").await?;
    assert_eq!(stage.expect("info").await?.json()?["attempt"], 3);
    Ok(())
}

async fn none_outside_of_handle() -> Result<()> {
    let mut stage = teller(json!({})).await?;
    assert_eq!(stage.expect("outside/start").await?.text(), "false");
    stage.tell("in/a", "tick").await?;
    assert_eq!(stage.expect("outside/tick").await?.text(), "false");
    Ok(())
}
