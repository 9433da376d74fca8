//! The trace context of a message (W3C Trace Context) goes on to everything that its handling publishes.

use anyhow::Result;
use miqro_tests::{Client, Host, Message, Mosquitto, Properties, Version};
use serde_json::{Value, json};

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const OTHER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
const STATE: &str = "vendor=opaque,other=1";

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    let pairs = pairs.iter();
    pairs
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn context() -> Vec<(String, String)> {
    pairs(&[("traceparent", PARENT), ("tracestate", STATE)])
}

fn message(topic: &str, payload: impl ToString, properties: Vec<(String, String)>) -> Message {
    Message::new(topic, payload.to_string()).with(Properties {
        user_properties: properties,
        ..Properties::default()
    })
}

/// Sends a message with a trace context, and returns the user properties of the message that comes on `topic`.
async fn carried(client: &mut Client, sent: Message, topic: &str) -> Result<Vec<(String, String)>> {
    client.subscribe(topic, 1).await?;
    client.send(sent).await?;
    Ok(client.expect(topic).await?.properties.user_properties)
}

#[tokio::test]
async fn publishes_carry_the_context_unless_the_guest_sets_its_own() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let host = Host::on(broker.port())
        .service("relay", "relay", json!({}))
        .service("say", "contract-publish", json!({}))
        .start()
        .await?;
    let mut client = host.client().await?;

    let sent = message("service/relay/in", "x", context());
    let out = "service/relay/out";
    assert_eq!(carried(&mut client, sent, out).await?, context());
    for (received, expected) in [
        (vec![("traceparent", "00-wrong")], vec![]),
        (
            vec![("traceparent", PARENT), ("traceparent", OTHER)],
            vec![],
        ),
        (vec![("tracestate", STATE), ("k", "v")], vec![]),
        (
            vec![("traceparent", PARENT), ("tracestate", ""), ("k", "v")],
            vec![("traceparent", PARENT)],
        ),
    ] {
        let sent = message("service/relay/in", "x", pairs(&received));
        let found = carried(&mut client, sent, out).await?;
        assert_eq!(found, pairs(&expected), "{received:?}");
    }

    let own = json!({"user_properties": [{ "name": "traceparent", "value": OTHER }]});
    let command = json!({ "topic": "out", "payload": "p", "properties": own });
    let sent = message("service/say/publish", command, context());
    let found = carried(&mut client, sent, "service/say/out").await?;
    assert_eq!(found, pairs(&[("traceparent", OTHER)]));
    Ok(())
}

#[tokio::test]
async fn requests_and_dead_letters_carry_the_context() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let asker = json!({ "grants": { "publish": ["oracle"] } });
    let limits = json!({ "limits": { "attempts": 1 } });
    let host = Host::on(broker.port())
        .service("asker", "contract-full", asker)
        .service("faulty", "contract-faulty", limits)
        .start()
        .await?;
    let mut client = host.client().await?;

    let question = json!({ "request": "oracle", "global": true, "deadline": 1 });
    let sent = message("service/asker/command", question, context());
    assert_eq!(carried(&mut client, sent, "oracle").await?, context());

    let sent = message("service/faulty/work", "fail", context());
    let letter = "service/faulty/dead-letter";
    let found = carried(&mut client, sent, letter).await?;
    assert_eq!(found[..2], context());
    assert!(
        found[2..]
            .iter()
            .all(|(name, _)| !name.starts_with("trace"))
    );
    Ok(())
}

/// A message that waits on disk, in the spool of a service that is switched off, keeps its context over a restart.
#[tokio::test]
async fn context_survives_the_wait_on_disk() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let endless =
        json!({ "limits": { "attempts": 1000, "backoff": { "min": "1h", "max": "1h" } } });
    let mut host = Host::on(broker.port())
        .service("faulty", "contract-faulty", endless)
        .start()
        .await?;
    let mut client = host.client().await?;
    client.subscribe("service/faulty/worked", 1).await?;

    client.publish("service/faulty/work", "fail").await?;
    host.output().says(0, "is tried again in").await?;
    client
        .send(message("service/faulty/work", "later", context()))
        .await?;
    assert!(host.stop().await?.success());

    let mut config = host.config();
    config["services"]["faulty"] = json!({ "limits": { "attempts": 1 } });
    host.configure(&config)?;
    host.restart()?;
    let worked = client.expect("service/faulty/worked").await?;
    assert_eq!(worked.text(), "later");
    assert_eq!(worked.properties.user_properties, context());
    Ok(())
}

/// A call that skips the broker carries the context to its service, and its answer back to the publishes of the caller.
#[tokio::test]
async fn local_calls_carry_the_context() -> Result<()> {
    for local in [true, false] {
        let broker = Mosquitto::start().await?;
        let link = |own: &str, next: &str| -> Value {
            json!({ "serve": [{ "interface": "test:chain/link", "name": own }],
                    "call": [{ "interface": "test:chain/link", "name": next, "local": local, "deadline": "1s" }],
                    "limits": { "attempts": 1 } })
        };
        // B calls C, which nobody serves, so that its call is seen at the broker
        let host = Host::on(broker.port())
            .service("a", "contract-typed-link", link("A", "B"))
            .service("b", "contract-typed-link", link("B", "C"))
            .start()
            .await?;
        let mut client = host.client().await?;

        let topic = "test.chain/A/rpc/put";
        let sent = message(topic, r#"["next/next/x", "aGVsbG8="]"#, context());
        let found = carried(&mut client, sent, "test.chain/C/rpc/put").await?;
        assert_eq!(found, context(), "local: {local}");
    }
    Ok(())
}

#[tokio::test]
async fn nothing_is_added_without_mqtt_5() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let host = Host::on(broker.port())
        .version(Version::V311)
        .service("relay", "relay", json!({}))
        .start()
        .await?;
    let mut client = host.client().await?;
    let sent = message("service/relay/in", "x", context());
    assert_eq!(carried(&mut client, sent, "service/relay/out").await?, []);
    Ok(())
}
