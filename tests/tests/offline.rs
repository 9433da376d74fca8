//! Messages while the broker is away, by the rules of `offline`, and messages that are left out
//! because nothing changed.

use std::time::Duration;

use anyhow::Result;
use miqro_tests::{Client, Deadline, Host, Mosquitto};
use serde_json::{Value, json};
use tokio::time::interval;

async fn host(broker: &Mosquitto, guest: &str, section: Value) -> Result<Host> {
    Host::on(broker.port())
        .top("log_level", json!("DEBUG"))
        .service("it", guest, section)
        .start()
        .await
}

fn command(qos: u8) -> Value {
    json!({ "when_disconnected": qos })
}

fn with_rule(rule: Value, qos: u8) -> Value {
    let mut section = command(qos);
    section["offline"] = json!([rule]);
    section
}

/// Loses the connection, waits until the guest has been told, and gives the messages on `offline` that come with the next one.
async fn after_the_loss(section: Value) -> Result<Vec<String>> {
    let mut broker = Mosquitto::start().await?;
    let host = host(&broker, "contract-full", section).await?;
    broker.kill()?;
    host.output()
        .wait_for("the loss", |line| line.contains(" disconnected"))
        .await?;
    let known = host.output().lines().len();
    // this client is there before the host, which has to wait for its next attempt
    host.process().signal("STOP")?;
    broker.restart().await?;
    let mut client = Client::connect(broker.port()).await?;
    client.subscribe("service/it/offline", 1).await?;
    host.process().signal("CONT")?;
    host.output()
        .wait_from(known, "the connection", |line| {
            line.contains("connected to")
        })
        .await?;
    let mut watcher = Client::connect(broker.port()).await?;
    watcher.subscribe("service/it/value", 1).await?;
    // the answer to a command comes after everything that waited; the first one may come before the host has subscribed
    let mut again = interval(Duration::from_millis(50));
    let answered = async {
        loop {
            tokio::select! {
                _ = again.tick() => client.publish("service/it/command", json!({ "get": "x" }).to_string()).await?,
                answer = watcher.next() => return answer,
            }
        }
    };

    Deadline::new()
        .wait("the answer to a command", answered)
        .await??;
    Ok(client
        .pending()
        .await?
        .into_iter()
        .map(|message| message.text())
        .collect())
}

#[tokio::test]
async fn a_message_waits_where_no_rule_says_otherwise() -> Result<()> {
    for qos in 0..=2 {
        assert_eq!(after_the_loss(command(qos)).await?, ["o"], "QoS {qos}");
    }
    Ok(())
}

#[tokio::test]
async fn a_rule_drops_it() -> Result<()> {
    assert!(
        after_the_loss(with_rule(
            json!({ "filter": "offline", "policy": "drop" }),
            1
        ))
        .await?
        .is_empty()
    );

    let rule = json!({ "filter": "#", "policy": "queue", "qos0": false });
    assert!(after_the_loss(with_rule(rule, 0)).await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn a_rule_for_other_topics_does_not_matter() -> Result<()> {
    let rule = json!({ "filter": "other/#", "policy": "drop" });
    assert_eq!(after_the_loss(with_rule(rule, 1)).await?, ["o"]);
    Ok(())
}

/// The host is killed while the broker is away, and the message is sent by the next one.
#[tokio::test]
async fn persisted_messages_survive_the_host() -> Result<()> {
    for qos in 0..=2 {
        let mut broker = Mosquitto::start().await?;
        let rule = json!({ "filter": "offline", "policy": "keep-last", "persist": true });
        let mut host = host(&broker, "contract-full", with_rule(rule, qos)).await?;
        broker.kill()?;
        host.output()
            .wait_for("the loss", |line| line.contains(" disconnected"))
            .await?;
        let written =
            |line: &str| line.contains("written to the state file") && !line.contains("waiting=0");
        host.output().wait_for("the write", written).await?;
        host.kill()?;
        broker.restart().await?;
        let mut client = Client::connect(broker.port()).await?;
        client.subscribe("service/it/offline", 1).await?;
        host.restart()?;
        assert_eq!(client.next().await?.text(), "o", "QoS {qos}");
        host.stop().await?;
        // it is sent once: the next run has nothing to send
        host.restart()?;
        host.online().await?;
        assert_eq!(client.pending().await?, [], "QoS {qos}");
    }

    Ok(())
}

#[tokio::test]
async fn unchanged_values_are_left_out() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let host = host(&broker, "contract-full", json!({})).await?;
    let mut client = host.client().await?;
    client.subscribe("service/it/out", 1).await?;
    let publish = |payload: &str, rule: Value| {
        json!({ "publish": "out", "payload": payload, "qos": 1, "only_if_changed": rule })
            .to_string()
    };
    let hour = json!(3_600_000);
    for (payload, rule) in [
        ("a", json!(true)),
        ("a", json!(true)),
        ("a", hour.clone()),
        ("b", hour.clone()),
        ("b", hour),
        ("b", json!(0)),
        ("b", json!(null)),
        ("c", json!(true)),
    ] {
        client
            .publish("service/it/command", publish(payload, rule))
            .await?;
    }

    let mut seen = String::new();
    while !seen.ends_with('c') {
        seen.push_str(&client.next().await?.text());
    }
    assert_eq!(seen, "abbbc");
    Ok(())
}

/// A broker that has lost the session may have lost the retained value too.
#[tokio::test]
async fn unchanged_values_are_sent_again_after_session_loss() -> Result<()> {
    let mut broker = Mosquitto::start().await?;
    let host = host(&broker, "contract-full", json!({})).await?;
    let publish = json!({ "publish": "out", "payload": "same", "qos": 1, "only_if_changed": true })
        .to_string();
    for _ in 0..2 {
        let mut client = Client::connect(broker.port()).await?;
        client.subscribe("service/it/out", 1).await?;
        client
            .publish("service/it/command", publish.clone())
            .await?;
        assert_eq!(client.next().await?.text(), "same");
        // an answer to a later message proves that the host knows of the broker's PUBACK; it would send an unacknowledged message to the
        // next broker on its own, and then nothing would have changed
        client.subscribe("service/it/value", 1).await?;
        client
            .publish("service/it/command", json!({ "get": "x" }).to_string())
            .await?;
        client.expect("service/it/value").await?;
        broker.kill()?;
        broker.restart().await?;
        // the broker has forgotten everything: its messages about the service come from the host, after its subscriptions
        host.online().await?;
    }

    Ok(())
}
