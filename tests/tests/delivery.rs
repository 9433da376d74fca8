//! What becomes of messages: every quality of service, both versions of the protocol, both brokers, and whichever of broker
//! and host is stopped or killed meanwhile.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use miqro_tests::client::Options;
use miqro_tests::host::Setup;
use miqro_tests::mosquitto;
use miqro_tests::{Client, Host, Message, Mosquitto, Version, place};
use serde_json::json;

/// A broker that keeps its sessions on disk.
fn persistent() -> mosquitto::Setup {
    mosquitto::Setup { persistent: true, ..mosquitto::Setup::default() }
}

fn relay(setup: Setup) -> Setup {
    setup.service("relay", "relay", json!({}))
}

/// A client that receives what the relay answers, also what came while it was away.
async fn receiver(port: u16) -> Result<Client> {
    let mut client = Client::with(&Options { keep_session: true, ..Options::new(port) }).await?;
    client.subscribe("service/relay/out", 1).await?;
    Ok(client)
}

/// Publishes the numbers `range` to the relay without waiting for the broker.
async fn post(client: &mut Client, range: std::ops::Range<usize>) -> Result<()> {
    for number in range {
        client.post(Message::new("service/relay/in", number.to_string())).await?;
    }
    Ok(())
}

/// Receives until every number below `count` has come; returns all numbers in the order of their coming.
async fn answers(client: &mut Client, count: usize) -> Result<Vec<usize>> {
    let (mut all, mut missing) = (Vec::new(), (0..count).collect::<BTreeSet<_>>());
    while !missing.is_empty() {
        let message =
            client.expect("service/relay/out").await.with_context(|| format!("never answered: {missing:?}"))?;
        let number = message.text().parse()?;
        missing.remove(&number);
        all.push(number);
    }
    Ok(all)
}

async fn every_quality_of_service(setup: Setup, version: Version) -> Result<()> {
    let host = setup.version(version).service("info", "contract-message-info", json!({})).start().await?;
    for version in [Version::V5, Version::V311] {
        let mut client = Client::with(&Options { version, ..Options::new(host.port()) }).await?;
        client.subscribe("service/info/info", 2).await?;
        for qos in 0..=2 {
            client.send(Message::new("service/info/in/a", "x").qos(qos)).await?;
            let info = client.expect("service/info/info").await?.json()?;
            assert_eq!((&info["qos"], &info["attempt"]), (&json!(qos), &json!(1)));
        }
    }
    Ok(())
}

#[tokio::test]
async fn every_quality_of_service_through_mosquitto() -> Result<()> {
    for version in [Version::V5, Version::V311] {
        let broker = Mosquitto::start().await?;
        every_quality_of_service(Host::on(broker.port()), version).await.with_context(|| format!("{version:?}"))?;
    }
    Ok(())
}

#[tokio::test]
async fn every_quality_of_service_through_the_embedded_broker() -> Result<()> {
    for version in [Version::V5, Version::V311] {
        every_quality_of_service(Host::embedded()?, version).await.with_context(|| format!("{version:?}"))?;
    }
    Ok(())
}

#[tokio::test]
async fn a_stream_of_messages_through_the_embedded_broker() -> Result<()> {
    let host = relay(Host::embedded()?).start().await?;
    let mut client = receiver(host.port()).await?;
    post(&mut client, 0..2000).await?;
    assert_eq!(answers(&mut client, 2000).await?, (0..2000).collect::<Vec<_>>(), "each once and in order");
    Ok(())
}

#[tokio::test]
async fn the_broker_may_come_later() -> Result<()> {
    let port = place::free_port()?;
    let host = relay(Host::on(port)).spawn()?;
    host.output().wait_for("a refused connection", |line| line.contains(&port.to_string())).await?;
    let _broker = Mosquitto::on(port, &mosquitto::Setup::default()).await?;
    host.online().await?;
    let mut client = receiver(port).await?;
    post(&mut client, 0..1).await?;
    answers(&mut client, 1).await?;
    Ok(())
}

/// The broker forgets everything: the host connects again, subscribes again and is online again.
#[tokio::test]
async fn the_broker_is_killed_and_started_again() -> Result<()> {
    for version in [Version::V5, Version::V311] {
        let mut broker = Mosquitto::start().await?;
        let host = relay(Host::on(broker.port())).version(version).start().await?;
        for _ in 0..3 {
            broker.kill()?;
            broker.restart().await?;
            host.online().await?;
            let mut client = receiver(broker.port()).await?;
            post(&mut client, 0..100).await?;
            assert_eq!(answers(&mut client, 100).await?, (0..100).collect::<Vec<_>>(), "{version:?}");
        }
    }
    Ok(())
}

