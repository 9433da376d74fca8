//! Backpressure: messages that a service cannot handle yet wait at the broker, not in the host's
//! memory, and none of them is lost.

use anyhow::{Context, Result};
use miqro_tests::process::Memory;
use miqro_tests::{Client, Host, Message, Mosquitto, Tally, Version};
use serde_json::json;

const MIB: u64 = 1 << 20;
/// How much more memory the host may have than before. The messages at the broker are several times as much.
const MORE: u64 = 8 * MIB;

/// Checks how much more memory the host had at any time than it had `before`.
fn grew_by_less_than(host: &Host, before: Memory, more: u64) -> Result<()> {
    let after = host.process().memory()?;
    let seen = format!(
        "{} MiB before, {} MiB at most, {} MiB now\n{}",
        before.now / MIB,
        after.peak / MIB,
        after.now / MIB,
        host.process().mappings()?
    );
    assert!(
        after.peak < before.now + more,
        "{}",
        host.output().told(&seen)
    );
    Ok(())
}

#[tokio::test]
async fn a_slow_guest_costs_no_memory_and_no_message() -> Result<()> {
    const FEW: usize = 64;
    const MANY: usize = 3_000;
    const BYTES: usize = 20_000;
    for version in [Version::V5, Version::V311] {
        let broker = Mosquitto::start().await?;
        let host = Host::on(broker.port())
            .version(version)
            .service("slow", "contract-timers", json!({}))
            .start()
            .await?;
        let mut listener = host.client().await?;
        listener.subscribe("service/slow/done", 1).await?;
        // a call takes two milliseconds, and many more come in that time
        let command = json!({ "busy": 2, "padding": "x".repeat(BYTES) }).to_string();
        let mut client = host.client().await?;
        // the memory of a host that is not flooded
        for _ in 0..FEW {
            client
                .publish("service/slow/command", command.clone())
                .await?;
            listener.expect("service/slow/done").await?;
        }

        let before = host.process().memory()?;
        // the broker of the test sends all of them at once: mosquitto 2.0.11 does not keep to the receive maximum
        for _ in 0..MANY {
            client
                .post(Message::new("service/slow/command", command.clone()))
                .await?;
        }
        client.acknowledged(MANY).await?;
        for _ in 0..MANY {
            listener.expect("service/slow/done").await?;
        }
        assert!(
            (MANY * BYTES) as u64 > 3 * MORE,
            "that is too little to show it"
        );
        grew_by_less_than(&host, before, MORE)?;
        // each was answered once
        assert_eq!(listener.pending().await?, []);
    }

    Ok(())
}

/// Behind a message that fails, messages wait on disk and acknowledged, up to a limit; beyond it they wait unacknowledged.
#[tokio::test]
async fn messages_behind_a_failing_one_stay_within_the_limit() -> Result<()> {
    const MANY: usize = 5_000;
    const BYTES: usize = 20_000;
    const MORE: u64 = 24 * MIB;
    let broker = Mosquitto::start().await?;
    let limits = json!({ "attempts": 1000, "backoff": { "min": "1h", "max": "1h" }, "mailbox_bytes": "2MiB" });
    let setup = Host::on(broker.port()).broker("outbox", json!({ "bytes": "2MiB" }));
    let host = setup
        .service("faulty", "contract-faulty", json!({ "limits": limits }))
        .start()
        .await?;
    let mut client = host.client().await?;
    client.subscribe("service/faulty/worked", 1).await?;
    client.publish("service/faulty/work", "fail").await?;
    host.output().says(0, "is tried again in").await?;
    let before = host.process().memory()?;
    let payload = |number: usize| format!("{number} {}", "x".repeat(BYTES));
    for number in 0..MANY {
        client
            .post(Message::new("service/faulty/work", payload(number)))
            .await?;
    }
    client.acknowledged(MANY).await?;
    // nothing is lost on any of the ways
    let mut config = host.config();
    config["services"]["faulty"]["limits"]["attempts"] = json!(1);
    host.reconfigured(&config).await?;
    for number in 0..MANY {
        let worked = client.expect("service/faulty/worked").await;
        let worked = worked
            .with_context(|| host.output().told(&format!("message {number}")))?
            .text();
        assert!(worked == payload(number), "{number}: {}", &worked[..20]);
    }

    assert!(
        (MANY * BYTES) as u64 > 3 * MORE,
        "that is too little to show it"
    );
    grew_by_less_than(&host, before, MORE)?;
    Ok(())
}

