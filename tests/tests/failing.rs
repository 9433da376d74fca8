//! Messages whose handling fails are kept, hold up nobody, and come again; and services whose guest
//! cannot start.

use anyhow::Result;
use miqro_tests::host::Setup;
use miqro_tests::load::relay_answers;
use miqro_tests::{Client, Host, Message, Mosquitto};
use serde_json::{Value, json};

/// More than the broker may have unacknowledged.
const MANY: usize = 300;

fn faulty(broker: &Mosquitto, limits: Value) -> Setup {
    Host::on(broker.port()).service("faulty", "contract-faulty", json!({ "limits": limits }))
}

/// Attempts without end, at a distance that no test sees the end of.
fn endless() -> Value {
    json!({ "attempts": 1000, "backoff": { "min": "1h", "max": "1h" } })
}

async fn worked(client: &mut Client, count: usize) -> Result<()> {
    for number in 0..count {
        assert_eq!(
            client.expect("service/faulty/worked").await?.text(),
            number.to_string()
        );
    }

    Ok(())
}

/// One message that is tried for ever, and many behind it that wait.
async fn stuck(host: &Host, client: &mut Client) -> Result<()> {
    client.publish("service/faulty/work", "fail").await?;
    host.output().says(0, "is tried again in").await?;
    for number in 0..MANY {
        client
            .publish("service/faulty/work", number.to_string())
            .await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_failing_service_delays_no_other() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let host = faulty(&broker, endless())
        .service("relay", "relay", json!({}))
        .start()
        .await?;
    stuck(&host, &mut host.client().await?).await?;
    relay_answers(broker.port(), 1_000).await
}

#[tokio::test]
async fn messages_behind_a_failing_one_survive_in_order() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let mut host = faulty(&broker, endless()).start().await?;
    let mut client = host.client().await?;
    client.subscribe("service/faulty/worked", 1).await?;
    stuck(&host, &mut client).await?;
    host.kill()?;
    let mut config = host.config();
    config["services"]["faulty"] = json!({ "limits": { "attempts": 1 } });
    host.configure(&config)?;
    host.restart()?;
    // messages on disk that were not acknowledged yet come twice
    let mut seen = Vec::new();
    while seen.len() < MANY {
        let number = client.expect("service/faulty/worked").await?.text();
        if !seen.contains(&number) {
            assert_eq!(number, seen.len().to_string());
            seen.push(number);
        }
    }

    // nothing is kept that was handled
    host.process().signal("TERM")?;
    assert!(host.ended().await?.success());
    client.pending().await?;
    host.restart()?;
    host.online().await?;
    assert_eq!(client.pending().await?, []);
    Ok(())
}

/// A message that was given up is kept, shown, and handled again by command.
#[tokio::test]
async fn dead_letters_are_replayed_by_command() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let setup = faulty(&broker, json!({ "attempts": 1, "dead_letters": 3 }));
    let mut host = setup.start().await?;
    let mut client = host.client().await?;
    for filter in ["service/faulty/worked", "service/faulty/dead-letter"] {
        client.subscribe(filter, 1).await?;
    }
    for _ in 0..4 {
        client.publish("service/faulty/work", "fail").await?;
        client.expect("service/faulty/dead-letter").await?;
    }
    host.output()
        .says(0, "old dead letters are gone: limits.dead_letters keeps 3")
        .await?;
    // they survive the host
    host.kill()?;
    host.restart()?;
    host.online().await?;
    let list = host.tell(&["replay", "--list", "--json", "faulty"]).await?;
    let list: Value = serde_json::from_str(&list)?;
    assert_eq!(list.as_array().map(Vec::len), Some(3), "{list}");
    assert_eq!(
        (&list[0]["topic"], &list[0]["attempts"]),
        (&json!("service/faulty/work"), &json!(1)),
        "{list}"
    );
    assert!(
        host.tell(&["replay", "faulty"])
            .await?
            .contains("3 messages are handled again")
    );
    for _ in 0..3 {
        assert_eq!(
            client.expect("service/faulty/dead-letter").await?.text(),
            "fail"
        );
    }

    // given up again, they are dead letters again
    let list: Value =
        serde_json::from_str(&host.tell(&["replay", "--list", "--json", "faulty"]).await?)?;
    assert_eq!(list.as_array().map(Vec::len), Some(3), "{list}");
    Ok(())
}

#[tokio::test]
async fn by_policy_the_others_go_on() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let mut limits = endless();
    limits["when_failing"] = "out-of-order".into();
    let host = faulty(&broker, limits).start().await?;
    let mut client = host.client().await?;
    client.subscribe("service/faulty/worked", 1).await?;
    stuck(&host, &mut client).await?;
    worked(&mut client, MANY).await?;
    // those of QoS 0 as well
    client
        .send(Message::new("service/faulty/work", "fail").qos(0))
        .await?;
    client
        .send(Message::new("service/faulty/work", "0").qos(0))
        .await?;
    worked(&mut client, 1).await
}

#[tokio::test]
async fn a_failed_service_recovers_with_a_better_file() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let limits = json!({ "attempts": 1, "restarts": 2, "mailbox": MANY, "backoff": { "min": "1ms", "max": "1ms" } });
    let host = faulty(&broker, limits)
        .service("relay", "relay", json!({}))
        .start()
        .await?;
    let mut client = host.client().await?;
    for filter in [
        "service/faulty/worked",
        "service/faulty/online",
        "service/faulty/dead-letter",
    ] {
        client.subscribe(filter, 1).await?;
    }

    for _ in 0..3 {
        client.publish("service/faulty/work", "trap").await?;
        client.expect("service/faulty/dead-letter").await?;
    }
    let failed = host.output().says(0, "has failed").await?;
    assert!(
        failed.contains("service=faulty") && failed.contains("ERROR"),
        "{failed}"
    );
    // messages wait on disk from now on; those beyond the limit become dead letters; the neighbour does not notice
    for number in 0..2 * MANY {
        client
            .publish("service/faulty/work", number.to_string())
            .await?;
    }
    for number in MANY..2 * MANY {
        assert_eq!(
            client.expect("service/faulty/dead-letter").await?.text(),
            number.to_string()
        );
    }

    relay_answers(broker.port(), 1_000).await?;
    let mut newer = miqro_tests::guests::component("contract-faulty")?;
    // a custom section without a name: other bytes, the same guest
    newer.extend([0, 1, 0]);
    host.replace("faulty", &newer)?;
    worked(&mut client, MANY).await
}
