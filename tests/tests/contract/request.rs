//! `messaging.request`.

use anyhow::Result;
use miqro_tests::host::Setup;
use miqro_tests::{Message, Properties, Version};
use serde_json::{Value, json};

use super::stage::Stage;

cases! {
    "messaging.request": the_answer_comes_in_the_call, without_an_answer, without_mqtt_5, outside_without_a_grant;
}

async fn asker(version: Version) -> Result<Stage> {
    let section = json!({ "grants": { "publish": ["oracle"] }, "limits": { "call": "500ms", "attempts": 1 } });
    let clock = json!({ "say": 1, "delay": 0 });
    let set_up = |setup: Setup| {
        setup
            .version(version)
            .service("probe", "contract-full", section)
            .service("clock", "ticker", clock)
    };

    Stage::with(set_up).await
}

fn question(deadline: u64) -> Value {
    json!({ "request": "oracle", "payload": "why?", "global": true, "deadline": deadline })
}

/// The wait is longer than a call may run, and an answer with other correlation data does not count.
async fn the_answer_comes_in_the_call() -> Result<()> {
    let mut stage = asker(Version::V5).await?;
    let mut oracle = stage.watch("oracle").await?;
    stage.tell("command", question(20_000)).await?;
    let asked = oracle.expect("oracle").await?;
    assert_eq!((asked.text().as_str(), asked.qos), ("why?", 1));
    // a second has gone when this has come twice
    let mut clock = stage.watch("service/clock/tick").await?;
    for _ in 0..2 {
        clock.next().await?;
    }
    let topic = asked.properties.response_topic.unwrap_or_default();
    let wrong = Properties {
        correlation_data: Some("wrong".into()),
        ..Properties::default()
    };
    oracle
        .send(Message::new(&topic, "not this").with(wrong))
        .await?;
    let right = Properties {
        correlation_data: asked.properties.correlation_data,
        ..Properties::default()
    };
    oracle
        .send(Message::new(&topic, "because").with(right))
        .await?;
    assert_eq!(stage.expect("response").await?.json()?, json!("because"));
    Ok(())
}

async fn without_an_answer() -> Result<()> {
    let mut stage = asker(Version::V5).await?;
    stage.tell("command", question(50)).await?;
    assert_eq!(
        stage.expect("refused").await?.text(),
        "RequestError::TimedOut"
    );
    Ok(())
}

async fn without_mqtt_5() -> Result<()> {
    let mut stage = asker(Version::V311).await?;
    stage.tell("command", question(50)).await?;
    let reason = stage.expect("refused").await?.text();
    assert!(
        reason.starts_with("RequestError::Unavailable(") && reason.contains("MQTT 5"),
        "{reason}"
    );
    Ok(())
}

async fn outside_without_a_grant() -> Result<()> {
    let mut stage = asker(Version::V5).await?;
    stage
        .tell("command", json!({ "request": "elsewhere", "global": true }))
        .await?;
    let reason = stage.expect("refused").await?.text();
    assert!(reason.contains("services.probe.grants.publish"), "{reason}");
    Ok(())
}
