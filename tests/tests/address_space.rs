//! Small address spaces: a 64-bit Raspberry Pi OS gives a process 39 bits, some boards 38. `ulimit -v` stands in for them here.

use std::time::Duration;

use anyhow::{Context, Result};
use miqro_tests::deadline::Deadline;
use miqro_tests::{Client, Host, Message};
use serde_json::json;

/// Starts that many relays in an address space of that many KiB; the first and the last of them answer.
async fn services_answer(services: usize, kibibytes: u64) -> Result<()> {
    let launcher = format!("ulimit -v {kibibytes}; exec \"$0\" \"$@\"");
    let mut setup = Host::embedded()?.through(&["sh", "-c", &launcher]);
    for number in 0..services {
        setup = setup.service(&format!("relay{number}"), "relay", json!({}));
    }
    let host = setup.spawn()?;
    // a busy machine loads a thousand components in more than one deadline
    let mut online = host.online().await;
    for _ in 0..5 {
        if online.is_err() {
            online = host.online().await;
        }
    }
    online?;

    let mut client = host.client().await?;
    client.subscribe("service/+/out", 1).await?;
    for number in [0, services - 1] {
        // `online` of a service may come before the last of two thousand subscriptions stands
        let answer = Deadline::new().wait("an answer", ask_until_answered(&mut client, number));
        let answer = answer
            .await
            .with_context(|| host.output().told("no answer"))??;
        assert_eq!(answer.payload, "hello");
    }

    Ok(())
}

/// Asks again until the service itself answers; an earlier answer may still be under way.
async fn ask_until_answered(client: &mut Client, number: usize) -> Result<Message> {
    let topic = format!("service/relay{number}/out");
    let answered = async {
        loop {
            client
                .publish(&format!("service/relay{number}/in"), "hello")
                .await?;
            let soon = Deadline::after(Duration::from_millis(500));
            while let Ok(answer) = soon.wait("an answer", client.next()).await {
                let answer = answer?;
                if answer.topic == topic {
                    return anyhow::Ok(answer);
                }
            }
        }
    };

    Deadline::after(Duration::from_secs(240))
        .wait("an answer", answered)
        .await?
}

#[tokio::test]
async fn a_thousand_services_start_in_39_bits() -> Result<()> {
    services_answer(1_000, 1 << (39 - 10)).await
}

#[tokio::test]
async fn three_hundred_services_start_in_38_bits() -> Result<()> {
    services_answer(300, 1 << (38 - 10)).await
}

#[tokio::test]
async fn services_start_without_room_for_a_pool() -> Result<()> {
    services_answer(3, 1 << (30 - 10)).await
}
