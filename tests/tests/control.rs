//! The control channel: commands that ask a running host about its services, or change them.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;

use anyhow::{Context, Result};
use miqro_tests::deadline::Deadline;
use miqro_tests::probe::{self, assert_works};
use miqro_tests::process::run_to_end;
use miqro_tests::{Client, Host, guests, host};
use serde_json::{Value, json};

/// A host with the guest `contract-swap` as the service `probe`.
async fn probe() -> Result<(Host, Client)> {
    probe::start(Host::embedded()?, json!({})).await
}

async fn history(host: &Host) -> Result<Value> {
    Ok(serde_json::from_str(
        &host.tell(&["history", "probe", "--json"]).await?,
    )?)
}

/// The events, as words.
fn words(history: &Value) -> Vec<&str> {
    history["events"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|event| event["what"].as_str())
        .collect()
}

/// The control socket of the host.
fn socket(host: &Host) -> Result<PathBuf> {
    let folder = host.folder().join("state/miqro-host");
    let entries = std::fs::read_dir(&folder)?.collect::<Result<Vec<_>, _>>()?;
    let sockets = entries
        .into_iter()
        .map(|entry| entry.path())
        .filter(|path| path.to_string_lossy().ends_with(".sock"));
    sockets.last().context("there is no socket")
}

#[tokio::test]
async fn the_history_says_how_versions_came_and_went() -> Result<()> {
    let (host, _client) = probe().await?;
    host.replace_and_wait("probe", &guests::swap(2)?, "takes over")
        .await?;
    host.replace_and_wait(
        "probe",
        b"this is no component\n",
        "the running version stays",
    )
    .await?;
    host.replace_and_wait("probe", &guests::swap(3)?, "takes over")
        .await?;
    let json = history(&host).await?;
    assert_eq!(words(&json), ["started", "swapped", "refused", "swapped"]);
    assert_eq!(
        (&json["service"], &json["on_probation"]),
        (&json!("probe"), &json!(true))
    );
    let refused = &json["events"][2];
    assert!(
        refused["note"]
            .as_str()
            .is_some_and(|note| note.contains("text, not a component")),
        "{refused}"
    );

    assert_eq!(refused["version"], Value::Null);
    assert_eq!(json["events"][3]["version"], json["running"]);
    assert_eq!(
        json["kept"],
        json!([json["events"][1]["version"], json["events"][0]["version"]])
    );
    let table = host.tell(&["history", "probe"]).await?;
    let lines: Vec<&str> = table.lines().collect();
    assert!(
        lines[0].starts_with("version") && lines[2].contains("swapped"),
        "{table}"
    );
    let running = &json["running"].as_str().unwrap_or_default()[..12];
    assert!(
        table.contains(&format!("runs: {running}; kept to go back to: ")),
        "{table}"
    );
    Ok(())
}

#[tokio::test]
async fn section_and_state_of_a_service_are_shown() -> Result<()> {
    let (host, mut client) = probe().await?;
    assert_works(&mut client, 1, 1, 1).await?;
    assert_eq!(
        host.tell(&["state", "probe"]).await?,
        "\"count\"  1 bytes  \"1\"\n"
    );
    let values = host.tell(&["state", "probe", "--json"]).await?;
    assert_eq!(
        serde_json::from_str::<Value>(&values)?,
        json!([{"key": "count", "bytes": 1, "text": "1"}])
    );
    host.output().says(0, "state of \"probe\"").await?;

    let yaml = host.tell(&["section", "probe"]).await?;
    assert!(yaml.contains("data_topic: service/probe/\n"), "{yaml}");
    let section = host.tell(&["section", "probe", "--json"]).await?;
    let section: Value = serde_json::from_str(&section)?;
    assert_eq!(section["limits"]["attempts"], 3, "the default");
    Ok(())
}

#[tokio::test]
async fn a_history_is_there_after_a_restart_of_the_host() -> Result<()> {
    let (mut host, _client) = probe().await?;
    host.replace_and_wait("probe", &guests::swap(2)?, "takes over")
        .await?;
    host.stop().await?;
    assert!(
        !host
            .folder()
            .join("state/miqro-host")
            .read_dir()?
            .any(|entry| {
                entry.is_ok_and(|entry| entry.file_type().is_ok_and(|kind| kind.is_socket()))
            })
    );

    host.restart()?;
    host.online().await?;
    let json = history(&host).await?;
    assert_eq!(words(&json), ["started", "swapped", "started"]);
    assert_eq!(json["kept"].as_array().map(Vec::len), Some(1));
    Ok(())
}

