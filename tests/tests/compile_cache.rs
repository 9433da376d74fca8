//! Cache of compiled components on disk.

use std::path::PathBuf;

use anyhow::{Context, Result};
use miqro_tests::{Deadline, Host, Mosquitto, guests};
use serde_json::json;

const MIB: u64 = 1 << 20;

/// The files with the statistics of the cache's entries.
fn statistics(host: &Host) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![host.folder().join("compiled")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|name| name == "stats") {
                found.push(path);
            }
        }
    }
    Ok(found)
}

/// Waits until the cache has `count` entries.
async fn entries(host: &Host, count: usize) -> Result<Vec<PathBuf>> {
    let counted = async {
        loop {
            let found = statistics(host)?;
            if found.len() == count {
                return anyhow::Ok(found);
            }
            tokio::task::yield_now().await;
        }
    };
    Deadline::new().wait("the entries", counted).await?
}

/// wasmtime's cache compresses an entry again, in some 150 MiB of the host, when it has been used 256 times.
#[tokio::test]
async fn code_that_is_used_often_costs_no_memory() -> Result<()> {
    const MOST: u64 = 100 * MIB;
    let broker = Mosquitto::start().await?;
    let mut host = Host::on(broker.port())
        .top("cache_dir", json!("compiled"))
        .service("relay", "relay", json!({}))
        .start()
        .await?;
    let first = entries(&host, 1).await?;
    assert!(host.stop().await?.success());
    for file in first {
        let text = std::fs::read_to_string(&file)?;
        let (usages, rest) = text.split_once('\n').context("no second line")?;
        assert!(usages.starts_with("usages = "), "{text}");
        std::fs::write(file, format!("usages = 1000\n{rest}"))?;
    }

    host.restart()?;
    host.online().await?;
    let relay = guests::component("relay")?;
    host.replace_and_wait("relay", &guests::marked(&relay, 1), "takes over")
        .await?;
    // the cache handles what happened in order, so with the second entry everything about the first is done
    entries(&host, 2).await?;
    let peak = host.process().memory()?.peak;
    assert!(
        peak < MOST,
        "{} MiB\n{}",
        peak / MIB,
        host.process().mappings()?
    );
    Ok(())
}

/// The functions of the second version come from the first one's compilation, those of the third from both.
#[tokio::test]
async fn versions_with_functions_of_earlier_ones_run() -> Result<()> {
    let relay = guests::component("relay")?;
    let host = Host::embedded()?
        .top("cache_dir", json!("compiled"))
        .service("relay", "relay", json!({}))
        .start()
        .await?;
    let mut client = host.client().await?;
    client.subscribe("service/relay/out", 1).await?;
    for (mark, functions) in [(1, 200), (2, 200), (3, 250)] {
        let version = guests::marked(&guests::large(&relay, functions), mark);
        host.replace_and_wait("relay", &version, "takes over")
            .await?;
        client.publish("service/relay/in", "hello").await?;
        assert_eq!(client.next().await?.text(), "hello");
        let files = std::fs::read_dir(host.folder().join("compiled/functions"))?;
        assert_eq!(files.count(), 1);
    }
    Ok(())
}
