//! `service/<name>/enabled`, further availability topics, and presence that is kept fresh.

use anyhow::Result;
use miqro_tests::host::Setup;
use miqro_tests::{Client, Host, Message, Mosquitto};
use serde_json::{Value, json};

async fn relay(
    set_up: impl FnOnce(Setup) -> Setup,
    section: Value,
) -> Result<(Mosquitto, Host, Client)> {
    let broker = Mosquitto::start().await?;
    let host = set_up(Host::on(broker.port()))
        .service("it", "relay", section)
        .start()
        .await?;
    let mut client = host.client().await?;
    client.subscribe("service/it/out", 1).await?;
    Ok((broker, host, client))
}

#[tokio::test]
async fn a_disabled_service_gets_no_messages() -> Result<()> {
    let (_broker, host, mut client) = relay(|setup| setup, json!({})).await?;
    client.publish("service/it/in", "one").await?;
    assert_eq!(client.next().await?.text(), "one");
    client.publish("service/it/enabled", "0").await?;
    client.publish("service/it/in", "lost").await?;
    // a payload that is neither 0 nor 1 changes nothing, and does not kill anything either
    client.publish("service/it/enabled", "maybe").await?;
    host.output()
        .wait_for("the warning", |line| line.contains("neither 1 nor 0"))
        .await?;
    client.publish("service/it/in", "lost too").await?;
    client.publish("service/it/enabled", "1").await?;
    client.publish("service/it/in", "two").await?;
    assert_eq!(client.next().await?.text(), "two");
    host.output()
        .wait_for("the count", |line| {
            line.contains("2 messages came while it was off")
        })
        .await?;
    Ok(())
}

#[tokio::test]
async fn a_switch_that_the_broker_has_kept_counts_after_a_restart() -> Result<()> {
    let (_broker, mut host, mut client) = relay(|setup| setup, json!({})).await?;
    client
        .send(Message::new("service/it/enabled", "0").retained())
        .await?;
    host.output()
        .wait_for("switched off", |line| line.contains("switched off"))
        .await?;
    host.stop().await?;
    host.restart()?;
    host.output()
        .wait_for("switched off again", |line| line.contains("switched off"))
        .await?;
    client.publish("service/it/in", "lost").await?;
    client
        .send(Message::new("service/it/enabled", "1").retained())
        .await?;
    client.publish("service/it/in", "two").await?;
    assert_eq!(client.next().await?.text(), "two");
    Ok(())
}

#[tokio::test]
async fn further_topics_say_whether_the_service_is_online() -> Result<()> {
    let further = json!({ "topic": "plant/it", "global": true, "online": "up", "offline": "down" });
    let section = json!({ "availability": ["bridge/online", further] });
    let (broker, mut host, _client) = relay(|setup| setup, section).await?;
    let mut watcher = Client::connect(broker.port()).await?;
    watcher.subscribe("plant/it", 1).await?;
    assert_eq!(
        watcher.next().await?,
        Message::new("plant/it", "up").retained()
    );
    watcher.subscribe("service/it/bridge/online", 1).await?;
    assert_eq!(
        watcher.next().await?,
        Message::new("service/it/bridge/online", "1").retained()
    );
    host.stop().await?;
    let told = [watcher.next().await?.text(), watcher.next().await?.text()];
    assert!(
        told.contains(&"down".to_owned()) && told.contains(&"0".to_owned()),
        "{told:?}"
    );
    Ok(())
}

#[tokio::test]
async fn online_is_said_again_and_again() -> Result<()> {
    let (broker, _host, _client) = relay(
        |setup| setup.top("online_interval", json!("50ms")),
        json!({}),
    )
    .await?;
    let mut watcher = Client::connect(broker.port()).await?;
    watcher.subscribe("service/it/online", 1).await?;
    for _ in 0..4 {
        assert_eq!(watcher.next().await?.text(), "1");
    }
    Ok(())
}

#[tokio::test]
async fn statistics_are_in_the_log_at_an_interval_and_on_request() -> Result<()> {
    let (_broker, host, mut client) = relay(
        |setup| setup.top("statistics_interval", json!("1h")),
        json!({}),
    )
    .await?;
    client.publish("service/it/in", "one").await?;
    client.next().await?;
    host.process().signal("USR1")?;
    let line = host
        .output()
        .wait_for("the statistics", |line| line.contains("messages: "))
        .await?;
    assert!(
        line.contains("1 calls") && line.contains("p99") && line.contains("waiting=0"),
        "{line}"
    );
    let (_broker, host, mut client) = relay(
        |setup| setup.top("statistics_interval", json!("20ms")),
        json!({}),
    )
    .await?;
    client.publish("service/it/in", "one").await?;
    host.output()
        .wait_for("the statistics", |line| line.contains("messages: 1 calls"))
        .await?;
    Ok(())
}
