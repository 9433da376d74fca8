//! Brokers that end the connection for packets that they do not accept: the packet is found and set
//! aside, and everything else flows.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use miqro_tests::mosquitto::Setup;
use miqro_tests::{Client, Host, Message, Mosquitto, Version};
use serde_json::{Value, json};

use super::LONGEST_GAP;
use super::censor::{Censor, SUBSCRIBE};
use super::victim::Victim;

/// Connections that may be ended until one poisonous packet among few is found: two until it is noticed, some halvings, three alone;
/// and those of the presence connection, which carries nothing of it.
const ENOUGH: usize = 14;

fn both() -> [Version; 2] {
    [Version::V5, Version::V311]
}

/// A host with a victim and the guest `guest` as `probe`.
fn hosts(port: u16, version: Version, guest: &str, section: Value) -> miqro_tests::host::Setup {
    Host::on(port)
        .version(version)
        .service("victim", "relay", json!({}))
        .service("probe", guest, section)
}

async fn tell(client: &mut Client, topic: &str, command: &Value) -> Result<()> {
    client
        .send(Message::new(format!("service/probe/{topic}"), command.to_string()).qos(1))
        .await
}

#[tokio::test]
async fn a_message_is_found_and_set_aside() -> Result<()> {
    for version in both() {
        for (qos, retain) in [(1, false), (2, true)] {
            let broker = Mosquitto::start().await?;
            let censor = Censor::before(broker.port(), |packet| packet.has("/poison")).await?;
            let mut host = hosts(censor.port(), version, "contract-publish", json!({}))
                .start()
                .await?;
            let victim = Victim::start(broker.port()).await?;
            let mut client = Client::connect(broker.port()).await?;
            client.subscribe("service/probe/out", 1).await?;
            tell(
                &mut client,
                "publish",
                &json!({ "topic": "poison", "qos": qos, "retain": retain }),
            )
            .await?;
            host.output()
                .wait_for("the packet that is set aside", |line| {
                    line.contains("the message on service/probe/poison with QoS")
                        && line.contains("service=probe")
                })
                .await?;

            // the service goes on
            tell(&mut client, "publish", &json!({ "topic": "out", "qos": 1 })).await?;
            client.expect("service/probe/out").await?;
            victim.check(LONGEST_GAP).await?;
            ensure!(censor.ended() <= ENOUGH, "{} connections", censor.ended());
            let letters = host.tell(&["replay", "--list", "probe"]).await?;
            ensure!(
                letters.contains("service/probe/poison, ") && letters.contains("never sent"),
                "{letters}"
            );
            // the message that led to it was acknowledged: it does not come again, and nothing is left of it
            let before = censor.ended();
            host.stop().await?;
            host.restart()?;
            host.online().await?;
            let victim = Victim::start(broker.port()).await?;
            victim.check(LONGEST_GAP).await?;
            ensure!(
                censor.ended() == before,
                "QoS {qos}, {version:?}: {}",
                host.output().told("it came again")
            );
        }
    }

    Ok(())
}

#[tokio::test]
async fn a_message_of_qos_0_that_comes_again_and_again_is_found() -> Result<()> {
    for version in both() {
        let broker = Mosquitto::start().await?;
        let censor = Censor::before(broker.port(), |packet| packet.has("/poison")).await?;
        let host = hosts(censor.port(), version, "contract-publish", json!({}))
            .start()
            .await?;
        let victim = Victim::start(broker.port()).await?;
        let mut client = Client::connect(broker.port()).await?;
        let is_over = |line: &str| {
            line.contains("set aside for now without a try") && line.contains("service=probe")
        };
        let over = host.output().wait_for("the end of the tries", is_over);
        tokio::pin!(over);
        let mut pace = tokio::time::interval(Duration::from_millis(200));
        loop {
            tokio::select! {
                said = &mut over => break drop(said?),
                _ = pace.tick() => tell(&mut client, "publish", &json!({ "topic": "poison", "qos": 0 })).await?,
            }
        }

        let before = censor.ended();
        for _ in 0..20 {
            tell(
                &mut client,
                "publish",
                &json!({ "topic": "poison", "qos": 0 }),
            )
            .await?;
        }

        tell(&mut client, "publish", &json!({ "topic": "out", "qos": 1 })).await?;
        victim.check(LONGEST_GAP).await?;
        ensure!(
            censor.ended() == before,
            "{version:?}: {}",
            host.output().told("it is tried further")
        );
    }

    Ok(())
}

