//! The broker is killed again and again while messages flow, and the host has only its defaults:
//! every message that the broker still has is answered, and the host works again within two seconds
//! of the broker's return. The host spools none: of those it has answered, the broker may lose the
//! answers that it has acknowledged.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result};
use miqro_tests::{Client, Deadline, Host, Message, Mosquitto, Tally, Version, mosquitto};
use serde_json::json;
use tokio::time::interval;

use super::rounds;
use super::witness::Witness;

/// How long the host has, after the broker listens again, until it answers.
const BACK: Duration = Duration::from_secs(2);
/// Number of changes after which the broker writes its state: later ones are lost when it is killed.
const CHANGES: u32 = 50;
/// Numbers that are answered between two kills.
const BETWEEN: usize = 300;

#[tokio::test]
async fn queued_messages_are_answered_with_mqtt_5() -> Result<()> {
    killed(Version::V5).await
}

#[tokio::test]
async fn queued_messages_are_answered_with_mqtt_3_1_1() -> Result<()> {
    killed(Version::V311).await
}

#[expect(
    clippy::too_many_lines,
    reason = "one scenario, read from top to bottom"
)]
async fn killed(version: Version) -> Result<()> {
    let kills = rounds(4, 20);
    // its state is written whole each time: with every change, it would do nothing else
    let lines = vec![format!("autosave_interval {CHANGES}")];
    let mut broker = Mosquitto::with(&mosquitto::Setup {
        persistent: true,
        lines,
        ..Default::default()
    })
    .await?;
    let port = broker.port();
    let witness = Witness::new(port, "service/relay/in").await?;
    let host = Host::plain(port)
        .version(version)
        .top("log_level", json!("DEBUG"))
        .service("relay", "relay", json!({}))
        .service("probe", "relay", json!({}))
        .start()
        .await?;

    let mut tally = Tally::start(port, "service/relay/in", "service/relay/out").await?;
    let mut next = 0;
    let mut taken = BTreeSet::new();
    for kill in 0..kills {
        let load = tokio::spawn(tally.until_the_end(Client::connect(port).await?, next));
        tally.further(BETWEEN).await?;
        let line = host.output().lines().len();
        broker.kill()?;
        let sent = load.await?;
        taken.extend(sent.taken);
        next = sent.next;
        host.output().says(line, "lost").await?;
        if kill % 2 == 0 {
            absent(&host, line).await?;
        }
        broker.restart().await?;
        let back = Deadline::after(BACK).wait(
            "an answer of the host that found its broker again",
            answered(port),
        );
        let said = || {
            broker
                .output()
                .told(&host.output().told("after the broker's return"))
        };
        back.await.flatten().with_context(said)?;
        tally.resume().await.with_context(said)?;
        tally.settled().await.with_context(said)?;
    }

    let kept = witness.kept().await?;
    let unanswered: Vec<u32> = kept.difference(tally.seen()).copied().collect();
    assert!(
        unanswered.is_empty(),
        "the broker had them and they were not answered: {unanswered:?}"
    );
    assert!(
        kept.len() >= BETWEEN,
        "the broker kept only {} of {next}",
        kept.len()
    );
    let lost = taken.difference(tally.seen()).count();
    let taken = taken.len();
    let kept = kept.len();
    let twice = tally.twice();
    println!(
        "{kills} kills of the broker, which took {taken}, kept {kept}, lost {lost}: all kept ones answered, {twice} twice"
    );
    Ok(())
}

/// Waits until the host has tried in vain so often that its attempts are as far apart as they get.
async fn absent(host: &Host, line: usize) -> Result<()> {
    let mut failures = 0;
    let mut seen = line;
    while failures < rounds(6, 12) as usize {
        host.output().says(seen, "not connect").await?;
        let lines = host.output().lines();
        failures += lines[seen..]
            .iter()
            .filter(|line| line.contains("not connect"))
            .count();
        seen = lines.len();
    }

    Ok(())
}

/// Sends messages to a second service until one is answered: the first ones may come before the host has subscribed.
async fn answered(port: u16) -> Result<()> {
    let mut client = Client::connect(port).await?;
    client.subscribe("service/probe/out", 1).await?;
    let mut again = interval(Duration::from_millis(20));
    loop {
        tokio::select! {
            _ = again.tick() => client.post(Message::new("service/probe/in", "")).await?,
            answer = client.next() => return answer.map(drop),
        }
    }
}
