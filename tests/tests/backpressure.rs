//! Backpressure: what a service cannot handle yet waits at the broker, not in the host's memory, and nothing of it is lost.

use anyhow::Result;
use miqro_tests::{Client, Host, Message, Mosquitto, Tally, Version};
use serde_json::json;

const MIB: u64 = 1 << 20;
/// How much more memory the host may have than before. What waits at the broker is several times as much.
const MORE: u64 = 16 * MIB;

#[tokio::test]
async fn a_guest_that_is_ten_times_too_slow_costs_no_memory_and_loses_nothing() -> Result<()> {
    const FEW: usize = 300;
    const MANY: usize = 10 * FEW;
    const BYTES: usize = 20_000;
    for version in [Version::V5, Version::V311] {
        let broker = Mosquitto::start().await?;
        let host =
            Host::on(broker.port()).version(version).service("slow", "contract-timers", json!({})).start().await?;
        let mut listener = host.client().await?;
        listener.subscribe("service/slow/done", 1).await?;
        // a call takes two milliseconds, and many more come in that time
        let command = json!({ "busy": 2, "padding": "x".repeat(BYTES) }).to_string();
        let mut client = host.client().await?;
        for _ in 0..MANY {
            client.post(Message::new("service/slow/command", command.clone())).await?;
        }
        client.acknowledged(MANY).await?;
        for _ in 0..FEW {
            listener.expect("service/slow/done").await?;
        }
        let before = host.process().memory()?;
        for _ in FEW..MANY {
            listener.expect("service/slow/done").await?;
        }
        let after = host.process().memory()?;
        assert!((MANY * BYTES) as u64 > 3 * MORE, "that is too little to show it");
        let seen = format!("{} MiB before, {} MiB at most", before.now / MIB, after.peak / MIB);
        assert!(after.peak < before.now + MORE, "{}", host.output().told(&seen));
        // each was answered once
        assert_eq!(listener.pending().await?, []);
    }
    Ok(())
}

#[tokio::test]
async fn ten_thousand_retained_messages_at_subscribe_are_all_handled() -> Result<()> {
    const RETAINED: u32 = 10_000;
    const BYTES: usize = 8_000;
    for version in [Version::V5, Version::V311] {
        let broker = Mosquitto::start().await?;
        let mut client = Client::connect(broker.port()).await?;
        for number in 0..RETAINED {
            // a number with many zeros is a number
            let message = Message::new(format!("service/relay/kept/{number}"), format!("{number:0BYTES$}"));
            client.post(message.retained()).await?;
        }
        client.acknowledged(RETAINED as usize).await?;
        let mut tally = Tally::start(broker.port(), "service/relay/in", "service/relay/out").await?;
        // without the filter, to know what a host needs that does nothing
        let mut host = Host::on(broker.port()).version(version).service("relay", "relay", json!({})).start().await?;
        let before = host.process().memory()?;
        let mut config = host.config();
        config["services"]["relay"]["subscriptions"] = json!(["kept/+"]);
        host.reconfigured(&config).await?;
        let twice = tally.all(RETAINED).await?;
        assert_eq!(twice, 0, "came twice");
        // mosquitto 2.0.11 keeps to the receive maximum, but not at subscribe: almost all of them are under way at once
        let (most, after) = (before.now + 2 * u64::from(RETAINED) * BYTES as u64, host.process().memory()?);
        assert!(after.peak < most, "{} MiB before, {} MiB at most", before.now / MIB, after.peak / MIB);
        assert!(host.stop().await?.success());
    }
    Ok(())
}
