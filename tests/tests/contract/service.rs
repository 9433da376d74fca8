//! The exports of a guest: `handle`, `tick`, and the optional `start` and `stop`.

use anyhow::{Context, Result};
use miqro_tests::{Client, Host, Message, Mosquitto, Version, guests};
use serde_json::{Value, json};

use super::stage::{Stage, own};

cases! {
    "handle": in_order, the_two_exports_are_enough, an_error_is_logged_and_nothing_is_published, every_kind_of_fault;
    "tick": an_error_in_tick_is_logged_and_nothing_is_published;
    "start": before_the_first_message, an_error_keeps_the_service_from_starting;
    "stop": at_a_clean_stop, an_error_does_not_keep_it_from_stopping, at_a_swap;
}

async fn in_order() -> Result<()> {
    const COUNT: usize = 500;
    for version in [Version::V5, Version::V311] {
        let mut stage = Stage::version("relay", json!({}), version).await?;
        let mut receiver = Client::connect(stage.broker.port()).await?;
        receiver.subscribe(&own("out"), 1).await?;
        for number in 0..COUNT {
            stage
                .client
                .post(Message::new(own("in"), number.to_string()))
                .await?;
        }

        for number in 0..COUNT {
            assert_eq!(
                receiver.next().await?,
                Message::new(own("out"), number.to_string()),
                "{version:?}"
            );
        }
    }

    Ok(())
}

/// Without `start` a guest gets its subscriptions from `miqro.yml`.
async fn the_two_exports_are_enough() -> Result<()> {
    let section = json!({
        "subscriptions": ["in", { "filter": "home/#", "qos": 0, "global": true }], "limits": { "attempts": 1 },
    });
    let mut stage = Stage::new("contract-minimal", section).await?;
    // the guest repeats topic and payload in an error, for it can do nothing else
    stage.tell("in", "one").await?;
    stage
        .host
        .output()
        .wait_for("in: one", |line| line.contains("in: one"))
        .await?;
    stage.client.publish("home/lamp", "two").await?;
    stage
        .host
        .output()
        .wait_for("home/lamp: two", |line| line.contains("home/lamp: two"))
        .await?;
    Ok(())
}

fn limits(attempts: u32) -> Value {
    let backoff = json!({ "min": "1ms", "max": "10ms" });
    json!({ "limits": { "attempts": attempts, "memory": "32MiB", "call": "200ms", "backoff": backoff } })
}

async fn an_error_is_logged_and_nothing_is_published() -> Result<()> {
    let mut stage = Stage::new("contract-faulty", limits(3)).await?;
    let mut watcher = stage.watch(&own("lost")).await?;
    stage.tell("work", "fail").await?;
    stage.tell("work", "well").await?;
    assert_eq!(stage.expect("worked").await?.text(), "well");
    stage
        .host
        .output()
        .wait_for("the error", |line| line.contains("told to fail"))
        .await?;
    assert_eq!(watcher.pending().await?, []);
    Ok(())
}

/// A trap, an endless loop, too much memory, too deep a recursion: the service goes on, and nothing was published.
async fn every_kind_of_fault() -> Result<()> {
    let mut section = limits(1);
    // after a fault a service has only the processor time that nobody else wants, and the time that it waits for that counts: on a
    // busy machine the next call, which does almost nothing, takes its time too
    section["limits"]["call"] = json!("5s");
    let mut stage = Stage::new("contract-faulty", section).await?;
    let mut watcher = stage.watch(&own("lost")).await?;
    for fault in ["trap", "loop", "allocate", "recurse"] {
        let start = stage.host.output().lines().len();
        stage.tell("work", fault).await?;
        stage.tell("work", format!("well after {fault}")).await?;
        assert_eq!(
            stage.expect("worked").await?.text(),
            format!("well after {fault}")
        );
        let warned = |line: &str| {
            line.contains("probe") && (line.contains("WARN") || line.contains("ERROR"))
        };
        stage.host.output().wait_from(start, fault, warned).await?;
    }

    assert_eq!(watcher.pending().await?, []);
    Ok(())
}

