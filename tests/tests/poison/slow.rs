//! A service that is merely slow: ten thousand messages wait for it. They must not keep those of the
//! others at the broker, for any window of a broker.

use anyhow::Result;
use miqro_tests::host::Setup;
use miqro_tests::{Client, Host, Message, Mosquitto, Tally, Version, client, mosquitto};
use serde_json::json;

use super::victim::Victim;

const WAITING: u32 = 10_000;
/// How many of the messages take 300 ms; the others take next to nothing, so that the test ends.
const SLOW: u32 = 60;
/// How much more memory the host may have than before; with the embedded broker, which holds the messages, it is the whole process.
const MORE: u64 = 12 << 20;
const MORE_WITH_BROKER: u64 = 32 << 20;

const WORK: &str = "service/slow/work";
const WORKED: &str = "service/slow/worked";

/// Has a slow service beside a victim get all messages at once. `kill`: kills the host in the middle.
async fn beside_a_slow_service(setup: Setup, kill: bool) -> Result<()> {
    let setup =
        setup
            .service("victim", "relay", json!({}))
            .service("slow", "contract-faulty", json!({}));
    let mut host = setup.start().await?;
    let mut slow = Tally::start(host.port(), WORK, WORKED).await?;
    let victim = Victim::beside(host.port(), WORKED).await?;
    let before = host.process().memory()?;
    let mut client = host.client().await?;
    for number in 0..WAITING {
        let pause = if number < SLOW { 300 } else { 0 };
        client
            .post(Message::new(WORK, format!("sleep {pause} {number}")))
            .await?;
    }

    client.acknowledged(WAITING as usize).await?;
    slow.further(10).await?;
    // as long as the victim waits behind the slow service, that answers all slow messages at least
    victim.check_beside(SLOW).await?;
    let after = host.process().memory()?;
    let seen = format!(
        "{} KiB before, {} KiB at most",
        before.now >> 10,
        after.peak >> 10
    );
    let more = if kill { MORE } else { MORE_WITH_BROKER };
    assert!(
        after.peak < before.now + more,
        "{}",
        host.output().told(&seen)
    );
    if kill {
        host.kill()?;
        host.restart()?;
        host.online().await?;
    }
    slow.all(WAITING).await?;
    slow.in_order()
}

async fn on_mosquitto(version: Version, lines: &[&str]) -> Result<()> {
    let lines = lines.iter().copied().map(str::to_owned).collect();
    let broker = Mosquitto::with(&mosquitto::Setup {
        lines,
        ..mosquitto::Setup::default()
    })
    .await?;
    beside_a_slow_service(Host::on(broker.port()).version(version), true).await
}

#[tokio::test]
async fn a_slow_service_holds_up_no_other_on_mosquitto() -> Result<()> {
    on_mosquitto(Version::V5, &[]).await
}

#[tokio::test]
async fn a_slow_service_holds_up_no_other_with_mqtt_3_1_1() -> Result<()> {
    on_mosquitto(Version::V311, &[]).await
}

/// A broker may keep to less than the receive maximum.
#[tokio::test]
async fn a_slow_service_holds_up_no_other_where_few_messages_are_in_flight() -> Result<()> {
    on_mosquitto(Version::V5, &["max_inflight_messages 5"]).await?;
    on_mosquitto(Version::V311, &["max_inflight_messages 20"]).await
}

/// The embedded broker keeps to the receive maximum.
#[tokio::test]
async fn a_slow_service_holds_up_no_other_on_the_embedded_broker() -> Result<()> {
    for receive_maximum in [20, 256] {
        beside_a_slow_service(
            Host::embedded()?.broker("receive_maximum", json!(receive_maximum)),
            false,
        )
        .await?;
    }

    Ok(())
}

/// A service that publishes without end while the broker is away leaves room for the others.
#[tokio::test]
async fn a_service_that_floods_the_outbox_leaves_room_for_the_others() -> Result<()> {
    const COUNTED: u32 = 50;
    for version in [Version::V5, Version::V311] {
        let mut broker = Mosquitto::with(&mosquitto::Setup {
            persistent: true,
            ..mosquitto::Setup::default()
        })
        .await?;
        let setup = Host::on(broker.port())
            .version(version)
            .broker("outbox", json!({ "messages": 2000 }));
        let setup = setup.service(
            "flood",
            "hostile",
            json!({ "every": 20, "told": "confirmed" }),
        );
        let host = setup
            .service("meek", "hostile", json!({ "every": 20, "told": "count" }))
            .start()
            .await?;
        let options = client::Options {
            keep_session: true,
            ..client::Options::new(broker.port())
        };
        let mut listener = Client::with(&options).await?;
        listener.subscribe("service/meek/count", 1).await?;
        broker.stop().await?;
        // it may have come to its share before
        host.output().says(0, "share of broker.outbox").await?;
        // the other one continues, for longer than its share of the rest would last without sharing
        let line = host.output().lines().len();
        let counted = host
            .output()
            .wait_from(line, "a count", |line| line.contains("count "))
            .await?;
        let first: u32 = counted
            .rsplit("count ")
            .next()
            .unwrap_or_default()
            .trim()
            .parse()?;

        let last = first + COUNTED;
        let said = format!("count {last}");
        host.output()
            .wait_from(line, "the last count", |line| line.contains(&said))
            .await?;
        broker.restart().await?;
        let mut listener = Client::with(&options).await?;
        let mut next = None;
        while next.is_none_or(|next| next <= last) {
            let number: u32 = listener
                .expect("service/meek/count")
                .await?
                .text()
                .parse()?;
            assert!(
                next.is_none_or(|next| number <= next),
                "{next:?} is missing, {number} came"
            );
            next = Some(next.map_or(number + 1, |next: u32| next.max(number + 1)));
        }
    }

    Ok(())
}