#[tokio::test]
async fn a_former_version_comes_back_with_what_it_left() -> Result<()> {
    let (host, mut client) = probe().await?;
    assert_works(&mut client, 1, 1, 1).await?;
    for version in 2..=3 {
        host.replace_and_wait("probe", &guests::swap(version)?, "takes over")
            .await?;
        assert_works(&mut client, version, u64::from(version), u64::from(version)).await?;
    }
    client.subscribe("service/probe/rollback", 1).await?;
    let first = history(&host).await?["events"][0]["version"]
        .as_str()
        .context("no version")?
        .to_owned();
    let said = host.tell(&["rollback", "probe"]).await?;
    assert!(said.contains("runs again"), "{said}");
    let fall = client.expect("service/probe/rollback").await?.json()?;
    assert_eq!(
        (&fall["reason"], &fall["faults"]),
        (&json!("by command"), &json!(0))
    );
    assert_works(&mut client, 2, 3, 3).await?;
    host.tell(&["rollback", "probe", "--to", &first[..6]])
        .await?;
    assert_works(&mut client, 1, 2, 2).await?;
    let json = history(&host).await?;
    assert_eq!(
        words(&json)[3..],
        ["rolled back", "put back", "rolled back", "put back"]
    );
    assert_eq!(
        (&json["running"], &json["kept"]),
        (&json!(first), &json!([]))
    );
    let said = host.refusal(&["rollback", "probe"]).await?;
    assert!(said.contains("no former version is kept"), "{said}");
    // neither of both is taken again
    host.replace_and_wait("probe", &guests::swap(3)?, "is not taken again")
        .await?;
    assert_works(&mut client, 1, 3, 3).await?;
    Ok(())
}

#[tokio::test]
async fn a_former_version_comes_back_after_a_restart_of_the_host() -> Result<()> {
    let (mut host, mut client) = probe().await?;
    assert_works(&mut client, 1, 1, 1).await?;
    host.replace_and_wait("probe", &guests::swap(2)?, "takes over")
        .await?;
    assert_works(&mut client, 2, 2, 2).await?;
    host.kill()?;
    host.restart()?;
    host.online().await?;
    let mut client = host.client().await?;
    client.subscribe("service/probe/worked", 1).await?;
    assert_works(&mut client, 2, 1, 3).await?;
    host.tell(&["rollback", "probe"]).await?;
    assert_works(&mut client, 1, 2, 2).await?;
    // and once more: the restored version runs
    host.stop().await?;
    host.restart()?;
    host.online().await?;
    let mut client = host.client().await?;
    client.subscribe("service/probe/worked", 1).await?;
    assert_works(&mut client, 1, 1, 3).await
}

#[tokio::test]
async fn a_service_is_started_anew() -> Result<()> {
    let (host, mut client) = probe().await?;
    assert_works(&mut client, 1, 1, 1).await?;
    let said = host.tell(&["restart", "probe"]).await?;
    assert!(said.contains("was started again"), "{said}");
    assert_works(&mut client, 1, 1, 2).await?;
    assert_eq!(words(&history(&host).await?), ["started", "restarted"]);
    Ok(())
}

#[tokio::test]
async fn no_host_and_no_such_service_are_said() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut command = host::command_in(folder.path())?;
    let said = run_to_end(command.args(["history", "probe"])).await?;
    assert_eq!(
        (said.code, said.out.contains("no host runs")),
        (Some(3), true),
        "{said:?}"
    );
    let (host, _client) = probe().await?;
    let said = host.refusal(&["restart", "other"]).await?;
    assert!(
        said.contains("\"other\"") && said.contains("probe"),
        "{said}"
    );
    let said = host.refusal(&["rollback", "probe", "--to", "zz"]).await?;
    assert!(said.contains("no former version"), "{said}");
    Ok(())
}

