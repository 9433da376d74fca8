//! `messaging.subscribe` and `messaging.unsubscribe`.

use anyhow::Result;
use miqro_tests::{Message, Version};
use serde_json::{Value, json};

use super::stage::{Stage, own};

cases! {
    "messaging.subscribe": without_options, with_another_quality_of_service, in_3_1_1, global_with_a_grant,
        global_without_a_grant, no_filter, more_than_the_limit, overlapping_filters_deliver_once;
    "messaging.unsubscribe": nothing_comes_afterwards, a_global_filter, unknown_filters_are_ignored,
        subscriptions_of_the_configuration_stay;
}

async fn subscriber(section: Value) -> Result<Stage> {
    Stage::new("contract-subscribe", section).await
}

impl Stage {
    async fn subscribe(&mut self, filter: &str, options: Value) -> Result<()> {
        let mut command = options;
        command["subscribe"] = json!(filter);
        anyhow::ensure!(
            self.command("command", command.clone()).await? == Ok(()),
            "{command} was refused"
        );
        Ok(())
    }

    async fn unsubscribe(&mut self, filter: &str, global: bool) -> Result<()> {
        let command = json!({ "unsubscribe": filter, "global": global });
        anyhow::ensure!(
            self.command("command", command.clone()).await? == Ok(()),
            "{command} was refused"
        );
        Ok(())
    }

    async fn seen(&mut self) -> Result<Value> {
        self.expect("seen").await?.json()
    }
}

async fn without_options() -> Result<()> {
    let mut stage = subscriber(json!({})).await?;
    stage.subscribe("in/+", json!({ "plain": true })).await?;
    stage
        .client
        .send(Message::new(own("in/a"), "1").qos(2))
        .await?;
    assert_eq!(
        stage.seen().await?,
        json!({ "topic": "in/a", "payload": "1", "qos": 1 })
    );
    Ok(())
}

async fn with_another_quality_of_service() -> Result<()> {
    let mut stage = subscriber(json!({})).await?;
    // subscribing again changes it
    for qos in [0, 2, 1] {
        stage.subscribe("in", json!({ "qos": qos })).await?;
        stage
            .client
            .send(Message::new(own("in"), "").qos(2))
            .await?;
        assert_eq!(stage.seen().await?["qos"], qos);
    }

    Ok(())
}

async fn in_3_1_1() -> Result<()> {
    let mut stage = Stage::version("contract-subscribe", json!({}), Version::V311).await?;
    stage.subscribe("a", json!({ "qos": 1 })).await?;
    stage.subscribe("b", json!({ "qos": 1 })).await?;
    stage.unsubscribe("a", false).await?;
    stage.tell("a", "1").await?;
    stage.tell("b", "2").await?;
    assert_eq!(stage.seen().await?["topic"], "b");
    Ok(())
}

async fn global_with_a_grant() -> Result<()> {
    let mut stage = subscriber(json!({ "grants": { "subscribe": ["home/#"] } })).await?;
    stage
        .subscribe("home/+/temperature", json!({ "global": true }))
        .await?;
    stage
        .client
        .publish("home/kitchen/temperature", "21")
        .await?;
    let expected = json!({ "topic": "home/kitchen/temperature", "payload": "21", "qos": 0 });
    assert_eq!(stage.seen().await?, expected);
    Ok(())
}

async fn global_without_a_grant() -> Result<()> {
    let mut stage = subscriber(json!({ "grants": { "subscribe": ["home/kitchen/#"] } })).await?;
    for filter in ["home/#", "home/+/temperature", "#", "office"] {
        let reason = stage
            .refused("command", json!({ "subscribe": filter, "global": true }))
            .await?;
        assert!(
            reason.starts_with("MessagingError::Denied("),
            "{filter}: {reason}"
        );
        assert!(reason.contains("grants"), "says what to write: {reason}");
    }

    stage
        .subscribe(&own("in"), json!({ "global": true }))
        .await?;
    stage.tell("in", "").await?;
    assert_eq!(stage.seen().await?["topic"], "in");
    Ok(())
}