async fn an_error_in_tick_is_logged_and_nothing_is_published() -> Result<()> {
    let mut stage = Stage::new("contract-faulty", limits(1)).await?;
    let mut watcher = stage.watch(&own("lost")).await?;
    stage.tell("work", "tick").await?;
    stage
        .host
        .output()
        .wait_for("the error", |line| line.contains("told to fail in tick"))
        .await?;
    stage.tell("work", "well").await?;
    assert_eq!(stage.expect("worked").await?.text(), "well");
    assert_eq!(watcher.pending().await?, []);
    Ok(())
}

async fn before_the_first_message() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let mut client = Client::connect(broker.port()).await?;
    // waits at the broker for the subscription that `start` makes
    client
        .send(Message::new(own("work"), "waiting").retained())
        .await?;
    client.subscribe(&own("+"), 1).await?;
    let host = Host::on(broker.port())
        .service("probe", "contract-lifecycle", json!({}))
        .start()
        .await?;
    let mut topics = Vec::new();
    while topics.last().is_none_or(|topic| *topic != own("worked")) {
        let message = client.next().await;
        topics.push(
            message
                .with_context(|| host.output().told(&format!("only {topics:?} came")))?
                .topic,
        );
    }

    let place = |topic: &str| topics.iter().position(|other| *other == own(topic));
    assert!(
        place("started").is_some() && place("started") < place("worked"),
        "{topics:?}"
    );
    Ok(())
}

async fn an_error_keeps_the_service_from_starting() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let mut client = Client::connect(broker.port()).await?;
    client.subscribe(&own("#"), 1).await?;
    let host = Host::on(broker.port())
        .service(
            "probe",
            "contract-lifecycle",
            json!({ "refuse_start": "no valve" }),
        )
        .spawn()?;

    host.output()
        .wait_for("the reason", |line| line.contains("no valve"))
        .await?;
    let came = client.pending().await?;
    assert!(
        came.iter()
            .all(|message| message.topic != own("online") || message.text() != "1"),
        "{came:?}"
    );
    assert!(
        came.iter().all(|message| message.topic != own("started")),
        "{came:?}"
    );
    Ok(())
}

async fn at_a_clean_stop() -> Result<()> {
    let mut stage = Stage::new("contract-lifecycle", json!({})).await?;
    let status = stage.host.stop().await?;
    assert!(
        status.success(),
        "{}",
        stage.host.output().told("exit code 0 was expected")
    );
    assert_eq!(stage.expect("stopped").await?.text(), guests::FIRST_VERSION);
    assert_eq!(stage.expect("online").await?.text(), "0");
    Ok(())
}

async fn an_error_does_not_keep_it_from_stopping() -> Result<()> {
    let mut stage = Stage::new(
        "contract-lifecycle",
        json!({ "refuse_stop": "valve is stuck" }),
    )
    .await?;
    let status = stage.host.stop().await?;
    assert!(
        status.success(),
        "{}",
        stage.host.output().told("exit code 0 was expected")
    );
    stage
        .host
        .output()
        .wait_for("the reason", |line| line.contains("valve is stuck"))
        .await?;
    let came = stage.client.pending().await?;
    assert!(
        came.iter().all(|message| message.topic != own("stopped")),
        "the failed call has published: {came:?}"
    );
    Ok(())
}

async fn at_a_swap() -> Result<()> {
    let mut stage = Stage::new("contract-lifecycle", json!({})).await?;
    assert_eq!(stage.expect("started").await?.text(), guests::FIRST_VERSION);
    stage.host.replace("probe", &guests::lifecycle(2)?)?;
    let mut seen = Vec::new();
    while seen.len() < 2 {
        let message = stage.client.next().await?;
        if message.topic == own("started") || message.topic == own("stopped") {
            seen.push(message.text());
        }
    }

    seen.sort();
    assert_eq!(
        seen,
        [guests::FIRST_VERSION, &guests::version(2)],
        "the old one stops, the new one starts"
    );
    stage.tell("work", "").await?;
    assert_eq!(stage.expect("worked").await?.text(), guests::version(2));
    Ok(())
}
