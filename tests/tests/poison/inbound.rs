//! Poison that a broker delivers: messages that MQTT forbids or that are too large, live and
//! retained, and malformed packets. The message is acknowledged and goes to nobody, and the victim
//! does not notice, after a restart of the host either.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use miqro_tests::host::Setup as HostSetup;
use miqro_tests::{Client, Host, Mosquitto, Version};
use serde_json::json;

use super::LONGEST_GAP;
use super::injector::{FIRST_ID, Injector};
use super::victim::Victim;

/// Larger than `max_packet_size` is by default.
const LARGE: usize = 2 << 20;
/// A question that the victim does not ask.
const AFTER: &str = "4000000000";

fn host(port: u16, version: Version) -> HostSetup {
    Host::on(port)
        .version(version)
        .service("victim", "relay", json!({}))
}

/// Waits until a service is online, at the broker itself: the poison is for the host.
async fn online(broker: &Mosquitto, service: &str) -> Result<()> {
    let topic = format!("service/{service}/online");
    let mut client = Client::connect(broker.port()).await?;
    client.subscribe(&topic, 1).await?;
    while client.expect(&topic).await?.text() != "1" {}
    client.disconnect().await
}

/// A PUBLISH with these flags; QoS 1 and 2 with an identifier of their own.
fn publish(version: Version, flags: u8, topic: &[u8], properties: &[u8], id: &mut u16) -> Vec<u8> {
    let mut body = (topic.len() as u16).to_be_bytes().to_vec();
    body.extend_from_slice(topic);
    if flags & 6 != 0 {
        body.extend_from_slice(&id.to_be_bytes());
        *id += 1;
    }
    if version == Version::V5 {
        body.push(properties.len() as u8);
        body.extend_from_slice(properties);
    }
    body.extend_from_slice(b"1");
    [&[0x30 | flags, body.len() as u8], body.as_slice()].concat()
}

/// One of each kind, at each quality of service, and how many of them can be acknowledged.
fn poison(version: Version) -> (Vec<Vec<u8>>, usize) {
    let mut packets = Vec::new();
    let mut id = FIRST_ID;
    let topics = [
        &b"service/victim/in\xFF"[..],
        b"service/victim/\0",
        b"service/victim/+",
        b"service/victim/#",
        b"",
    ];

    let properties: &[&[u8]] = match version {
        Version::V5 => &[
            &[99],
            &[35, 0, 1],
            &[8, 0, 1, b'#'],
            &[3, 0, 1, 0xFF],
            &[38, 0, 1, b'a', 0, 9],
            &[2, 0],
        ],
        Version::V311 => &[],
    };

    for flags in [0, 1, 2, 3, 4, 5] {
        packets.extend(
            topics
                .iter()
                .map(|topic| publish(version, flags, topic, &[], &mut id)),
        );
        packets.extend(
            properties
                .iter()
                .map(|bytes| publish(version, flags, b"service/victim/in", bytes, &mut id)),
        );
    }

    let acknowledged = usize::from(id - FIRST_ID);
    // packets without an identifier, of a message or of an answer that nobody waits for
    packets.extend(
        [
            &[0x36, 5, 0, 1, b'a', 1, 1][..],
            &[0x32, 5, 0, 1, b'a', 0, 0],
            &[0x32, 3, 9, 9, b'a'],
        ]
        .map(Vec::from),
    );

    packets.extend(
        [
            &[0x62, 0][..],
            &[0x90, 1, 0],
            &[0x90, 2, 0xEA, 0x60],
            &[0xB0, 0],
        ]
        .map(Vec::from),
    );

    (packets, acknowledged)
}

async fn is_delivered_to_nobody(version: Version) -> Result<()> {
    let broker = Mosquitto::start().await?;
    let (packets, acknowledged) = poison(version);
    let mut injector = Injector::to(broker.port(), packets).await?;
    let mut host = host(injector.port(), version).spawn()?;
    online(&broker, "victim").await?;
    let victim = Victim::start(broker.port()).await?;
    let seen = injector
        .wait("rounds of poison", |seen| {
            seen.acknowledged >= 10 * acknowledged
        })
        .await?;
    ensure!(seen.connections == 1, "the connection ended: {seen:?}");
    let said = host.output().count("is delivered to nobody");
    let kinds = if version == Version::V5 { 12 } else { 7 };
    ensure!(
        (4..=kinds).contains(&said),
        "{}",
        host.output().told(&format!("{said} lines"))
    );
    // and after a restart; questions of the meantime are answered then
    host.stop().await?;
    host.restart()?;
    online(&broker, "victim").await?;
    let seen = injector
        .wait("a connection of the new host", |seen| seen.connections == 2)
        .await?;
    injector
        .wait("rounds after it", |now| now.rounds >= seen.rounds + 5)
        .await?;
    victim.check(LONGEST_GAP).await
}

#[tokio::test]
async fn forbidden_messages_are_not_delivered_with_mqtt_5() -> Result<()> {
    is_delivered_to_nobody(Version::V5).await
}

