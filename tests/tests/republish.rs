//! `republish_retained`: a broker without persistence is killed and started again, and the retained
//! messages of services with that setting are there again.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use miqro_tests::{Client, Host, Mosquitto, Version};
use serde_json::{Value, json};

/// More than are sent at once.
const MANY: usize = 150;

/// Has the service publish, and waits until the broker has taken it.
async fn published(client: &mut Client, service: &str, message: Value) -> Result<()> {
    client
        .publish(&format!("service/{service}/publish"), message.to_string())
        .await?;
    client
        .expect(&format!("service/{service}/done"))
        .await
        .map(drop)
}

async fn publishes(host: &Host, service: &str) -> Result<()> {
    let mut client = host.client().await?;
    client
        .subscribe(&format!("service/{service}/done"), 1)
        .await?;
    let mut say = async |topic: &str, payload: &str, qos: u8, retain: bool| {
        let message = json!({ "topic": topic, "payload": payload, "qos": qos, "retain": retain });
        published(&mut client, service, message).await
    };
    for number in 0..MANY {
        say(
            &format!("many/{number}"),
            &number.to_string(),
            (number % 3) as u8,
            true,
        )
        .await?;
    }

    for (topic, payload) in [
        ("last", "first"),
        ("last", "second"),
        ("gone", "there"),
        ("gone", ""),
        ("only_once", "x"),
    ] {
        say(topic, payload, 1, topic != "only_once").await?;
    }

    Ok(())
}

/// Retained messages of the service, without the host's own about it.
async fn kept(host: &Host, service: &str) -> Result<BTreeMap<String, String>> {
    let mut client = host.client().await?;
    client.subscribe(&format!("service/{service}/#"), 1).await?;
    let mut kept: BTreeMap<_, _> = client
        .pending()
        .await?
        .into_iter()
        .map(|m| (m.topic.clone(), m.text()))
        .collect();

    kept.remove(&format!("service/{service}/online"));
    Ok(kept)
}

fn expected(service: &str) -> BTreeMap<String, String> {
    let many = (0..MANY).map(|number| {
        (
            format!("service/{service}/many/{number}"),
            number.to_string(),
        )
    });

    many.chain([(format!("service/{service}/last"), "second".to_owned())])
        .collect()
}

async fn comes_again(version: Version) -> Result<()> {
    let mut broker = Mosquitto::start().await?;
    let host = Host::on(broker.port())
        .version(version)
        .service(
            "keeps",
            "contract-publish",
            json!({ "republish_retained": true }),
        )
        .service("usual", "contract-publish", json!({}))
        .start()
        .await?;

    for service in ["keeps", "usual"] {
        publishes(&host, service).await?;
        assert_eq!(kept(&host, service).await?, expected(service));
    }
    for _ in 0..2 {
        broker.kill()?;
        broker.restart().await?;
        host.online().await?;
        let mut watcher = host.client().await?;
        watcher.subscribe("service/keeps/#", 1).await?;
        let mut missing = expected("keeps");
        while !missing.is_empty() {
            let message = watcher
                .next()
                .await
                .with_context(|| host.output().told(&format!("missing: {missing:?}")))?;
            missing.retain(|topic, payload| *topic != message.topic || *payload != message.text());
        }

        assert_eq!(kept(&host, "keeps").await?, expected("keeps"));
        ensure!(
            kept(&host, "usual").await?.is_empty(),
            "a service has to ask for it"
        );
    }

    // switched off, nothing comes again
    let mut config = host.config();
    config["services"]["keeps"]["republish_retained"] = json!(false);
    host.reconfigured(&config).await?;
    broker.kill()?;
    broker.restart().await?;
    host.online().await?;
    let mut client = host.client().await?;
    client.subscribe("service/keeps/done", 1).await?;
    published(
        &mut client,
        "keeps",
        json!({ "topic": "new", "payload": "1", "qos": 1, "retain": true }),
    )
    .await?;
    assert_eq!(kept(&host, "keeps").await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_broker_that_forgot_everything_has_them_again_with_mqtt_5() -> Result<()> {
    comes_again(Version::V5).await
}

#[tokio::test]
async fn a_broker_that_forgot_everything_has_them_again_with_mqtt_3_1_1() -> Result<()> {
    comes_again(Version::V311).await
}
