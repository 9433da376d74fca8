//! Retained states of the host and its services.

use anyhow::Result;
use miqro_tests::{Client, Host, Message, Mosquitto};
use serde_json::{Value, json};

use super::{HOST, ask, controlled, start};

/// The next state of a service for which `wanted` holds.
async fn state(client: &mut Client, name: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
    loop {
        let state = client
            .expect(&format!("{HOST}/services/{name}"))
            .await?
            .json()?;
        if wanted(&state) {
            return Ok(state);
        }
    }
}

#[tokio::test]
async fn states_are_retained_and_follow_the_snapshot() -> Result<()> {
    let (_broker, host, mut client) = start(&["disable", "enable", "snapshot"]).await?;
    client.subscribe(&format!("{HOST}/services/+"), 1).await?;
    let first = client.next().await?;
    assert!(first.retain);
    let it = first.json()?;
    assert_eq!(
        (&it["name"], &it["status"]),
        (&json!("it"), &json!("running"))
    );
    assert_eq!(it["enabled"], true, "{it}");

    let answer = ask(&mut client, "disable", r#"{"service":"it"}"#).await?;
    assert!(answer["ok"].is_string(), "{answer}");
    state(&mut client, "it", |it| it["enabled"] == false).await?;
    ask(&mut client, "enable", r#"{"service":"it"}"#).await?;
    state(&mut client, "it", |it| it["enabled"] == true).await?;
    client.publish("service/it/in", "one").await?;
    let counted = state(&mut client, "it", |it| it["messages"]["calls"] == 1).await?;
    let snapshot = ask(&mut client, "snapshot", "").await?;
    assert_eq!(
        snapshot["ok"]["services"][0]["activity"]["messages"],
        counted["messages"]
    );

    let mut config = host.config();
    config["services"] = json!({"other": {"component": "it.wasm"}});
    host.reconfigured(&config).await?;
    while !client
        .expect(&format!("{HOST}/services/it"))
        .await?
        .payload
        .is_empty()
    {}
    state(&mut client, "other", |other| other["status"] == "running").await?;
    Ok(())
}

#[tokio::test]
async fn states_of_services_that_are_gone_after_a_restart_are_removed() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let mut host = controlled(Host::on(broker.port()), &[])
        .service("old", "relay", json!({}))
        .start()
        .await?;
    let mut client = host.client().await?;
    client.subscribe(&format!("{HOST}/services/+"), 1).await?;
    state(&mut client, "old", |old| old["status"] == "running").await?;
    host.stop().await?;
    drop(host);

    let _host = controlled(Host::on(broker.port()), &[]).start().await?;
    while !client
        .expect(&format!("{HOST}/services/old"))
        .await?
        .payload
        .is_empty()
    {}
    let mut late = Client::connect(broker.port()).await?;
    late.subscribe(&format!("{HOST}/services/+"), 1).await?;
    let topics = late.pending().await?;
    let topics: Vec<&str> = topics.iter().map(|one| one.topic.as_str()).collect();
    assert_eq!(topics, ["miqro/house/services/it"]);
    Ok(())
}

#[tokio::test]
async fn states_come_back_when_the_broker_has_lost_them() -> Result<()> {
    let (mut broker, _host, client) = start(&[]).await?;
    broker.kill()?;
    client.rest().await?;
    broker.restart().await?;
    let mut client = Client::connect(broker.port()).await?;
    client.subscribe(&format!("{HOST}/#"), 1).await?;
    client.expect(&format!("{HOST}/services/it")).await?;
    let mut late = Client::connect(broker.port()).await?;
    late.subscribe(&format!("{HOST}/online"), 1).await?;
    assert_eq!(late.expect(&format!("{HOST}/online")).await?.text(), "1");
    Ok(())
}

#[tokio::test]
async fn host_that_is_gone_is_offline() -> Result<()> {
    let (_broker, mut host, mut client) = start(&[]).await?;
    let online = format!("{HOST}/online");
    client.subscribe(&online, 1).await?;
    client.subscribe("service/it/online", 1).await?;
    assert_eq!(
        client.expect(&online).await?,
        Message::new(&online, "1").retained()
    );
    host.stop().await?;
    assert_eq!(client.expect(&online).await?.text(), "0");

    host.restart()?;
    assert_eq!(client.expect(&online).await?.text(), "1");
    // its "0" of the stop may come first
    while client.expect("service/it/online").await?.text() != "1" {}
    host.kill()?;
    // each has a will of its own
    let gone = [client.next().await?, client.next().await?];
    let mut topics = gone.each_ref().map(|one| (one.topic.as_str(), one.text()));
    topics.sort();
    let zero = || "0".to_owned();
    assert_eq!(
        topics,
        [(online.as_str(), zero()), ("service/it/online", zero())]
    );
    Ok(())
}
