//! Shadow runs: a new version handles copies of messages besides the running one, its effects are
//! compared and dropped, and then it takes over.

use anyhow::{Context, Result};
use miqro_tests::{Client, Deadline, Host, guests};
use serde_json::{Value, json};

/// A host with the guest `contract-swap` as the service `probe`, whose new versions are shadows first.
async fn probe(section: Value) -> Result<(Host, Client)> {
    let mut section = section;
    section["swap"] = json!({ "shadow": "4s" });
    section["anonymous"] = json!(true);
    let host = Host::embedded()?
        .service("probe", "contract-swap", section)
        .start()
        .await?;
    let mut client = host.client().await?;
    client.subscribe("service/probe/worked", 1).await?;
    works(&mut client, "any", "").await?;
    Ok((host, client))
}

/// Sends a message and expects one answer, of this version.
async fn works(client: &mut Client, version: &str, payload: &str) -> Result<Value> {
    client
        .publish("service/probe/work", payload.to_owned())
        .await?;
    let answer = client.next().await?.json()?;
    assert_eq!(
        (&answer["version"], &answer["payload"]),
        (&json!(version), &json!(payload)),
        "{answer}"
    );
    Ok(answer)
}

/// Makes version 2 a shadow, sends messages until its end, and returns what is said about it, with the number of messages.
async fn shadowed(host: &Host, client: &mut Client) -> Result<(String, u64)> {
    let line = host.output().lines().len();
    host.replace("probe", &guests::swap(2)?)?;
    host.output().says(line, "runs as a shadow").await?;
    let deadline = Deadline::new();
    let mut count = 0;
    let said = loop {
        deadline
            .wait("the report", works(client, "any", "x"))
            .await??;
        count += 1;
        let lines = host.output().lines().split_off(line);
        if let Some(said) = lines.into_iter().find(|line| line.contains("calls agreed")) {
            break said;
        }
    };

    host.output().says(line, "takes over").await?;
    Ok((said, count))
}

/// `n` of `m calls agreed`.
fn agreed(said: &str) -> Result<(u64, u64)> {
    let words: Vec<&str> = said.split_whitespace().collect();
    let at = words
        .windows(2)
        .position(|pair| pair == ["calls", "agreed,"])
        .context("no number of calls")?;
    Ok((words[at - 3].parse()?, words[at - 1].parse()?))
}

#[tokio::test]
async fn an_agreeing_shadow_takes_over_with_the_state() -> Result<()> {
    let (host, mut client) = probe(json!({})).await?;
    let (said, count) = shadowed(&host, &mut client).await?;
    let (agreed, calls) = agreed(&said)?;
    assert!(agreed == calls && calls > 0 && calls <= count, "{said}");
    // the shadow had no effect: one message, one count
    let answer = works(&mut client, "any", "y").await?;
    assert_eq!(
        (&answer["memory"], &answer["state"]),
        (&json!(count + 2), &json!(count + 2))
    );
    let output = host.output();
    assert_eq!(output.count("takes over"), 1, "{}", output.told("swaps"));
    Ok(())
}

#[tokio::test]
async fn differing_shadows_are_logged_with_both_publishes() -> Result<()> {
    let (host, mut client) = probe(json!({ "differs": { guests::version(2): true } })).await?;
    let line = host.output().lines().len();
    host.replace("probe", &guests::swap(2)?)?;
    host.output().says(line, "runs as a shadow").await?;
    works(&mut client, "any", "x").await?;
    let said = host.output().says(line, "calls agreed").await?;
    assert!(said.contains("0 of 1 calls agreed, 0 faults"), "{said}");
    assert!(
        said.contains("for the message on service/probe/work the running version published service/probe/worked"),
        "{said}"
    );
    assert!(said.contains("any") && said.contains("another"), "{said}");
    host.output().says(line, "takes over").await?;
    works(&mut client, "another", "y").await.map(drop)
}

#[tokio::test]
async fn faults_of_a_shadow_are_counted_and_hurt_nobody() -> Result<()> {
    let (host, mut client) = probe(json!({ "broken": { guests::version(2): "trap" } })).await?;
    let line = host.output().lines().len();
    host.replace("probe", &guests::swap(2)?)?;
    host.output().says(line, "runs as a shadow").await?;
    // after a trap the shadow goes on with a new instance
    works(&mut client, "any", "fail").await?;
    works(&mut client, "any", "x").await?;
    let said = host.output().says(line, "calls agreed").await?;
    assert!(
        said.contains("of 2 calls agreed, 1 faults; for the message on service/probe/work the new version failed"),
        "{said}"
    );
    assert!(said.contains("the guest trapped"), "{said}");
    Ok(())
}

#[tokio::test]
async fn a_newer_file_replaces_the_shadow() -> Result<()> {
    let (host, mut client) = probe(json!({ "differs": { guests::version(3): true } })).await?;
    let line = host.output().lines().len();
    host.replace("probe", &guests::swap(2)?)?;
    host.output().says(line, "runs as a shadow").await?;
    let line = host.output().lines().len();
    host.replace("probe", &guests::swap(3)?)?;
    host.output().says(line, "runs as a shadow").await?;
    host.output().says(line, "takes over").await?;
    works(&mut client, "another", "").await?;
    let output = host.output();
    assert_eq!(
        (output.count("takes over"), output.count("calls agreed")),
        (1, 1),
        "{}",
        output.told("shadows")
    );

    Ok(())
}

#[tokio::test]
async fn a_shadow_that_cannot_load_state_does_not_take_over() -> Result<()> {
    let (host, mut client) =
        probe(json!({ "refuse_load": { guests::version(2): "too old" } })).await?;
    let line = host.output().lines().len();
    host.replace("probe", &guests::swap(2)?)?;
    let said = host.output().says(line, "does not take over").await?;
    assert!(said.contains("too old"), "{said}");
    works(&mut client, "any", "").await.map(drop)
}
