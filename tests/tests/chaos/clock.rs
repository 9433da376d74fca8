//! The system's clock jumps by hours, forward and back: timers keep their pace, the connection
//! stays, no message is missing.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use miqro_tests::shim::Shim;
use miqro_tests::{Client, Host, Mosquitto, Tally};
use serde_json::{Value, json};

use super::rounds;

/// How often the timer ticks.
const PERIOD: Duration = Duration::from_millis(50);
const HOUR: i64 = 3600;

#[tokio::test]
async fn timers_keepalive_and_messages_do_not_mind_a_clock_that_jumps() -> Result<()> {
    let shim = Shim::compile(include_str!("clock.c")).await?;
    let shift = shim.file("seconds");
    let broker = Mosquitto::start().await?;
    let host = Host::on(broker.port())
        .broker("keepalive", json!("5s"))
        .top("log_level", json!("DEBUG"))
        .service("relay", "relay", json!({}))
        .service("timers", "contract-timers", json!({}))
        .through(&shim.launcher(&shift))
        .start()
        .await?;

    let mut ticks = Client::connect(broker.port()).await?;
    ticks.subscribe("service/timers/due", 0).await?;
    let period = PERIOD.as_millis() as u64;
    let command = json!({ "every": "pace", "period": period, "delay": period });
    ticks
        .publish("service/timers/command", command.to_string())
        .await?;
    let mut tally = Tally::start(broker.port(), "service/relay/in", "service/relay/out").await?;
    let load = tally.load(500).await?;
    let begun = Instant::now();
    let mut counted = 0;
    let jumps = [5 * HOUR, -7 * HOUR, 0, (24 * 365 + 3) * HOUR, -90, 0];
    for jump in 0..rounds(6, 60) {
        let seconds = jumps[jump as usize % jumps.len()];
        // a rename: the host never reads half a number
        std::fs::write(shift.with_extension("new"), seconds.to_string())?;
        std::fs::rename(shift.with_extension("new"), &shift)?;
        tally.further(100).await?;
        // a clock that went back would leave a timer behind that goes by it
        for _ in 0..5 {
            counted += count(&ticks.next().await?.json()?)?;
        }
        says_the_time(&host, seconds).await?;
    }

    // and one that jumped forward would make up for ticks that it believes to have missed
    let most = begun.elapsed().div_duration_f64(PERIOD) as u64 + 2;
    assert!(counted <= most, "{counted} ticks in the time of {most}");
    let sent = load.stop().await?;
    tally.each_once(sent).await?;
    assert_eq!(
        host.output().count(" lost"),
        0,
        "{}",
        host.output().told("the connection was lost")
    );

    Ok(())
}

/// How many times the timer was due.
fn count(due: &Value) -> Result<u64> {
    due[0]["count"]
        .as_u64()
        .with_context(|| format!("no count in {due}"))
}

/// The jump has reached the host: its log has the time of day that it was told.
async fn says_the_time(host: &Host, seconds: i64) -> Result<()> {
    const DAY: i64 = 24 * HOUR;
    let line = host.output().lines().len();
    host.process().signal("HUP")?;
    let said = host.output().says(line, "has not changed").await?;
    let real = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() as i64;
    let (_, time) = said.split_once('T').context("no time")?;
    let parts: Vec<i64> = time
        .split([':', '.'])
        .take(3)
        .map(str::parse)
        .collect::<Result<_, _>>()
        .context(said.clone())?;

    let off = (real + seconds - parts.iter().fold(0, |sum, part| sum * 60 + part)).rem_euclid(DAY);
    // the line may be some seconds old
    assert!(
        off < 60,
        "{said}: the clock of the host is not off by {seconds} s"
    );
    Ok(())
}