#[tokio::test]
async fn of_several_hosts_with_the_service_one_is_chosen() -> Result<()> {
    let (one, _a) = probe().await?;
    let (other, mut client) = probe().await?;
    // both are in the usual directory
    let there = one.folder().join("state/miqro-host/other.redb.sock");
    std::os::unix::fs::symlink(socket(&other)?, &there)?;
    let said = one.refusal(&["restart", "probe"]).await?;
    assert!(
        said.contains("--state-file") && said.contains("other.redb\n"),
        "{said}"
    );
    assert_works(&mut client, 1, 1, 1).await?;
    let file = there.with_extension("").display().to_string();
    one.tell(&["restart", "probe", "--state-file", &file])
        .await?;
    assert_works(&mut client, 1, 1, 2).await
}

#[tokio::test]
async fn a_state_file_of_any_length_has_its_socket() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder
        .path()
        .join("d".repeat(120))
        .join("e".repeat(120))
        .join("state.redb");
    let host = Host::embedded()?
        .service("probe", "contract-swap", json!({}))
        .top("state_file", json!(file));
    let host = host.start().await?;
    // the configuration in the working directory names the state file
    assert_eq!(words(&history(&host).await?), ["started"]);
    let said = host
        .tell(&[
            "history",
            "probe",
            "--json",
            "--state-file",
            &file.display().to_string(),
        ])
        .await?;

    assert!(said.contains("started"), "{said}");
    Ok(())
}

/// The services of the host by name, as `list --json` shows them.
async fn list(host: &Host) -> Result<BTreeMap<String, Value>> {
    let listed = host.tell(&["list", "--json"]).await?;
    let services: Vec<Value> = serde_json::from_str(&listed)?;
    Ok(services
        .into_iter()
        .map(|service| {
            (
                service["name"].as_str().unwrap_or_default().to_owned(),
                service,
            )
        })
        .collect())
}

/// Sends one request to the control socket and returns the result.
fn request(host: &Host, request: &Value) -> Result<Value> {
    let mut stream = UnixStream::connect(socket(host)?)?;
    writeln!(stream, "{request}")?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    Ok(serde_json::from_str(&line)?)
}

#[tokio::test]
async fn commands_are_in_the_audit_log_with_caller_and_outcome() -> Result<()> {
    let host = Host::embedded()?
        .service("it", "relay", json!({}))
        .start()
        .await?;
    let mut client = host.client().await?;
    client.subscribe("service/it/out", 1).await?;
    let audited = async |said: &str| {
        let found = |line: &str| line.contains("audit") && line.contains(said);
        host.output().wait_for(said, found).await
    };

    host.tell(&["disable", "it"]).await?;
    audited("disable of \"it\" by user ").await?;
    host.output()
        .wait_for("switched off", |line| line.contains("switched off"))
        .await?;
    client.publish("service/it/in", "lost").await?;
    assert_eq!(list(&host).await?["it"]["activity"]["enabled"], false);

    host.tell(&["enable", "it"]).await?;
    host.output()
        .wait_for("switched on", |line| line.contains("switched on"))
        .await?;
    client.publish("service/it/in", "two").await?;
    assert_eq!(client.next().await?.text(), "two");

    let publish =
        json!({"command": "publish", "topic": "service/it/in", "payload": "secret", "qos": 1});
    let answer = request(&host, &publish)?;
    assert_eq!(answer, json!({"ok": "published 6 bytes on service/it/in"}));
    assert_eq!(client.next().await?.text(), "secret");
    audited("publish of 6 bytes on \"service/it/in\" by user ").await?;

    let refused = host.refusal(&["log-level", "other", "debug"]).await?;
    assert!(refused.contains("no host has a service"), "{refused}");
    host.tell(&["log-level", "it", "debug"]).await?;
    audited("log level Debug of \"it\"").await?;
    let answer = request(&host, &json!({"command": "publish", "topic": "a/#"}))?;
    assert!(answer["error"].is_string(), "{answer}");
    audited("publish of 0 bytes on \"a/#\"").await?;
    Ok(())
}

#[tokio::test]
async fn the_snapshot_shows_host_broker_and_allowances() -> Result<()> {
    let section = json!({"limits": {"memory": "3MiB"}});
    let host = Host::embedded()?
        .service("it", "relay", section)
        .start()
        .await?;
    let snapshot = request(&host, &json!({"command": "snapshot"}))?["ok"].take();
    let address = format!("127.0.0.1:{}", host.port());
    assert_eq!(
        (
            &snapshot["broker"]["address"],
            &snapshot["broker"]["connected"]
        ),
        (&json!(address), &json!(true)),
        "{snapshot}"
    );

    assert_eq!(snapshot["pid"], json!(host.process().id()));
    let service = &snapshot["services"][0];
    assert_eq!(service["configured"]["base_topic"], "service/it/");
    assert_eq!(service["configured"]["limits"]["memory"], "3MiB");
    assert_eq!(service["dead_letters"], 0);
    Ok(())
}