#[tokio::test]
async fn a_filter_is_found_and_quarantined() -> Result<()> {
    for version in both() {
        let broker = Mosquitto::start().await?;
        let forbids =
            |packet: &super::censor::Packet<'_>| packet.kind == SUBSCRIBE && packet.has("/poison");
        let censor = Censor::before(broker.port(), forbids).await?;
        let setup = hosts(censor.port(), version, "contract-subscribe", json!({}));
        let mut host = setup
            .argument("--pid-file")
            .argument("host.pid")
            .start()
            .await?;
        let victim = Victim::start(broker.port()).await?;
        let mut client = Client::connect(broker.port()).await?;
        client.subscribe("service/probe/seen", 1).await?;
        tell(&mut client, "command", &json!({ "subscribe": "poison/#" })).await?;
        tell(&mut client, "command", &json!({ "subscribe": "sound" })).await?;
        let found = |line: &str| {
            line.contains("ends the connection for the subscription to service/probe/poison/#")
        };
        host.output().wait_for("the quarantine", found).await?;
        let status = host.tell(&["status", "--pid-file", "host.pid"]).await?;
        ensure!(
            status.contains("not subscribed to service/probe/poison/#"),
            "{status}"
        );
        client.publish("service/probe/sound", "hear this").await?;
        ensure!(
            client
                .expect("service/probe/seen")
                .await?
                .text()
                .contains("hear this")
        );

        victim.check(LONGEST_GAP).await?;
        ensure!(censor.ended() <= ENOUGH, "{} connections", censor.ended());
        host.stop().await?;
    }

    Ok(())
}

#[tokio::test]
async fn a_filter_in_the_configuration_keeps_no_service_from_starting() -> Result<()> {
    for version in both() {
        let broker = Mosquitto::start().await?;
        let forbids =
            |packet: &super::censor::Packet<'_>| packet.kind == SUBSCRIBE && packet.has("/poison");
        let censor = Censor::before(broker.port(), forbids).await?;
        let section = json!({ "subscriptions": ["poison/+", "sound"] });
        let mut host = hosts(censor.port(), version, "contract-minimal", section)
            .start()
            .await?;
        for again in [true, false] {
            let found = |line: &str| {
                line.contains("ends the connection for the subscription to service/probe/poison/+")
            };
            host.output().wait_for("the quarantine", found).await?;
            let victim = Victim::start(broker.port()).await?;
            victim.check(LONGEST_GAP).await?;
            host.kill()?;
            if again {
                host.restart()?;
                host.online().await?;
            }
        }
    }

    Ok(())
}

#[tokio::test]
async fn a_broker_that_takes_eight_filters_at_a_time_gets_no_more() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let censor = Censor::before(broker.port(), |packet| {
        packet.kind == SUBSCRIBE && filters(packet.body) > 8
    })
    .await?;
    let subscriptions: Vec<String> = (0..22).map(|number| format!("in/{number}")).collect();
    let section = json!({ "subscriptions": subscriptions, "limits": { "attempts": 1 } });
    let host = hosts(censor.port(), Version::V311, "contract-minimal", section)
        .start()
        .await?;
    host.output()
        .wait_for("the size", |line| {
            line.contains("many filters in one packet")
        })
        .await?;
    let victim = Victim::start(broker.port()).await?;
    let mut client = Client::connect(broker.port()).await?;
    client.subscribe("service/probe/dead-letter", 1).await?;
    for number in 0..22 {
        // the guest fails with it, so the dead letter says that it came
        client
            .publish(
                &format!("service/probe/in/{number}"),
                format!("heard {number}"),
            )
            .await?;

        let letter = client.expect("service/probe/dead-letter").await?.text();
        ensure!(letter.contains(&format!("heard {number}")), "{letter}");
    }

    victim.check(LONGEST_GAP).await?;
    ensure!(censor.ended() <= 6, "{} connections", censor.ended());
    Ok(())
}

