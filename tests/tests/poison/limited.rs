//! Brokers that cannot do everything: without retained messages, with a lower quality of service,
//! with a copy for each filter. The host connects without, names the missing features, and serves.

use anyhow::{Result, ensure};
use miqro_tests::{Client, Host, Message, Mosquitto, Version, mosquitto};
use serde_json::json;

use super::LONGEST_GAP;
use super::victim::Victim;

async fn broker(lines: &[&str]) -> Result<Mosquitto> {
    let lines = lines.iter().map(|line| (*line).to_owned()).collect();
    Mosquitto::with(&mosquitto::Setup {
        lines,
        ..mosquitto::Setup::default()
    })
    .await
}

/// Waits until both services have published `payload`; without retained messages the client has to listen before.
async fn both_are(listening: &mut Client, payload: &str) -> Result<()> {
    let mut missing = vec!["service/victim/online", "service/other/online"];
    while !missing.is_empty() {
        let message = listening.next().await?;
        missing.retain(|topic| *topic != message.topic || message.text() != payload);
    }
    Ok(())
}

/// Questions of QoS 0, one after the other, to the service that the victim is not.
async fn answers(port: u16) -> Result<()> {
    let mut client = Client::connect(port).await?;
    client.subscribe("service/other/out", 0).await?;
    for number in 0..100 {
        client
            .post(Message::new("service/other/in", number.to_string()).qos(0))
            .await?;
        ensure!(client.expect("service/other/out").await?.text() == number.to_string());
    }

    client.disconnect().await
}

async fn is_served(version: Version, lines: &[&str], said: &[&str]) -> Result<()> {
    let broker = broker(lines).await?;
    let mut listening = Client::connect(broker.port()).await?;
    listening.subscribe("service/+/online", 0).await?;
    let setup = Host::on(broker.port()).version(version);
    let setup = setup
        .service("victim", "relay", json!({}))
        .service("other", "relay", json!({}));
    let mut host = setup.spawn()?;
    both_are(&mut listening, "1").await?;
    for words in said {
        host.output().says(0, words).await?;
        ensure!(
            host.output().count(words) == 1,
            "{}",
            host.output().told(words)
        );
    }

    let victim = match lines.contains(&"max_qos 0") {
        true => answers(broker.port()).await.map(|()| None)?,
        false => Some(Victim::start(broker.port()).await?),
    };
    // the wills stand, as the broker takes them
    host.kill()?;
    both_are(&mut listening, "0").await?;
    host.restart()?;
    both_are(&mut listening, "1").await?;
    answers(broker.port()).await?;
    ensure!(
        host.output().count("was sent without") <= 2,
        "{}",
        host.output().told("a line for each message")
    );
    match victim {
        Some(victim) => victim.check(LONGEST_GAP).await,
        None => Ok(()),
    }
}

const RETAIN: &str = "the broker retains no messages";
const QOS_0: &str = "the broker takes QoS 0 only";

#[tokio::test]
async fn a_broker_without_retained_messages_is_served_with_mqtt_5() -> Result<()> {
    is_served(Version::V5, &["retain_available false"], &[RETAIN]).await
}

#[tokio::test]
async fn a_broker_without_retained_messages_is_served_with_mqtt_3_1_1() -> Result<()> {
    is_served(Version::V311, &["retain_available false"], &[RETAIN]).await
}

#[tokio::test]
async fn a_broker_of_qos_0_is_served_with_mqtt_5() -> Result<()> {
    is_served(Version::V5, &["max_qos 0"], &[QOS_0]).await
}

#[tokio::test]
async fn a_broker_of_qos_0_is_served_with_mqtt_3_1_1() -> Result<()> {
    is_served(Version::V311, &["max_qos 0"], &[QOS_0]).await
}

#[tokio::test]
async fn a_broker_of_qos_1_is_served() -> Result<()> {
    is_served(
        Version::V5,
        &["max_qos 1"],
        &["the broker takes QoS 1 at most"],
    )
    .await?;
    is_served(Version::V311, &["max_qos 1"], &[]).await
}

#[tokio::test]
async fn a_broker_of_qos_0_without_retained_messages_is_served() -> Result<()> {
    is_served(
        Version::V5,
        &["max_qos 0", "retain_available false"],
        &[QOS_0, RETAIN],
    )
    .await?;
    is_served(
        Version::V311,
        &["max_qos 0", "retain_available false"],
        &[QOS_0, RETAIN],
    )
    .await
}

/// A broker that sends a copy for each filter that matches: a message is handled once, and one that is equal to it too.
#[tokio::test]
async fn a_message_for_overlapping_filters_is_handled_once() -> Result<()> {
    let broker = broker(&["allow_duplicate_messages true"]).await?;
    let mut client = Client::connect(broker.port()).await?;
    client.subscribe("service/+/out", 1).await?;
    client
        .send(Message::new("many/a/b", "kept").retained())
        .await?;
    let filter = |filter: &str, qos: u8| json!({ "filter": filter, "global": true, "qos": qos });
    let filters = [
        filter("many/a/b", 2),
        filter("many/#", 1),
        filter("many/+/b", 0),
    ];
    let mut host = Host::on(broker.port())
        .version(Version::V311)
        .service("over", "relay", json!({ "subscriptions": filters }))
        .service(
            "other",
            "relay",
            json!({ "subscriptions": [filter("many/a/#", 0)] }),
        )
        .start()
        .await?;

    for restarted in [false, true] {
        for payload in ["1", "equal", "equal", "end"] {
            client.publish("many/a/b", payload).await?;
        }
        let mut seen = Vec::new();
        while seen.iter().filter(|(_, payload)| payload == "end").count() < 2 {
            let message = client.next().await?;
            seen.push((message.topic.clone(), message.text()));
        }
        for service in ["over", "other"] {
            let topic = format!("service/{service}/out");
            let payloads: Vec<&str> = seen
                .iter()
                .filter(|(other, _)| *other == topic)
                .map(|(_, payload)| payload.as_str())
                .collect();
            // the new process asks for retained messages once more
            ensure!(
                payloads == ["kept", "1", "equal", "equal", "end"],
                "restarted: {restarted}: {service}: {payloads:?}"
            );
        }

        if !restarted {
            host.stop().await?;
            host.restart()?;
            host.online().await?;
        }
    }

    Ok(())
}