#[tokio::test]
async fn services_are_listed_with_their_figures() -> Result<()> {
    let host = Host::embedded()?
        .service("relay", "relay", json!({}))
        .service("stuck", "hostile", json!({ "limits": { "call": "10m" } }))
        .top("statistics_interval", json!("0s"))
        .start()
        .await?;

    let mut client = host.client().await?;
    client.subscribe("service/relay/out", 1).await?;
    for number in 0..3 {
        client
            .publish("service/relay/in", number.to_string())
            .await?;
        client.next().await?;
    }

    // a report begins the statistics of the log again, not the figures of the list
    host.process().signal("USR1")?;
    host.output().says(0, "messages: 3 calls").await?;
    client.publish("service/relay/in", "4").await?;
    client.next().await?;

    client.publish_once("service/stuck/do", "sleep").await?;
    let services = Deadline::new()
        .wait("the stuck service to be in its call", async {
            loop {
                let services = list(&host).await?;
                if services["stuck"]["activity"].is_null() {
                    return anyhow::Ok(services);
                }
            }
        })
        .await??;

    let relay = &services["relay"];
    let activity = &relay["activity"];
    assert_eq!(relay["status"], "running");
    assert_eq!(activity["messages"]["calls"], 4, "{relay:#}");
    assert_eq!(activity["messages"]["failures"], 0);
    assert_eq!(
        activity["subscriptions"],
        json!([{"filter": "service/relay/in", "requested_qos": 1, "granted_qos": 1}])
    );
    assert!(
        activity["used"]["memory"].as_u64() > Some(64 << 10),
        "{relay:#}"
    );
    assert_eq!(services["stuck"]["status"], "running");
    let version = services["stuck"]["version"].as_str().unwrap_or_default();
    assert_eq!(version.len(), 64, "{version}");

    let table = host.tell(&["list"]).await?;
    let row: Vec<&str> = table
        .lines()
        .find(|line| line.starts_with("relay "))
        .context("no line for relay")?
        .split_whitespace()
        .collect();

    assert_eq!((row[1], row[3], row[4]), ("running", "4", "0"), "{table}");
    assert!(
        table
            .lines()
            .any(|line| line.starts_with("stuck ") && line.ends_with('-')),
        "{table}"
    );

    Ok(())
}

#[tokio::test]
async fn the_socket_is_the_users_alone_and_one_that_was_left_is_replaced() -> Result<()> {
    let (mut host, _client) = probe().await?;
    let path = socket(&host)?;
    assert_eq!(
        std::fs::metadata(&path)?.permissions().mode() & 0o777,
        0o600
    );
    host.kill()?;
    assert!(
        UnixStream::connect(&path).is_err() && path.exists(),
        "the socket of a killed host is there"
    );
    host.restart()?;
    host.online().await?;
    // the same thing twice is one entry
    assert_eq!(words(&history(&host).await?), ["started"]);
    Ok(())
}

#[tokio::test]
async fn a_socket_on_which_another_listens_is_left_alone() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("state.redb");
    let _other = UnixListener::bind(folder.path().join("state.redb.sock"))?;
    let host = Host::embedded()?
        .service("probe", "contract-swap", json!({}))
        .top("state_file", json!(file));
    let host = host.start().await?;
    host.output()
        .wait_for("the warning", |line| {
            line.contains("another host listens there")
        })
        .await?;
    Ok(())
}

#[tokio::test]
async fn unknown_requests_are_answered_with_the_known_ones() -> Result<()> {
    use std::io::{BufRead, BufReader, Write};
    let (host, _client) = probe().await?;
    for request in ["{\"command\":\"explode\"}\n", "hello\n", "\n"] {
        let mut stream = UnixStream::connect(socket(&host)?)?;
        stream.write_all(request.as_bytes())?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line)?;
        let reply: Value = serde_json::from_str(&line)?;
        assert!(
            reply["error"]
                .as_str()
                .is_some_and(|error| error.contains("not understood")),
            "{reply}"
        );
    }

    Ok(())
}