/// A message shares the buffer into which it was read with those that came with it.
#[tokio::test]
async fn waiting_small_messages_do_not_retain_large_buffers() -> Result<()> {
    const ROUNDS: usize = 4_000;
    const BYTES: usize = 24_000;
    const MORE: u64 = 32 * MIB;
    let broker = Mosquitto::start().await?;
    // with a mailbox that drops, waiting messages are in memory alone
    let limits = json!({ "attempts": 1000, "backoff": { "min": "1h", "max": "1h" }, "when_full": "drop-newest" });
    let setup = Host::on(broker.port())
        .broker("outbox", json!({ "bytes": "2MiB" }))
        .service("relay", "relay", json!({}));
    let host = setup
        .service("faulty", "contract-faulty", json!({ "limits": limits }))
        .start()
        .await?;
    let mut client = host.client().await?;
    client.subscribe("service/relay/out", 1).await?;
    client.publish("service/faulty/work", "fail").await?;
    host.output().says(0, "is tried again in").await?;
    let before = host.process().memory()?;
    for number in 0..ROUNDS {
        client
            .post(Message::new("service/faulty/work", number.to_string()).qos(0))
            .await?;
        client
            .post(Message::new("service/relay/in", vec![b'x'; BYTES]))
            .await?;
    }

    client.acknowledged(ROUNDS).await?;
    for _ in 0..ROUNDS {
        client.expect("service/relay/out").await?;
    }
    assert!(
        (ROUNDS * BYTES) as u64 > 2 * MORE,
        "that is too little to show it"
    );
    grew_by_less_than(&host, before, MORE)?;
    Ok(())
}

#[tokio::test]
async fn ten_thousand_retained_messages_at_subscribe_are_all_handled() -> Result<()> {
    const RETAINED: u32 = 10_000;
    const BYTES: usize = 16_000;
    const MORE: u64 = 64 * MIB;
    for version in [Version::V5, Version::V311] {
        let broker = Mosquitto::start().await?;
        let mut client = Client::connect(broker.port()).await?;
        for number in 0..RETAINED {
            // a number with many zeros is a number
            let message = Message::new(
                format!("service/relay/kept/{number}"),
                format!("{number:0BYTES$}"),
            );
            client.post(message.retained()).await?;
        }

        client.acknowledged(RETAINED as usize).await?;
        let mut tally =
            Tally::start(broker.port(), "service/relay/in", "service/relay/out").await?;
        // without the filter, to know what a host needs that does nothing
        let mut host = Host::on(broker.port())
            .version(version)
            .service("relay", "relay", json!({}))
            .start()
            .await?;
        let before = host.process().memory()?;
        let mut config = host.config();
        config["services"]["relay"]["subscriptions"] = json!(["kept/+"]);
        host.reconfigured(&config).await?;
        let twice = tally.all(RETAINED).await?;
        assert_eq!(twice, 0, "came twice");
        // mosquitto 2.0.11 sends almost all of them at once. In memory may be what the outbox takes, and the values that are kept
        // for services to come
        assert!(
            u64::from(RETAINED) * BYTES as u64 > 2 * MORE,
            "that is too little to show it"
        );
        grew_by_less_than(&host, before, MORE)?;
        assert!(host.stop().await?.success());
    }

    Ok(())
}
