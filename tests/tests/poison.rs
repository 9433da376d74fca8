//! Poison: one message, service or broker that misbehaves takes the connection from no other
//! service. A victim, a relay of QoS 1 that is asked 50 times a second, runs next to each kind of
//! trouble; it misses nothing, and its longest gap stays below a bound.

mod censor;
mod closing;
mod embedded;
mod inbound;
mod injector;
mod limited;
mod slow;
mod storms;
mod texts;
mod victim;

use std::time::Duration;

use anyhow::Result;
use miqro_tests::{Host, Mosquitto};
use serde_json::json;

use victim::Victim;

/// The longest gap of a victim beside something that ends connections.
const LONGEST_GAP: Duration = Duration::from_secs(5);

#[tokio::test]
async fn a_victim_without_trouble_misses_nothing() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let _host = Host::on(broker.port())
        .service("victim", "relay", json!({}))
        .start()
        .await?;
    let victim = Victim::start(broker.port()).await?;
    victim.check(LONGEST_GAP).await
}
