//! Updates by command: where `swap.automatic` is off, a new component file waits until `update` is asked for.

use anyhow::{Context, Result};
use miqro_tests::deadline::Deadline;
use miqro_tests::probe::{self, assert_works};
use miqro_tests::{Client, Host, Mosquitto, Tally, guests};
use serde_json::{Value, json};

/// Messages a second.
const RATE: u32 = 2_000;

/// Words of the log about a version that waits.
const WAITS: &str = "the new version waits for `miqro-host update";

/// A service, as `list` shows it.
async fn listed(host: &Host, name: &str) -> Result<Value> {
    let listed = host.tell(&["list", "--json"]).await?;
    let services: Vec<Value> = serde_json::from_str(&listed)?;
    let service = services.into_iter().find(|service| service["name"] == name);
    service.with_context(|| format!("no {name} in {listed}"))
}

/// Waits until no version waits for a service.
async fn nothing_waits(host: &Host, name: &str) -> Result<()> {
    let asked = async {
        while !listed(host, name).await?["available"].is_null() {}
        Ok(())
    };
    Deadline::new().wait("no version that waits", asked).await?
}

/// A host with the guest `contract-swap` as the service `probe`, which has counted to one.
async fn counted(swap: &Value) -> Result<(Host, Client)> {
    let section = json!({ "swap": swap });
    let (host, mut client) = probe::start(Host::embedded()?, section).await?;
    assert_works(&mut client, 1, 1, 1).await?;
    Ok((host, client))
}

/// A client that gets the answers of the service `probe`.
async fn worked(host: &Host) -> Result<Client> {
    let mut client = host.client().await?;
    client.subscribe("service/probe/worked", 1).await?;
    Ok(client)
}

/// Starts a host again, in whose file a version waits.
async fn started_again(host: &mut Host) -> Result<Client> {
    host.restart()?;
    host.online().await?;
    let waits = "of its file waits for the command `update`";
    host.output().says(0, waits).await?;
    worked(host).await
}

#[tokio::test]
async fn a_version_waits_until_the_command_under_load() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let host = Host::on(broker.port())
        .service("relay", "relay", json!({"swap": {"automatic": false}}))
        .start()
        .await?;
    let mut tally = Tally::start(host.port(), "service/relay/in", "service/relay/out").await?;
    let load = tally.load(RATE).await?;
    let relay = guests::component("relay")?;
    let first = listed(&host, "relay").await?["version"].take();

    let mut waiting = Vec::new();
    for mark in 1..=2 {
        host.replace_and_wait("relay", &guests::marked(&relay, mark), WAITS)
            .await?;
        tally.further(500).await?;
        let service = listed(&host, "relay").await?;
        assert_eq!(service["version"], first);
        let since = service["available"]["since"].as_str();
        assert!(since.is_some_and(|since| since.ends_with('Z')), "{service}");
        waiting.push(service["available"]["version"].clone());
    }
    assert!(waiting[0] != waiting[1] && !waiting.contains(&first));

    // its own bytes end the wait
    host.replace("relay", &relay)?;
    nothing_waits(&host, "relay").await?;
    let refused = host.refusal(&["update", "relay"]).await?;
    assert!(refused.contains("nothing to update: version"), "{refused}");
    host.replace_and_wait("relay", &guests::marked(&relay, 2), WAITS)
        .await?;
    assert_eq!(host.output().count("takes over"), 0);

    let table = host.tell(&["list"]).await?;
    assert!(table.contains("running, update "), "{table}");
    let said = host.tell(&["update", "relay"]).await?;
    assert!(said.trim_end().ends_with(" runs"), "{said}");
    let service = listed(&host, "relay").await?;
    assert_eq!(service["version"], waiting[1]);
    assert_eq!(service["available"], Value::Null);
    let audit = |line: &str| line.contains("audit: update of \"relay\" by user");
    host.output().wait_for("the audit line", audit).await?;

    tally.further(500).await?;
    let sent = load.stop().await?;
    tally.each_once(sent).await?;
    assert_eq!(host.output().count("takes over"), 1);
    Ok(())
}

