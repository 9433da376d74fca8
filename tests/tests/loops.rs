//! Publish loops: services that answer themselves, or each other, are noticed and cut; everything
//! else continues.

use anyhow::Result;
use miqro_tests::{Host, Mosquitto};
use serde_json::json;

/// Messages come to an end, and the host says why.
async fn is_cut(host: &Host, input: &str, named: &str) -> Result<()> {
    let mut client = host.client().await?;
    client.subscribe("service/+/out", 1).await?;
    client.publish(input, "round and round").await?;
    let said = host.output().says(0, "a publish loop is cut").await?;
    assert!(said.contains(named) && said.contains("ERROR"), "{said}");
    client.pending().await?;
    // the loop has ended, and the services answer as before
    assert_eq!(client.pending().await?, []);
    let line = host.output().lines().len();
    client.publish(input, "again").await?;
    assert_eq!(client.next().await?.text(), "again");
    host.output()
        .says(line, "a publish loop is cut")
        .await
        .map(drop)
}

#[tokio::test]
async fn a_service_that_answers_itself() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let host = Host::on(broker.port())
        .service("relay", "relay", json!({ "subscriptions": ["out"] }))
        .start()
        .await?;
    is_cut(&host, "service/relay/in", "service/relay/out").await
}

#[tokio::test]
async fn two_services_that_answer_each_other() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let listens = |other: &str| json!({ "subscriptions": [{ "filter": format!("service/{other}/out"), "global": true }] });
    let host = Host::on(broker.port())
        .service("a", "relay", listens("b"))
        .service("b", "relay", listens("a"))
        .start()
        .await?;
    is_cut(&host, "service/a/in", "/out").await
}