/// Filters of a SUBSCRIBE of MQTT 3.1.1, section 3.8.3.
fn filters(mut body: &[u8]) -> usize {
    body = body.get(2..).unwrap_or_default();
    let mut count = 0;
    while let [high, low, rest @ ..] = body {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        body = rest.get(length + 1..).unwrap_or_default();
        count += 1;
    }
    count
}

#[tokio::test]
async fn poison_kept_on_disk_is_found_after_a_kill() -> Result<()> {
    for version in both() {
        let mut broker = Mosquitto::start().await?;
        let censor = Censor::before(broker.port(), |packet| packet.has("probe/offline")).await?;
        let rule = json!({ "filter": "offline", "policy": "keep-last", "persist": true });
        let section = json!({ "offline": [rule], "when_disconnected": 1 });
        let setup = hosts(censor.port(), version, "contract-full", section)
            .top("log_level", json!("DEBUG"));
        let mut host = setup.start().await?;
        broker.kill()?;
        let written =
            |line: &str| line.contains("written to the state file") && !line.contains("waiting=0");
        host.output().wait_for("the write", written).await?;
        host.kill()?;
        broker.restart().await?;
        host.restart()?;
        host.online().await?;
        let found = |line: &str| {
            line.contains("service/probe/offline with QoS") && line.contains("service=probe")
        };
        host.output()
            .wait_for("the packet that is set aside", found)
            .await
            .with_context(|| host.output().told("not found"))?;
        // the command is answered after the record was written
        let letters = host.tell(&["replay", "--list", "probe"]).await?;
        ensure!(
            letters.contains("service/probe/offline, ") && letters.contains("never sent"),
            "{letters}"
        );
        host.kill()?;
        let before = censor.ended();
        host.restart()?;
        host.online().await?;
        let victim = Victim::start(broker.port()).await?;
        victim.check(LONGEST_GAP).await?;
        ensure!(
            censor.ended() == before,
            "{version:?}: {}",
            host.output().told("it was not set aside on disk")
        );
        let letters = host.tell(&["replay", "--list", "probe"]).await?;
        ensure!(
            letters.contains("service/probe/offline, ") && letters.contains("never sent"),
            "{letters}"
        );
        host.stop().await?;
    }

    Ok(())
}

#[tokio::test]
async fn mosquitto_that_ends_the_connection_for_a_size_that_it_does_not_say() -> Result<()> {
    let lines = vec!["max_packet_size 2000".to_owned()];
    let broker = Mosquitto::with(&Setup {
        lines,
        ..Setup::default()
    })
    .await?;
    let section = json!({ "subscriptions": ["x"], "limits": { "attempts": 1 } });
    let mut host = hosts(broker.port(), Version::V311, "contract-minimal", section)
        .start()
        .await?;
    let victim = Victim::start(broker.port()).await?;
    let mut client = Client::connect(broker.port()).await?;
    // the dead letter has it twice: as the payload, and in the error text
    client.publish("service/probe/x", "x".repeat(1500)).await?;
    let found = |line: &str| {
        line.contains("the message on service/probe/dead-letter with QoS 1 is set aside")
    };
    host.output()
        .wait_for("the packet that is set aside", found)
        .await?;
    victim.check(LONGEST_GAP).await?;
    let letters = host.tell(&["replay", "--list", "probe"]).await?;
    ensure!(
        letters.contains("service/probe/x, ") && letters.contains("never sent"),
        "{letters}"
    );
    host.stop().await?;
    Ok(())
}