async fn no_filter() -> Result<()> {
    let mut stage = subscriber(json!({})).await?;
    for filter in ["a/#/b", "a+", "#a", "a\u{0}b"] {
        let reason = stage
            .refused("command", json!({ "subscribe": filter }))
            .await?;
        assert!(
            reason.starts_with("MessagingError::InvalidTopic("),
            "{filter:?}: {reason}"
        );
        let reason = stage
            .refused("command", json!({ "unsubscribe": filter }))
            .await?;
        assert!(
            reason.starts_with("MessagingError::InvalidTopic("),
            "{filter:?}: {reason}"
        );
    }

    Ok(())
}

async fn more_than_the_limit() -> Result<()> {
    let mut stage = subscriber(json!({ "limits": { "subscriptions": 2 } })).await?;
    stage.subscribe("a", json!({})).await?;
    let reason = stage
        .refused("command", json!({ "subscribe": "b" }))
        .await?;
    assert!(
        reason.starts_with("MessagingError::Limit(") && reason.contains("subscriptions"),
        "{reason}"
    );
    // the same again is not one more, and one less makes room
    stage.subscribe("a", json!({ "qos": 1 })).await?;
    stage.unsubscribe("a", false).await?;
    stage.subscribe("b", json!({})).await
}

async fn overlapping_filters_deliver_once() -> Result<()> {
    for version in [Version::V5, Version::V311] {
        let mut stage = Stage::version("contract-subscribe", json!({}), version).await?;
        for filter in ["in/#", "in/+", "in/a"] {
            stage.subscribe(filter, json!({ "qos": 1 })).await?;
        }
        stage.tell("in/a", "1").await?;
        stage.tell("in/b/c", "2").await?;
        let topics = [
            stage.seen().await?["topic"].clone(),
            stage.seen().await?["topic"].clone(),
        ];
        assert_eq!(topics, ["in/a", "in/b/c"], "{version:?}");
    }

    Ok(())
}

async fn nothing_comes_afterwards() -> Result<()> {
    let mut stage = subscriber(json!({})).await?;
    stage.subscribe("a", json!({ "qos": 1 })).await?;
    stage.subscribe("b", json!({ "qos": 1 })).await?;
    stage.tell("a", "1").await?;
    assert_eq!(stage.seen().await?["topic"], "a");
    stage.unsubscribe("a", false).await?;
    stage.tell("a", "2").await?;
    stage.tell("b", "3").await?;
    assert_eq!(stage.seen().await?["topic"], "b");
    Ok(())
}

async fn a_global_filter() -> Result<()> {
    let mut stage = subscriber(json!({ "grants": { "subscribe": ["home/#"] } })).await?;
    stage
        .subscribe("home/a", json!({ "global": true, "qos": 1 }))
        .await?;
    stage
        .subscribe("home/b", json!({ "global": true, "qos": 1 }))
        .await?;
    stage.unsubscribe("home/a", true).await?;
    stage.client.publish("home/a", "").await?;
    stage.client.publish("home/b", "").await?;
    assert_eq!(stage.seen().await?["topic"], "home/b");
    Ok(())
}

async fn unknown_filters_are_ignored() -> Result<()> {
    let mut stage = subscriber(json!({})).await?;
    stage.unsubscribe("never/heard/of", false).await
}

async fn subscriptions_of_the_configuration_stay() -> Result<()> {
    let mut stage = subscriber(json!({ "subscriptions": ["fixed"] })).await?;
    stage.unsubscribe("fixed", false).await?;
    stage.tell("fixed", "1").await?;
    assert_eq!(
        stage.seen().await?,
        json!({ "topic": "fixed", "payload": "1", "qos": 1 })
    );
    Ok(())
}
