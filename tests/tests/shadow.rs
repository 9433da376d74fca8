//! Shadow runs: a new version handles copies of messages besides the running one, its effects are
//! compared and dropped, and then it takes over.

use anyhow::{Context, Result};
use miqro_tests::{Client, Deadline, Host, guests, probe};
use serde_json::{Value, json};

/// A host with the guest `contract-swap` as the service `probe`, whose new versions are shadows first.
async fn probe(section: Value) -> Result<(Host, Client)> {
    let mut section = section;
    section["swap"] = json!({ "shadow": "4s" });
    section["anonymous"] = json!(true);
    let (host, mut client) = probe::start(Host::embedded()?, section).await?;
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

/// Sends a component to the host as a shadow, and returns its version.
async fn sent(host: &Host, component: &[u8]) -> Result<String> {
    std::fs::write(host.folder().join("next"), component)?;
    let said = host.tell(&["deploy", "probe", "next", "--shadow"]).await?;
    assert!(said.contains("runs as a shadow"), "{said}");
    Ok(status(host).await?["shadow"]["version"].to_string())
}

async fn status(host: &Host) -> Result<Value> {
    let said = host.tell(&["shadow", "probe", "--json"]).await?;
    Ok(serde_json::from_str(&said)?)
}

/// Waits until the shadow has been compared in so many calls, and returns the comparison.
async fn compared(host: &Host, calls: u64) -> Result<Value> {
    let comparing = async {
        loop {
            let comparison = status(host).await?["shadow"]["comparison"].clone();
            if comparison["calls"].as_u64() >= Some(calls) {
                return anyhow::Ok(comparison);
            }
        }
    };
    Deadline::after(std::time::Duration::from_secs(60))
        .wait("the comparison", comparing)
        .await?
}

/// A host whose service has no shadow runs in its configuration.
async fn commanded(section: Value) -> Result<(Host, Client)> {
    probe::start(Host::embedded()?, section).await
}

#[tokio::test]
async fn a_shadow_by_command_shows_its_differences_until_it_is_promoted() -> Result<()> {
    let (host, mut client) =
        commanded(json!({ "anonymous": true, "differs": { guests::version(2): true } })).await?;
    works(&mut client, "any", "").await?;
    let line = host.output().lines().len();
    sent(&host, &guests::swap(2)?).await?;
    host.output()
        .says(line, "runs as a shadow until it is stopped")
        .await?;
    for _ in 0..2 {
        works(&mut client, "any", "x").await?;
    }

    let comparison = compared(&host, 2).await?;
    assert_eq!(comparison["agreed"], 0, "{comparison:#}");
    let difference = &comparison["differences"][0];
    assert_eq!(difference["call"], "the message on service/probe/work");
    for (version, expected) in [("running", "any"), ("new", "another")] {
        let message = &difference[version][0];
        assert_eq!(message["topic"], "service/probe/worked");
        let payload = message["payload"].as_str().context("no payload")?;
        let payload: Value = serde_json::from_str(payload)?;
        assert_eq!(payload["version"], expected, "{comparison:#}");
    }
    let said = host.tell(&["shadow", "probe"]).await?;
    assert!(said.contains("  - service/probe/worked"), "{said}");
    assert!(said.contains("  + service/probe/worked"), "{said}");
    assert_eq!(std::fs::read(host.file("probe"))?, guests::swap(1)?);

    let said = host.tell(&["shadow", "probe", "--promote"]).await?;
    assert!(said.contains("runs, and is in "), "{said}");
    let answer = works(&mut client, "another", "").await?;
    assert_eq!(
        (&answer["memory"], &answer["state"]),
        (&json!(4), &json!(4))
    );
    assert_eq!(std::fs::read(host.file("probe"))?, guests::swap(2)?);
    assert_eq!(status(&host).await?["shadow"], Value::Null);
    let history = host.tell(&["history", "probe"]).await?;
    let shadowed = history.lines().find(|line| line.contains("shadowed"));
    let shadowed = shadowed.context("the run is not in the history")?;
    assert!(
        shadowed.contains("0 of 2 calls agreed, 0 faults; for the message on service/probe/work"),
        "{history}"
    );
    Ok(())
}

#[tokio::test]
async fn a_shadow_by_command_is_stopped_and_replaced() -> Result<()> {
    let (host, mut client) = commanded(json!({ "anonymous": true })).await?;
    works(&mut client, "any", "").await?;
    let first = sent(&host, &guests::swap(2)?).await?;
    works(&mut client, "any", "x").await?;
    compared(&host, 1).await?;
    let second = sent(&host, &guests::swap(3)?).await?;
    assert_ne!(first, second);
    works(&mut client, "any", "x").await?;
    let comparison = compared(&host, 1).await?;
    assert_eq!(comparison["agreed"], 1, "{comparison:#}");

    let said = host.tell(&["shadow", "probe", "--stop"]).await?;
    assert!(said.contains("1 of 1 calls agreed"), "{said}");
    let said = host.tell(&["shadow", "probe"]).await?;
    assert!(said.contains("no version runs as its shadow"), "{said}");
    let history = host.tell(&["history", "probe"]).await?;
    let noted = history.matches("shadowed     1 of 1 calls agreed").count();
    assert_eq!(noted, 2, "{history}");
    works(&mut client, "any", "y").await?;

    // a version that is kept is a shadow as well, and a changed file ends it
    host.replace_and_wait("probe", &guests::swap(4)?, "takes over")
        .await?;
    let history: Value = serde_json::from_str(&host.tell(&["history", "probe", "--json"]).await?)?;
    let kept = history["kept"][0].as_str().context("nothing is kept")?;
    host.tell(&["shadow", "probe", "--start", &kept[..12]])
        .await?;
    host.replace_and_wait("probe", &guests::swap(5)?, "takes over")
        .await?;
    assert_eq!(status(&host).await?["shadow"], Value::Null);
    Ok(())
}

#[tokio::test]
async fn shadows_by_command_are_refused_with_the_reason() -> Result<()> {
    let (host, mut client) =
        commanded(json!({ "broken_start": { guests::version(2): "told to break" } })).await?;
    for (arguments, reason) in [
        (
            &["shadow", "probe", "--stop"][..],
            "no version runs as its shadow",
        ),
        (
            &["shadow", "probe", "--promote"],
            "no version runs as its shadow",
        ),
        (&["shadow", "probe", "--start", "ffff"], "upload it again"),
        (&["shadow", "other"], "no host has a service"),
    ] {
        let refused = host.refusal(arguments).await?;
        assert!(refused.contains(reason), "{arguments:?}: {refused}");
    }

    std::fs::write(host.folder().join("next"), guests::swap(2)?)?;
    let refused = host
        .refusal(&["deploy", "probe", "next", "--shadow"])
        .await?;
    assert!(refused.contains("does not start: "), "{refused}");
    std::fs::write(host.folder().join("next"), guests::swap(1)?)?;
    let refused = host
        .refusal(&["deploy", "probe", "next", "--shadow"])
        .await?;
    assert!(refused.contains("runs already"), "{refused}");
    works(&mut client, guests::FIRST_VERSION, "")
        .await
        .map(drop)
}