#[tokio::test]
async fn forbidden_messages_are_not_delivered_with_mqtt_3_1_1() -> Result<()> {
    is_delivered_to_nobody(Version::V311).await
}

/// Publishes so many bytes with mosquitto's own client and MQTT 3.1.1, which has no limit for them.
async fn publish_large(
    port: u16,
    topic: &str,
    size: usize,
    arguments: &'static [&'static str],
) -> Result<()> {
    let port = port.to_string();
    let topic = topic.to_owned();
    let publishing = tokio::task::spawn_blocking(move || {
        let mut program = Command::new("mosquitto_pub")
            .args([
                "-V",
                "mqttv311",
                "-h",
                "127.0.0.1",
                "-p",
                &port,
                "-t",
                &topic,
                "-s",
            ])
            .args(arguments)
            .stdin(Stdio::piped())
            .spawn()
            .context("mosquitto_pub")?;

        let mut input = program.stdin.take().context("its input")?;
        std::io::copy(
            &mut std::io::Read::take(std::io::repeat(b'x'), size as u64),
            &mut input,
        )?;
        drop(input);
        ensure!(program.wait()?.success(), "mosquitto_pub failed");
        anyhow::Ok(())
    });

    publishing.await?
}

async fn too_large(version: Version) -> Result<()> {
    let broker = Mosquitto::start().await?;
    // kept from before the first connection of the host, and where the victim is asked
    publish_large(
        broker.port(),
        "service/victim/in",
        LARGE,
        &["-q", "1", "-r"],
    )
    .await?;
    let mut host = host(broker.port(), version).start().await?;
    let victim = Victim::start(broker.port()).await?;
    for arguments in [
        &["-q", "0"][..],
        &["-q", "1"],
        &["-q", "2"],
        &["-q", "2", "-r"],
    ] {
        publish_large(broker.port(), "service/victim/in", LARGE, arguments).await?;
    }

    let before = host.process().memory()?.peak;
    publish_large(broker.port(), "service/victim/in", 100 << 20, &["-q", "1"]).await?;
    if version == Version::V311 {
        // in MQTT 5 mosquitto knows the limit and keeps such a message to itself
        let line = host
            .output()
            .says(
                0,
                "is delivered to nobody: it is larger than max_packet_size allows",
            )
            .await?;

        ensure!(
            line.contains("service/victim/in") && line.contains("209"),
            "{line}"
        );
        ensure!(
            host.output().count("is delivered to nobody") == 1,
            "{}",
            host.output().told("more than one line")
        );
    }

    // in order: when this is answered, earlier packets were skipped
    let mut client = Client::connect(broker.port()).await?;
    client.subscribe("service/victim/out", 1).await?;
    client.publish("service/victim/in", AFTER).await?;
    while client.expect("service/victim/out").await?.text() != AFTER {}
    let grown = host.process().memory()?.peak - before;
    ensure!(grown < 32 << 20, "the host's memory grew by {grown} bytes");
    host.stop().await?;
    host.restart()?;
    host.online().await?;
    ensure!(
        host.output().count("lost") == 0,
        "{}",
        host.output().told("a connection was lost")
    );
    victim.check(LONGEST_GAP).await
}

#[tokio::test]
async fn an_oversized_message_is_skipped_with_mqtt_5() -> Result<()> {
    too_large(Version::V5).await
}

#[tokio::test]
async fn an_oversized_message_is_skipped_with_mqtt_3_1_1() -> Result<()> {
    too_large(Version::V311).await
}

/// Texts that should not be sent are legal to receive.
async fn odd_topics_are_delivered(version: Version) -> Result<()> {
    let topics = [
        "odd/a\tb",
        "odd/\u{1}",
        "odd/\u{85}",
        "odd/\u{FFFE}",
        "odd/\u{FFFF}",
        "odd/\u{FDD0}",
        "odd/\u{1FFFE}",
    ];

    let broker = Mosquitto::start().await?;
    let mut id = FIRST_ID;
    let packets = topics
        .iter()
        .map(|topic| publish(version, 2, topic.as_bytes(), &[], &mut id))
        .collect();
    let injector = Injector::to(broker.port(), packets).await?;
    let odd = json!({ "subscriptions": [{ "filter": "odd/#", "global": true }] });
    let mut client = Client::connect(broker.port()).await?;
    client.subscribe("service/odd/out", 1).await?;
    let _host = host(injector.port(), version)
        .service("odd", "relay", odd)
        .spawn()?;
    online(&broker, "victim").await?;
    let victim = Victim::start(broker.port()).await?;
    for _ in 0..3 * topics.len() {
        ensure!(client.expect("service/odd/out").await?.text() == "1");
    }
    victim.check(LONGEST_GAP).await
}

#[tokio::test]
async fn odd_topics_are_delivered_with_mqtt_5() -> Result<()> {
    odd_topics_are_delivered(Version::V5).await
}

#[tokio::test]
async fn odd_topics_are_delivered_with_mqtt_3_1_1() -> Result<()> {
    odd_topics_are_delivered(Version::V311).await
}