/// The broker keeps the sessions: what was published to it is answered, whenever it was stopped.
#[tokio::test]
async fn the_broker_is_stopped_in_the_middle_of_a_stream() -> Result<()> {
    let mut broker = Mosquitto::with(&persistent()).await?;
    let host = relay(Host::on(broker.port())).start().await?;
    let options = Options { keep_session: true, ..Options::new(broker.port()) };
    let mut client = Client::with(&options).await?;
    client.subscribe("service/relay/out", 1).await?;
    post(&mut client, 0..500).await?;
    client.acknowledged(500).await?;
    broker.stop().await?;
    broker.restart().await?;
    host.online().await?;
    let mut again = Client::with(&options).await?;
    assert!(again.session_present());
    // the first client had taken some of the answers before the stop
    let mut seen: BTreeSet<String> = BTreeSet::new();
    while let Ok(message) = client.next().await {
        seen.insert(message.text());
    }
    while seen.len() < 500 {
        seen.insert(again.next().await.with_context(|| format!("{} of 500 were answered", seen.len()))?.text());
    }
    Ok(())
}

/// Nothing is lost, because a message is acknowledged only when its answer has reached the broker.
#[tokio::test]
async fn the_host_is_killed_in_the_middle_of_a_stream() -> Result<()> {
    const ROUNDS: usize = 5;
    const EACH: usize = 400;
    for version in [Version::V5, Version::V311] {
        let broker = Mosquitto::start().await?;
        let mut host = relay(Host::on(broker.port())).version(version).start().await?;
        let (mut sender, mut client) = (Client::connect(broker.port()).await?, receiver(broker.port()).await?);
        for round in 0..ROUNDS {
            post(&mut sender, round * EACH..(round + 1) * EACH).await?;
            client.expect("service/relay/out").await?;
            host.kill()?;
            host.restart()?;
        }
        let mut missing: BTreeSet<usize> = (0..ROUNDS * EACH).collect();
        sender.acknowledged(ROUNDS * EACH).await?;
        // the first answer of each round was taken above
        while missing.len() > ROUNDS {
            let message = client.expect("service/relay/out").await;
            missing
                .remove(&message.with_context(|| format!("{version:?}, never answered: {missing:?}"))?.text().parse()?);
        }
    }
    Ok(())
}

/// At a clean stop what was handled is acknowledged, so nothing comes twice either.
#[tokio::test]
async fn the_host_is_stopped_in_the_middle_of_a_stream() -> Result<()> {
    const COUNT: usize = 2000;
    let broker = Mosquitto::start().await?;
    let mut host = relay(Host::on(broker.port())).start().await?;
    let (mut sender, mut client) = (Client::connect(broker.port()).await?, receiver(broker.port()).await?);
    post(&mut sender, 0..COUNT).await?;
    let first = client.expect("service/relay/out").await?;
    let status = host.stop().await?;
    assert!(status.success(), "{}", host.output().told("exit code 0 was expected"));
    host.restart()?;
    let mut all = vec![first.text().parse::<usize>()?];
    while all.len() < COUNT {
        let message = client.expect("service/relay/out").await;
        all.push(message.with_context(|| format!("{} of {COUNT} answered", all.len()))?.text().parse()?);
    }
    assert_eq!(all, (0..COUNT).collect::<Vec<_>>(), "each once and in order");
    assert_eq!(client.pending().await?, [], "nothing twice");
    Ok(())
}

/// The broker says that a killed host is gone, for each of its services.
#[tokio::test]
async fn online_is_0_when_the_host_is_killed() -> Result<()> {
    for version in [Version::V5, Version::V311] {
        let broker = Mosquitto::start().await?;
        let setup = Host::on(broker.port()).version(version);
        let setup =
            ["one", "two", "three"].into_iter().fold(setup, |setup, name| setup.service(name, "relay", json!({})));
        let mut host = setup.start().await?;
        host.kill()?;
        gone(&broker, ["one", "two", "three"]).await.with_context(|| format!("{version:?}"))?;
    }
    Ok(())
}

#[tokio::test]
async fn online_is_0_after_a_clean_stop() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let setup = Host::on(broker.port());
    let mut host =
        ["one", "two"].into_iter().fold(setup, |setup, name| setup.service(name, "relay", json!({}))).start().await?;
    assert!(host.stop().await?.success());
    gone(&broker, ["one", "two"]).await
}

/// Waits for `online` = `0` of each service, retained at the broker.
async fn gone<const N: usize>(broker: &Mosquitto, names: [&str; N]) -> Result<()> {
    for name in names {
        let topic = format!("service/{name}/online");
        let mut client = Client::connect(broker.port()).await?;
        client.subscribe(&topic, 1).await?;
        while client.next().await?.text() != "0" {}
        let mut late = Client::connect(broker.port()).await?;
        late.subscribe(&topic, 1).await?;
        assert_eq!(late.next().await?, Message::new(topic, "0").retained());
    }
    Ok(())
}
