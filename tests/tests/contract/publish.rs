//! `messaging.publish`.

use anyhow::Result;
use miqro_tests::{Client, Message, Properties, Version};
use serde_json::{Value, json};

use super::stage::{Stage, own};

cases! {
    "messaging.publish": without_options, every_quality_of_service, retained, properties, no_properties_in_3_1_1,
        global_with_a_grant, global_without_a_grant, no_topic,
        no_property, a_payload_above_the_limit;
}

async fn publisher(section: Value) -> Result<Stage> {
    Stage::new("contract-publish", section).await
}

async fn without_options() -> Result<()> {
    let mut stage = publisher(json!({})).await?;
    stage
        .tell(
            "publish",
            json!({ "topic": "out/1", "payload": "hello", "plain": true }),
        )
        .await?;

    assert_eq!(
        stage.expect("out/1").await?,
        Message::new(own("out/1"), "hello").qos(0)
    );
    stage.expect("done").await?;
    Ok(())
}

async fn every_quality_of_service() -> Result<()> {
    for version in [Version::V5, Version::V311] {
        let mut stage = Stage::version("contract-publish", json!({}), version).await?;
        for qos in 0..=2 {
            stage
                .tell(
                    "publish",
                    json!({ "topic": "out", "payload": "p", "qos": qos }),
                )
                .await?;

            assert_eq!(
                stage.expect("out").await?,
                Message::new(own("out"), "p").qos(qos),
                "{version:?}"
            );
        }
    }

    Ok(())
}

async fn retained() -> Result<()> {
    let mut stage = publisher(json!({})).await?;
    assert_eq!(
        stage
            .command(
                "publish",
                json!({ "topic": "out", "payload": "p", "retain": true })
            )
            .await?,
        Ok(())
    );

    let mut late = Client::connect(stage.broker.port()).await?;
    late.subscribe(&own("out"), 2).await?;
    assert_eq!(
        late.next().await?,
        Message::new(own("out"), "p").qos(0).retained()
    );
    Ok(())
}

async fn properties() -> Result<()> {
    let mut stage = publisher(json!({})).await?;
    let pairs = json!([{ "name": "b", "value": "1" }, { "name": "a", "value": "2" }, { "name": "b", "value": "3" }]);
    let properties = json!({
        "response_topic": "elsewhere/answer", "correlation_data": "c-1", "content_type": "text/plain",
        "message_expiry": 3000, "utf8": true, "user_properties": pairs,
    });
    stage
        .tell(
            "publish",
            json!({ "topic": "out", "payload": "p", "properties": properties }),
        )
        .await?;

    let mut came = stage.expect("out").await?.properties;
    let seconds = came.message_expiry.take();
    assert!(
        seconds.is_some_and(|seconds| (2900..=3000).contains(&seconds)),
        "{seconds:?}"
    );
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let expected = Properties {
        response_topic: Some("elsewhere/answer".into()),
        correlation_data: Some("c-1".into()),
        content_type: Some("text/plain".into()),
        message_expiry: None,
        utf8: true,
        user_properties: vec![pair("b", "1"), pair("a", "2"), pair("b", "3")],
    };

    assert_eq!(came, expected);
    Ok(())
}

async fn no_properties_in_3_1_1() -> Result<()> {
    let mut stage = Stage::version("contract-publish", json!({}), Version::V311).await?;
    let properties =
        json!({ "content_type": "text/plain", "user_properties": [{ "name": "a", "value": "1" }] });
    stage
        .tell(
            "publish",
            json!({ "topic": "out", "payload": "p", "properties": properties }),
        )
        .await?;

    assert_eq!(
        stage.expect("out").await?,
        Message::new(own("out"), "p").qos(0)
    );
    Ok(())
}

async fn global_with_a_grant() -> Result<()> {
    let mut stage = publisher(json!({ "grants": { "publish": ["home/+/set"] } })).await?;
    stage.client.subscribe("home/#", 0).await?;
    stage
        .tell(
            "publish",
            json!({ "topic": "home/lamp/set", "payload": "on", "global": true }),
        )
        .await?;

    assert_eq!(stage.client.expect("home/lamp/set").await?.text(), "on");
    Ok(())
}

async fn global_without_a_grant() -> Result<()> {
    let mut stage = publisher(json!({ "grants": { "publish": ["home/+/set"] } })).await?;
    let mut watcher = stage.watch("home/#").await?;
    let reason = stage
        .refused(
            "publish",
            json!({ "topic": "home/lamp", "payload": "on", "global": true }),
        )
        .await?;

    assert!(reason.starts_with("MessagingError::Denied("), "{reason}");
    assert!(
        reason.contains("grants") && reason.contains("home/lamp"),
        "says what to write: {reason}"
    );
    assert_eq!(watcher.pending().await?, []);
    // its own topics need no grant, also when they are written in full
    assert_eq!(
        stage
            .command("publish", json!({ "topic": own("out"), "global": true }))
            .await?,
        Ok(())
    );

    Ok(())
}

async fn no_topic() -> Result<()> {
    let mut stage = publisher(json!({})).await?;
    for topic in [
        "a/+",
        "a/#",
        "a\u{0}b",
        "a\tb",
        "a\n",
        "\u{85}",
        "\u{ffff}",
        &"a/".repeat(250),
    ] {
        let reason = stage
            .refused("publish", json!({ "topic": topic, "payload": "p" }))
            .await?;
        assert!(
            reason.starts_with("MessagingError::InvalidTopic("),
            "{topic:?}: {reason}"
        );
    }

    let reason = stage
        .refused(
            "publish",
            json!({ "topic": "", "payload": "p", "global": true }),
        )
        .await?;

    assert!(
        reason.starts_with("MessagingError::InvalidTopic("),
        "{reason}"
    );
    Ok(())
}

async fn no_property() -> Result<()> {
    let mut stage = publisher(json!({})).await?;
    for properties in [
        json!({ "content_type": "x".repeat(70_000) }),
        json!({ "user_properties": [{ "name": "a", "value": "b\u{0}c" }] }),
        json!({ "user_properties": [{ "name": "a\nb", "value": "c" }] }),
        json!({ "content_type": "a\u{fffe}b" }),
        json!({ "correlation_data": "x".repeat(70_000) }),
    ] {
        let reason = stage
            .refused(
                "publish",
                json!({ "topic": "out", "properties": properties }),
            )
            .await?;

        assert!(
            reason.starts_with("MessagingError::InvalidProperty("),
            "{reason}"
        );
    }

    // the topic of a response is a topic
    let reason = stage
        .refused(
            "publish",
            json!({ "topic": "out", "properties": { "response_topic": "a/+" } }),
        )
        .await?;

    assert!(
        reason.starts_with("MessagingError::InvalidTopic("),
        "{reason}"
    );
    Ok(())
}

async fn a_payload_above_the_limit() -> Result<()> {
    let mut stage = publisher(json!({ "limits": { "payload": "1KiB" } })).await?;
    let payload = |length: usize| json!({ "topic": "out", "payload": "p".repeat(length) });
    assert_eq!(stage.command("publish", payload(1024)).await?, Ok(()));
    let reason = stage.refused("publish", payload(1025)).await?;
    assert!(reason.starts_with("MessagingError::Limit("), "{reason}");
    assert!(reason.contains("payload"), "says which: {reason}");
    Ok(())
}
