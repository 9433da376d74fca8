//! Component files that are cut, damaged, mixed of two versions and replaced while they are read:
//! the running version continues, the log names the file, and the good file takes over at last.

use std::fs;
use std::path::Path;

use anyhow::Result;
use miqro_tests::{Host, Load, Mosquitto, Tally, guests};
use serde_json::json;

use super::rounds;

/// A host that answers numbers under load, and who checks them.
struct Stage {
    _broker: Mosquitto,
    host: Host,
    tally: Tally,
    load: Load,
    relay: Vec<u8>,
}

impl Stage {
    async fn new() -> Result<Self> {
        let broker = Mosquitto::start().await?;
        let host = Host::on(broker.port())
            .service("relay", "relay", json!({}))
            .start()
            .await?;
        let tally = Tally::start(broker.port(), "service/relay/in", "service/relay/out").await?;
        let load = tally.load(1_000).await?;
        Ok(Self {
            _broker: broker,
            host,
            tally,
            load,
            relay: guests::component("relay")?,
        })
    }

    /// `bytes` come into the place of the file and are refused; the running version answers.
    async fn refused(&mut self, what: &str, bytes: &[u8]) -> Result<()> {
        let line = self.host.output().lines().len();
        self.host.replace("relay", bytes)?;
        let said = self
            .host
            .output()
            .says(line, "the running version stays")
            .await?;
        assert!(said.contains("relay.wasm"), "{what}: {said}");
        self.tally.further(10).await
    }

    /// The good file takes over, and every message was answered once all the time.
    async fn good(mut self) -> Result<()> {
        let line = self.host.output().lines().len();
        self.host
            .replace("relay", &guests::marked(&self.relay, 200))?;
        self.host.output().says(line, "takes over").await?;
        self.tally.further(100).await?;
        let sent = self.load.stop().await?;
        self.tally.each_once(sent).await
    }
}

#[tokio::test]
async fn a_file_that_is_cut_anywhere_is_refused() -> Result<()> {
    let mut stage = Stage::new().await?;
    let relay = stage.relay.clone();
    let cuts = rounds(12, 200) as usize;
    // not only where it ends by chance between two sections of the component
    for cut in (0..cuts).map(|cut| 1 + cut * (relay.len() - 2) / cuts) {
        stage
            .refused(&format!("cut after {cut} bytes"), &relay[..cut])
            .await?;
    }
    stage.good().await
}

#[tokio::test]
async fn a_file_with_a_damaged_part_is_refused() -> Result<()> {
    let mut stage = Stage::new().await?;
    let relay = stage.relay.clone();
    // the second half of a component is not all code: damage in a name or in data cannot be seen
    let half = relay.len() / 2;
    for place in
        (0..rounds(8, 100) as usize).map(|place| 8 + place * (half - 100) / rounds(8, 100) as usize)
    {
        let mut damaged = relay.clone();
        damaged[place..place + 64].fill(0xff);
        stage
            .refused(&format!("damaged at {place}"), &damaged)
            .await?;
    }

    stage.good().await
}

/// A version and something else of its size, each written in place over the other while the host reads: it sees the one, the other
/// or a mixture. Only the version can run, so the service answers.
#[tokio::test]
async fn a_file_that_changes_while_it_is_read_does_no_harm() -> Result<()> {
    let mut stage = Stage::new().await?;
    for round in 0..rounds(5, 50) {
        let file = stage.host.file("relay");
        let line = stage.host.output().lines().len();
        let version = guests::marked(&stage.relay, (round % 100) as u8);
        let versions = [vec![b'?'; version.len()], version];
        let writing = std::thread::spawn(move || in_turn(&file, &versions, 40));
        stage.tally.further(20).await?;
        writing
            .join()
            .map_err(|_| anyhow::anyhow!("the writer panicked"))??;
        // two replacements in quick succession: the last one counts
        stage.host.replace("relay", &stage.relay[1..])?;
        stage.host.replace(
            "relay",
            &guests::marked(&stage.relay, 100 + (round % 100) as u8),
        )?;
        stage.host.output().says(line, "takes over").await?;
    }

    stage.good().await
}

/// Writes one after the other into the file, in pieces.
fn in_turn(file: &Path, versions: &[Vec<u8>; 2], times: usize) -> Result<()> {
    use std::io::{Seek, Write};
    let mut target = fs::OpenOptions::new().write(true).open(file)?;
    for version in versions.iter().cycle().take(times) {
        target.rewind()?;
        for piece in version.chunks(4096) {
            target.write_all(piece)?;
        }
    }

    Ok(())
}
