//! Guests of wasmCloud, of WASI messaging and of Spin's MQTT trigger run unchanged.

use anyhow::{Result, ensure};
use miqro_tests::host::{self, Host};
use miqro_tests::message::{Message, Properties};
use miqro_tests::{Mosquitto, place};
use serde_json::json;

/// A message that asks for an answer on `answer/here`.
fn question(topic: &str, payload: &'static str) -> Message {
    Message::new(topic, payload).with(Properties {
        response_topic: Some("answer/here".to_owned()),
        correlation_data: Some("seven".into()),
        content_type: Some("text/plain".to_owned()),
        user_properties: vec![("a".to_owned(), "b".to_owned())],
        ..Properties::default()
    })
}

#[tokio::test]
async fn a_guest_of_wasmcloud_answers_requests_and_counts_within_the_transaction() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let section = json!({
        "subscriptions": ["in"],
        "grants": {"publish": ["answer/#"]},
        "limits": {"attempts": 1},
        "greeting": "hi",
    });

    let host = Host::on(broker.port())
        .service("echo", "peer-wasmcloud", section)
        .start()
        .await?;
    let mut client = host.client().await?;
    client.subscribe("answer/#", 1).await?;
    client.subscribe("service/echo/ask", 1).await?;

    client.send(question("service/echo/in", "one")).await?;
    let answer = client.expect("answer/here").await?;
    assert_eq!(answer.text(), "hi 1 one");
    assert_eq!(answer.properties.correlation_data, Some("seven".into()));

    // the count of a refused message is dropped with the rest of its effects
    client.send(question("service/echo/in", "fail")).await?;
    host.output().says(0, "refused, 2").await?;
    client.send(question("service/echo/in", "ask:what")).await?;
    let asked = client.expect("service/echo/ask").await?;
    assert_eq!(asked.text(), "what");
    let back = asked.properties.response_topic.unwrap_or_default();
    let reply = Message::new(back, "that").with(Properties {
        correlation_data: asked.properties.correlation_data,
        ..Properties::default()
    });
    client.send(reply).await?;
    assert_eq!(client.expect("answer/here").await?.text(), "hi 2 that");

    client.publish("service/echo/in", "nobody asks").await?;
    let line = host.output().says(0, "no reply_to").await?;
    ensure!(line.contains("WARN") && line.contains("echo"), "{line}");
    Ok(())
}

#[tokio::test]
async fn a_guest_of_wasi_messaging_replies_and_sends_within_its_grants() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let section = json!({"subscriptions": ["in"], "grants": {"publish": ["answer/#"]}, "limits": {"attempts": 1}});
    let host = Host::on(broker.port())
        .service("echo", "peer-wasi-messaging", section)
        .start()
        .await?;
    let mut client = host.client().await?;
    client.subscribe("answer/#", 1).await?;

    client.send(question("service/echo/in", "one")).await?;
    let answer = client.expect("answer/here").await?;
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(answer.text(), "one");
    assert_eq!(answer.properties.correlation_data, Some("seven".into()));
    assert_eq!(
        answer.properties.content_type.as_deref(),
        Some("text/plain")
    );
    assert_eq!(
        answer.properties.user_properties,
        [pair("a", "b"), pair("from", "service/echo/in")]
    );

    let to = |topic: &str| Properties {
        user_properties: vec![pair("to", topic)],
        ..Properties::default()
    };
    let denied = Message::new("service/echo/in", "two").with(to("elsewhere"));
    client.send(denied).await?;
    host.output().says(0, "\"elsewhere\" is outside of").await?;
    let sent = Message::new("service/echo/in", "three").with(to("answer/there"));
    client.send(sent).await?;
    assert_eq!(client.expect("answer/there").await?.text(), "three");
    Ok(())
}

#[tokio::test]
async fn a_guest_of_spin_publishes_through_the_session() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let section =
        json!({"subscriptions": ["in"], "grants": {"publish": ["answer/#"]}, "to": "answer/spin"});
    let host = Host::on(broker.port())
        .service("spin", "peer-spin", section)
        .start()
        .await?;
    let mut client = host.client().await?;
    client.subscribe("answer/#", 2).await?;

    client.publish("service/spin/in", "one").await?;
    let answer = client.expect("answer/spin").await?;
    assert_eq!(
        (answer.text().as_str(), answer.qos),
        ("service/spin/in: one", 2)
    );
    Ok(())
}

#[test]
fn check_names_the_peer_its_contract_and_what_it_needs() -> Result<()> {
    for (guest, peer, contract) in [
        (
            "peer-wasmcloud",
            "for wasmCloud",
            "wasmcloud:messaging@0.2.0",
        ),
        (
            "peer-wasi-messaging",
            "for WASI messaging",
            "wasi:messaging@0.2.0-draft",
        ),
        ("peer-spin", "for Spin's MQTT trigger", "spin:mqtt-trigger"),
    ] {
        let file = place::project().join(format!("guests/{guest}.wasm"));
        let output = host::command()?.arg("check").arg(file).output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        ensure!(output.status.success(), "{text}");
        for part in [
            peer,
            contract,
            "it needs subscriptions",
            "publish: [some/topic]",
        ] {
            ensure!(text.contains(part), "{guest}: no {part:?} in {text}");
        }
    }

    Ok(())
}
