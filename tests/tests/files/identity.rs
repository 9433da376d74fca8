//! A host finds its session and its services' state again in its directory for state, whatever the
//! names of its machine, its configuration and its command line, and it does not take another
//! host's.

use anyhow::{Context, Result};
use miqro_tests::Client;
use miqro_tests::process::Process;
use serde_json::{Value, json};

use super::home::{Home, online, stop};

/// A container that is created again has another host name.
const ELSEWHERE: [&str; 7] = [
    "unshare",
    "--uts",
    "--map-root-user",
    "sh",
    "-c",
    "hostname elsewhere && exec \"$@\"",
    "sh",
];

const COMMAND: &str = "service/contract-full/command";
const VALUE: &str = "service/contract-full/value";

/// A home with the guest `contract-full`, whose configuration is `name`.
async fn home(name: &str) -> Result<Home> {
    let home = Home::new(&["contract-full", "relay"]).await?;
    home.write(name, home.config(json!({}), json!({})).to_string())?;
    Ok(home)
}

/// Starts the host and sets a key; waits for its end, after which a question for it lies in its session at the broker.
async fn leave(home: &Home, host: Process) -> Result<Client> {
    let mut client = home.client().await?;
    online(&mut client, "contract-full").await?;
    client
        .publish(COMMAND, json!({ "set": "k", "value": "kept" }).to_string())
        .await?;
    client.expect(VALUE).await?;
    stop(host).await?;
    client
        .publish(COMMAND, json!({ "get": "k" }).to_string())
        .await?;
    Ok(client)
}

/// The question that lay in the session is answered, from the state.
async fn found(client: &mut Client, host: &Process) -> Result<()> {
    let value = client
        .expect(VALUE)
        .await
        .with_context(|| host.output().told("the session is not found"))?;
    assert_eq!(
        value.json()?,
        json!("kept"),
        "{}",
        host.output().told("the state is not found")
    );

    host.output().says(0, "session=kept").await.map(drop)
}

/// The client identifier in the line about the connection.
async fn client_id(host: &Process) -> Result<String> {
    let line = host.output().says(0, "connected to").await?;
    let id = line.split("client_id=").nth(1).context(line.clone())?;
    Ok(id
        .split_whitespace()
        .next()
        .unwrap_or_default()
        .trim_matches('"')
        .to_owned())
}

#[tokio::test]
async fn a_container_made_anew_finds_its_session_and_its_state() -> Result<()> {
    let home = home("one/miqro.yml").await?;
    let host = home.start(&["contract-full.wasm", "--config", "one/miqro.yml"])?;
    let mut client = leave(&home, host).await?;
    // its configuration is mounted elsewhere as well
    let config = std::fs::read(home.path("one/miqro.yml"))?;
    home.write("two/other.yml", config)?;
    let arguments = ["contract-full.wasm", "--config", "two/other.yml"];
    let host = home.start_through(&ELSEWHERE, &arguments)?;
    found(&mut client, &host).await?;
    host.output()
        .says(0, "goes on with the session and the state of")
        .await?;
    stop(host).await?;
    // and from then on it is its own
    client
        .publish(COMMAND, json!({ "get": "k" }).to_string())
        .await?;
    let host = home.start_through(&ELSEWHERE, &arguments)?;
    found(&mut client, &host).await?;
    assert_eq!(
        host.output().count("goes on with the session"),
        0,
        "{}",
        host.output().told("the identity")
    );

    stop(host).await
}

#[tokio::test]
async fn one_more_file_on_the_command_line_loses_nothing() -> Result<()> {
    let home = home("miqro.yml").await?;
    let mut client = leave(&home, home.start(&["contract-full.wasm"])?).await?;
    let host = home.start(&["contract-full.wasm", "relay.wasm"])?;
    found(&mut client, &host).await?;
    stop(host).await?;
    client
        .publish(COMMAND, json!({ "get": "k" }).to_string())
        .await?;
    let host = home.start(&["contract-full.wasm"])?;
    found(&mut client, &host).await?;
    stop(host).await
}

#[tokio::test]
async fn two_configurations_of_one_user_have_two_identities_and_that_is_said() -> Result<()> {
    let home = home("a.yml").await?;
    let services: Value = json!({ "b": { "component": "relay.wasm" } });
    home.write("b.yml", home.config(services, json!({})).to_string())?;
    let first = home.start(&["contract-full.wasm", "--config", "a.yml"])?;
    let one = client_id(&first).await?;
    // at the same time, and one after the other
    let second = home.start(&["--config", "b.yml"])?;
    let other = client_id(&second).await?;
    assert_ne!(one, other);
    let said = second
        .output()
        .says(0, "begins without a session and without state")
        .await?;
    assert!(
        said.contains(&one) && said.contains("a.yml") && said.contains("state_file: "),
        "{said}"
    );
    // the same configuration twice is refused
    let third = home.say(&["run", "--config", "b.yml"]).await?;
    assert!(
        third.code == Some(1) && third.err.contains("another host uses it"),
        "{third:?}"
    );
    stop(second).await?;
    stop(first).await?;
    for (config, id) in [("b.yml", &other), ("a.yml", &one)] {
        let files = if config == "a.yml" {
            vec!["contract-full.wasm", "--config", config]
        } else {
            vec!["--config", config]
        };
        let host = home.start(&files)?;
        assert_eq!(&client_id(&host).await?, id, "{config}");
        stop(host).await?;
    }

    Ok(())
}

#[tokio::test]
async fn a_configured_client_id_wins_and_finds_the_state() -> Result<()> {
    let home = home("miqro.yml").await?;
    let client = leave(&home, home.start(&["contract-full.wasm"])?).await?;
    drop(client);
    let mut config = home.config(json!({}), json!({}));
    config["broker"]["client_id"] = json!("house");
    home.write("miqro.yml", config.to_string())?;
    let host = home.start(&["contract-full.wasm"])?;
    assert_eq!(client_id(&host).await?, "house");
    let mut client = home.client().await?;
    online(&mut client, "contract-full").await?;
    client
        .publish(COMMAND, json!({ "get": "k" }).to_string())
        .await?;
    assert_eq!(client.expect(VALUE).await?.json()?, json!("kept"));
    // it is taken away again while the host runs
    let line = host.output().lines().len();
    home.replace("miqro.yml", home.config(json!({}), json!({})).to_string())?;
    host.output().says(line, "is in force").await?;
    stop(host).await
}

/// The state of an older host has no record: its file is named after the client identifier.
#[tokio::test]
async fn state_of_an_older_host_is_found() -> Result<()> {
    let home = home("miqro.yml").await?;
    let mut client = leave(&home, home.start(&["contract-full.wasm"])?).await?;
    let directory = home.path("state/miqro-host");
    for entry in std::fs::read_dir(&directory)? {
        let path = entry?.path();
        if path.to_string_lossy().ends_with(".identity") {
            std::fs::remove_file(path)?;
        }
    }

    let host = home.start(&["contract-full.wasm"])?;
    found(&mut client, &host).await?;
    stop(host).await
}
