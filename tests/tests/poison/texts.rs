//! Texts that MQTT says should not be sent, for which mosquitto ends the connection: refused to the
//! guest, and escaped in the host's own messages.

use anyhow::{Context, Result, ensure};
use miqro_tests::{Client, Host, Mosquitto, Version};
use serde_json::{Value, json};

use super::LONGEST_GAP;
use super::victim::Victim;

/// Control characters and noncharacters.
const BAD: [&str; 9] = [
    "\t",
    "\n",
    "\r\n",
    "\u{1}",
    "\u{7f}",
    "\u{85}",
    "\u{fdd0}",
    "\u{fffe}",
    "\u{10ffff}",
];

/// Tells the service `probe` to do something, and expects that it is refused with an error that begins so.
async fn refused(client: &mut Client, topic: &str, command: Value, error: &str) -> Result<()> {
    client
        .publish(&format!("service/probe/{topic}"), command.to_string())
        .await?;
    let said = client
        .expect("service/probe/refused")
        .await
        .with_context(|| command.to_string())?
        .text();
    ensure!(said.starts_with(error), "{command}: {said}");
    Ok(())
}

/// Properties that hold a forbidden text, each with the error that a guest gets for it.
fn forbidden_properties(text: &str) -> [(Value, &'static str); 4] {
    let property = "MessagingError::InvalidProperty(";
    let topic = "MessagingError::InvalidTopic(";
    [
        (json!({ "content_type": text }), property),
        (
            json!({ "user_properties": [{ "name": text, "value": "v" }] }),
            property,
        ),
        (
            json!({ "user_properties": [{ "name": "n", "value": text }] }),
            property,
        ),
        (json!({ "response_topic": text }), topic),
    ]
}

#[tokio::test]
async fn forbidden_publishes_are_refused() -> Result<()> {
    for version in [Version::V5, Version::V311] {
        let broker = Mosquitto::start().await?;
        let setup = Host::on(broker.port())
            .version(version)
            .service("victim", "relay", json!({}));
        let host = setup
            .service("probe", "contract-publish", json!({}))
            .start()
            .await?;
        let victim = Victim::start(broker.port()).await?;
        let mut client = host.client().await?;
        client.subscribe("service/probe/#", 1).await?;
        for (number, bad) in BAD.into_iter().enumerate() {
            let qos = number % 3;
            let text = format!("a{bad}b");
            let command = json!({ "topic": text, "qos": qos, "retain": number % 2 == 0 });
            refused(
                &mut client,
                "publish",
                command,
                "MessagingError::InvalidTopic(",
            )
            .await?;
            for (properties, error) in forbidden_properties(&text) {
                let command = json!({ "topic": "out", "qos": qos, "properties": properties });
                refused(&mut client, "publish", command, error).await?;
            }
        }

        let deep = json!({ "topic": "a/".repeat(250) + "b", "qos": 1 });
        refused(
            &mut client,
            "publish",
            deep,
            "MessagingError::InvalidTopic(",
        )
        .await?;
        victim.check(LONGEST_GAP).await?;
        ensure!(
            host.output().count("connection to") == 0,
            "{}",
            host.output().told("a connection was lost")
        );
    }

    Ok(())
}

#[tokio::test]
async fn forbidden_subscriptions_are_refused() -> Result<()> {
    for version in [Version::V5, Version::V311] {
        let broker = Mosquitto::start().await?;
        let setup = Host::on(broker.port())
            .version(version)
            .service("victim", "relay", json!({}));
        let host = setup
            .service("probe", "contract-subscribe", json!({}))
            .start()
            .await?;
        let victim = Victim::start(broker.port()).await?;
        let mut client = host.client().await?;
        client.subscribe("service/probe/refused", 1).await?;
        for bad in BAD {
            for filter in [format!("a{bad}/#"), format!("$share/g{bad}/a")] {
                let command = json!({ "subscribe": filter });
                refused(
                    &mut client,
                    "command",
                    command,
                    "MessagingError::InvalidTopic(",
                )
                .await?;
            }
        }

        let deep = json!({ "subscribe": "a/".repeat(250) + "#" });
        refused(
            &mut client,
            "command",
            deep,
            "MessagingError::InvalidTopic(",
        )
        .await?;
        victim.check(LONGEST_GAP).await?;
        ensure!(
            host.output().count("connection to") == 0,
            "{}",
            host.output().told("a connection was lost")
        );
    }

    Ok(())
}

#[tokio::test]
async fn an_error_of_two_lines_becomes_a_dead_letter() -> Result<()> {
    for version in [Version::V5, Version::V311] {
        let broker = Mosquitto::start().await?;
        let setup = Host::on(broker.port())
            .version(version)
            .service("victim", "relay", json!({}));
        let section = json!({ "subscriptions": ["x"], "limits": { "attempts": 1 } });
        let host = setup
            .service("min", "contract-minimal", section)
            .start()
            .await?;
        let victim = Victim::start(broker.port()).await?;
        let mut client = host.client().await?;
        client.subscribe("service/min/dead-letter", 1).await?;
        for bad in BAD {
            client
                .publish("service/min/x", format!("one{bad}two"))
                .await?;
            let letter = client
                .expect("service/min/dead-letter")
                .await
                .with_context(|| host.output().told("no letter"))?;
            let reason = match version {
                Version::V5 => {
                    let properties = letter.properties.user_properties;
                    properties
                        .into_iter()
                        .find(|(name, _)| name == "reason")
                        .context("no reason")?
                        .1
                }
                Version::V311 => {
                    serde_json::from_slice::<Value>(&letter.payload)?["reason"].to_string()
                }
            };

            ensure!(
                reason.contains("one\\") && reason.contains("two"),
                "{reason}"
            );
        }

        victim.check(LONGEST_GAP).await?;
        ensure!(
            host.output().count("connection to") == 0,
            "{}",
            host.output().told("a connection was lost")
        );
    }

    Ok(())
}
