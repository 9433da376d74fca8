//! The host is killed again and again while messages flow: none is missing, and those that come
//! twice were not acknowledged.

use anyhow::Result;
use miqro_tests::{Host, Mosquitto, Tally, Version, mosquitto};
use serde_json::json;

use super::{WINDOW, rounds};

#[tokio::test]
async fn killed_hosts_lose_nothing_with_mqtt_5() -> Result<()> {
    killed(Version::V5).await
}

#[tokio::test]
async fn killed_hosts_lose_nothing_with_mqtt_3_1_1() -> Result<()> {
    killed(Version::V311).await
}

async fn killed(version: Version) -> Result<()> {
    let kills = rounds(10, 50);
    let lines = vec!["log_type debug".to_owned()];
    let broker = Mosquitto::with(&mosquitto::Setup {
        lines,
        ..Default::default()
    })
    .await?;
    let setup = Host::plain(broker.port())
        .version(version)
        .broker("client_id", json!("killed"));
    let mut host = setup.service("relay", "relay", json!({})).start().await?;
    let mut tally = Tally::start(broker.port(), "service/relay/in", "service/relay/out").await?;
    let load = tally.load(2_000).await?;
    for kill in 0..kills {
        // at all sorts of moments: also while the host that was started last is not there yet, or gets what has waited
        tally
            .further([700, 0, 1, 300, 64][kill as usize % 5])
            .await?;
        host.kill()?;
        host.restart()?;
    }

    tally.further(700).await?;
    let sent = load.stop().await?;
    let twice = tally.all(sent).await?;
    println!("{kills} kills, {sent} messages, none missing, {twice} twice");
    let again = broker.output().count("Sending PUBLISH to killed (d1");
    assert!(
        twice <= again,
        "{twice} of {sent} came twice, and only {again} were not acknowledged when the host was killed"
    );
    // in 3.1.1 it is the broker that decides how many may be
    let most = if version == Version::V5 {
        WINDOW * kills as usize
    } else {
        usize::MAX
    };
    assert!(
        twice <= most,
        "{twice} of {sent} came twice after {kills} kills"
    );
    Ok(())
}
