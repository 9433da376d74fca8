//! Presence: `service/<name>/online` is true, also after the host was killed.

use std::collections::BTreeMap;

use anyhow::Result;
use miqro_tests::host::Setup;
use miqro_tests::{Client, Host, Mosquitto, Version, mosquitto};
use serde_json::json;

const SERVICES: [&str; 3] = ["first", "second", "third"];

fn three(port: u16, version: Version) -> Setup {
    let setup = Host::on(port)
        .broker("client_id", json!("present"))
        .version(version);
    SERVICES
        .into_iter()
        .fold(setup, |setup, name| setup.service(name, "relay", json!({})))
}

/// Waits until each service has said `value`, and returns whether the broker had kept it for us.
async fn all_say(client: &mut Client, value: &str) -> Result<bool> {
    let mut kept = true;
    let mut missing = SERVICES
        .map(|name| format!("service/{name}/online"))
        .to_vec();
    while !missing.is_empty() {
        let message = client.next().await?;
        assert_eq!(message.text(), value, "{}", message.topic);
        kept &= message.retain;
        missing.retain(|topic| *topic != message.topic);
    }

    Ok(kept)
}

/// Checks the retained value for a new client.
async fn later(port: u16, value: &str) -> Result<()> {
    let mut client = Client::connect(port).await?;
    client.subscribe("service/+/online", 1).await?;
    assert!(all_say(&mut client, value).await?, "not retained");
    assert_eq!(client.pending().await?, []);
    Ok(())
}

#[tokio::test]
async fn services_are_offline_after_a_kill_and_online_again() -> Result<()> {
    for version in [Version::V5, Version::V311] {
        let broker = Mosquitto::start().await?;
        let mut host = three(broker.port(), version).start().await?;
        let mut watcher = Client::connect(broker.port()).await?;
        watcher.subscribe("service/+/online", 1).await?;
        assert!(all_say(&mut watcher, "1").await?, "not retained");
        for _ in 0..2 {
            host.kill()?;
            all_say(&mut watcher, "0").await?;
            later(broker.port(), "0").await?;
            host.restart()?;
            all_say(&mut watcher, "1").await?;
            later(broker.port(), "1").await?;
        }

        assert_eq!(watcher.pending().await?, []);
    }

    Ok(())
}

#[tokio::test]
async fn every_service_is_offline_after_a_clean_stop() -> Result<()> {
    for version in [Version::V5, Version::V311] {
        let broker = Mosquitto::start().await?;
        let mut host = three(broker.port(), version).start().await?;
        let mut watcher = Client::connect(broker.port()).await?;
        watcher.subscribe("service/+/online", 1).await?;
        all_say(&mut watcher, "1").await?;
        assert!(host.stop().await?.success());
        all_say(&mut watcher, "0").await?;
        later(broker.port(), "0").await?;
        // the host said it, not the broker: that would mean that somebody left without DISCONNECT
        assert_eq!(watcher.pending().await?, [], "said twice");
        for client in ["present", "present-second", "present-third"] {
            broker
                .output()
                .says(0, &format!("Client {client} disconnected."))
                .await?;
        }
    }

    Ok(())
}

#[tokio::test]
async fn the_embedded_broker_says_so_to_its_clients_before_it_goes() -> Result<()> {
    let setup = SERVICES.into_iter().fold(Host::embedded()?, |setup, name| {
        setup.service(name, "relay", json!({}))
    });
    let mut host = setup.start().await?;
    let mut watcher = host.client().await?;
    watcher.subscribe("service/+/online", 1).await?;
    assert!(all_say(&mut watcher, "1").await?, "not retained");
    assert!(host.stop().await?.success());
    all_say(&mut watcher, "0").await.map(drop)
}

#[tokio::test]
async fn a_broker_that_lost_everything_is_told_again() -> Result<()> {
    let mut broker = Mosquitto::start().await?;
    let host = three(broker.port(), Version::V5).start().await?;
    let line = host.output().lines().len();
    broker.kill()?;
    host.output().says(line, "lost").await?;
    broker.restart().await?;
    host.online().await?;
    later(broker.port(), "1").await
}

/// The watcher, the main connection and one presence connection take all places of the broker.
#[tokio::test]
async fn a_service_whose_presence_connection_finds_no_place_is_online_too() -> Result<()> {
    for version in [Version::V5, Version::V311] {
        let broker = Mosquitto::with(&mosquitto::Setup {
            lines: vec!["max_connections 3".to_owned()],
            ..mosquitto::Setup::default()
        })
        .await?;
        let mut watcher = Client::connect(broker.port()).await?;
        watcher.subscribe("service/+/online", 1).await?;
        let mut host = three(broker.port(), version).spawn()?;
        all_say(&mut watcher, "1").await?;
        let line = host.output().says(0, "no presence connection").await?;
        assert!(
            line.contains("over the main connection without a will"),
            "{line}"
        );
        assert!(host.stop().await?.success());
        all_say(&mut watcher, "0").await?;
        assert_eq!(watcher.pending().await?, [], "said twice");
    }

    Ok(())
}

#[tokio::test]
async fn more_services_than_presence_connections_share_one_will() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let mut host = three(broker.port(), Version::V5)
        .top("presence_connections", json!(1))
        .start()
        .await?;
    host.output().says(0, "share one will").await?;
    broker.output().says(0, "as present").await?;
    let mut watcher = Client::connect(broker.port()).await?;
    watcher.subscribe("miqro/present/online", 1).await?;
    assert_eq!(watcher.next().await?.text(), "1");
    // a value without a will expires
    watcher.subscribe("service/+/online", 1).await?;
    let mut expiry = BTreeMap::new();
    while expiry.len() < SERVICES.len() {
        let message = watcher.next().await?;
        assert_eq!(message.text(), "1");
        expiry.insert(message.topic, message.properties.message_expiry);
    }
    assert!(
        expiry
            .values()
            .all(|seconds| seconds.is_some_and(|seconds| seconds <= 180)),
        "{expiry:?}"
    );

    assert_eq!(
        broker.output().count("as present"),
        1,
        "more than one connection"
    );
    host.kill()?;
    let gone = watcher.next().await?;
    assert_eq!(
        (gone.topic.as_str(), gone.text().as_str()),
        ("miqro/present/online", "0")
    );
    host.restart()?;
    assert_eq!(watcher.expect("miqro/present/online").await?.text(), "1");
    host.online().await?;
    // a clean stop takes back everything
    assert!(host.stop().await?.success());
    assert_eq!(watcher.expect("miqro/present/online").await?.text(), "0");
    later(broker.port(), "0").await
}

#[tokio::test]
async fn as_many_services_as_presence_connections_and_one_have_a_will_each() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let mut host = three(broker.port(), Version::V5)
        .top("presence_connections", json!(2))
        .start()
        .await?;
    host.kill()?;
    let mut watcher = Client::connect(broker.port()).await?;
    watcher.subscribe("service/+/online", 1).await?;
    let mut offline = BTreeMap::new();
    while offline.values().filter(|value| *value == "0").count() < SERVICES.len() {
        let message = watcher.next().await?;
        offline.insert(message.topic.clone(), message.text());
    }
    Ok(())
}