#[tokio::test]
async fn the_running_version_goes_on_after_a_restart() -> Result<()> {
    let (mut host, _) = counted(&json!({"automatic": false})).await?;
    host.replace_and_wait("probe", &guests::swap(2)?, WAITS)
        .await?;
    host.kill()?;
    let mut client = started_again(&mut host).await?;
    assert_works(&mut client, 1, 1, 2).await?;

    // a file that came while the host was away waits, too
    host.stop().await?;
    host.replace("probe", &guests::swap(3)?)?;
    let mut client = started_again(&mut host).await?;
    assert_works(&mut client, 1, 1, 3).await?;
    host.tell(&["update", "probe"]).await?;
    assert_works(&mut client, 3, 2, 4).await?;
    nothing_waits(&host, "probe").await
}

#[tokio::test]
async fn a_version_that_was_rolled_back_is_tried_again_by_command() -> Result<()> {
    let (host, mut client) = counted(&json!({})).await?;
    host.replace_and_wait("probe", &guests::swap(2)?, "takes over")
        .await?;
    assert_works(&mut client, 2, 2, 2).await?;
    let new = listed(&host, "probe").await?["version"].take();

    host.tell(&["rollback", "probe"]).await?;
    let service = listed(&host, "probe").await?;
    assert_eq!(service["available"]["version"], new);
    assert_eq!(service["versions"]["refused"], json!([new]));
    assert_works(&mut client, 1, 2, 2).await?;

    host.tell(&["update", "probe"]).await?;
    assert_works(&mut client, 2, 3, 3).await?;
    let service = listed(&host, "probe").await?;
    assert_eq!(service["available"], Value::Null);
    assert_eq!(service["versions"]["refused"], json!([]));
    Ok(())
}

#[tokio::test]
async fn reload_switches_automatic_swaps() -> Result<()> {
    let (host, mut client) = counted(&json!({"automatic": false})).await?;
    host.replace_and_wait("probe", &guests::swap(2)?, WAITS)
        .await?;

    let mut config = host.config();
    let line = host.output().lines().len();
    config["services"]["probe"]["swap"]["automatic"] = json!(true);
    host.reconfigured(&config).await?;
    host.output().says(line, "takes over").await?;
    assert_works(&mut client, 2, 2, 2).await?;

    config["services"]["probe"]["swap"]["automatic"] = json!(false);
    host.reconfigured(&config).await?;
    host.replace_and_wait("probe", &guests::swap(3)?, WAITS)
        .await?;
    assert_works(&mut client, 2, 3, 3).await
}

#[tokio::test]
async fn a_file_that_cannot_run_does_not_wait() -> Result<()> {
    let (host, mut client) = counted(&json!({"automatic": false})).await?;
    host.replace_and_wait("probe", &guests::swap(2)?, WAITS)
        .await?;
    host.replace_and_wait("probe", b"not a component", "the running version stays")
        .await?;
    nothing_waits(&host, "probe").await?;
    let refused = host.refusal(&["update", "probe"]).await?;
    assert!(refused.contains("no other that can run"), "{refused}");
    assert_works(&mut client, 1, 2, 2).await
}

#[tokio::test]
async fn an_update_runs_as_a_shadow_first_where_that_is_configured() -> Result<()> {
    let (host, mut client) = counted(&json!({"automatic": false, "shadow": "1s"})).await?;
    host.replace_and_wait("probe", &guests::swap(2)?, WAITS)
        .await?;
    let line = host.output().lines().len();
    let said = host.tell(&["update", "probe"]).await?;
    assert!(said.contains("runs as a shadow, and takes over"), "{said}");
    host.output().says(line, "ran as a shadow").await?;
    host.output().says(line, "takes over").await?;
    assert_works(&mut client, 2, 2, 2).await
}

#[tokio::test]
async fn a_deployment_takes_over_at_once_and_nothing_waits() -> Result<()> {
    let (host, mut client) = counted(&json!({"automatic": false})).await?;
    host.replace_and_wait("probe", &guests::swap(2)?, WAITS)
        .await?;
    std::fs::write(host.folder().join("next"), guests::swap(3)?)?;
    host.tell(&["deploy", "probe", "next"]).await?;
    assert_eq!(listed(&host, "probe").await?["available"], Value::Null);
    assert_works(&mut client, 3, 2, 2).await
}
